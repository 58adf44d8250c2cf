"""What the watchdog has to end and to remove."""

from typing import Any

from seatrial.stack.watchdog import WatchdogState


def test_ended_children_and_kept_runs_are_struck_off() -> None:
    """What is left is what a killed harness would leave behind."""
    state = WatchdogState("r1")
    children: list[dict[str, Any]] = [{"session": pid, "start_ticks": 10 * pid} for pid in (7, 8)]
    for message in (*children, {"ended": 7}, {"docker": "a"}, {"docker": "b"}, {"keep": "a"}):
        state.update(message)
    assert (state.sessions, state.docker_runs, state.done) == ({8: 80}, {"b"}, False)

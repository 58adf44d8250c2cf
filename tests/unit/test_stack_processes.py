"""Which processes belong to a run, how they are ended, and what the watchdog has to end."""

from pathlib import Path
from typing import Any

import pytest
from procfs import proc_with

from seatrial.stack.processes import ProcessEntry, end_all, marked, of_sessions
from seatrial.stack.watchdog import WatchdogState


def test_a_process_is_found_by_its_mark(tmp_path: Path) -> None:
    """The run's id in the environment marks a process, and only the whole id does."""
    proc = proc_with(tmp_path)
    assert [one.pid for one in marked("r1", proc=proc)] == [42]
    assert marked("r", proc=proc) == []


@pytest.mark.parametrize(
    ("session", "sessions", "pids"),
    [(40, {40: 400}, [42]), (42, {42: 400}, [])],
    ids=["its leader is gone", "its leader's pid belongs to a later process"],
)
def test_a_process_is_found_by_its_session(
    tmp_path: Path, session: int, sessions: dict[int, int], pids: list[int]
) -> None:
    """The session of a dead leader is still ours, that of a later process with the same pid is not."""
    assert [one.pid for one in of_sessions(sessions, proc=proc_with(tmp_path, session=session))] == pids


def test_a_process_that_can_not_be_killed_is_given_up() -> None:
    """The wait is bounded: the grace, then two seconds."""
    now = iter(range(100))
    unkillable = ProcessEntry(pid=2**22 + 1, session=1, start_ticks=1, state="D")
    assert end_all(lambda: [unkillable], grace_s=3, clock=lambda: float(next(now)), sleep=lambda _: None) is False
    assert next(now) == 7


def test_ended_children_and_kept_runs_are_struck_off() -> None:
    """What is left is what a killed harness would leave behind."""
    state = WatchdogState("r1")
    children: list[dict[str, Any]] = [{"session": pid, "start_ticks": 10 * pid} for pid in (7, 8)]
    for message in (*children, {"ended": 7}, {"docker": "a"}, {"docker": "b"}, {"keep": "a"}):
        state.update(message)
    assert (state.sessions, state.docker_runs, state.done) == ({8: 80}, {"b"}, False)

"""The health of a load process: loop lag, CPU share, task errors, counts of a second."""

from __future__ import annotations

from seatrial.user.arrivals import COUNTS
from seatrial.user.health import CpuShare, LoopLag, Seconds, TaskErrors, waited_ns


def test_loop_lag_is_the_lateness_of_wakes() -> None:
    """Two wakes in time and one 30 ms late: median 0, 99th percentile 30 ms; then it starts over."""
    stamps = iter([0, 50_000_000, 0, 50_000_000, 0, 80_000_000])
    lag = LoopLag(clock=lambda: next(stamps), sleep=lambda _: None)
    for _ in range(3):
        lag.tick()
    assert lag.take() == (0, 30_000_000)
    assert lag.take() == (None, None)


def test_cpu_share_is_between_two_calls() -> None:
    """A quarter of a core for a second."""
    wall, cpu = iter([0, 1_000_000_000]), iter([500, 250_000_500])
    assert CpuShare(clock=lambda: next(wall), cpu=lambda: next(cpu), waited=lambda: 0).take() == 0.25


def test_waiting_for_a_core_is_being_busy() -> None:
    """A process that is never idle is as busy on a core that it has for 70 % of the time."""
    wall, cpu, waited = iter([0, 1_000_000_000]), iter([0, 700_000_000]), iter([100, 290_000_100])
    share = CpuShare(clock=lambda: next(wall), cpu=lambda: next(cpu), waited=lambda: next(waited))
    assert share.take() == 0.99


def test_the_kernel_counts_how_long_a_thread_has_waited() -> None:
    """The count never falls; it stays 0 on a kernel without it."""
    assert 0 <= waited_ns() <= waited_ns()


def test_each_task_error_is_reported_once() -> None:
    """Three exceptions of two kinds: two reported, three counted."""
    reported: list[str] = []
    errors = TaskErrors(lambda row: reported.append(row["what"]))
    for error in (KeyError("a"), KeyError("a"), ValueError("b")):
        errors.on_user_error(user_instance=None, exception=error, tb=None)
    assert (reported, errors.count) == (["KeyError: 'a'", "ValueError: b"], 3)


def test_the_counts_of_a_second_are_whole() -> None:
    """They have the columns that the harness sums, and begin again with each second."""
    stamps = iter([0, 1_000_000_000, 2_000_000_000])
    seconds = Seconds(clock=lambda: next(stamps))
    seconds.requests.completed = 50
    first, second = seconds.take(4)[0], seconds.take(4)[0]
    assert (first["completed"], second["completed"]) == (50, 0)
    assert set(first) == {"t_ns", "users", "in_flight", "offered", "completed", "failed", *COUNTS}

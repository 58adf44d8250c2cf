"""What a process says of each second, and of the rest that its end leaves."""

from __future__ import annotations

from seatrial.user.health import LEAST_NS, Seconds
from seatrial.wire.streams import GENERATOR, row_columns

S = 1_000_000_000
HEALTH = ("cpu_fraction", "loop_lag_p50_ns", "loop_lag_p99_ns", "slip_p99_ns")


def _row(lasted_ns: int) -> dict[str, object]:
    now_ns = 0
    seconds = Seconds(clock=lambda: now_ns)
    seconds.requests.completed = 7
    now_ns = lasted_ns
    arrivals = {"arrivals": 9, "arrivals_completed": 7, "arrivals_late": 2, "arrivals_dropped": 2}
    counts, row = seconds.take(3, arrivals, 1_000)
    assert counts["failed"] == 0
    assert tuple(row) == tuple(row_columns(GENERATOR))
    return row


def test_a_second_has_counts_and_health() -> None:
    """The usual row."""
    row = _row(S)
    assert (row["t_ns"], row["users"], row["completed"], row["arrivals_dropped"]) == (S, 3, 7, 2)
    assert row["cpu_fraction"] is not None
    assert row["slip_p99_ns"] == 1_000


def test_a_rest_has_its_counts_alone() -> None:
    """Nothing that was counted is lost, and a CPU share of some milliseconds would say nothing."""
    row = _row(LEAST_NS - 1)
    assert (row["completed"], row["arrivals"], row["arrivals_dropped"]) == (7, 9, 2)
    assert {row[name] for name in HEALTH} == {None}

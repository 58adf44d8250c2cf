"""Several load processes: their state, their shares of the load, and the sum of their seconds."""

from __future__ import annotations

from typing import Any

from seatrial.load.workers import SecondAggregator, Workers
from seatrial.wire.histogram import bucket


def test_a_worker_that_is_gone_leaves_its_share_and_its_errors() -> None:
    """The others serve all; the exceptions that it had reported still count."""
    workers = Workers()
    for connection, users in ((0, 3), (1, 1)):
        workers.take(connection, {"kind": "ready", "worker": connection, "pid": 70 + connection, "users": users})
    assert workers.shares() == {0: (0.0, 0.75), 1: (0.75, 1.0)}
    workers.take(0, {"kind": "second", "errors": 3, "users": 2})

    gone = workers.remove(0)

    assert gone is not None
    assert (gone.pid, workers.shares(), workers.errors) == (70, {1: (0.0, 1.0)}, 3)
    assert (workers.lost, list(workers.connected), workers.ready) == (True, [1], 1)


def test_a_worker_that_has_drained_is_not_lost() -> None:
    """Its connection ends with it, as it should."""
    workers = Workers()
    workers.take(0, {"kind": "ready", "worker": 0})
    workers.take(0, {"kind": "drained", "worker": 0, "errors": 0})
    workers.remove(0)

    assert (workers.lost, workers.drained, workers.busy) == (False, 1, False)


def test_a_second_is_the_sum_of_all_workers_once_all_have_reported() -> None:
    """With the worst of their health; what an older child does not report is left out."""
    aggregator, quick = SecondAggregator(), str(bucket(5_000_000))
    first: dict[str, Any] = {"t_ns": 10, "completed": 3, "failed": 1, "arrivals_took_ns": 9, "failures": {"a": 1}}
    first |= {"cpu_fraction": 0.5, "slip_p99_ns": None, "latency": {"a": {quick: 2}}}
    first["details"] = {"play": {"startup_s": {"5": 2}}}
    second: dict[str, Any] = {"t_ns": 12, "completed": 4, "failed": 1, "arrivals_took_ns": 4}
    second |= {"cpu_fraction": 0.9, "slip_p99_ns": 7, "latency": {"a": {quick: 1}, "b": {"9": 1}}}
    second["details"] = {"play": {"startup_s": {"5": 1, "7": 1}, "stalls_count": {"0": 1}}}

    assert aggregator.take(0, first, {0, 1}) is None
    whole = aggregator.take(1, second, {0, 1})

    assert whole is not None
    assert (whole.completed, whole.failed, whole.arrivals_took_ns) == (7, 2, 13)
    assert (whole.t_least_ns, whole.t_ns) == (10, 12)
    assert whole.by_endpoint == {"a": {int(quick): 3}, "b": {9: 1}}
    assert (whole.latency, whole.failures) == ({int(quick): 3, 9: 1}, {"a": 1})
    assert whole.details == {"play": {"startup_s": {5: 3, 7: 1}, "stalls_count": {0: 1}}}
    assert (whole.cpu_fraction, whole.slip_p99_ns, whole.loop_lag_p99_ns) == (0.9, 7, None)


def test_a_silent_worker_does_not_hold_the_others_up() -> None:
    """A second report of one worker ends the second."""
    aggregator = SecondAggregator()
    aggregator.take(0, {"t_ns": 10, "completed": 3}, {0, 1})

    second = aggregator.take(0, {"t_ns": 20, "completed": 5}, {0, 1})

    assert second is not None
    assert second.completed == 3

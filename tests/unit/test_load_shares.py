"""Several load processes: who they are, which part of the load each serves, and their seconds put together."""

from __future__ import annotations

import pytest

from seatrial.load.workers import SecondAggregator, Workers
from seatrial.model import LoadSecond
from seatrial.wire.histogram import bucket
from seatrial.wire.rates import shares


def test_shares_follow_the_users() -> None:
    """A process with three quarters of the users serves three quarters of the arrivals."""
    assert shares({7: 3, 8: 1}) == {7: (0.0, 0.75), 8: (0.75, 1.0)}
    assert shares({7: 0, 8: 0}) == {7: (0.0, 0.5), 8: (0.5, 1.0)}
    assert shares({}) == {}


def test_a_worker_that_is_gone_leaves_its_share_and_its_errors() -> None:
    """The others serve all; exceptions that it had told of are still counted."""
    workers = Workers()
    for connection in (0, 1):
        workers.take(connection, {"kind": "ready", "worker": connection, "pid": 70 + connection, "users": 2})
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


def _second(completed: int, t_ns: int, **latency: int) -> dict[str, object]:
    told = {name: {str(bucket(ms * 1_000_000)): 1} for name, ms in latency.items()}
    return {"kind": "second", "t_ns": t_ns, "completed": completed, "failed": 1, "latency": told}


def test_a_second_is_the_sum_of_all_workers() -> None:
    """It is whole once the last living one has told."""
    gathering = SecondAggregator()

    assert gathering.take(0, _second(3, 10, manifest=5), {0, 1}) is None
    second = gathering.take(1, _second(4, 12, token=9, manifest=5), {0, 1})

    assert second is not None
    assert (second.completed, second.failed, second.t_ns, sum(second.latency.values())) == (7, 2, 12, 3)
    assert second.latency[bucket(5_000_000)] == 2


def test_a_silent_worker_does_not_hold_the_others_up() -> None:
    """Who tells again opens the next second."""
    gathering = SecondAggregator()
    gathering.take(0, _second(3, 10), {0, 1})

    second = gathering.take(0, _second(5, 20), {0, 1})

    assert second is not None
    assert second.completed == 3


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (LoadSecond(t_ns=1, completed=7, in_flight=2), "7 requests/s, 0 failed, 2 in flight"),
        (
            LoadSecond(t_ns=1, completed=1, arrivals_late=4, arrivals_dropped=2, latency={bucket(5_000_000): 1}),
            "1 requests/s, p95 5.01 ms, 0 failed, 4 late, 2 dropped",
        ),
    ],
    ids=["plain", "open"],
)
def test_what_is_not_there_is_not_told(second: LoadSecond, text: str) -> None:
    """The progress line names late and dropped arrivals only when there are any."""
    assert second.text() == text


def test_a_second_tells_endpoints_failures_and_health() -> None:
    """Summed over the processes, and the worst of their health; an older child tells none of it."""
    gathering = SecondAggregator()
    first = {
        "t_ns": 1,
        "arrivals_took_ns": 9,
        "latency": {"a": {"5": 2}},
        "failures": {"a": 1},
        "details": {"play": {"startup_s": {"5": 2}}},
        "cpu_fraction": 0.5,
        "slip_p99_ns": None,
    }
    gathering.take(0, first, (0, 1))
    whole = gathering.take(
        1,
        {
            "t_ns": 2,
            "arrivals_took_ns": 4,
            "latency": {"a": {"5": 1}},
            "details": {"play": {"startup_s": {"5": 1, "7": 1}, "stalls_count": {"0": 1}}},
            "cpu_fraction": 0.9,
            "slip_p99_ns": 7,
        },
        (0, 1),
    )

    assert whole is not None
    assert (whole.by_endpoint, whole.failures, whole.latency) == ({"a": {5: 3}}, {"a": 1}, {5: 3})
    assert whole.arrivals_took_ns == 13
    assert whole.details == {"play": {"startup_s": {5: 3, 7: 1}, "stalls_count": {0: 1}}}
    assert (whole.cpu_fraction, whole.slip_p99_ns, whole.loop_lag_p99_ns, whole.t_least_ns) == (0.9, 7, None, 1)

"""The arrival's moment goes to the first request of its task, and from there into every latency."""

from __future__ import annotations

from typing import Any, cast

import pytest
from locust import User
from locust.env import Environment

from seatrial.http.messages import Response
from seatrial.user.accounting import RequestAccounting, RequestCounts, Statistics
from seatrial.user.recorder import Recorder
from seatrial.wire.histogram import bucket
from seatrial.wire.streams import NULL, Outcome

MS = 1_000_000


class Rows:
    """Keeps the moments for which requests were intended, in the place of a recorder."""

    def __init__(self) -> None:
        self.intended: list[tuple[str, int]] = []

    def request(self, response: Response, _flow_id: int, _user: int, intended_ns: int) -> None:
        """Keep it."""
        self.intended.append((response.endpoint, intended_ns))


class Someone:
    """A user, as far as statistics ask."""

    def context(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


def _statistics() -> Statistics:
    environment = Environment(user_classes=[User])
    environment.create_local_runner()
    return Statistics(environment, buckets=True)


def _begin(ledger: RequestAccounting, endpoint: str, clock_ns: int) -> Response:
    response = Response("GET", endpoint, clock_ns)
    ledger.begun()
    return response


def test_the_first_begun_has_the_moment_also_if_it_ends_last() -> None:
    """Requests side by side: the second overtakes the first, a third comes later; the next task is another."""
    rows, statistics = Rows(), _statistics()
    ledger = RequestAccounting(cast("User", Someone()), 0, RequestCounts(), cast("Recorder", rows), statistics)
    ledger.intend(5)
    first = _begin(ledger, "first", 100)
    second = _begin(ledger, "second", 2**62)
    for response in (second, first, _begin(ledger, "third", 2**62)):
        response.t_end_ns = response.t_start_ns + 1
        ledger.ended(response)
    ledger.intend(None)
    fourth = _begin(ledger, "fourth", 100)
    fourth.t_end_ns = 101
    ledger.ended(fourth)
    assert rows.intended == [("second", NULL), ("first", 5), ("third", NULL), ("fourth", NULL)]


@pytest.mark.parametrize("outcome", Outcome)
def test_what_the_report_calls_no_failure_is_none_while_it_runs(outcome: Outcome) -> None:
    """Given up by the user model, or cut by the end: the line of each second and the report agree."""
    pulse = RequestCounts()
    ledger = RequestAccounting(cast("User", Someone()), 0, pulse, None, _statistics())
    response = _begin(ledger, "page", 100)
    response.t_end_ns, response.outcome = 101, outcome
    ledger.ended(response)
    counted = pulse.take()
    assert (counted["completed"], counted["failed"]) == (1, int(outcome not in {"ok", "aborted", "cut"}))


@pytest.mark.parametrize("fired", [False, True])
def test_latency_counts_from_the_intended_start(fired: bool) -> None:  # noqa: FBT001
    """In buckets and in Locust's statistics, in batches or at once: 30 ms of waiting, 10 of service."""
    environment = Environment(user_classes=[User])
    environment.create_local_runner()
    statistics = Statistics(environment, buckets=True)
    if fired:
        events: Any = environment.events
        events.request.add_listener(lambda **_: None)
    response = Response("GET", "page", 100 * MS)
    response.t_end_ns = 110 * MS
    statistics.enter(response, dict, 70 * MS)
    assert statistics.latency() == {"page": {bucket(40 * MS): 1}}
    assert statistics.latency() == {}
    assert environment.stats.total.max_response_time == 40

"""Accounting of a request: its arrival's moment, counts, flow details, and Locust's own statistics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from factories import response
from locust import User
from locust.env import Environment

from seatrial.http.messages import Response
from seatrial.user.accounting import DetailCounts, RequestAccounting, RequestCounts, Statistics
from seatrial.wire.histogram import bucket
from seatrial.wire.streams import MOST_COUNTED_DETAILS, MOST_DETAILS, NULL, Outcome

MS = 1_000_000
ENTRY = ("num_requests", "min_response_time", "max_response_time", "response_times", "total_content_length")
SOME_USER = cast("User", SimpleNamespace(context=dict))


@pytest.fixture
def environment() -> Environment:
    """Give an environment of its own statistics."""
    made = Environment(user_classes=[User])
    made.create_local_runner()
    return made


def _response(duration_ms: float, outcome: Outcome = Outcome.OK) -> Response:
    end_ns = 100 * MS + int(duration_ms * MS)
    return response("page", 100 * MS, t_end_ns=end_ns, bytes_received=100, outcome=outcome)


def test_the_first_begun_has_the_moment_also_if_it_ends_last(environment: Environment) -> None:
    """Requests side by side: the second overtakes the first, a third comes later; the next task is another."""
    intended: list[tuple[str, int]] = []
    recorder: Any = SimpleNamespace(request=lambda row, _flow, _user, t_ns: intended.append((row.endpoint, t_ns)))
    accounting = RequestAccounting(SOME_USER, 0, RequestCounts(), recorder, Statistics(environment))

    def begin(endpoint: str, start_ns: int) -> Response:
        accounting.begun()
        return response(endpoint, start_ns, t_end_ns=start_ns + 1)

    accounting.intend(5)
    first = begin("first", 100)
    second = begin("second", 2**62)
    for row in (second, first, begin("third", 2**62)):
        accounting.ended(row)
    accounting.intend(None)
    accounting.ended(begin("fourth", 100))
    assert intended == [("second", NULL), ("first", 5), ("third", NULL), ("fourth", NULL)]


@pytest.mark.parametrize("outcome", Outcome)
def test_aborted_and_cut_are_no_failures(environment: Environment, outcome: Outcome) -> None:
    """Aborted by the user model, or cut by the end: the line of each second, Locust and the report agree."""
    counts = RequestCounts()
    accounting = RequestAccounting(SOME_USER, 0, counts, None, Statistics(environment))
    accounting.begun()
    accounting.ended(_response(1.0, outcome))
    accounting.statistics.feed()
    taken, failed = counts.take(), int(outcome not in {"ok", "aborted", "cut"})
    assert (taken["completed"], taken["failed"], environment.stats.total.num_failures) == (1, failed, failed)


def test_locust_sees_the_first_byte_of_what_was_left_on_purpose(environment: Environment) -> None:
    """A player reads for minutes and goes: 3 ms are the server's, the rest is the player's."""
    row = response(
        "range",
        100 * MS,
        t_first_byte_ns=103 * MS,
        t_end_ns=9_000 * MS,
        bytes_received=100,
        outcome=Outcome.ABORTED,
    )
    Statistics(environment).enter(row, dict)
    assert environment.stats.total.max_response_time == 3


@pytest.mark.parametrize("fired", [False, True])
def test_latency_counts_from_the_intended_start(environment: Environment, fired: bool) -> None:  # noqa: FBT001
    """In buckets and in Locust's statistics, in batches or at once: 30 ms of waiting, 10 of service."""
    statistics = Statistics(environment, buckets=True)
    if fired:
        cast("Any", environment.events).request.add_listener(lambda **_: None)
    statistics.enter(_response(10), dict, 70 * MS)
    assert statistics.latency() == {"page": {bucket(40 * MS): 1}}
    assert statistics.latency() == {}
    assert environment.stats.total.max_response_time == 40


def test_a_batch_is_what_single_requests_would_be(environment: Environment) -> None:
    """Counts, sums, extremes and the rounded times are those of Locust's own listener."""
    single = Environment(user_classes=[User])
    statistics = Statistics(environment)
    for duration_ms in (0.4, 12.6, 147.0, 3_432.0, 58_760.0):
        statistics.enter(_response(duration_ms), dict)
        single.stats.log_request("GET", "page", duration_ms, 100)  # type: ignore[arg-type]  # Locust takes floats
    assert environment.stats.total.num_requests == 0
    statistics.feed()
    for ours, locusts in (
        (environment.stats.total, single.stats.total),
        (environment.stats.get("page", "GET"), single.stats.get("page", "GET")),
    ):
        assert {name: getattr(ours, name) for name in ENTRY} == {name: getattr(locusts, name) for name in ENTRY}


def test_another_listener_gets_each_request_at_once(environment: Environment) -> None:
    """The event is fired for it, and Locust counts by the event: once, not twice."""
    statistics = Statistics(environment)
    requests: list[Any] = []
    cast("Any", environment.events).request.add_listener(lambda **request: requests.append(request))
    statistics.enter(_response(3.0), lambda: {"shop": 1})
    statistics.feed()
    [request] = requests
    assert (request["name"], request["response_time"], request["context"]) == ("page", 3.0, {"shop": 1})
    assert environment.stats.total.num_requests == 1


def test_a_failure_is_entered_at_once_and_everything_at_the_end(environment: Environment) -> None:
    """A failure has its outcome in words; the rest is fed before Locust prints, or a worker reports at last."""
    statistics = Statistics(environment)
    statistics.enter(_response(3.0, Outcome.TIMEOUT), dict)
    assert environment.stats.total.num_failures == environment.stats.total.num_requests == 1
    assert [str(error.error) for error in environment.stats.errors.values()] == ["timeout: "]
    statistics.enter(_response(3.0), dict)
    cast("Any", environment.events).test_stop.fire(environment=environment)
    assert environment.stats.total.num_requests == 2


def test_a_second_has_the_details_of_the_flows_that_ended_in_it() -> None:
    """By flow, key and bucket."""
    counts = DetailCounts()
    for stalls in (0, 2, 2):
        counts.add("play", {"stalls_count": stalls, "codec": "av1"})
    counts.add("login", {"stalls_count": 1})
    assert counts.take() == {"play": {"stalls_count": {0: 1, 2: 2}}, "login": {"stalls_count": {1: 1}}}
    assert counts.take() == {}


def test_a_key_for_each_object_does_not_fill_the_message() -> None:
    """The first are kept, for the whole of the run."""
    counts = DetailCounts()
    for number in range(2 * MOST_DETAILS):
        counts.add("play", {f"segment{number}_s": 1.0})
    assert len(counts.take()["play"]) == MOST_DETAILS
    counts.add("play", {"segment0_s": 1.0, f"segment{MOST_DETAILS}_s": 1.0})
    assert list(counts.take()["play"]) == ["segment0_s"]


def test_every_kind_of_flow_has_its_keys() -> None:
    """Players of four kinds report a dozen numbers each; a name for each object is given up in the end."""
    counts, keys = DetailCounts(), {f"key{number}_s": 1.0 for number in range(MOST_DETAILS)}
    for flow in range(2 * MOST_COUNTED_DETAILS // MOST_DETAILS):
        counts.add(f"flow {flow}", keys)
    assert [len(of_flow) for of_flow in counts.take().values()] == [MOST_DETAILS] * 8

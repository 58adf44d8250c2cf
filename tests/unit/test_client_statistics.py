"""What Locust's own statistics are told, in batches or at once."""

from __future__ import annotations

from typing import Any

from locust import User
from locust.env import Environment

from seatrial.http.messages import Response
from seatrial.user.accounting import Statistics
from seatrial.wire.streams import Outcome

COUNTED = ("num_requests", "min_response_time", "max_response_time", "response_times", "total_content_length")


def _environment() -> Environment:
    environment = Environment(user_classes=[User])
    environment.create_local_runner()
    return environment


def _response(duration_ms: float, outcome: Outcome = Outcome.OK) -> Response:
    response = Response("GET", "page", 5_000_000_000)
    response.t_end_ns = response.t_start_ns + int(duration_ms * 1e6)
    response.bytes_received, response.outcome = 100, outcome
    return response


def test_a_batch_is_what_single_requests_would_be() -> None:
    """Counts, sums, extremes and the rounded times are those of Locust's own listener."""
    batch, single = _environment(), _environment()
    statistics = Statistics(batch)
    for duration_ms in (0.4, 12.6, 147.0, 3_432.0, 58_760.0):
        statistics.enter(_response(duration_ms), dict)
        single.stats.log_request("GET", "page", duration_ms, 100)  # type: ignore[arg-type]  # Locust takes floats
    assert batch.stats.total.num_requests == 0
    statistics.feed()
    for ours, locusts in (
        (batch.stats.total, single.stats.total),
        (batch.stats.get("page", "GET"), single.stats.get("page", "GET")),
    ):
        assert {name: getattr(ours, name) for name in COUNTED} == {
            name: getattr(locusts, name) for name in COUNTED
        }


def test_somebody_elses_listener_hears_of_each_request_at_once() -> None:
    """With a listener besides Locust's the event is fired, and Locust counts by it: once, not twice."""
    environment = _environment()
    statistics = Statistics(environment)
    heard: list[Any] = []
    events: Any = environment.events
    events.request.add_listener(lambda **request: heard.append(request))
    statistics.enter(_response(3.0), lambda: {"shop": 1})
    statistics.feed()
    assert (heard[0]["name"], heard[0]["response_time"], heard[0]["context"]) == ("page", 3.0, {"shop": 1})
    assert (len(heard), environment.stats.total.num_requests) == (1, 1)


def test_a_failure_stands_in_locusts_table_of_failures() -> None:
    """It is told at once, with its outcome in words."""
    environment = _environment()
    Statistics(environment).enter(_response(3.0, Outcome.TIMEOUT), dict)
    assert environment.stats.total.num_failures == 1
    assert [str(error.error) for error in environment.stats.errors.values()] == ["timeout: "]


def test_the_end_of_a_test_leaves_nothing_behind() -> None:
    """What was gathered is fed before Locust prints, or a worker reports for the last time."""
    environment = _environment()
    Statistics(environment).enter(_response(3.0), dict)
    events: Any = environment.events
    events.test_stop.fire(environment=environment)
    assert environment.stats.total.num_requests == 1

"""Who tells arrivals and numbers to a process: nothing is served twice, and a bad rate begins no other load."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
from locust import User
from locust.env import Environment
from locust.runners import STATE_RUNNING, MasterRunner

from seatrial.errors import UsageError
from seatrial.user.distributed import (
    BLOCK,
    SHARE,
    NumberBlocks,
    NumberedPlace,
    ShareSender,
    UserNumbers,
    wall_minus_monotonic_ns,
)
from seatrial.user.gate import Gate
from seatrial.user.options import rate_of
from seatrial.user.pacing import OpenModel
from seatrial.wire.rates import Rate

S = 1_000_000_000


class Lean(User):
    """A class that arrivals can drive."""

    endpoints = ()


@pytest.fixture
def environment() -> Iterator[Environment]:
    """Give a local runner's environment with the options of a rate."""
    made = Environment(user_classes=[Lean])
    made.parsed_options = argparse.Namespace(arrival_rate="", arrival_rate_file="", arrival_spacing="constant")
    made.create_local_runner()
    yield made
    cast("Any", made.runner).quit()


def _open_model(environment: Environment, *, steered: bool) -> OpenModel:
    return OpenModel(environment, Gate(open_now=True), lambda _due, _now: None, steered=steered, seed=1)


def test_a_steered_process_owns_nothing_until_it_is_told(environment: Environment) -> None:
    """Not even one that knows of no others: the harness tells each its share, and they serve nothing twice."""
    model = _open_model(environment, steered=True)
    model.rate({"origin_ns": 0, "from_ns": 0, "stretches": [[None, 10.0, 10.0]], "poisson": False, "seed": 1})
    model.arrivals.end()
    assert model.arrivals.take()[0]["arrivals"] == 0


def test_the_share_of_plain_locust_is_all(environment: Environment) -> None:
    """Nobody tells a single process its share."""
    assert environment.parsed_options is not None
    environment.parsed_options.arrival_rate = "1000/s"
    model = _open_model(environment, steered=False)
    events: Any = environment.events
    events.test_start.fire(environment=environment)
    gevent.sleep(0.02)
    model.arrivals.end()
    assert (model.arrivals.take()[0]["arrivals"] or 0) > 0


def test_a_rate_that_can_not_be_read_admits_no_user(environment: Environment) -> None:
    """Typed into the web UI for a second test: not the closed model at full speed; the third may begin."""
    options, events = cast("Any", environment.parsed_options), cast("Any", environment.events)
    model = _open_model(environment, steered=False)
    for rate, admits in (("5/s", True), ("fast", False), ("7/s", True), ("", True)):
        options.arrival_rate = rate
        events.test_start.fire(environment=environment)
        if admits:
            model.admit(Lean)
        else:
            with pytest.raises(UsageError, match="can't be read"):
                model.admit(Lean)
        model.arrivals.end()


class Master:
    """A master with one worker that has two users, and what it was made to do."""

    def __init__(self) -> None:
        self.state = STATE_RUNNING
        self.clients = {"w": SimpleNamespace(id="w", user_count=2)}
        self.sent: list[str] = []
        self.stops = 0

    def send_message(self, kind: str, _data: object, _worker: str) -> None:
        """Keep the kind."""
        self.sent.append(kind)

    def stop(self) -> None:
        """Count it."""
        self.stops += 1


def test_a_bad_rate_ends_the_test_and_not_the_master() -> None:
    """It is told once; the next test has its shares."""
    master, options = Master(), SimpleNamespace(arrival_rate="fast")

    def told() -> Rate | None:
        return rate_of(options)

    shares = ShareSender(cast("MasterRunner", master), told, clock=lambda: 0.0)
    shares.look()
    shares.look()
    gevent.sleep(0)
    assert (master.stops, master.sent) == (1, [])
    options.arrival_rate = "5/s"
    for sent in (1, 2):  # stopped and started again between two looks
        shares.reset()
        shares.look()
        shares.look()
        assert (master.stops, master.sent) == (1, [SHARE] * sent)


def _numbers(places: dict[str, NumberedPlace], processes: dict[str, UserNumbers], count: int) -> list[int]:
    for worker, place in places.items():
        processes[worker].take_place(place)
    return [processes[worker].next() for worker in places for _ in range(count)]


def test_no_two_users_have_one_number() -> None:
    """Two workers, the same again, a third that joins in the middle, and three from the next test on."""
    told, processes = NumberBlocks(), {name: UserNumbers(index) for index, name in enumerate("abc")}
    first = _numbers(told.places("ab"), processes, 3)
    again = _numbers(told.places("ab"), processes, 1)
    joined = processes["c"].next()
    more = _numbers(told.places("abc"), processes, 2)
    assert sorted(first + again) == list(range(8))
    assert sorted(more) == list(range(BLOCK, BLOCK + 6))
    assert joined not in (*first, *again, *more)
    assert joined < 2**32


def test_a_process_of_its_own_counts_from_zero() -> None:
    """Nobody tells it a place."""
    numbers = UserNumbers()
    assert [numbers.next() for _ in range(3)] == [0, 1, 2]


def test_the_clocks_are_compared_by_their_closest_readings() -> None:
    """Of a process that is put aside for a second in all of its readings but one, that one counts."""
    now_ns = 0
    calls = 0

    def monotonic() -> int:
        nonlocal now_ns, calls
        calls += 1
        now_ns += 10 if calls in (7, 8) else S
        return now_ns

    assert wall_minus_monotonic_ns(lambda: now_ns + 500, monotonic) == 505 - 10

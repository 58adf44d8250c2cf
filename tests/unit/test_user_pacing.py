"""When a user's next task begins, and which processes have which arrivals."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from locust import User
from locust.env import Environment

from seatrial.errors import UsageError
from seatrial.user.gate import Gate
from seatrial.user.pacing import OpenModel, Pacing


class _Arrivals:
    """Arrivals that come at once; `served` counts them."""

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self.served = 0

    def wait(self) -> int:
        self.served += 1
        return self.served

    def completed(self, due_ns: int) -> None:
        """Check that the completed arrival is the one that was served."""
        assert due_ns == self.served


def _paced(arrivals: _Arrivals) -> tuple[Any, list[str]]:
    waits: list[str] = []

    def own_wait() -> float:
        waits.append("own")
        return 0.0

    user: Any = SimpleNamespace(_state="running", wait_time=own_wait, on_start=lambda: None)
    accounting: Any = SimpleNamespace(intend=lambda _: None)
    Pacing(user, accounting, cast("Any", arrivals), Gate(open_now=True))
    user.on_start()
    return user, waits


def test_arrivals_take_the_place_of_the_users_own_wait() -> None:
    """Once they come, also from the middle of a test on."""
    arrivals = _Arrivals(on=False)
    user, own = _paced(arrivals)
    user.wait_time()
    arrivals.on = True
    user.wait_time()
    assert (own, arrivals.served) == (["own"], 1)


def test_the_own_wait_does_not_come_back_when_arrivals_end() -> None:
    """Between the end of a schedule and the user's own it would begin a task that belongs to no arrival."""
    arrivals = _Arrivals(on=True)
    user, own = _paced(arrivals)
    arrivals.on = False
    user.wait_time()
    assert (own, arrivals.served) == ([], 2)


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


def test_a_steered_process_owns_nothing_until_its_share_comes(environment: Environment) -> None:
    """Also one that knows of no others: the harness sends each its share, and none serves what another does."""
    model = _open_model(environment, steered=True)
    model.rate({"origin_ns": 0, "from_ns": 0, "stretches": [[None, 10.0, 10.0]], "poisson": False, "seed": 1})
    model.arrivals.end()
    assert model.arrivals.take()[0]["arrivals"] == 0


def test_a_rate_that_can_not_be_read_admits_no_user(environment: Environment) -> None:
    """Typed into the web UI for a second test: not the closed model at full speed; the third may begin."""
    model = _open_model(environment, steered=False)
    for rate, admits in (("5/s", True), ("fast", False), ("7/s", True), ("", True)):
        cast("Any", environment.parsed_options).arrival_rate = rate
        cast("Any", environment.events).test_start.fire(environment=environment)
        if admits:
            model.admit(Lean)
        else:
            with pytest.raises(UsageError, match="can't be read"):
                model.admit(Lean)
        model.arrivals.end()

"""Locust's own worker processes share users' numbers and arrivals: what the master tells, and a worker hears.

At the start of a test each worker is told its place in the order in which Locust hands out users, so that the
numbers of the first users have no gaps, however many processes there are. With a rate it is told its share of the
arrivals, which follows its number of users: looked at once a second, told when it has changed.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from seatrial.wire.rates import Rate, Stretch

PLACE = "seatrial_place"
SHARE = "seatrial_share"
_LOOK_S = 1.0
_LEAD_S = 0.25
"""A share holds so much later than it is told, so that every worker has heard of it by then."""
Message = Mapping[str, Any]
_inboxes: WeakKeyDictionary[Environment, Inbox] = WeakKeyDictionary()


class Inbox:
    """What the master has told this process; `on_share` is called with each share from now on."""

    def __init__(self) -> None:
        self.place: int | None = None
        self._share: Message | None = None
        self._listener: Callable[[Message], object] | None = None

    @staticmethod
    def of(environment: Environment) -> Inbox:
        """Return this environment's inbox."""
        return _inboxes.setdefault(environment, Inbox())

    def on_share(self, listener: Callable[[Message], object]) -> None:
        """Call `listener` with each share, also with the last one that came before."""
        self._listener = listener
        if self._share is not None:
            listener(self._share)

    def take_place(self, msg: Any, **_: object) -> None:  # noqa: ANN401  (Locust's message)
        """Take Locust's message."""
        self.place = int(msg.data["place"])

    def take_share(self, msg: Any, **_: object) -> None:  # noqa: ANN401  (as above)
        """Take Locust's message."""
        self._share = msg.data
        if self._listener is not None:
            self._listener(msg.data)


def attend(environment: Environment, told: Callable[[], Rate | None]) -> None:
    """Take part in this process's runner; `told` returns the rate of a test, None in the closed model."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        inbox = Inbox.of(environment)
        runner.register_message(PLACE, inbox.take_place)
        runner.register_message(SHARE, inbox.take_share)
    elif isinstance(runner, MasterRunner):
        events: Any = environment.events
        events.test_start.add_listener(lambda **_: _tell_places(runner))
        gevent.spawn(Shares(runner, told).run)


class Shares:
    """The master's part: tells each worker its share of the arrivals."""

    def __init__(
        self, runner: MasterRunner, told: Callable[[], Rate | None], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._runner = runner
        self._told = told
        self._clock = clock
        self._last: Mapping[str, int] = {}
        self._origin_s: float | None = None

    def run(self) -> None:
        """Look once a second, until killed."""
        while True:
            self.look()
            gevent.sleep(_LOOK_S)

    def look(self) -> None:
        """Tell every worker its share if the users are others than they were."""
        rate = self._told() if self._runner.state in {STATE_SPAWNING, STATE_RUNNING} else None
        users = {node.id: node.user_count for node in self._runner.clients.values()}
        if rate is None:
            self._last, self._origin_s = {}, None
        elif users != self._last and any(users.values()):
            self._last = users
            self._tell(rate, users)

    def _tell(self, rate: Rate, users: Mapping[str, int]) -> None:
        from_s = self._clock() + _LEAD_S  # the wall clock, which workers on other machines have as well
        if self._origin_s is None:
            self._origin_s = from_s
        common = {"from_s": from_s, "origin_s": self._origin_s, "rate": written(rate)}
        for worker, (low, high) in shares_of(users).items():
            self._runner.send_message(SHARE, {**common, "low": low, "high": high}, worker)


def shares_of(users: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    """Cut the unit interval into a part for each worker, as long as its part of the users."""
    order, total = sorted(users), max(sum(users.values()), 1)
    ends = [part / total for part in accumulate(users[worker] for worker in order)]
    return dict(zip(order, zip([0.0, *ends], ends, strict=False), strict=True))


def written(rate: Rate) -> dict[str, Any]:
    """Return a rate as a message carries it."""
    stretches = [
        (one.lasts_s if math.isfinite(one.lasts_s) else None, one.begin_per_s, one.end_per_s)
        for one in rate.stretches
    ]
    return {"stretches": stretches, "poisson": rate.poisson}


def read_rate(message: Message) -> Rate:
    """Read a rate out of a message (`wire.control`: lasts_s may be null)."""
    stretches = tuple(
        Stretch(math.inf if lasts_s is None else lasts_s, begin_per_s, end_per_s)
        for lasts_s, begin_per_s, end_per_s in message["stretches"]
    )
    return Rate(stretches, bool(message["poisson"]))


def order_of(workers: Sequence[str]) -> list[str]:
    """Return workers in the order in which Locust's dispatcher hands out users: host by host in turns, by id."""
    seen: Counter[str] = Counter()
    turns: dict[str, int] = {}
    for worker in sorted(workers):
        host = worker.split("_")[0]
        turns[worker] = seen[host]
        seen[host] += 1
    return sorted(workers, key=lambda worker: (turns[worker], worker))


def _tell_places(runner: MasterRunner) -> None:
    nodes = runner.clients.ready + runner.clients.running + runner.clients.spawning
    for place, worker in enumerate(order_of([node.id for node in nodes])):
        runner.send_message(PLACE, {"place": place}, worker)

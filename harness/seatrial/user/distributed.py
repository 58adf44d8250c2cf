"""Distributed Locust without a harness: user numbers and shares of `--rate` for Locust's own workers.

At the start of a test the master sends each worker its place in the order in which Locust hands out users, and the
number of workers: with them a worker counts in steps. A worker's share of arrivals follows its number of users,
which the master compares once a second.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import gevent
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from seatrial.errors import SeatrialError
from seatrial.wire.control import Message
from seatrial.wire.rates import Rate, shares

PLACE = "seatrial_place"
SHARE = "seatrial_share"
BLOCK = 1 << 20
"""The numbers of one set of workers, over all its tests; those of the next set begin behind them."""
_LATE_COMERS = 1 << 31
_BLOCKS = _LATE_COMERS // BLOCK
_LOOK_S = 1.0
_LEAD_S = 0.25
"""A share begins so much later than it is sent, so that every worker has it by then."""
_CLOCK_READINGS = 16
_log = logging.getLogger("seatrial.user")
_attended: WeakSet[Environment] = WeakSet()
_numbers: WeakKeyDictionary[Environment, UserNumbers] = WeakKeyDictionary()
_inboxes: WeakKeyDictionary[Environment, ShareInbox] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedPlace:
    """One of `workers` processes, whose users have the numbers from `first` on."""

    place: int
    workers: int
    first: int = 0


class UserNumbers:
    """Gives the numbers of one process; `worker` is its index, None where no master assigns a place."""

    def __init__(self, worker: int | None = None) -> None:
        self._numbers: Iterator[int] = count()
        if worker is not None:  # until its place arrives: for a worker that joined a running test
            self._numbers = count(_LATE_COMERS + max(worker, 0) % _BLOCKS * BLOCK)
        self._place: NumberedPlace | None = None

    @staticmethod
    def of(environment: Environment) -> UserNumbers:
        """Return those of this environment."""
        runner: Any = environment.runner
        if environment not in _numbers:
            _numbers[environment] = UserNumbers(runner.worker_index if isinstance(runner, WorkerRunner) else None)
        return _numbers[environment]

    def next(self) -> int:
        """Return the next user's number."""
        return next(self._numbers)

    def take_place(self, place: NumberedPlace) -> None:
        """Count from this place on; the same place again changes nothing."""
        if place != self._place:
            self._place = place
            self._numbers = count(place.first + place.place, place.workers)


class NumberBlocks:
    """The master's side of user numbers: a set of workers that differs from the last one gets a new block."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._blocks = count()
        self._first = 0

    def places(self, workers: Sequence[str]) -> dict[str, NumberedPlace]:
        """Return the place of each worker in a test that begins."""
        order = dispatch_order(workers)
        if order and order != self._order:
            self._order, self._first = order, next(self._blocks) % _BLOCKS * BLOCK
        return {
            worker: NumberedPlace(place=place, workers=len(order), first=self._first)
            for place, worker in enumerate(order)
        }


def attend_numbers(environment: Environment) -> None:
    """Have a master send places, and a worker take its own; a second call does nothing."""
    if environment in _attended:
        return
    _attended.add(environment)
    runner: Any = environment.runner
    if isinstance(runner, WorkerRunner):
        numbers = UserNumbers.of(environment)
        runner.register_message(PLACE, lambda msg, **_: numbers.take_place(NumberedPlace(**msg.data)))
    elif isinstance(runner, MasterRunner):
        blocks = NumberBlocks()
        events: Any = environment.events
        events.test_start.add_listener(lambda **_: _send_places(runner, blocks))


def _send_places(runner: MasterRunner, blocks: NumberBlocks) -> None:
    nodes = runner.clients.ready + runner.clients.running + runner.clients.spawning
    for worker, place in blocks.places([node.id for node in nodes]).items():
        runner.send_message(PLACE, asdict(place), worker)


def dispatch_order(workers: Sequence[str]) -> list[str]:
    """Return workers in the order in which Locust's dispatcher hands out users: host by host in turns, by id."""
    per_host: Counter[str] = Counter()
    turns: dict[str, int] = {}
    for worker in sorted(workers):
        host = worker.split("_")[0]
        turns[worker] = per_host[host]
        per_host[host] += 1
    return sorted(workers, key=lambda worker: (turns[worker], worker))


class ShareInbox:
    """The shares that the master sends to this process; they may come before there is a listener."""

    def __init__(self) -> None:
        self._share: Message | None = None
        self._listener: Callable[[Message], object] | None = None

    @staticmethod
    def of(environment: Environment) -> ShareInbox:
        """Return this environment's inbox."""
        return _inboxes.setdefault(environment, ShareInbox())

    def on_share(self, listener: Callable[[Message], object]) -> None:
        """Call `listener` with each share, also with the last one that came before."""
        self._listener = listener
        if self._share is not None:
            listener(self._share)

    def take_share(self, msg: Any, **_: object) -> None:  # noqa: ANN401  (Locust's message)
        """Take Locust's message."""
        self._share = msg.data
        if self._listener is not None:
            self._listener(msg.data)


def attend_shares(environment: Environment, rate_of_test: Callable[[], Rate | None]) -> None:
    """Take part in this process's runner; `rate_of_test` returns None in the closed model."""
    runner = environment.runner
    attend_numbers(environment)
    if isinstance(runner, WorkerRunner):
        runner.register_message(SHARE, ShareInbox.of(environment).take_share)
    elif isinstance(runner, MasterRunner):
        master = ShareSender(runner, rate_of_test)
        events: Any = environment.events
        events.test_start.add_listener(master.reset)
        gevent.spawn(master.run)


class ShareSender:
    """The master's side of `--rate`: sends each worker its share of the arrivals."""

    def __init__(
        self,
        runner: MasterRunner,
        rate_of_test: Callable[[], Rate | None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._runner = runner
        self._rate_of_test = rate_of_test
        self._clock = clock
        self._users: Mapping[str, int] = {}
        self._origin_s: float | None = None
        self._refused = False

    def run(self) -> None:
        """Look once a second, until killed."""
        while True:
            self.look()
            gevent.sleep(_LOOK_S)

    def reset(self, **_: object) -> None:
        """Forget the last test: the next one may begin between two looks."""
        self._users, self._origin_s, self._refused = {}, None, False

    def look(self) -> None:
        """Send every worker its share if numbers of users have changed.

        A rate that can't be read, which the web UI takes as it is typed, ends this test, but not the next one.
        """
        rate = None
        if not self._refused and self._runner.state in {STATE_SPAWNING, STATE_RUNNING}:
            try:
                rate = self._rate_of_test()
            except SeatrialError as error:
                self._refused = True
                _log.error("%s", error)
                gevent.spawn(self._runner.stop)
        users = {node.id: node.user_count for node in self._runner.clients.values()}
        if rate is None:
            self._users, self._origin_s = {}, None
        elif users != self._users and any(users.values()):
            self._users = users
            self._send(rate)

    def _send(self, rate: Rate) -> None:
        from_s = self._clock() + _LEAD_S  # the wall clock, which workers on other machines have as well
        if self._origin_s is None:
            self._origin_s = from_s
        common = {"from_s": from_s, "origin_s": self._origin_s, "rate": rate.to_json()}
        for worker, (low, high) in shares(dict(sorted(self._users.items()))).items():
            self._runner.send_message(SHARE, {**common, "low": low, "high": high}, worker)


def wall_minus_monotonic_ns(
    wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
) -> int:
    """Return by how much the wall clock is ahead: of several readings the one that took least, so is most exact.

    A process that is interrupted between its two readings would be off by as much, milliseconds on a busy core.
    """
    readings = []
    for _ in range(_CLOCK_READINGS):
        before_ns, wall_ns, after_ns = monotonic(), wall(), monotonic()
        readings.append((after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2))
    return min(readings)[1]

"""`--rate` and user numbers across Locust's own workers.

A worker's share follows its number of users: looked at once a second, told when it has changed.

At the start of a test Locust's master tells each worker its place in the order in which Locust hands out users,
and how many there are. With them a worker counts in steps.
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
from seatrial.wire.rates import Rate, shares

PLACE = "seatrial_place"
BLOCK = 1 << 20
"""So many users one set of workers may have, over all its tests; the next set's numbers begin behind them."""
_LATE_COMERS = 1 << 31
_BLOCKS = _LATE_COMERS // BLOCK
_attended: WeakSet[Environment] = WeakSet()
_numbers: WeakKeyDictionary[Environment, UserNumbers] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedPlace:
    """One of `workers` processes, whose users have the numbers from `first` on."""

    place: int
    workers: int
    first: int = 0


class UserNumbers:
    """Gives the numbers of one process; `worker` is its index, None where there is no master to give one."""

    def __init__(self, worker: int | None = None) -> None:
        self._numbers: Iterator[int] = count()
        if worker is not None:  # until its place is told: it came while the test was going on
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
        """Count from this place on; the same one again changes nothing."""
        if place != self._place:
            self._place = place
            self._numbers = count(place.first + place.place, place.workers)


class NumberBlocks:
    """The master's part; workers that are others than before get a block of numbers of their own."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._blocks = count()
        self._first = 0

    def of(self, workers: Sequence[str]) -> dict[str, NumberedPlace]:
        """Return the place of each worker in a test that begins."""
        order = order_of(workers)
        if order and order != self._order:
            self._order, self._first = order, next(self._blocks) % _BLOCKS * BLOCK
        return {
            worker: NumberedPlace(place=place, workers=len(order), first=self._first)
            for place, worker in enumerate(order)
        }


def attend_numbers(environment: Environment) -> None:
    """Have a master tell places, and a worker hear its own; a second call does nothing."""
    if environment in _attended:
        return
    _attended.add(environment)
    runner: Any = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.register_message(PLACE, lambda msg, **_: _hear(environment, msg.data))
    elif isinstance(runner, MasterRunner):
        places = NumberBlocks()
        events: Any = environment.events
        events.test_start.add_listener(lambda **_: _tell(runner, places))


def _hear(environment: Environment, told: Mapping[str, int]) -> None:
    UserNumbers.of(environment).take_place(NumberedPlace(**told))


def _tell(runner: MasterRunner, places: NumberBlocks) -> None:
    nodes = runner.clients.ready + runner.clients.running + runner.clients.spawning
    for worker, place in places.of([node.id for node in nodes]).items():
        runner.send_message(PLACE, asdict(place), worker)


def order_of(workers: Sequence[str]) -> list[str]:
    """Return workers in the order in which Locust's dispatcher hands out users: host by host in turns, by id."""
    seen: Counter[str] = Counter()
    turns: dict[str, int] = {}
    for worker in sorted(workers):
        host = worker.split("_")[0]
        turns[worker] = seen[host]
        seen[host] += 1
    return sorted(workers, key=lambda worker: (turns[worker], worker))


SHARE = "seatrial_share"
_LOOK_S = 1.0
_LEAD_S = 0.25
"""A share holds so much later than it is told, so that every worker has heard of it by then."""
_CLOCK_READINGS = 16
Message = Mapping[str, Any]
_log = logging.getLogger("seatrial.user")
_inboxes: WeakKeyDictionary[Environment, ShareInbox] = WeakKeyDictionary()


class ShareInbox:
    """What the master has told this process; `on_share` is called with each share from now on."""

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


def attend_shares(environment: Environment, told: Callable[[], Rate | None]) -> None:
    """Take part in this process's runner; `told` returns the rate of a test, None in the closed model."""
    runner = environment.runner
    attend_numbers(environment)
    if isinstance(runner, WorkerRunner):
        runner.register_message(SHARE, ShareInbox.of(environment).take_share)
    elif isinstance(runner, MasterRunner):
        master = Shares(runner, told)
        events: Any = environment.events
        events.test_start.add_listener(master.anew)
        gevent.spawn(master.run)


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
        self._refused = False

    def run(self) -> None:
        """Look once a second, until killed."""
        while True:
            self.look()
            gevent.sleep(_LOOK_S)

    def anew(self, **_: object) -> None:
        """Forget the test before: the next one may begin between two looks."""
        self._last, self._origin_s, self._refused = {}, None, False

    def look(self) -> None:
        """Tell every worker its share if the users are others than they were.

        A rate that can't be read, which the web UI takes as it is typed, ends the test; the next one may have a
        better one.
        """
        rate = None if self._refused else self._rate()
        users = {node.id: node.user_count for node in self._runner.clients.values()}
        if rate is None:
            self._last, self._origin_s = {}, None
        elif users != self._last and any(users.values()):
            self._last = users
            self._tell(rate, users)

    def _rate(self) -> Rate | None:
        if self._runner.state not in {STATE_SPAWNING, STATE_RUNNING}:
            return None
        try:
            return self._told()
        except SeatrialError as error:
            self._refused = True
            _log.error("%s", error)
            gevent.spawn(self._runner.stop)
            return None

    def _tell(self, rate: Rate, users: Mapping[str, int]) -> None:
        from_s = self._clock() + _LEAD_S  # the wall clock, which workers on other machines have as well
        if self._origin_s is None:
            self._origin_s = from_s
        common = {"from_s": from_s, "origin_s": self._origin_s, "rate": rate.to_json()}
        for worker, (low, high) in shares(dict(sorted(users.items()))).items():
            self._runner.send_message(SHARE, {**common, "low": low, "high": high}, worker)


def wall_minus_monotonic_ns(
    wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
) -> int:
    """Return by how much the wall clock is ahead: of several readings the one that took least, so is most exact.

    A process that is put aside between its two readings would be off by as much, milliseconds on a busy core.
    """
    readings = []
    for _ in range(_CLOCK_READINGS):
        before_ns, wall_ns, after_ns = monotonic(), wall(), monotonic()
        readings.append((after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2))
    return min(readings)[1]

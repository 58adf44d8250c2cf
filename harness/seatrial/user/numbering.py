"""The numbers of users in all processes of a test: no gap among the first ones, and none twice.

At the start of a test Locust's master tells each worker its place in the order in which Locust hands out users,
and how many there are. With them a worker counts in steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

PLACE = "seatrial_place"
BLOCK = 1 << 20
"""So many users one set of workers may have, over all its tests; the next set's numbers begin behind them."""

_LATE_COMERS = 1 << 31
_BLOCKS = _LATE_COMERS // BLOCK
_attended: WeakSet[Environment] = WeakSet()
_numbers: WeakKeyDictionary[Environment, UserNumbers] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
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
        self._place: Place | None = None

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

    def take_place(self, place: Place) -> None:
        """Count from this place on; the same one again changes nothing."""
        if place != self._place:
            self._place = place
            self._numbers = count(place.first + place.place, place.workers)


class Places:
    """The master's part; workers that are others than before get a block of numbers of their own."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._blocks = count()
        self._first = 0

    def of(self, workers: Sequence[str]) -> dict[str, Place]:
        """Return the place of each worker in a test that begins."""
        order = order_of(workers)
        if order and order != self._order:
            self._order, self._first = order, next(self._blocks) % _BLOCKS * BLOCK
        return {
            worker: Place(place=place, workers=len(order), first=self._first) for place, worker in enumerate(order)
        }


def attend(environment: Environment) -> None:
    """Have a master tell places, and a worker hear its own; a second call does nothing."""
    if environment in _attended:
        return
    _attended.add(environment)
    runner: Any = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.register_message(PLACE, lambda msg, **_: _hear(environment, msg.data))
    elif isinstance(runner, MasterRunner):
        places = Places()
        events: Any = environment.events
        events.test_start.add_listener(lambda **_: _tell(runner, places))


def _hear(environment: Environment, told: Mapping[str, int]) -> None:
    UserNumbers.of(environment).take_place(Place(**told))


def _tell(runner: MasterRunner, places: Places) -> None:
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

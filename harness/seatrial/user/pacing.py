"""Who says what arrives: the harness by its messages, or the options of plain Locust; and what becomes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
from locust import User
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, WorkerRunner

from seatrial.errors import SeatrialError, UsageError
from seatrial.units import NS_PER_S
from seatrial.user.arrivals import Arrivals
from seatrial.user.distributed import Inbox, Message, wall_minus_monotonic_ns
from seatrial.user.feed import Feed
from seatrial.user.gate import Gate
from seatrial.user.options import told_rate
from seatrial.user.pace import refuse_own_waits
from seatrial.user.schedule import Schedule
from seatrial.wire.rates import Rate


class OpenModel:
    """The arrivals of one process, from whoever tells them; without a rate this is the closed model.

    In plain Locust a schedule begins with each test: here, or, with worker processes, with the first share that
    the master tells.
    """

    def __init__(
        self,
        environment: Environment,
        gate: Gate,
        dropped: Callable[[int, int], None],
        *,
        steered: bool,
        seed: int,
    ) -> None:
        self.steered = steered
        self._environment = environment
        self._seed = seed
        self._origin_s: float | None = None
        self._wall_minus_monotonic_ns = 0
        self._refused: SeatrialError | None = None
        self._greenlets: list[gevent.Greenlet[..., object]] = []
        self._feed = Feed(low=0.0, high=0.0, since_ns=time.monotonic_ns())  # nothing, until a share is told
        self.arrivals = Arrivals(self._feed, gate, dropped)
        events: Any = environment.events
        events.test_stopping.add_listener(self._on_stopping)
        if not steered:
            events.test_start.add_listener(self._on_start)
            Inbox.of(environment).on_share(self._on_share)
            if getattr(environment.runner, "state", "") in {STATE_SPAWNING, STATE_RUNNING}:
                self._on_start()

    @property
    def paces(self) -> bool:
        """Whether users have to ask for each of their waits: for arrivals, or because the gate may shut again."""
        return self.steered or self.arrivals.on

    def admit(self, user_class: type[User]) -> None:
        """Raise UsageError if arrivals can't drive users of this class, or the rate of this test can't be read."""
        if self._refused is not None:
            raise self._refused
        if self.arrivals.on:
            check_drivable(user_class)

    def rate(self, message: Message) -> None:
        """Follow a `rate` message (`wire.control`); UsageError if these users can't be driven by arrivals."""
        for user_class in self._environment.user_classes:
            check_drivable(user_class)
        schedule = Schedule(Rate.from_json(message), origin_ns=message["origin_ns"], seed=message["seed"])
        self._follow(schedule, message["from_ns"])

    def share(self, message: Message) -> None:
        """Follow a `share` message (`wire.control`)."""
        self._feed.share(message["low"], message["high"], message["from_ns"])
        self.arrivals.look()

    def _on_start(self, **_: object) -> None:
        """Begin with a test; one whose rate can't be read ends with its first user, and is not a closed one."""
        self._refused = None
        try:
            rate = told_rate(self._environment.parsed_options)
        except SeatrialError as error:
            self._refused = error
            return
        if rate is None:
            return
        if isinstance(self._environment.runner, WorkerRunner):
            self._begin()
        else:
            now_ns = time.monotonic_ns()
            self._feed.share(0.0, 1.0, now_ns)
            self._follow(Schedule(rate, origin_ns=now_ns, seed=self._seed), now_ns)

    def _on_share(self, message: Message) -> None:
        if not self.arrivals.on:  # told before the end of the test, heard after it
            return
        if message["origin_s"] != self._origin_s:
            self._origin_s = message["origin_s"]
            self._wall_minus_monotonic_ns = wall_minus_monotonic_ns()
            origin_ns = self._here_ns(message["origin_s"])
            rate = Rate.from_json(message["rate"])
            self._follow(Schedule(rate, origin_ns=origin_ns, seed=self._seed), origin_ns)
        self._feed.share(message["low"], message["high"], self._here_ns(message["from_s"]))
        self.arrivals.look()

    def _here_ns(self, wall_s: float) -> int:
        return round(wall_s * NS_PER_S) - self._wall_minus_monotonic_ns

    def _follow(self, schedule: Schedule, from_ns: int) -> None:
        self._feed.follow(schedule, from_ns)
        self._begin()

    def _begin(self) -> None:
        if not self._greenlets:
            self._greenlets.append(gevent.spawn(self.arrivals.run))
        self.arrivals.begin()

    def _on_stopping(self, **_: object) -> None:
        self.arrivals.end()


def check_drivable(user_class: type[User]) -> None:
    """Raise UsageError if arrivals can't drive users of this class."""
    if not hasattr(user_class, "endpoints"):
        raise UsageError(
            "only users that build on seatrial.user.LeanUser can be driven by arrivals",
            where=user_class.__name__,
            hint="leave out the rate: users then drive the load, each with its own waits",
        )
    refuse_own_waits(user_class)

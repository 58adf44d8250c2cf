"""Locust's own worker processes share the arrivals of a rate: what the master tells, and a worker hears.

A worker's share follows its number of users: looked at once a second, told when it has changed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from seatrial.errors import SeatrialError
from seatrial.user import numbering
from seatrial.wire.rates import Rate, shares

SHARE = "seatrial_share"
_LOOK_S = 1.0
_LEAD_S = 0.25
"""A share holds so much later than it is told, so that every worker has heard of it by then."""
_CLOCK_READINGS = 16
Message = Mapping[str, Any]
_log = logging.getLogger("seatrial.user")
_inboxes: WeakKeyDictionary[Environment, Inbox] = WeakKeyDictionary()


class Inbox:
    """What the master has told this process; `on_share` is called with each share from now on."""

    def __init__(self) -> None:
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

    def take_share(self, msg: Any, **_: object) -> None:  # noqa: ANN401  (Locust's message)
        """Take Locust's message."""
        self._share = msg.data
        if self._listener is not None:
            self._listener(msg.data)


def attend(environment: Environment, told: Callable[[], Rate | None]) -> None:
    """Take part in this process's runner; `told` returns the rate of a test, None in the closed model."""
    runner = environment.runner
    numbering.attend(environment)
    if isinstance(runner, WorkerRunner):
        runner.register_message(SHARE, Inbox.of(environment).take_share)
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

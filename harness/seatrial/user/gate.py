"""The gate: flows begin only while it is open."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from gevent.event import Event
from gevent.hub import Waiter
from locust.exception import StopUser

from seatrial.units import NS_PER_S

_NEVER_NS = 1 << 62


class Gate:
    """Open within windows of time, until it is shut for good; without a harness it is wide open."""

    def __init__(self, *, open_now: bool, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.shut = False
        self.wide_open = open_now
        self._clock = clock
        self._windows: list[tuple[int, int]] = []
        self._changed = Event()
        self._before: list[Callable[[], object]] = []
        self._after: list[Callable[[], object]] = []

    def open_between(self, open_ns: int, until_ns: int | None = None) -> None:
        """Be open from `open_ns` until `until_ns`, or without an end (CLOCK_MONOTONIC nanoseconds).

        From `open_ns` on this replaces what was told before; what was told of the time until then stands. Where
        the new window begins at the end of another, both are one: it does not shut between them.
        """
        _call(self._before)
        kept = [(begin, min(end, open_ns)) for begin, end in self._windows if begin < open_ns]
        end_ns = _NEVER_NS if until_ns is None else until_ns
        if end_ns > open_ns:
            joins = bool(kept) and kept[-1][1] == open_ns
            kept.append((kept.pop()[0] if joins else open_ns, end_ns))
        now_ns = self._clock()
        self._windows = [one for one in kept if one[1] > now_ns]
        self._tell()

    def close(self) -> None:
        """Shut it for good: who waits here, or comes, gets StopUser."""
        _call(self._before)
        self.shut = True
        self.wide_open = False
        self._windows.clear()
        self._tell()

    def on_change(self, *, before: Callable[[], object], after: Callable[[], object]) -> None:
        """Call `before` while what was told until now still holds, and `after` once what is new does."""
        self._before.append(before)
        self._after.append(after)

    def open_at(self, t_ns: int) -> bool:
        """Tell whether it is open at a moment, as far as it has been told."""
        return self.wide_open or any(begin <= t_ns < end for begin, end in self._windows)

    def shuts_ns(self, t_ns: int) -> int | None:
        """Return when it shuts after a moment at which it is open; None of one at which it is shut."""
        if self.wide_open:
            return _NEVER_NS
        return next((end for begin, end in self._windows if begin <= t_ns < end), None)

    def next_opening_ns(self, now_ns: int) -> int | None:
        """Return when it opens next; None if nobody has said so."""
        return min((begin for begin, _ in self._windows if begin > now_ns), default=None)

    def enter(self) -> None:
        """Wait until it is open; StopUser once it is shut for good."""
        while not (self.shut or self.open_at(now_ns := self._clock())):
            opening_ns = self.next_opening_ns(now_ns)
            self._changed.wait(None if opening_ns is None else (opening_ns - now_ns) / NS_PER_S)
        if self.shut:
            raise StopUser

    def _tell(self) -> None:
        told, self._changed = self._changed, Event()
        told.set()
        _call(self._after)


def _call(listeners: Sequence[Callable[[], object]]) -> None:
    for listener in listeners:
        listener()


class InterruptibleSleep:
    """For one sleeper; `clock` gives nanoseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._sleeper: Any = None

    def ring(self) -> None:
        """Wake the sleeper, if there is one."""
        if self._sleeper is not None:
            gevent.get_hub().loop.run_callback(self._sleeper.switch, None)

    def sleep_until(self, t_ns: float) -> None:
        """Sleep until this moment, which may be infinite, or until it rings."""
        self._sleeper = Waiter()
        timer: Any = None
        if t_ns != math.inf:
            timer = gevent.get_hub().loop.timer(max(t_ns - self._clock(), 0) / NS_PER_S)
            timer.start(self._sleeper.switch, None, update=True)
        try:
            self._sleeper.get()
        finally:
            self._sleeper = None
            if timer is not None:
                timer.stop()
                timer.close()

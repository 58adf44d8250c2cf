"""The gate: flows begin only within windows of time that the harness sets."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event
from gevent.hub import Waiter
from locust.exception import StopUser

from seatrial.units import NS_PER_S

_NEVER_NS = 1 << 62


class Gate:
    """Open within windows of time, until it is shut for good; without a harness it is wide open.

    `on_change` is called before each change, while the old windows still hold, and after it.
    """

    def __init__(self, *, open_now: bool, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.shut = False
        self.wide_open = open_now
        self.on_change: Callable[[], object] = lambda: None
        self._clock = clock
        self._windows: list[tuple[int, int]] = []
        self._changed = Event()

    def open_between(self, open_ns: int, until_ns: int | None = None) -> None:
        """Be open from `open_ns` until `until_ns`, or without an end (CLOCK_MONOTONIC nanoseconds).

        From `open_ns` on this replaces earlier windows; until then they stand. A window that begins at the end of
        another continues it: the gate does not shut between them.
        """
        self.on_change()
        windows = [(begin, min(end, open_ns)) for begin, end in self._windows if begin < open_ns]
        end_ns = _NEVER_NS if until_ns is None else until_ns
        if end_ns > open_ns:
            continues = bool(windows) and windows[-1][1] == open_ns
            windows.append((windows.pop()[0] if continues else open_ns, end_ns))
        now_ns = self._clock()
        self._windows = [window for window in windows if window[1] > now_ns]
        self._notify()

    def close(self) -> None:
        """Shut the gate for good: whatever waits here, or comes later, gets StopUser."""
        self.on_change()
        self.shut = True
        self.wide_open = False
        self._windows.clear()
        self._notify()

    def open_at(self, t_ns: int) -> bool:
        """Return whether the gate is open at a moment, as far as is known now."""
        return self.shuts_ns(t_ns) is not None

    def shuts_ns(self, t_ns: int) -> int | None:
        """Return when the gate shuts after a moment at which it is open; None if it is shut at that moment."""
        if self.wide_open:
            return _NEVER_NS
        return next((end for begin, end in self._windows if begin <= t_ns < end), None)

    def enter(self) -> None:
        """Wait until the gate is open; StopUser once it is shut for good."""
        while not (self.shut or self.open_at(now_ns := self._clock())):
            opening_ns = min((begin for begin, _ in self._windows if begin > now_ns), default=None)
            self._changed.wait(None if opening_ns is None else (opening_ns - now_ns) / NS_PER_S)
        if self.shut:
            raise StopUser

    def _notify(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()
        self.on_change()


class InterruptibleSleep:
    """The sleep of one greenlet; `clock` gives nanoseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._sleeper: Any = None

    def interrupt(self) -> None:
        """Wake the sleeper, if there is one."""
        if self._sleeper is not None:
            gevent.get_hub().loop.run_callback(self._sleeper.switch, None)

    def sleep_until(self, t_ns: float) -> None:
        """Sleep until this moment, which may be infinite, or until `interrupt`."""
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

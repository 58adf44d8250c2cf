"""The gate: users begin nothing while it is shut, and go on when it opens again."""

from __future__ import annotations

import time
from collections.abc import Callable

from gevent.event import Event
from locust.exception import StopUser

_NS = 1_000_000_000
_NEVER_NS = 1 << 62


class Gate:
    """Open within windows of time, until it is shut for good; without a harness it is wide open."""

    def __init__(self, *, open_now: bool, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.shut = False
        self.wide_open = open_now
        self._clock = clock
        self._windows: list[tuple[int, int]] = []
        self._changed = Event()
        self._listeners: list[Callable[[], object]] = []

    def open_between(self, open_ns: int, until_ns: int | None = None) -> None:
        """Be open from `open_ns` until `until_ns`, or without an end (CLOCK_MONOTONIC nanoseconds).

        From `open_ns` on this replaces what was told before; what was told of the time until then stands.
        """
        kept = [(begin, min(end, open_ns)) for begin, end in self._windows if begin < open_ns]
        now_ns = self._clock()
        self._windows = [one for one in kept if one[1] > now_ns]
        if until_ns is None or until_ns > open_ns:
            self._windows.append((open_ns, _NEVER_NS if until_ns is None else until_ns))
        self._tell()

    def close(self) -> None:
        """Shut it for good: who waits here, or comes, gets StopUser."""
        self.shut = True
        self.wide_open = False
        self._windows.clear()
        self._tell()

    def on_change(self, listener: Callable[[], object]) -> None:
        """Call `listener` whenever the windows change."""
        self._listeners.append(listener)

    def open_at(self, t_ns: int) -> bool:
        """Tell whether it is open at a moment, as far as it has been told."""
        return self.wide_open or any(begin <= t_ns < end for begin, end in self._windows)

    def next_opening_ns(self, now_ns: int) -> int | None:
        """Return when it opens next; None if nobody has said so."""
        return min((begin for begin, _ in self._windows if begin > now_ns), default=None)

    def next_closing_ns(self, now_ns: int) -> int | None:
        """Return when the window ends that is the next one to end; None if there is none."""
        return min((end for _, end in self._windows if end > now_ns), default=None)

    def enter(self) -> None:
        """Wait until it is open; StopUser once it is shut for good."""
        while not (self.shut or self.open_at(now_ns := self._clock())):
            opening_ns = self.next_opening_ns(now_ns)
            self._changed.wait(None if opening_ns is None else (opening_ns - now_ns) / _NS)
        if self.shut:
            raise StopUser

    def _tell(self) -> None:
        told, self._changed = self._changed, Event()
        told.set()
        for listener in self._listeners:
            listener()

"""Waiting for a descriptor in gevent's loop, at the least cost: one watcher and one timer for its life.

A gevent socket makes a waiter and a timer for each wait. Here the timer is looked at when it fires, and set anew
only if the wait that is on then has time left.
"""

from __future__ import annotations

import time
from typing import Any, Final

import gevent

from seatrial.http.http1 import Fault
from seatrial.units import NS_PER_S
from seatrial.wire.tables import Outcome

_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE
_RECEIVING = "while receiving"
_READY: Final = object()
_EXPIRED: Final = object()


def due_ns(wait_s: float, deadline_ns: int) -> int:
    """Return when a wait that begins now ends; Fault where the deadline is over already."""
    now_ns = time.monotonic_ns()
    if now_ns >= deadline_ns:
        raise Fault(Outcome.TIMEOUT, "request took too long in all")
    return min(now_ns + int(wait_s * NS_PER_S), deadline_ns)


class Waiting:
    """Lets one greenlet at a time wait for a descriptor."""

    __slots__ = ("_descriptor", "_due_ns", "_hub", "_reader", "_timer", "_timer_ns", "_waiter")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hub: Any = gevent.get_hub()
        self._reader: Any = None
        self._timer: Any = None
        self._timer_ns = 0
        self._due_ns = 0
        self._waiter: Any = None

    def wait_readable(self, due_ns: int, when: str = _RECEIVING) -> None:
        """Let others run until there is something to read; Fault if that is not so by `due_ns`."""
        if self._reader is None:
            self._reader = self._hub.loop.io(self._descriptor, _READ)
        self._wait(self._reader, due_ns, when)

    def wait_writable(self, due_ns: int, when: str, *, or_readable: bool = False) -> None:
        """Let others run until something can be written, or a connect has ended; or read, if that is asked for."""
        watcher = self._hub.loop.io(self._descriptor, _WRITE | _READ if or_readable else _WRITE)
        try:
            self._wait(watcher, due_ns, when)
        finally:
            watcher.close()

    def stop_watching(self) -> None:
        """Let go of the descriptor, without closing it."""
        for watcher in (self._reader, self._timer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._timer = None
        self._timer_ns = 0

    def _wait(self, watcher: Any, due_ns: int, when: str) -> None:  # noqa: ANN401  (gevent's are not typed)
        me = gevent.getcurrent()
        self._due_ns = due_ns
        if not self._timer_ns or due_ns < self._timer_ns:
            self._set_timer(due_ns)
        self._waiter = me
        watcher.start(me.switch, _READY)
        try:
            event = self._hub.switch()
        finally:
            self._waiter = None
            watcher.stop()
        if event is not _READY:
            raise Fault(Outcome.TIMEOUT, when)

    def _set_timer(self, due_ns: int) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._timer_ns = due_ns
        after_s = max(due_ns - time.monotonic_ns(), 0) / NS_PER_S
        self._timer = self._hub.loop.timer(after_s)
        self._timer.start(self._on_timer, update=True)

    def _on_timer(self) -> None:
        """Look, within the hub, whether the wait that is on has lasted long enough."""
        self._timer_ns = 0
        if self._waiter is None:
            return
        if self._due_ns <= time.monotonic_ns():
            self._waiter.switch(_EXPIRED)
        else:
            self._set_timer(self._due_ns)

"""The gate: users wait here before their first task, and no new flow begins once it is shut."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
from gevent.event import Event

_NS = 1_000_000_000


class Gate:
    """Open from a moment on, until it is shut for good."""

    def __init__(
        self,
        *,
        open_now: bool,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], object] = gevent.sleep,
    ) -> None:
        self.shut = False
        self._clock = clock
        self._sleep = sleep
        self._told = Event()
        self._open_ns = 0
        if open_now:
            self._told.set()

    def open_at(self, open_ns: int) -> None:
        """Let users in from this moment on (CLOCK_MONOTONIC nanoseconds)."""
        self._open_ns = open_ns
        self._told.set()

    def wait(self) -> None:
        """Wait until the gate is open; in plain Locust it always is."""
        self._told.wait()
        left_ns = self._open_ns - self._clock()
        if left_ns > 0:
            self._sleep(left_ns / _NS)

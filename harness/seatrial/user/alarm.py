"""A sleep until a moment, which others may end before; a timer alone is cheaper than an Event's wait."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import Waiter

from seatrial.units import NS_PER_S


class Alarm:
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

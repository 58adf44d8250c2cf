"""Where the load processes of a block wait for each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from seatrial.load.turns import Slicing
from seatrial.units import NS_PER_S

_START_LEAD_NS = 500_000_000
"""Each load looks every 50 ms whether a moment is set, and then tells its processes."""


class Meeting:
    """Sets one moment for all, once all are ready.

    Who leaves is not waited for. May be used from several threads.
    """

    def __init__(
        self, slicing: Slicing, names: Collection[str], *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.slicing = slicing
        self.called_off = False
        self.start_ns: int | None = None
        self._awaited = set(names)
        self._ready: set[str] = set()
        self._clock = clock
        self._lock = threading.Lock()

    def arrive(self, name: str) -> None:
        """Say that a variant's load is ready."""
        with self._lock:
            self._ready.add(name)
            self._begin_if_all()

    def leave(self, name: str) -> None:
        """Say that a variant does not take part, or no more."""
        with self._lock:
            self._awaited.discard(name)
            self._ready.discard(name)
            self._begin_if_all()

    def call_off(self) -> None:
        """End it for all, as soon as they look."""
        self.called_off = True

    def now(self) -> tuple[int, str]:
        """Return the number (from 1) of the slice that is on now and whose it is; 0 and "" if there is none."""
        start_ns, order = self.start_ns, self.slicing.order
        if start_ns is None:
            return 0, ""
        number = (self._clock() - start_ns) // round(self.slicing.slice_s * NS_PER_S)
        return (number + 1, order[number]) if 0 <= number < len(order) else (0, "")

    def _begin_if_all(self) -> None:
        if self.start_ns is None and self._ready and self._ready >= self._awaited:
            self.start_ns = self._clock() + _START_LEAD_NS

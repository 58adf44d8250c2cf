"""Columns that are read once a second, and NULL in the readings between.

PSI totals move only every two seconds (the kernel's PSI_FREQ), however often they are read; disk, network and task
counts are wanted as rates. Leaving them out of nine ticks in ten halves the cost of reading a container.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL


class Seldom:
    """Calls `take`, which gives `width` values, when a second has passed; the first call takes."""

    def __init__(
        self, take: Callable[[], tuple[int, ...]], width: int, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._take = take
        self._nulls = (NULL,) * width
        self._clock = clock
        self._due_ns = 0

    def values(self) -> tuple[int, ...]:
        """Return fresh values, or NULLs."""
        now = self._clock()
        if now < self._due_ns:
            return self._nulls
        self._due_ns = now + NS_PER_S
        return self._take()

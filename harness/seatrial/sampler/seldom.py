"""When the columns are due that are read once a second, and are NULL in the readings between.

PSI totals move only every two seconds (the kernel's PSI_FREQ), however often they are read; disk, network and task
counts are wanted as rates. Leaving them out of nine ticks in ten halves the cost of reading a container.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from seatrial.units import NS_PER_S


class SlowColumns:
    """Says when a second has passed since it last said so; the first time at once."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._due_ns = 0

    def due(self) -> bool:
        """Return whether the slow columns are to be read now."""
        now_ns = self._clock()
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + NS_PER_S
        return True

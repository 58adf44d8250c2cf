"""When the next tick is due, and how evenly the ticks came."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable

_PERIODS_KEPT = 50_000


class Pace:
    """A fixed grid of ticks; what was missed is skipped, never made up for in a burst."""

    def __init__(self, period_ns: int, start_ns: int) -> None:
        self._period_ns = period_ns
        self._due_ns = start_ns
        self._last_ns = 0
        self._periods_ns: deque[int] = deque(maxlen=_PERIODS_KEPT)
        self.ticks = 0
        self.missed = 0

    @property
    def due_ns(self) -> int:
        """When the next tick is due."""
        return self._due_ns

    def begin(self, now_ns: int) -> None:
        """Note that a tick begins."""
        if self.ticks:
            self._periods_ns.append(now_ns - self._last_ns)
        self._last_ns = now_ns
        self.ticks += 1

    def end(self, now_ns: int) -> None:
        """Set the next tick on the grid, after `now_ns`."""
        steps = max(1, -(-(now_ns - self._due_ns) // self._period_ns))
        self._due_ns += steps * self._period_ns
        self.missed += steps - 1

    def period_p50_p99_ns(self) -> tuple[int, int]:
        """Return the median and 99th percentile of the time between the starts of ticks."""
        p50, p99 = quantiles(self._periods_ns, 50, 99)
        return p50, p99


def quantiles(values: Iterable[int], *percents: int) -> tuple[int, ...]:
    """Return percentiles, interpolated; zeros where there are fewer than two values."""
    listed = list(values)
    if len(listed) < 2:  # noqa: PLR2004  (what the standard library asks for)
        return (0,) * len(percents)
    cuts = statistics.quantiles(listed, n=100, method="inclusive")
    return tuple(round(cuts[percent - 1]) for percent in percents)

"""When a warm-up may end: as soon as the median latency of two successive spans is nearly the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from seatrial.units import NS_PER_S, milliseconds
from seatrial.wire import histogram as buckets

SPAN_S = 5
WITHIN = 0.05
"""How far the later median may be from the earlier one; a bucket's own width is 1.6 % (`wire.buckets`)."""


def medians_agree(medians_ns: list[int | None]) -> bool:
    """Return whether the last two medians are known, and differ by at most `WITHIN` of the earlier one."""
    if len(medians_ns) < 2:  # noqa: PLR2004  (two spans are compared)
        return False
    earlier, later = medians_ns[-2:]
    return earlier is not None and later is not None and abs(later - earlier) <= WITHIN * earlier


@dataclass(slots=True)
class Spans:
    """The medians of all successes, span by span of `SPAN_S` seconds from `begin_ns` on."""

    begin_ns: int
    medians_ns: list[int | None] = field(default_factory=list)
    _counts: Counter[int] = field(default_factory=Counter)

    def take(self, t_ns: int, latency: Mapping[int, int]) -> bool:
        """Add the counts of the second that ended at `t_ns`; return whether latency is stable by now.

        A second belongs to the span in which it ended. A span without a success has no median.
        """
        before = len(self.medians_ns)
        while t_ns >= self.begin_ns + (len(self.medians_ns) + 1) * SPAN_S * NS_PER_S:
            self.medians_ns.append(buckets.percentile_ns(self._counts, 50))
            self._counts.clear()
        self._counts.update(latency)
        return len(self.medians_ns) > before and medians_agree(self.medians_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """How a warm-up that waited for stable latency went: `after_s` is its length."""

    stable: bool
    after_s: float
    medians_ns: tuple[int | None, ...]

    def text(self) -> str:
        """Return in words that it did not become stable."""
        known = [milliseconds(median) for median in self.medians_ns[-2:] if median is not None]
        return (
            f"after {self.after_s:g} s the median latency still changed by more than {WITHIN:.0%} "
            f"from one span of {SPAN_S} s to the next; the last ones: {' and '.join(known) or 'nothing'}"
        )

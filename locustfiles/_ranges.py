"""Sets of byte offsets as sorted, disjoint intervals: what a player holds, and what it was ever sent."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """A set of offsets; intervals are half open. One that grows at an end costs no search."""

    __slots__ = ("_ends", "_firsts", "_last")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        self._last = -1  # the interval that grew last

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._ends, strict=True))

    @property
    def count(self) -> int:
        """How many offsets are in the set."""
        return sum(self._ends) - sum(self._firsts)

    def add(self, first: int, end: int) -> None:
        """Put in the offsets from `first` to before `end`."""
        if first >= end:
            return
        firsts, ends, last = self._firsts, self._ends, self._last
        grows = 0 <= last < len(ends) and firsts[last] <= first <= ends[last]
        if grows and (last + 1 == len(firsts) or end < firsts[last + 1]):
            ends[last] = max(ends[last], end)
            return
        low = bisect_left(ends, first)  # the first interval that is not wholly before
        high = bisect_right(firsts, end)  # the first one that is wholly behind
        if low < high:
            first, end = min(first, firsts[low]), max(end, ends[high - 1])
        firsts[low:high] = [first]
        ends[low:high] = [end]
        self._last = low

    def first_missing(self, offset: int) -> int:
        """Return the first offset from `offset` on that is not in the set."""
        at = bisect_right(self._firsts, offset) - 1
        return max(offset, self._ends[at]) if at >= 0 else offset

    def next_held(self, offset: int) -> int | None:
        """Return the first offset of the set beyond `offset`, which is not in it; None: there is none."""
        at = bisect_right(self._firsts, offset)
        return self._firsts[at] if at < len(self._firsts) else None

    def keep(self, first: int, end: int) -> None:
        """Take out everything but the offsets from `first` to before `end`."""
        kept = [(max(a, first), min(b, end)) for a, b in self if a < end and b > first]
        self._firsts = [a for a, _ in kept]
        self._ends = [b for _, b in kept]
        self._last = -1

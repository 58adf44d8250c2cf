"""Which arrivals of a process are due: its schedules one after the other, cut down to its share of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, takewhile

from seatrial.units import NS_PER_S
from seatrial.user.schedule import Schedule, place

LOOK_AHEAD_NS = NS_PER_S
"""How far the next arrival of a small share is looked for at a time."""


class Feed:
    """Gives each arrival of this process exactly once, at or after its moment; nothing from before `since_ns`.

    A new schedule or share holds from its moment on, in the place of what was told for that time before. One that
    is told after its moment holds at once: what was given is not taken back. `low` and `high` are the share to
    begin with.
    """

    def __init__(self, *, low: float, high: float, since_ns: int) -> None:
        self._schedules: list[tuple[int, Schedule]] = []
        self._shares: list[tuple[float, float, float]] = [(-math.inf, low, high)]
        self._given_ns = since_ns
        self._walk: Iterator[tuple[int, int]] = iter(())
        self._next: tuple[int, int] | None = None

    def follow(self, schedule: Schedule, from_ns: int) -> None:
        """Take arrivals from this schedule, from this moment on."""
        self._schedules = [one for one in self._schedules if one[0] < from_ns] + [(from_ns, schedule)]
        self._again()

    def share(self, low: float, high: float, from_ns: int) -> None:
        """Own the arrivals whose place in the unit interval is in [low, high), from this moment on."""
        self._shares = [one for one in self._shares if one[0] < from_ns] + [(from_ns, low, high)]
        self._again()

    def end(self) -> None:
        """Have no arrivals any more."""
        self._schedules = []
        self._again()

    def due(self, now_ns: int) -> list[int]:
        """Return the moments of the arrivals that are due by now and were not given before, in order."""
        found: list[int] = []
        while self._next is not None and self._next[1] <= now_ns:
            if self._owns(*self._next):
                found.append(self._next[1])
            self._next = next(self._walk, None)
        self._given_ns = max(self._given_ns, now_ns + 1)
        return found

    def next_ns(self, now_ns: int) -> float:
        """Return when to ask again: at the next arrival, or at the end of what was looked through; maybe never."""
        until_ns = now_ns + LOOK_AHEAD_NS
        while self._next is not None and self._next[1] <= until_ns and not self._owns(*self._next):
            self._next = next(self._walk, None)
        return math.inf if self._next is None else min(self._next[1], until_ns)

    def _owns(self, index: int, t_ns: int) -> bool:
        low, high = next(one[1:] for one in reversed(self._shares) if one[0] <= t_ns)
        return low <= place(index) < high

    def _again(self) -> None:
        """Walk anew from what was not given yet."""
        begins_ns = [max(begin_ns, self._given_ns) for begin_ns, _ in self._schedules]
        ends_ns = [*begins_ns[1:], math.inf]
        parts = zip(self._schedules, begins_ns, ends_ns, strict=False)
        self._walk = chain.from_iterable(_between(one, begin_ns, end_ns) for (_, one), begin_ns, end_ns in parts)
        self._next = next(self._walk, None)


def _between(schedule: Schedule, from_ns: int, until_ns: float) -> Iterator[tuple[int, int]]:
    """Return a schedule's arrivals in [from_ns, until_ns)."""
    if from_ns >= until_ns:
        return iter(())
    return takewhile(lambda arrival: arrival[1] < until_ns, schedule.arrivals(from_ns))

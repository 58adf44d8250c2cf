"""Arrival schedules: the arrival times of a rate, and this process's share of them.

The integral of the rate counts the arrivals that are due. Constant: one whenever it passes a whole number.
Poisson: independent exponential gaps of mean 1 in the integral, which is a Poisson process of that rate (time
change: Çinlar, Introduction to Stochastic Processes, 1975, 4.7). The integral is cut into blocks, each with a
random stream of its own: exponential gaps have no memory, so that they may restart at any point, and a process can
begin in the middle of a long schedule.

An arrival costs 0.5 to 1 µs.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain, count, takewhile

from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate, Stretch

LOOK_AHEAD_NS = NS_PER_S
"""How far the next arrival of a small share is looked for at a time."""
_BLOCK = 1_024
_INDEXES = 4 * _BLOCK
"""Numbers reserved for the arrivals of one Poisson block: 1,024 are expected, with a standard deviation of 32."""
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def place(index: int) -> float:
    """Return where in [0, 1) an arrival lies: the fraction of index times the golden ratio, exact for any index.

    Any run of indexes fills the unit interval as evenly as any sequence can (Knuth, The Art of Computer
    Programming, volume 3, 6.4, theorem S), so that every share gets its part of each second.
    """
    return (((index * _GOLDEN) & _MASK) >> 11) * 2.0**-53


class Schedule:
    """The arrivals of `rate`, counted from `origin_ns`; before it the first rate holds, after the end the last."""

    def __init__(self, rate: Rate, *, origin_ns: int, seed: int = 0) -> None:
        self._origin_ns = origin_ns
        self._seed = seed
        self._poisson = rate.poisson
        self._first_per_s = rate.first_per_s
        last_per_s = rate.stretches[-1].end_per_s
        self._stretches = [*rate.stretches, Stretch(math.inf, last_per_s, last_per_s)]
        self._begins_s, self._totals = [0.0], [0.0]  # where each stretch begins, in seconds and in arrivals
        for stretch in rate.stretches:
            begin_per_s, end_per_s = stretch.begin_per_s, stretch.end_per_s
            area = stretch.lasts_s * (begin_per_s + end_per_s) / 2 if begin_per_s or end_per_s else 0.0
            self._begins_s.append(self._begins_s[-1] + stretch.lasts_s)
            self._totals.append(self._totals[-1] + area)

    def integral(self, second: float) -> float:
        """Return how many arrivals are due between the origin and this second (negative before it)."""
        if second < 0:
            return second * self._first_per_s
        number = bisect_right(self._begins_s, second) - 1
        stretch, within_s = self._stretches[number], second - self._begins_s[number]
        return self._totals[number] + within_s * (stretch.begin_per_s + _slope(stretch) * within_s / 2)

    def second(self, integral: float) -> float:
        """Return the last second at which no more than this is due; infinite if that never ends."""
        if integral < 0:
            return integral / self._first_per_s
        number = bisect_right(self._totals, integral) - 1
        stretch, within = self._stretches[number], integral - self._totals[number]
        begin_per_s = stretch.begin_per_s
        if begin_per_s == stretch.end_per_s:
            return self._begins_s[number] + within / begin_per_s if begin_per_s else math.inf
        # The usual root loses its digits where the ramp is flat, and this one does not (Numerical Recipes, 5.6).
        root = begin_per_s + math.sqrt(max(begin_per_s**2 + 2 * _slope(stretch) * within, 0.0))
        return self._begins_s[number] + (min(2 * within / root, stretch.lasts_s) if root else 0.0)

    def arrivals(self, from_ns: int) -> Iterator[tuple[int, int]]:
        """Yield index and moment (CLOCK_MONOTONIC nanoseconds) of each arrival from `from_ns` on, in order."""
        begin = self.integral((from_ns - self._origin_ns) / NS_PER_S)
        dues = self._random_dues(begin) if self._poisson else self._even_dues(begin)
        for index, due in dues:
            second = self.second(due)
            if second == math.inf:
                return
            t_ns = self._origin_ns + round(second * NS_PER_S)
            if t_ns >= from_ns:
                yield index, t_ns

    def _even_dues(self, begin: float) -> Iterator[tuple[int, float]]:
        first = math.ceil(begin) - 1  # one early: the integral may be a last digit off
        if not self._first_per_s:
            first = max(first, 0)
        return ((index, float(index)) for index in count(first))

    def _random_dues(self, begin: float) -> Iterator[tuple[int, float]]:
        for block in count(math.floor(begin / _BLOCK)):
            stream = random.Random(f"arrivals/{self._seed}/{block}")  # noqa: S311  (a choice of load)
            due, end = float(block * _BLOCK), float((block + 1) * _BLOCK)
            for index in count(block * _INDEXES):
                due += stream.expovariate(1.0)
                if due >= end:
                    break
                if due >= begin - 1:
                    yield index, due


def _slope(stretch: Stretch) -> float:
    return (stretch.end_per_s - stretch.begin_per_s) / stretch.lasts_s


class ArrivalFeed:
    """Gives each arrival of this process exactly once, at or after its moment; nothing from before `since_ns`.

    A new schedule or share replaces the earlier one from its moment on; one that comes after its moment holds at
    once, and arrivals that were given are not taken back. `low` and `high` are the share to begin with.
    """

    def __init__(self, *, low: float, high: float, since_ns: int) -> None:
        self._schedules: list[tuple[int, Schedule]] = []
        self._shares: list[tuple[float, float, float]] = [(-math.inf, low, high)]
        self._given_ns = since_ns
        self._arrivals: Iterator[tuple[int, int]] = iter(())
        self._next: tuple[int, int] | None = None

    def follow(self, schedule: Schedule, from_ns: int) -> None:
        """Take arrivals from this schedule, from this moment on."""
        self._schedules = [entry for entry in self._schedules if entry[0] < from_ns] + [(from_ns, schedule)]
        self._restart()

    def share(self, low: float, high: float, from_ns: int) -> None:
        """Own the arrivals whose place in the unit interval is in [low, high), from this moment on."""
        self._shares = [share for share in self._shares if share[0] < from_ns] + [(from_ns, low, high)]
        self._restart()

    def end(self) -> None:
        """Have no more arrivals."""
        self._schedules = []
        self._restart()

    def due(self, now_ns: int) -> list[int]:
        """Return the moments of the arrivals that are due by now and were not given before, in order."""
        dues_ns: list[int] = []
        while self._next is not None and self._next[1] <= now_ns:
            if self._owns(*self._next):
                dues_ns.append(self._next[1])
            self._next = next(self._arrivals, None)
        self._given_ns = max(self._given_ns, now_ns + 1)
        return dues_ns

    def next_ns(self, now_ns: int) -> float:
        """Return when to call `due` next: at the next arrival, or after LOOK_AHEAD_NS; infinite if never."""
        until_ns = now_ns + LOOK_AHEAD_NS
        while self._next is not None and self._next[1] <= until_ns and not self._owns(*self._next):
            self._next = next(self._arrivals, None)
        return math.inf if self._next is None else min(self._next[1], until_ns)

    def _owns(self, index: int, t_ns: int) -> bool:
        low, high = next(share[1:] for share in reversed(self._shares) if share[0] <= t_ns)
        return low <= place(index) < high

    def _restart(self) -> None:
        """Go through the schedules again, from the first moment that was not given yet."""
        begins_ns = [max(begin_ns, self._given_ns) for begin_ns, _ in self._schedules]
        ends_ns = [*begins_ns[1:], math.inf]
        parts = zip(self._schedules, begins_ns, ends_ns, strict=False)
        self._arrivals = chain.from_iterable(
            _between(schedule, begin_ns, end_ns) for (_, schedule), begin_ns, end_ns in parts
        )
        self._next = next(self._arrivals, None)


def _between(schedule: Schedule, from_ns: int, until_ns: float) -> Iterator[tuple[int, int]]:
    """Return a schedule's arrivals in [from_ns, until_ns)."""
    if from_ns >= until_ns:
        return iter(())
    return takewhile(lambda arrival: arrival[1] < until_ns, schedule.arrivals(from_ns))

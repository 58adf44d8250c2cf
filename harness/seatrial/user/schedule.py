"""The arrival times of a rate, and this process's share of them.

The integral of the rate counts the arrivals that are due. Constant: one whenever it passes a whole number.
Poisson: independent exponential gaps of mean 1 in the integral, which is a Poisson process of that rate (time
change: Çinlar, Introduction to Stochastic Processes, 1975, 4.7). The integral is cut into blocks, each with a
random stream of its own: gaps without memory may begin anew anywhere, and so one can begin in the middle of a long
schedule.

An arrival costs 0.5 to 1 µs.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, count, takewhile

from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate, Stretch

_BLOCK = 1_024
_INDEXES = 4 * _BLOCK
"""Numbers kept for the arrivals of one Poisson block: 1,024 are expected, with a standard deviation of 32."""
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
        self._stretches = [*rate.stretches, Stretch(math.inf, rate.last_per_s, rate.last_per_s)]
        self._begins_s, self._totals = _sums(self._stretches)

    def integral(self, second: float) -> float:
        """Return how many arrivals are due between the origin and this second (negative before it)."""
        if second < 0:
            return second * self._first_per_s
        number = bisect_right(self._begins_s, second) - 1
        one, within_s = self._stretches[number], second - self._begins_s[number]
        return self._totals[number] + within_s * (one.begin_per_s + _rise(one) * within_s / 2)

    def second(self, integral: float) -> float:
        """Return the last second at which no more than this is due; infinite if that never ends."""
        if integral < 0:
            return integral / self._first_per_s
        number = bisect_right(self._totals, integral) - 1
        one, wanted = self._stretches[number], integral - self._totals[number]
        if one.begin_per_s == one.end_per_s:
            return self._begins_s[number] + wanted / one.begin_per_s if one.begin_per_s else math.inf
        # The usual root loses its digits where the ramp is flat, and this one does not (Numerical Recipes, 5.6).
        root = one.begin_per_s + math.sqrt(max(one.begin_per_s**2 + 2 * _rise(one) * wanted, 0.0))
        return self._begins_s[number] + (min(2 * wanted / root, one.lasts_s) if root else 0.0)

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


def _rise(one: Stretch) -> float:
    return (one.end_per_s - one.begin_per_s) / one.lasts_s


def _sums(stretches: Sequence[Stretch]) -> tuple[list[float], list[float]]:
    """Return where each stretch begins, in seconds and in arrivals; one that never ends is the last."""
    begins_s, totals = [0.0], [0.0]
    for one in stretches[:-1]:
        begins_s.append(begins_s[-1] + one.lasts_s)
        area = one.lasts_s * (one.begin_per_s + one.end_per_s) / 2 if one.begin_per_s or one.end_per_s else 0.0
        totals.append(totals[-1] + area)
    return begins_s, totals


LOOK_AHEAD_NS = NS_PER_S
"""How far the next arrival of a small share is looked for at a time."""


class ArrivalFeed:
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

"""Request rates: text form, JSON form, shares.

As text: `50/s`; steps `10/s for 10s, 50/s for 20s`; ramps `10/s to 100/s for 60s`. A rate may be per `s`, `m` (or
`min`) or `h`. After the last stretch its end rate holds. A file of `second,rate` lines gives steps.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, TypeVar

from seatrial.units import seconds

_Name = TypeVar("_Name")
_PER_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_RATE = r"(\d+(?:\.\d+)?)\s*/\s*(s|min|m|h)"
_STRETCH = re.compile(rf"^\s*{_RATE}(?:\s+to\s+{_RATE})?(?:\s+for\s+(\S+))?\s*$")
MOST_PER_S = 100_000.0
"""Arrivals alone take up to a tenth of a core there (`user.schedule`: 1 us each); more is a slip of the finger."""
ENCODING = "utf-8-sig"
"""Of a file of rates: spreadsheets put a byte-order mark before the first line."""
EXPECTED_LINES = "lines `second,rate`, such as 0,50 and then 30,100"
EXPECTED = "50/s, or 10/s for 10s, 20/s for 20s (steps), or 10/s to 100/s for 60s (a ramp)"


@dataclass(frozen=True, slots=True)
class Stretch:
    """For `lasts_s` the rate goes evenly from `begin_per_s` to `end_per_s` (arrivals a second)."""

    lasts_s: float
    begin_per_s: float
    end_per_s: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A schedule; without `poisson` arrivals are evenly spaced, with it they are independent of each other."""

    stretches: tuple[Stretch, ...]
    poisson: bool = False

    @classmethod
    def steady(cls, per_s: float, *, poisson: bool = False) -> Rate:
        """Return a schedule that holds one rate for ever."""
        return cls((Stretch(math.inf, per_s, per_s),), poisson)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Rate:
        """Read what `to_json` returned; other keys are passed over."""
        stretches = tuple(
            Stretch(math.inf if lasts_s is None else lasts_s, begin_per_s, end_per_s)
            for lasts_s, begin_per_s, end_per_s in values["stretches"]
        )
        return cls(stretches, bool(values["poisson"]))

    @property
    def first_per_s(self) -> float:
        """The rate at the beginning."""
        return self.stretches[0].begin_per_s

    @property
    def last_per_s(self) -> float:
        """The rate that holds after the last stretch."""
        return self.stretches[-1].end_per_s

    def at(self, second: float) -> float:
        """Return the rate at a moment after the beginning (seconds; arrivals a second)."""
        for one in self.stretches:
            if second < one.lasts_s:
                return one.begin_per_s + (one.end_per_s - one.begin_per_s) * max(second, 0.0) / one.lasts_s
            second -= one.lasts_s
        return self.last_per_s

    def text(self) -> str:
        """Return the schedule as it may be written."""
        return ", ".join(_written(one) for one in self.stretches)

    def to_json(self) -> dict[str, Any]:
        """Return the schedule as JSON values; null instead of the length of a stretch: it lasts for ever."""
        stretches = [
            [one.lasts_s if math.isfinite(one.lasts_s) else None, one.begin_per_s, one.end_per_s]
            for one in self.stretches
        ]
        return {"poisson": self.poisson, "stretches": stretches}


def shares(weights: Mapping[_Name, int]) -> dict[_Name, tuple[float, float]]:
    """Cut the unit interval in proportion to the weights, in their order without a gap; evenly if all are 0."""
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1)
    total, ends = sum(weights.values()), accumulate(weights.values(), initial=0)
    return {name: (low / total, high / total) for name, (low, high) in zip(weights, pairwise(ends), strict=True)}


def parse(text: str) -> tuple[Stretch, ...]:
    """Read a schedule; ValueError says what is wrong. Only the last stretch may lack `for`, and only if steady."""
    pieces = text.split(",")
    found = [_stretch(piece, last=index == len(pieces) - 1) for index, piece in enumerate(pieces)]
    if not any(one.begin_per_s or one.end_per_s for one in found):
        raise ValueError(f"{text!r} has no arrivals: {EXPECTED} is expected")
    return tuple(found)


def parse_lines(lines: Iterable[str]) -> tuple[Stretch, ...]:
    """Read `second,rate` lines: from each second on its rate (a second) holds; ValueError names the line."""
    steps: list[tuple[float, float]] = []
    for number, row in _rows(lines):
        if not row or row[0].lstrip().startswith("#") or (number == 1 and row[0].strip() == "second"):
            continue
        steps.append(_step(row, number, after=steps[-1][0] if steps else None))
    if not steps or not any(rate for _, rate in steps):
        raise ValueError("it has no line `second,rate` with a rate above zero")
    return _from_steps(steps)


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines)
    try:
        yield from enumerate(reader, start=1)
    except csv.Error as error:  # of a cell above 131,072 characters, say: no ValueError
        raise ValueError(f"line {reader.line_num}: it can't be read as `second,rate`: {error}") from error


def _step(row: Sequence[str], number: int, *, after: float | None) -> tuple[float, float]:
    try:
        second, rate = (float(cell) for cell in row)
    except ValueError as error:
        raise ValueError(f"line {number}: {','.join(row)!r} is not `second,rate`") from error
    if not (math.isfinite(second) and math.isfinite(rate)) or rate < 0:
        raise ValueError(f"line {number}: {','.join(row)!r} has no rate that can be kept")
    if rate > MOST_PER_S:
        raise ValueError(f"line {number}: {rate:g} is above the highest rate, {MOST_PER_S:,.0f}/s")
    if second != 0 if after is None else second <= after:
        raise ValueError(f"line {number}: seconds begin at 0 and rise, {second:g} does not")
    return second, rate


def _from_steps(steps: Sequence[tuple[float, float]]) -> tuple[Stretch, ...]:
    ends = [second for second, _ in steps[1:]]
    lasts = [end - begin for (begin, _), end in zip(steps, ends, strict=False)]
    return tuple(Stretch(length, rate, rate) for (_, rate), length in zip(steps, [*lasts, math.inf], strict=True))


def _stretch(piece: str, *, last: bool) -> Stretch:
    match = _STRETCH.match(piece)
    if match is None:
        raise ValueError(f"{piece.strip()!r} is not a rate: {EXPECTED} is expected")
    begin, unit, end, end_unit, lasts = match.groups()
    begin_per_s = float(begin) / _PER_S[unit]
    end_per_s = float(end) / _PER_S[end_unit] if end else begin_per_s
    if max(begin_per_s, end_per_s) > MOST_PER_S:
        raise ValueError(f"{piece.strip()!r} is above the highest rate, {MOST_PER_S:,.0f}/s")
    if lasts is None and (end or not last):
        raise ValueError(f"{piece.strip()!r} does not say how long: {EXPECTED} is expected")
    lasts_s = seconds(lasts) if lasts else math.inf
    if lasts_s <= 0:
        raise ValueError(f"{piece.strip()!r} lasts no time")
    return Stretch(lasts_s, begin_per_s, end_per_s)


def _written(one: Stretch) -> str:
    ramp = f" to {one.end_per_s:g}/s" if one.end_per_s != one.begin_per_s else ""
    return f"{one.begin_per_s:g}/s{ramp}" + (f" for {one.lasts_s:g}s" if math.isfinite(one.lasts_s) else "")

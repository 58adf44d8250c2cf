"""Arrival rates: schedules of steps and ramps, their text and JSON forms, and shares of the unit interval.

As text: `50/s`; steps `10/s for 10s, 50/s for 20s`; ramps `10/s to 100/s for 60s`. A rate may be per `s`, `m` (or
`min`) or `h`. After the last stretch its end rate holds. A file of `second,rate` lines gives steps.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, TypeVar

from seatrial.units import seconds

_Name = TypeVar("_Name")
_PER_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_RATE = r"(\d+(?:\.\d+)?)\s*/\s*(s|min|m|h)"
_STRETCH = re.compile(rf"^\s*{_RATE}(?:\s+to\s+{_RATE})?(?:\s+for\s+(\S+))?\s*$")
MOST_PER_S = 100_000.0
"""Here arrivals alone take up to a tenth of a core (`user.schedule`: 1 us each); more is a typing error."""
ENCODING = "utf-8-sig"
"""The encoding of a file of rates: spreadsheets put a byte-order mark before the first line."""
EXPECTED_LINES = "lines `second,rate`, such as 0,50 and then 30,100"
EXPECTED = "50/s, or 10/s for 10s, 20/s for 20s (steps), or 10/s to 100/s for 60s (a ramp)"


@dataclass(frozen=True, slots=True)
class Stretch:
    """For `lasts_s` the rate goes evenly from `begin_per_s` to `end_per_s` (arrivals a second)."""

    lasts_s: float
    begin_per_s: float
    end_per_s: float

    def text(self) -> str:
        """Return the stretch in its text form."""
        ramp = f" to {self.end_per_s:g}/s" if self.end_per_s != self.begin_per_s else ""
        return f"{self.begin_per_s:g}/s{ramp}" + (f" for {self.lasts_s:g}s" if math.isfinite(self.lasts_s) else "")


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
        """Read what `to_json` returned, and ignore other keys."""
        stretches = tuple(
            Stretch(math.inf if lasts_s is None else lasts_s, begin_per_s, end_per_s)
            for lasts_s, begin_per_s, end_per_s in values["stretches"]
        )
        return cls(stretches, bool(values["poisson"]))

    @property
    def first_per_s(self) -> float:
        """The rate at the beginning."""
        return self.stretches[0].begin_per_s

    def at(self, second: float) -> float:
        """Return the rate at a moment after the beginning (seconds; arrivals a second)."""
        for stretch in self.stretches:
            if second < stretch.lasts_s:
                rise_per_s = stretch.end_per_s - stretch.begin_per_s
                return stretch.begin_per_s + rise_per_s * max(second, 0.0) / stretch.lasts_s
            second -= stretch.lasts_s
        return self.stretches[-1].end_per_s

    def text(self) -> str:
        """Return the schedule in its text form."""
        return ", ".join(stretch.text() for stretch in self.stretches)

    def to_json(self) -> dict[str, Any]:
        """Return the schedule as JSON values; a stretch without an end has null for its length."""
        stretches = [
            [each.lasts_s if math.isfinite(each.lasts_s) else None, each.begin_per_s, each.end_per_s]
            for each in self.stretches
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
    stretches = tuple(_stretch(piece, last=index == len(pieces) - 1) for index, piece in enumerate(pieces))
    if not any(stretch.begin_per_s or stretch.end_per_s for stretch in stretches):
        raise ValueError(f"{text!r} has no arrivals: {EXPECTED} is expected")
    return stretches


def parse_lines(lines: Iterable[str]) -> tuple[Stretch, ...]:
    """Read `second,rate` lines: from each second on its rate (a second) holds; ValueError names the line."""
    steps: list[tuple[float, float]] = []
    reader = csv.reader(lines)
    try:
        for number, row in enumerate(reader, start=1):
            if not row or row[0].lstrip().startswith("#") or (number == 1 and row[0].strip() == "second"):
                continue
            steps.append(_step(row, number, after=steps[-1][0] if steps else None))
    except csv.Error as error:  # such as a cell above 131,072 characters
        raise ValueError(f"line {reader.line_num}: it can't be read as `second,rate`: {error}") from error
    if not any(rate for _, rate in steps):
        raise ValueError("it has no line `second,rate` with a rate above zero")
    steps.append((math.inf, 0.0))
    return tuple(Stretch(end - begin, rate, rate) for (begin, rate), (end, _) in pairwise(steps))


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

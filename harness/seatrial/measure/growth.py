"""Whether the memory that can't be taken back grew over one window.

Theil's slope (Theil 1950; Sen, JASA 1968) with its 95 % interval, on the minima of twelve parts of the window: a
minimum leaves out what a garbage collector is about to give back, and parts of several seconds depend less on each
other than readings of ten a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from seatrial.measure import replicas
from seatrial.measure import services as memory
from seatrial.measure.tables import Floats, Ints, Mask, Samples, rows
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

PARTS = 12
MATTERS = 0.02
"""A growth of this part of the level over the window matters, at least LEAST_BYTES."""
LEAST_BYTES = 1 << 20
_LEAST_S = 30.0
_ALPHA = 0.05


class Growth(StrEnum):
    """What is said of memory over a window."""

    GROWING = "GROWING"
    STEADY = "STEADY"
    TOO_SHORT = "TOO SHORT"
    UNTOLD = "NOT TOLD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """What is said of one service: `per_s` with `low` and `high` in bytes a second, `level` the median in bytes.

    `matters_bytes` is the growth over the window from which on it is called one.
    """

    service: str
    word: Growth
    seconds: float
    level_bytes: int | None = None
    matters_bytes: int | None = None
    per_s: float | None = None
    low: float | None = None
    high: float | None = None


def of_service(name: str, samples: Samples, inside: Mask) -> Slope:
    """Judge one service by the samples where `inside` holds, replicas added up."""
    mine = rows(samples, inside & samples.service.is_(name))
    if not mine.count:
        return Slope(service=name, word=Growth.UNTOLD, seconds=0.0)
    stamps, codes = mine.numbers["t_ns"], mine.container.codes.astype(np.int64)
    held = memory.unreclaimable(mine.numbers, codes)
    if replicas.at_once(stamps, codes) > 1:
        period_ns = int(max(np.median(np.diff(stamps[one])) for one in replicas.each(codes) if one.sum() > 1))
        held = replicas.summed({"held": held, "t_ns": stamps}, codes, period_ns)["held"]
        stamps = np.linspace(stamps[0], stamps[-1], len(held))  # ticks are evenly spaced
    return growth(name, stamps.astype(np.int64), held)


def growth(service: str, t_ns: Ints, held: Ints) -> Slope:
    """Judge the readings of one service, in the order of time; NULL where it could not be read.

    Growing: the interval lies above what matters. Steady: it lies below. Else, and for less than 30 s, the window
    was too short to tell, which is no acquittal: a leak slower than that is not seen in a minute.
    """
    told = held != NULL
    when, values = t_ns[told].astype(np.float64) / NS_PER_S, held[told].astype(np.float64)
    if len(values) < PARTS:
        return Slope(service=service, word=Growth.UNTOLD, seconds=0.0)
    seconds = float(when[-1] - when[0])
    level = int(np.median(values))
    matters = max(LEAST_BYTES, round(MATTERS * level))
    begins, least = _minima(when, values)
    if seconds < _LEAST_S or len(least) < PARTS // 2:
        return Slope(
            service=service,
            word=Growth.TOO_SHORT,
            seconds=seconds,
            level_bytes=level,
            matters_bytes=matters,
        )
    from scipy import stats  # type: ignore[import-untyped]  # noqa: PLC0415  (half a second, for this alone)

    found = stats.theilslopes(least, begins, alpha=1 - _ALPHA)
    return Slope(
        service=service,
        word=_word(float(found.low_slope) * seconds, float(found.high_slope) * seconds, matters),
        seconds=seconds,
        level_bytes=level,
        matters_bytes=matters,
        per_s=float(found.slope),
        low=float(found.low_slope),
        high=float(found.high_slope),
    )


def _word(low_bytes: float, high_bytes: float, matters: int) -> Growth:
    if low_bytes > matters:
        return Growth.GROWING
    return Growth.STEADY if high_bytes < matters else Growth.TOO_SHORT


def _minima(when: Floats, values: Floats) -> tuple[Floats, Floats]:
    edges = np.linspace(when[0], when[-1], PARTS + 1)
    part = np.clip(np.searchsorted(edges, when, side="right") - 1, 0, PARTS - 1)
    there = np.unique(part)
    return edges[there], np.array([values[part == one].min() for one in there])

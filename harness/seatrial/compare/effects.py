"""The effect of a variant, over pairs of values from the same blocks: estimate, interval, equivalence, precision.

The unit is the block: within one run requests depend on each other, and tests that take each as independent
raise false alarms on most identical pairs. Ratios are judged as d = ln(variant / base), so that twice and half
are as far from one; shares, which can be zero, as plain differences between blocks (Newcombe's interval for
pooled requests would again take each as independent).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seatrial.measure import statistics as distributions
from seatrial.measure.statistics import FEWEST, Interval

POWER = 0.8
"""How surely an effect of the smallest visible size is seen."""

MOST_BLOCKS = 1000
"""Further than that nobody plans."""

_COUNTS = np.arange(2, MOST_BLOCKS + 1)


class Scale(StrEnum):
    """How two values are set against each other."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


class NoRatio(ValueError):
    """A value of zero or below has no logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The differences d of the blocks that have both values; `missing` counts those that lack one.

    `floor` is the least half-width that the counts behind the values allow: no failure among n requests says that
    the share is below 3/n (Hanley and Lippman-Hand, JAMA 1983), however equal the blocks are. `least_sd` is what
    values scatter by because they are counted, in clock ticks, pages or requests: less was seen by chance.
    """

    differences: tuple[float, ...]
    scale: Scale = Scale.RATIO
    missing: int = 0
    floor: float = 0.0
    least_sd: float = 0.0

    @property
    def blocks(self) -> int:
        """The number of differences."""
        return len(self.differences)

    @property
    def mean(self) -> float:
        """The estimate; 0 without blocks."""
        return math.fsum(self.differences) / self.blocks if self.blocks else 0.0

    @property
    def sd(self) -> float:
        """The standard deviation between blocks, at least `least_sd`; 0 below two blocks, or for equal ones."""
        return max(distributions.standard_deviation(self.differences), self.least_sd if self.blocks > 1 else 0.0)

    def mirrored(self) -> Effect:
        """Return the effect with base and variant in each other's place."""
        return replace(self, differences=tuple(-d for d in self.differences))


def of(
    base: Sequence[float | None], variant: Sequence[float | None], scale: Scale = Scale.RATIO, floor: float = 0.0
) -> Effect:
    """Pair the values of the same blocks; NoRatio if one of a ratio is zero or below.

    Pairs that are both zero throughout are equal on any scale.
    """
    both = [(b, v) for b, v in zip(base, variant, strict=True) if _told(b) and _told(v)]
    pairs = [(b, v) for b, v in both if b is not None and v is not None]
    if scale is Scale.RATIO and any(b or v for b, v in pairs):
        if any(b <= 0 or v <= 0 for b, v in pairs):
            raise NoRatio("0 or less in some block: there is no ratio to it")
        found = [math.log(v / b) for b, v in pairs]
    else:
        found = [v - b for b, v in pairs]
    return Effect(differences=tuple(found), scale=scale, missing=len(base) - len(pairs), floor=floor)


def decidable(effect: Effect) -> bool:
    """Tell whether there are blocks enough for a word; the interval of two is Student's, and proves nothing."""
    return effect.blocks >= FEWEST


def interval(effect: Effect, alpha: float) -> Interval | None:
    """Return Student's interval mean ± t(1-alpha/2, R-1) s/√R; None where scatter can't be told."""
    return distributions.mean_interval(effect.differences, alpha, sd=effect.sd, floor=effect.floor)


def p_value(effect: Effect) -> float:
    """Return the two-sided p of the paired t test of no effect; 1 with too few blocks."""
    if not decidable(effect) or abs(effect.mean) <= effect.floor:
        return 1.0
    if effect.sd == 0:
        return 0.0 if effect.mean else 1.0
    return distributions.t_both_tails(effect.mean / effect.sd * math.sqrt(effect.blocks), effect.blocks - 1)


def equivalent(effect: Effect, margin: float, alpha: float) -> bool:
    """Tell whether the effect is surely within ± margin: two one-sided tests at alpha each.

    That is the (1-2 alpha) interval inside the margins (Schuirmann, J. Pharmacokin. Biopharm. 1987).
    """
    span = interval(effect, 2 * alpha)
    return decidable(effect) and span is not None and -margin < span.low and span.high < margin


def smallest_seen(effect: Effect, alpha: float) -> float | None:
    """Return the effect that so many blocks of this scatter see with 80 % power: (t(1-alpha/2) + t(0.8)) s/√R.

    None with too few blocks. (Lachin, Controlled Clinical Trials 1981, with t in place of the normal.)
    """
    if not decidable(effect):
        return None
    freedom = effect.blocks - 1
    sum_t = distributions.t_quantile(1 - alpha / 2, freedom) + distributions.t_quantile(POWER, freedom)
    return max(sum_t * effect.sd / math.sqrt(effect.blocks), effect.floor)


def blocks_needed(effect: Effect, margin: float, alpha: float, equivalence_alpha: float) -> int | None:
    """Return how many blocks in all would decide; None for more than MOST_BLOCKS, or with too few to tell.

    With them an effect as large as the margin is seen with 80 % power, and if estimate and scatter stay as they
    are, the effect is shown to be beyond the margin, or within it.
    """
    if not decidable(effect):
        return None
    blocks = _COUNTS
    error, floor = effect.sd / np.sqrt(blocks), effect.floor * effect.blocks / blocks
    t_alpha, t_equal, t_power = (_quantiles(one) for one in (1 - alpha / 2, 1 - equivalence_alpha, POWER))
    seen = np.maximum((t_alpha + t_power) * error, floor) <= margin
    beyond = abs(effect.mean) - np.maximum(t_alpha * error, floor) > margin
    within = abs(effect.mean) + np.maximum(t_equal * error, floor) < margin
    enough = blocks[seen & (beyond | within) & (blocks > effect.blocks)]
    return int(enough[0]) if len(enough) else None


def margin(threshold: float, scale: Scale) -> float:
    """Return a threshold, or an effect as shown, on the scale of the differences: ln(1 + it) of a ratio."""
    return math.log1p(threshold) if scale is Scale.RATIO else threshold


def shown(difference: float, scale: Scale) -> float:
    """Return a difference as people read it: ratio - 1, or the difference itself."""
    return math.expm1(difference) if scale is Scale.RATIO else difference


@lru_cache(maxsize=64)
def _quantiles(probability: float) -> NDArray[np.float64]:
    return distributions.t_quantiles(probability, _COUNTS - 1)


def _told(value: float | None) -> bool:
    return value is not None and math.isfinite(value)

"""Paired effects with their intervals and tests: Student's t, signed ranks, corrections for many tests.

The unit is the block: within one run requests depend on each other, and tests that take each as independent
raise false alarms on most identical pairs. Ratios are judged as d = ln(variant / base), so that twice and half
are as far from one; shares, which can be zero, as plain differences between blocks (Newcombe's interval for
pooled requests would again take each as independent).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seatrial.measure import statistics
from seatrial.measure.metric import Scale
from seatrial.measure.statistics import FEWEST, Interval

POWER = 0.8
"""The power: how often a test sees an effect of the smallest visible size."""
MOST_BLOCKS = 1000
"""More are never planned."""
_COUNTS = np.arange(2, MOST_BLOCKS + 1)


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
        return max(statistics.standard_deviation(self.differences), self.least_sd if self.blocks > 1 else 0.0)

    def mirrored(self) -> Effect:
        """Return the effect with base and variant in each other's place."""
        return replace(self, differences=tuple(-d for d in self.differences))


def pair(
    base: Sequence[float | None], variant: Sequence[float | None], scale: Scale = Scale.RATIO, floor: float = 0.0
) -> Effect:
    """Pair the values of the same blocks; NoRatio if one of a ratio is zero or below.

    Pairs that are both zero throughout are equal on any scale.
    """
    both = [(b, v) for b, v in zip(base, variant, strict=True) if b is not None and v is not None]
    pairs = [(b, v) for b, v in both if math.isfinite(b) and math.isfinite(v)]
    ratios = scale is Scale.RATIO and any(b or v for b, v in pairs)
    if ratios and any(b <= 0 or v <= 0 for b, v in pairs):
        raise NoRatio("0 or less in some block: there is no ratio to it")
    differences = tuple(math.log(v / b) if ratios else v - b for b, v in pairs)
    return Effect(differences=differences, scale=scale, missing=len(base) - len(pairs), floor=floor)


def decidable(effect: Effect) -> bool:
    """Return whether there are blocks enough for a verdict; the interval of two proves nothing."""
    return effect.blocks >= FEWEST


def interval(effect: Effect, alpha: float) -> Interval | None:
    """Return Student's interval mean ± t(1-alpha/2, R-1) s/√R; None where scatter is unknown."""
    return statistics.mean_interval(effect.differences, alpha, sd=effect.sd, floor=effect.floor)


def p_value(effect: Effect) -> float:
    """Return the two-sided p of the paired t test of no effect; 1 with too few blocks."""
    if not decidable(effect) or abs(effect.mean) <= effect.floor:
        return 1.0
    if effect.sd == 0:
        return 0.0 if effect.mean else 1.0
    return statistics.t_both_tails(effect.mean / effect.sd * math.sqrt(effect.blocks), effect.blocks - 1)


def equivalent(effect: Effect, margin: float, alpha: float) -> bool:
    """Return whether the effect is within ± margin by two one-sided tests at alpha each.

    That is the (1-2 alpha) interval inside the margins (Schuirmann, J. Pharmacokin. Biopharm. 1987).
    """
    span = interval(effect, 2 * alpha)
    return decidable(effect) and span is not None and -margin < span.low and span.high < margin


def smallest_seen(effect: Effect, alpha: float, planned: int | None = None) -> float | None:
    """Return the effect that blocks of this scatter see with 80 % power: (t(1-alpha/2) + t(0.8)) s/√R.

    R is the number of blocks, or of those `planned`. None with too few blocks. (Lachin, Controlled Clinical Trials
    1981, with t in place of the normal.)
    """
    blocks = effect.blocks if planned is None else planned
    if not decidable(effect) or blocks < 2:  # noqa: PLR2004  (one has no scatter)
        return None
    sum_t = statistics.t_quantile(1 - alpha / 2, blocks - 1) + statistics.t_quantile(POWER, blocks - 1)
    floor = effect.floor if planned is None else effect.floor * effect.blocks / planned
    return max(sum_t * effect.sd / math.sqrt(blocks), floor)


def blocks_needed(effect: Effect, margin: float, alpha: float, equivalence_alpha: float) -> int | None:
    """Return how many blocks in all would decide; None for more than MOST_BLOCKS, or with too few so far.

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
    return statistics.t_quantiles(probability, _COUNTS - 1)


_EXACT_BLOCKS = 24
_DRAWS = 1 << 16
_ROUNDING = 1e-9


def enough_for_ranks(blocks: int, alpha: float) -> bool:
    """Return whether so many blocks can reach p <= alpha at all: 2 / 2^R <= alpha, that is R >= log2(2/alpha)."""
    return blocks >= math.log2(2 / alpha)


def hodges_lehmann(effect: Effect) -> float | None:
    """Return the median of the means of all pairs of differences (Hodges and Lehmann, Ann. Math. Stat. 1963)."""
    return float(np.median(_walsh(effect))) if effect.blocks else None


def signed_rank_interval(effect: Effect, alpha: float) -> Interval | None:
    """Return the interval around Hodges-Lehmann that Wilcoxon's signed-rank test gives; None with too few blocks.

    From the c-th smallest to the c-th largest pair mean, where c - 1 is the largest rank sum whose lower tail is
    at most alpha/2 (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3.3).
    """
    if not effect.blocks or not enough_for_ranks(effect.blocks, alpha):
        return None
    tail = _rank_sum_tail(effect.blocks)
    count = int(np.searchsorted(tail, alpha / 2 * (1 + _ROUNDING), side="right"))
    walsh = _walsh(effect)
    return Interval(float(walsh[count - 1]), float(walsh[-count]))


def sign_flip_p(effect: Effect) -> float:
    """Return how often a mean is as far from zero when each sign is drawn at random (Fisher 1935).

    All 2^R signs up to 24 blocks, from the sums of two halves; above that 65,536 draws with one added to both
    counts, so that p is never too small (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 2010).
    """
    sizes = np.sort(np.abs(np.array(effect.differences)))
    if not len(sizes) or not sizes[-1]:
        return 1.0
    reached = abs(math.fsum(effect.differences)) - _ROUNDING * float(sizes.sum())
    if len(sizes) > _EXACT_BLOCKS:
        signs = np.random.default_rng(0).integers(0, 2, (_DRAWS, len(sizes))) * 2 - 1
        return float((1 + np.sum(np.abs(signs @ sizes) >= reached)) / (1 + _DRAWS))
    even, odd = np.sort(_sums(sizes[::2])), _sums(sizes[1::2])
    above = len(even) - np.searchsorted(even, reached - odd, side="left")
    below = np.searchsorted(even, -reached - odd, side="right")
    return min(1.0, float((above + below).sum()) / 2.0 ** len(sizes))


def _sums(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums - size, sums + size])
    return sums


def _walsh(effect: Effect) -> NDArray[np.float64]:
    values = np.sort(np.array(effect.differences))
    first, second = np.triu_indices(len(values))
    return np.sort((values[first] + values[second]) / 2)


@lru_cache(maxsize=128)
def _rank_sum_tail(blocks: int) -> NDArray[np.float64]:
    """Return P(T+ <= t) for t = 0, 1, ...: each rank 1..R counts or not, with probability one half."""
    ways = np.ones(1)
    for rank in range(1, blocks + 1):
        taken = np.concatenate([np.zeros(rank), ways])
        ways = (np.concatenate([ways, np.zeros(rank)]) + taken) / 2
    return np.cumsum(ways)


DISCOVERY_RATE = 0.10
"""The share of false ones among the discoveries of an exploratory table."""


def holm(p_values: Sequence[float], alpha: float) -> list[float]:
    """Return the level at which each test is judged, so that one false alarm in all has probability alpha.

    Step down from the smallest p: alpha/m, alpha/(m-1), ... until one is not reached; that level then holds for
    all others (Holm, Scand. J. Stat. 1979). Intervals at these levels exclude zero where the step-down test
    rejects.
    """
    levels = [0.0] * len(p_values)
    reached = 0
    for place in np.argsort(np.array(p_values), kind="stable"):
        levels[place] = alpha / (len(p_values) - reached)
        if p_values[place] <= levels[place]:
            reached = min(reached + 1, len(p_values) - 1)
        else:
            break
    last = alpha / (len(p_values) - reached) if p_values else alpha
    return [level or last for level in levels]


def benjamini_hochberg(p_values: Sequence[float], rate: float = DISCOVERY_RATE) -> tuple[list[bool], float]:
    """Return which tests are discoveries at this false discovery rate, and the level for intervals.

    The k smallest p, k the largest with p(k) <= rate k/m (Benjamini and Hochberg, JRSS B 1995); intervals at
    rate k/m keep the share of false ones among them (Benjamini and Yekutieli, JASA 2005).
    """
    if not p_values:
        return [], rate
    ordered = np.sort(np.array(p_values))
    passed = np.flatnonzero(ordered <= rate * np.arange(1, len(ordered) + 1) / len(ordered))
    count = int(passed[-1]) + 1 if len(passed) else 0
    level = rate * max(count, 1) / len(ordered)
    return [p <= level for p in p_values] if count else [False] * len(ordered), level

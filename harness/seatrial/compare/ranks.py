"""Companions of the t interval that assume no shape of the noise, exact for few blocks."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seatrial.compare.effects import Effect
from seatrial.measure.statistics import Interval

_EXACT_BLOCKS = 24
_DRAWS = 1 << 16
_ROUNDING = 1e-9


def speak(blocks: int, alpha: float) -> bool:
    """Tell whether so many blocks can reach p <= alpha at all: 2 / 2^R <= alpha, that is R >= log2(2/alpha)."""
    return blocks >= math.log2(2 / alpha)


def hodges_lehmann(effect: Effect) -> float | None:
    """Return the median of the means of all pairs of differences (Hodges and Lehmann, Ann. Math. Stat. 1963)."""
    return float(np.median(_walsh(effect))) if effect.blocks else None


def signed_rank_interval(effect: Effect, alpha: float) -> Interval | None:
    """Return the interval around Hodges-Lehmann that Wilcoxon's signed-rank test gives; None with too few blocks.

    From the c-th smallest to the c-th largest pair mean, where c - 1 is the largest rank sum whose lower tail is
    at most alpha/2 (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3.3).
    """
    if not effect.blocks or not speak(effect.blocks, alpha):
        return None
    tail = _rank_sum_tail(effect.blocks)
    count = int(np.searchsorted(tail, alpha / 2 * (1 + _ROUNDING), side="right"))
    walsh = _walsh(effect)
    return Interval(float(walsh[count - 1]), float(walsh[-count]))


def sign_flip_p(effect: Effect) -> float:
    """Return how often a mean as far from zero comes about when each sign is a coin's (Fisher 1935).

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
    one, other = np.sort(_sums(sizes[::2])), _sums(sizes[1::2])
    above = len(one) - np.searchsorted(one, reached - other, side="left")
    below = np.searchsorted(one, -reached - other, side="right")
    return min(1.0, float((above + below).sum()) / 2.0 ** len(sizes))


def _sums(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums - size, sums + size])
    return sums


def _walsh(effect: Effect) -> NDArray[np.float64]:
    values = np.sort(np.array(effect.differences))
    one, other = np.triu_indices(len(values))
    return np.sort((values[one] + values[other]) / 2)


@lru_cache(maxsize=128)
def _rank_sum_tail(blocks: int) -> NDArray[np.float64]:
    """Return P(T+ <= t) for t = 0, 1, ...: each rank 1..R counts or not, with probability one half."""
    ways = np.ones(1)
    for rank in range(1, blocks + 1):
        taken = np.concatenate([np.zeros(rank), ways])
        ways = (np.concatenate([ways, np.zeros(rank)]) + taken) / 2
    return np.cumsum(ways)

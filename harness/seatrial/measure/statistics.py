"""Quantiles and their intervals, intervals of means and shares, and the distributions behind them.

Importing `scipy.special` takes 0.2 s, and a scenario is read without it although its gate is made of metrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from seatrial.measure.tables import Floats, Ints, Mask

ALPHA = 0.05
"""Intervals within one run are 95 % ones."""
_BATCHES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """A distribution in the unit of its values; None where the observations are too few."""

    count: int
    p50: int | None
    p95: int | None
    p99: int | None
    max: int | None


def nearest_rank(ordered: Ints, percent: int) -> int:
    """Return the percentile of values in ascending order; ValueError if there is none."""
    if len(ordered) == 0:
        raise ValueError("a percentile of no value")
    return int(ordered[_rank(len(ordered), percent) - 1])


_NO_SCATTER = 1e-12
"""Logarithms of equal ratios differ by rounding, about 1e-16."""
NO_FAILURE = 3.0
"""No failure among n: the share is below 3/n, with 95 % (Hanley and Lippman-Hand, JAMA 1983)."""
FEWEST = 3
"""Nothing is decided by fewer values. The standard deviation of two normal ones is below a tenth of the true one
in 8 % of experiments, that of three in 1 % (chi-squared, n-1 degrees of freedom, below 0.01 (n-1))."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, on the scale of the values."""

    low: float
    high: float


def standard_deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample; 0 below two values, or for equal ones."""
    if len(values) < 2:  # noqa: PLR2004  (one value has no scatter)
        return 0.0
    middle = math.fsum(values) / len(values)
    sd = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))
    return sd if sd > _NO_SCATTER * max(1.0, abs(middle)) else 0.0


def mean_interval(
    values: Sequence[float], alpha: float, *, sd: float | None = None, floor: float = 0.0
) -> Interval | None:
    """Return Student's interval mean ± t(1-alpha/2, n-1) s/√n, no narrower than ± `floor`.

    `sd` takes the place of the values' own standard deviation. None where scatter can't be known: below two
    values, and below FEWEST equal ones.
    """
    scatter, count = standard_deviation(values) if sd is None else sd, len(values)
    if count < (FEWEST if scatter == 0 else 2):
        return None
    middle = math.fsum(values) / count
    half = max(t_quantile(1 - alpha / 2, count - 1) * scatter / math.sqrt(count), floor)
    return Interval(middle - half, middle + half)


def mean_over_blocks(
    values: Sequence[float], alpha: float, *, logs: bool, floor: float = 0.0
) -> tuple[float, float | None, float | None]:
    """Return the mean (geometric, by `logs`) and the ends of Student's interval, None where scatter is unknown."""
    values = [math.log(value) for value in values] if logs else values
    span = mean_interval(values, alpha, floor=floor)
    back = math.exp if logs else float
    low, high = (None, None) if span is None else (back(span.low), back(span.high))
    return back(math.fsum(values) / len(values)), low, high


def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t."""
    return float(_special().stdtrit(freedom, probability))


def t_quantiles(probability: float, freedom: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the quantile of Student's t for many degrees of freedom."""
    return np.asarray(_special().stdtrit(freedom, probability), dtype=np.float64)


def t_both_tails(statistic: float, freedom: int) -> float:
    """Return the probability of a t at least so far from zero."""
    return float(2 * _special().stdtr(freedom, -abs(statistic)))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the quantile of the beta distribution; 0 or 1 where a parameter is not above zero."""
    if a <= 0:
        return 0.0
    return 1.0 if b <= 0 else float(_special().betaincinv(a, b, probability))


def binomial_tail(hits: int, tries: int, probability: float) -> float:
    """Return the probability of at least so many hits."""
    return float(_special().bdtrc(hits - 1, tries, probability))


def fisher_p(variant: tuple[int, int], base: tuple[int, int]) -> float:
    """Return the two-sided p of Fisher's exact test of two rows of counts.

    That of all tables with the same sums that are at most as probable as the one given (hypergeometric), exactly.
    """
    hits = variant[0] + base[0]
    ways = [math.comb(sum(variant), own) * math.comb(sum(base), hits - own) for own in range(hits + 1)]
    return sum(way for way in ways if way <= ways[variant[0]]) / sum(ways)


def _special() -> ModuleType:
    from scipy import special  # type: ignore[import-untyped]  # noqa: PLC0415  (see the top)

    module: ModuleType = special
    return module


def quantiles(values: Ints) -> Quantiles:
    """Summarise `values`; a percentile is None unless at least one observation is expected above it.

    That asks for 2 values for p50, 20 for p95 and 100 for p99 (Rally's sample-size rule has the same principle).
    """
    return quantiles_in_place(values.copy())


def quantiles_in_place(values: Ints) -> Quantiles:
    """Summarise as above, and leave `values` in another order: of ten million a copy takes 80 MB."""
    count = len(values)
    if not count:
        return Quantiles(count=0, p50=None, p95=None, p99=None, max=None)
    # only these places come to stand in order: a fifth of the time of sorting all
    values.partition(sorted({_rank(count, percent) - 1 for percent in (50, 95, 99, 100)}))
    p50, p95, p99 = (nearest_rank(values, percent) if enough(count, percent) else None for percent in (50, 95, 99))
    return Quantiles(count=count, p50=p50, p95=p95, p99=p99, max=int(values[-1]))


def enough(count: int, percent: int) -> bool:
    """Return whether at least one of so many values is expected above the percentile."""
    return round(count * (1 - percent / 100), 6) >= 1


def _rank(count: int, percent: int) -> int:
    return max(1, -(-percent * count // 100))


def percentile(values: Ints | Floats, percent: int) -> float | None:
    """Return the nearest-rank percentile of values in any order; None without enough of them."""
    if not enough(len(values), percent):
        return None
    place = _rank(len(values), percent) - 1
    return float(np.partition(values, place)[place])


def quantile_interval(values: Ints | Floats, percent: int, alpha: float = ALPHA) -> tuple[float, float | None]:
    """Return the order statistics that enclose a percentile of values in the order of time.

    The share of values up to the percentile gets its interval, whose ends are read off the ordered values
    (Woodruff, JASA 1952). The upper end is None if so few values don't bound it: p^n > alpha/2.
    """
    count = len(values)
    place = _rank(count, percent) - 1
    effective = effective_count(values > np.partition(values, place)[place], alpha)
    part = percent / 100
    low, high = _clopper_pearson(part, effective, alpha)
    low_at, high_at = max(math.ceil(low * count), 1) - 1, min(math.ceil(high * count), count) - 1
    placed = np.partition(values, sorted({low_at, high_at}))
    return float(placed[low_at]), None if part**effective > alpha / 2 else float(placed[high_at])


def share_interval(hits: Mask, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the interval of a share of observations in the order of time, at least one."""
    return _clopper_pearson(float(hits.mean()), effective_count(hits, alpha), alpha)


def effective_count(hits: Mask, alpha: float = ALPHA) -> float:
    """Return how many independent observations would give the share of hits the same variance.

    p(1-p) over the variance of the mean, estimated from twenty batches in the order of time, less a part for so
    few batches: (t(n-1) / t(19))^2 (Korn and Graubard, Survey Methodology 1998). Never more than there are.
    """
    part, count = float(hits.mean()), len(hits)
    batches = min(_BATCHES, count // 5)
    if part in (0.0, 1.0) or batches < 2:  # noqa: PLR2004  (one batch has no scatter)
        return float(count)
    means = np.array([batch.mean() for batch in np.array_split(hits, batches)])
    variance = float(means.var(ddof=1)) / batches
    if variance <= 0:
        return float(count)
    few = (t_quantile(1 - alpha / 2, count - 1) / t_quantile(1 - alpha / 2, batches - 1)) ** 2
    return min(float(count), max(part * (1 - part) / variance * few, 1.0))


def _clopper_pearson(part: float, count: float, alpha: float) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson, Biometrika 1934), also of a fractional count."""
    hits = part * count
    return (
        beta_quantile(alpha / 2, hits, count - hits + 1),
        beta_quantile(1 - alpha / 2, hits + 1, count - hits),
    )

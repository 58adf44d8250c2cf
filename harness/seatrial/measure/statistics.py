"""Statistical distributions, quantiles, and intervals of a mean.

To import `scipy.special` takes 0.2 s, and reading a scenario comes through here, too: its gate is made of metrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from seatrial.measure.tables import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """A distribution in the unit of its values; None where the observations are too few to tell."""

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
FEWEST = 3
"""With fewer values nothing is decided. The standard deviation of two normal ones is below a tenth of the true one
in 8 % of experiments, that of three in 1 % (chi-squared, n-1 degrees of freedom, below 0.01 (n-1))."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, on the scale of the values."""

    low: float
    high: float

    @property
    def half(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2


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

    `sd` stands for the values' own standard deviation. None where scatter can't be known: below two values, and
    below FEWEST equal ones.
    """
    scatter, count = standard_deviation(values) if sd is None else sd, len(values)
    if count < (FEWEST if scatter == 0 else 2):
        return None
    middle = math.fsum(values) / count
    half = max(t_quantile(1 - alpha / 2, count - 1) * scatter / math.sqrt(count), floor)
    return Interval(middle - half, middle + half)


def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t."""
    return float(_special().stdtrit(freedom, probability))


def t_quantiles(probability: float, freedom: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the same quantile of Student's t for many degrees of freedom."""
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


def fisher_p(ours: tuple[int, int], theirs: tuple[int, int]) -> float:
    """Return the two-sided p of Fisher's exact test of two rows of counts.

    All tables with the same sums that are at most as probable as the one seen (hypergeometric), exactly.
    """
    first, second, hits = sum(ours), sum(theirs), ours[0] + theirs[0]
    ways = [math.comb(first, one) * math.comb(second, hits - one) for one in range(hits + 1)]
    return sum(way for way in ways if way <= ways[ours[0]]) / sum(ways)


def _special() -> ModuleType:
    from scipy import special  # type: ignore[import-untyped]  # noqa: PLC0415  (see the top)

    module: ModuleType = special
    return module


def quantiles(values: Ints) -> Quantiles:
    """Summarise `values`; a percentile is told only if at least one observation is expected above it.

    That asks for 2 values for p50, 20 for p95 and 100 for p99 (Rally's sample-size rule has the same principle).
    """
    return quantiles_in_place(values.copy())


def quantiles_in_place(values: Ints) -> Quantiles:
    """Summarise as above, and leave `values` in another order: of ten million a copy takes 80 MB."""
    count = len(values)
    if not count:
        return Quantiles(count=0, p50=None, p95=None, p99=None, max=None)
    # only the places that are asked for come to stand in order: a fifth of the time of sorting all
    values.partition(sorted({_rank(count, percent) - 1 for percent in (50, 95, 99, 100)}))
    p50, p95, p99 = (_if_enough(values, percent) for percent in (50, 95, 99))
    return Quantiles(count=count, p50=p50, p95=p95, p99=p99, max=int(values[-1]))


def enough(count: int, percent: int) -> bool:
    """Tell whether at least one of so many values is expected above the percentile."""
    return round(count * (1 - percent / 100), 6) >= 1


def _rank(count: int, percent: int) -> int:
    return max(1, -(-percent * count // 100))


def _if_enough(ordered: Ints, percent: int) -> int | None:
    return nearest_rank(ordered, percent) if enough(len(ordered), percent) else None

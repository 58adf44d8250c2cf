"""How far a metric of a single run can be trusted, from that run alone.

Successive requests are alike: a stack that is slow now is slow in a moment, too. So their effective number is
smaller than their count, and is found from batches. What differs from run to run this can't see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seatrial.measure import statistics as distributions
from seatrial.measure import values as measured
from seatrial.measure.metric import HIGHEST, Kind, Metric
from seatrial.measure.tables import Floats, Ints, Mask
from seatrial.measure.values import Tables

ALPHA = 0.05
_BATCHES = 20
_SLICES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A metric of one run; `low` and `high` enclose it with 95 %, an end that nobody can tell is None.

    `value` is None if it can't be told, and `never` says that nothing of that name was ever asked, or ended well.
    `count` is the number of observations behind it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    never: bool = False


def reading(metric: Metric, tables: Tables) -> Reading:
    """Read a metric with its uncertainty within the run.

    Percentiles and shares by effective numbers (`quantile_interval`, `share_interval`); a peak, or the highest of
    a detail, was seen, and is what it is; the others by Student's interval over ten parts of the window (batch
    means; Law, Simulation Modeling and Analysis, 9.5).
    """
    if metric.kind is Kind.LATENCY:
        return _of_latency(metric, measured.latencies_ns(measured.asked(metric.of, tables)))
    if metric.kind is Kind.FAILURES:
        return _of_failures(measured.failed(measured.asked(metric.of, tables)))
    found = measured.value(metric, tables)
    if metric.kind is Kind.DETAIL and metric.percent is not None:
        return _of_detail(metric.percent, measured.details(metric, tables), found)
    if found is None:
        return Reading(value=None, never=True)
    if metric.kind is Kind.PEAK:
        return Reading(value=found, low=found, high=found, count=tables.samples.count)
    return _by_slices(metric, found, tables)


def quantile_interval(took: Ints | Floats, percent: int, alpha: float = ALPHA) -> tuple[float, float | None]:
    """Return the order statistics that enclose a percentile of values in the order of time.

    The share of values up to the percentile gets its interval, whose ends are read off the ordered values
    (Woodruff, JASA 1952). The upper end is None if so few values don't bound it: p^n > alpha/2.
    """
    count = len(took)
    point_at = max(1, -(-percent * count // 100)) - 1
    effective = effective_count(took > np.partition(took, point_at)[point_at], alpha)
    part = percent / 100
    low, high = _clopper_pearson(part, effective, alpha)
    first_at, last_at = max(math.ceil(low * count), 1) - 1, min(math.ceil(high * count), count) - 1
    placed = np.partition(took, sorted({first_at, last_at}))
    return float(placed[first_at]), None if part**effective > alpha / 2 else float(placed[last_at])


def share_interval(hits: Mask, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the interval of a share of observations in the order of time, at least one."""
    return _clopper_pearson(float(hits.mean()), effective_count(hits, alpha), alpha)


def effective_count(hits: Mask, alpha: float = ALPHA) -> float:
    """Return how many independent observations tell as much about the share of hits.

    p(1-p) over the variance of the mean, which twenty batches in the order of time tell, less a part for so few
    batches: (t(n-1) / t(19))^2 (Korn and Graubard, Survey Methodology 1998). Never more than there are.
    """
    part, count = float(hits.mean()), len(hits)
    batches = min(_BATCHES, count // 5)
    if part in (0.0, 1.0) or batches < 2:  # noqa: PLR2004  (one batch has no scatter)
        return float(count)
    means = np.array([batch.mean() for batch in np.array_split(hits, batches)])
    variance = float(means.var(ddof=1)) / batches
    if variance <= 0:
        return float(count)
    few = (
        distributions.t_quantile(1 - alpha / 2, count - 1) / distributions.t_quantile(1 - alpha / 2, batches - 1)
    ) ** 2
    return min(float(count), max(part * (1 - part) / variance * few, 1.0))


def _clopper_pearson(part: float, count: float, alpha: float) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson, Biometrika 1934), also of a fractional count."""
    hits = part * count
    return (
        distributions.beta_quantile(alpha / 2, hits, count - hits + 1),
        distributions.beta_quantile(1 - alpha / 2, hits + 1, count - hits),
    )


def _of_latency(metric: Metric, took: Ints) -> Reading:
    found = measured.percentile(metric, took)
    if found is None:
        return Reading(value=None, count=len(took), never=not len(took))
    low, high = quantile_interval(took, metric.percent or 50)
    return Reading(value=found, low=low, high=high, count=len(took))


def _of_failures(bad: Mask) -> Reading:
    if not len(bad):
        return Reading(value=None, never=True)
    low, high = share_interval(bad)
    return Reading(value=float(bad.mean()), low=low, high=high, count=len(bad))


def _of_detail(percent: int, numbers: Floats, value: float | None) -> Reading:
    if value is None:
        return Reading(value=None, count=len(numbers), never=not len(numbers))
    low, high = (value, value) if percent == HIGHEST else quantile_interval(numbers, percent)
    return Reading(value=value, low=low, high=high, count=len(numbers))


def _by_slices(metric: Metric, found: float, tables: Tables) -> Reading:
    parts = [measured.value(metric, part) for part in measured.slices(tables, _SLICES)]
    told: NDArray[np.float64] = np.array([part for part in parts if part is not None])
    span = distributions.mean_interval([float(part) for part in told], ALPHA)
    if span is None:
        return Reading(value=found, count=len(told))
    return Reading(value=found, low=found - span.half, high=found + span.half, count=len(told))

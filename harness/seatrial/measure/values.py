"""The value of a metric in one run, with its uncertainty.

Successive requests are alike: a stack that is slow now is slow in a moment, too. So their effective number is
smaller than their count, and is found from batches. What differs from run to run this can't see.

Values that agree to many digits may do so because they were counted coarsely. Rounding to steps of q leaves a
standard deviation of q/√12 (Sheppard, Proc. London Math. Soc. 1898), and blocks can't be known to scatter by less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from seatrial.measure import metric as metrics
from seatrial.measure import services, statistics
from seatrial.measure import slices as slice_counts
from seatrial.measure import tables as measure_tables
from seatrial.measure.metric import HIGHEST, Kind, Metric, Scale, Unit, detail
from seatrial.measure.slices import SliceTimes
from seatrial.measure.statistics import enough, nearest_rank, quantiles
from seatrial.measure.tables import (
    Floats,
    FlowColumns,
    Ints,
    LabelColumn,
    Mask,
    RequestColumns,
    SampleColumns,
    where,
)
from seatrial.measure.validity import RESERVED
from seatrial.units import NS_PER_S
from seatrial.wire import histogram
from seatrial.wire.streams import NOT_FAILURES, NULL, Outcome

DONE = frozenset({Outcome.OK, Outcome.ABORTED})
"""What counts as throughput: a refusal is not work done, and what the end of the run cut off is neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """One run's window; samples stand in the order of time.

    `details` maps the key of a flow's numeric detail to one number for each row of `flows`, NaN where it has none.
    `by_flows` says that no request was made, so that the work of the run is counted in flows.
    Where the load came by turns, `turns` are its own, and `around` the samples of the whole run.
    """

    requests: RequestColumns
    flows: FlowColumns
    samples: SampleColumns
    window_ns: int
    details: Mapping[str, Floats] = field(default_factory=dict)
    turns: SliceTimes | None = None
    around: SampleColumns | None = None
    by_flows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDetail:
    """What the flows of one name reported under one key, in `unit`; None where they are too few to tell."""

    flow: str
    key: str
    unit: Unit
    count: int
    mean: float
    p50: float | None
    p95: float | None
    max: float


def metric_value(metric: Metric, tables: Tables) -> float | None:
    """Return the metric in its unit; None if it was never measured, or too seldom to tell a percentile."""
    if metric.kind is Kind.LATENCY:
        return percentile(metric, latencies_ns(requests_or_flows(metric.of, tables)))
    if metric.kind is Kind.DETAIL:
        return _summary(detail_values(metric, tables), metric.percent)
    if metric.kind in (Kind.CPU, Kind.MEMORY, Kind.PEAK):
        return _service_value(metric, tables)
    some = requests_or_flows(metric.of, tables)
    if not len(some.t_start_ns):
        return None
    if metric.kind is Kind.FAILURES:
        return float(failure_mask(some).mean())
    return float(_any_of(some.outcome, DONE).sum()) * NS_PER_S / tables.window_ns if tables.window_ns > 0 else None


def percentile(metric: Metric, took_ns: Ints) -> float | None:
    """Return the percentile that a metric of latency means; None if they are too few to tell it."""
    summary = quantiles(took_ns)
    latency_ns = {50: summary.p50, 95: summary.p95, 99: summary.p99}[metric.percent or 50]
    return None if latency_ns is None else float(latency_ns)


def requests_or_flows(name: str | None, tables: Tables) -> RequestColumns | FlowColumns:
    """Return the requests of an endpoint, the flows of that name if there is no such request, or all requests.

    Of a run that made no request: all flows.
    """
    if name is None:
        return tables.flows if tables.by_flows else tables.requests
    mine = tables.requests.endpoint.is_(name)
    return where(tables.requests, mine) if mine.any() else where(tables.flows, tables.flows.flow.is_(name))


def latencies_ns(some: RequestColumns | FlowColumns) -> Ints:
    """Return how long the successes took from their intended start, in the order of these starts."""
    told = some.outcome.is_(Outcome.OK) & (some.t_end_ns != NULL) & (some.began_ns != NULL)
    order = np.argsort(some.began_ns[told], kind="stable")
    took: Ints = (some.t_end_ns[told] - some.began_ns[told])[order]
    return took


def failure_mask(some: RequestColumns | FlowColumns) -> Mask:
    """Return which failed, in the order of their starts."""
    bad = ~_any_of(some.outcome, NOT_FAILURES)
    found: Mask = bad[np.argsort(some.began_ns, kind="stable")]
    return found


def window_parts(tables: Tables, count: int) -> list[Tables]:
    """Cut the window into parts of equal length, by when things began."""
    moments = (tables.requests.began_ns, tables.flows.began_ns, tables.samples.numbers["t_ns"])
    stamps = np.concatenate(moments)
    if not len(stamps):
        return []
    edges = np.linspace(stamps.min(), stamps.max(), count + 1)[1:-1]
    places = [np.searchsorted(edges, when, side="right") for when in moments]
    found = [_slice(tables, [place == number for place in places], count) for number in range(count)]
    if tables.turns is None:
        return found
    ends = [-np.inf, *edges.tolist(), np.inf]
    own = [tables.turns.part(ends[number], ends[number + 1]) for number in range(count)]
    return [replace(part, turns=mine, around=tables.around) for part, mine in zip(found, own, strict=True)]


def _slice(tables: Tables, masks: list[Mask], count: int) -> Tables:
    requests, flows, samples = masks
    return Tables(
        requests=where(tables.requests, requests),
        flows=where(tables.flows, flows),
        samples=where(tables.samples, samples),
        window_ns=tables.window_ns // count,
        details={key: numbers[flows] for key, numbers in tables.details.items()},
        by_flows=tables.by_flows,
    )


def _service_value(metric: Metric, tables: Tables) -> float | None:
    samples = stack_samples(metric.of, tables.samples)
    if not samples.count:
        return None
    if metric.kind is Kind.CPU:
        whole = tables.around and replace(tables, around=stack_samples(metric.of, tables.around))
        return _cpu_per_unit_ns(samples, whole or tables, by_flows=tables.by_flows or metric.per == "flow")
    held = np.sort(_unreclaimable(samples))
    if not len(held):
        return None
    return float(nearest_rank(held, 50) if metric.kind is Kind.MEMORY else held[-1])


def _cpu_per_unit_ns(samples: SampleColumns, tables: Tables, *, by_flows: bool) -> float | None:
    """Return the processor time of each request, or of each flow."""
    count = work_count(tables, by_flows=by_flows)
    if not count or not (tables.flows if by_flows else tables.requests).t_start_ns.size:
        return None
    if tables.turns is not None and tables.around is not None:
        used_ns = slice_counts.cpu_ns(tables.around, tables.turns)
        return None if used_ns is None else used_ns / count
    cores = [one.cpu_cores for one in services.service_use(samples, tables.window_ns, count)]
    if any(one is None for one in cores):
        return None
    return sum(one for one in cores if one is not None) * tables.window_ns / count


def work_count(tables: Tables, *, by_flows: bool) -> int:
    """Return over how many requests, or flows, processor time is shared out; a dropped arrival is no work."""
    if tables.turns is not None:
        return tables.turns.flow_count if by_flows else tables.turns.count
    return flows_begun(tables.flows) if by_flows else len(tables.requests.t_start_ns)


def flows_begun(flows: FlowColumns) -> int:
    """Return how many flows were begun; an arrival that found no user stands among them, and did nothing."""
    return len(flows.t_start_ns) - flows.outcome.counts().get(Outcome.DROPPED, 0)


def _unreclaimable(samples: SampleColumns) -> Ints:
    """Return the unreclaimable bytes of all containers given, added up tick by tick, as replicas are.

    The slowest reader's period says how long a reading stays good: some services may be read ten times a second
    and others once.
    """
    lives = samples.lives
    told = services.unreclaimable(samples.numbers, lives)
    stamps = samples.numbers["t_ns"]
    if len(np.unique(lives)) > 1:
        periods = [
            np.median(np.diff(stamps[mine])) for mine in measure_tables.each_container(lives) if mine.sum() > 1
        ]
        period_ns = int(max(periods, default=0))
        told = measure_tables.summed_over_containers({"held": told, "t_ns": stamps}, lives, period_ns)["held"]
    known: Ints = told[told != NULL]
    return known


def stack_samples(service: str | None, samples: SampleColumns) -> SampleColumns:
    """Return the samples of one service, or of all that are the stack's."""
    if service is not None:
        return where(samples, samples.service.is_(service))
    around = [code for code, label in enumerate(samples.service.labels) if label in RESERVED]
    return where(samples, ~np.isin(samples.service.codes, around))


def detail_values(metric: Metric, tables: Tables) -> Floats:
    """Return the numbers of a detail in the metric's unit, of the flows that have one, by their starts."""
    numbers = tables.details.get(metric.key, np.empty(0))
    if not len(numbers):
        return numbers
    having = ~np.isnan(numbers)
    if metric.of is not None:
        having &= tables.flows.flow.is_(metric.of)
    order = np.argsort(tables.flows.began_ns[having], kind="stable")
    ordered: Floats = numbers[having][order] * (NS_PER_S if metric.unit is Unit.NS else 1)
    return ordered


def details_found(flows: FlowColumns, details: Mapping[str, Floats]) -> Iterator[tuple[Metric, Floats]]:
    """Yield the mean of each detail of each flow as a metric, with the numbers in its unit, by their names."""
    for name in sorted(flows.flow.counts()):
        own = flows.flow.is_(name)
        for key in sorted(details):
            metric = detail("mean", key, name)
            numbers = details[key][own]
            numbers = numbers[~np.isnan(numbers)]
            if len(numbers):
                yield metric, numbers * (NS_PER_S if metric.unit is Unit.NS else 1)


def flow_details(flows: FlowColumns, details: Mapping[str, Floats]) -> tuple[FlowDetail, ...]:
    """Return what the flows reported, by flow and key."""
    found = []
    for metric, numbers in details_found(flows, details):
        found.append(
            FlowDetail(
                flow=metric.of or "",
                key=metric.key,
                unit=metric.unit,
                count=len(numbers),
                mean=float(numbers.mean()),
                p50=_summary(numbers, 50),
                p95=_summary(numbers, 95),
                max=float(numbers.max()),
            )
        )
    return tuple(found)


def detail_from_buckets(metric: Metric, counts: Mapping[int, int]) -> float | None:
    """Return a detail over its numbers by bucket (`wire.buckets`), in the metric's unit; None without enough."""
    total = sum(counts.values())
    if not total:
        return None
    if metric.percent is None:
        return sum(bucket_value(metric, number) * count for number, count in counts.items()) / total
    if metric.percent != HIGHEST and not enough(total, metric.percent):
        return None
    number = histogram.percentile_bucket(counts, metric.percent)
    return None if number is None else bucket_value(metric, number)


def bucket_value(metric: Metric, number: int) -> float:
    """Return the value in the middle of a detail's bucket, in the metric's unit."""
    return histogram.middle_ns(number) / (histogram.FINE if metric.unit is Unit.SHARE else 1)


def _summary(numbers: Floats, percent: int | None) -> float | None:
    if not len(numbers):
        return None
    if percent is None:
        return float(numbers.mean())
    if percent != HIGHEST and not enough(len(numbers), percent):
        return None
    return float(np.sort(numbers)[max(1, -(-percent * len(numbers) // 100)) - 1])


def _any_of(outcome: LabelColumn, wanted: frozenset[Outcome]) -> Mask:
    codes = [code for code, label in enumerate(outcome.labels) if label in wanted]
    return np.asarray(np.isin(outcome.codes, codes))


ALPHA = 0.05
_BATCHES = 20
_SLICES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricEstimate:
    """A metric of one run; `low` and `high` enclose it with 95 %, an end that nobody can tell is None.

    `value` is None if it can't be told, and `never` says that nothing of that name was ever asked, or ended well.
    `count` is the number of observations behind it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    never: bool = False


def estimate(metric: Metric, tables: Tables) -> MetricEstimate:
    """Read a metric with its uncertainty within the run.

    Percentiles and shares by effective numbers (`quantile_interval`, `share_interval`); a peak, or the highest of
    a detail, was seen, and is what it is; the others by Student's interval over ten parts of the window (batch
    means; Law, Simulation Modeling and Analysis, 9.5).
    """
    if metric.kind is Kind.LATENCY:
        return _latency_estimate(metric, latencies_ns(requests_or_flows(metric.of, tables)))
    if metric.kind is Kind.FAILURES:
        return _failures_estimate(failure_mask(requests_or_flows(metric.of, tables)))
    found = metric_value(metric, tables)
    if metric.kind is Kind.DETAIL and metric.percent is not None:
        return _detail_estimate(metric.percent, detail_values(metric, tables), found)
    if found is None:
        return MetricEstimate(value=None, never=True)
    if metric.kind is Kind.PEAK:
        return MetricEstimate(value=found, low=found, high=found, count=tables.samples.count)
    return _batch_means_estimate(metric, found, tables)


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
        statistics.t_quantile(1 - alpha / 2, count - 1) / statistics.t_quantile(1 - alpha / 2, batches - 1)
    ) ** 2
    return min(float(count), max(part * (1 - part) / variance * few, 1.0))


def _clopper_pearson(part: float, count: float, alpha: float) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson, Biometrika 1934), also of a fractional count."""
    hits = part * count
    return (
        statistics.beta_quantile(alpha / 2, hits, count - hits + 1),
        statistics.beta_quantile(1 - alpha / 2, hits + 1, count - hits),
    )


def _latency_estimate(metric: Metric, took: Ints) -> MetricEstimate:
    found = percentile(metric, took)
    if found is None:
        return MetricEstimate(value=None, count=len(took), never=not len(took))
    low, high = quantile_interval(took, metric.percent or 50)
    return MetricEstimate(value=found, low=low, high=high, count=len(took))


def _failures_estimate(bad: Mask) -> MetricEstimate:
    if not len(bad):
        return MetricEstimate(value=None, never=True)
    low, high = share_interval(bad)
    return MetricEstimate(value=float(bad.mean()), low=low, high=high, count=len(bad))


def _detail_estimate(percent: int, numbers: Floats, value: float | None) -> MetricEstimate:
    if value is None:
        return MetricEstimate(value=None, count=len(numbers), never=not len(numbers))
    low, high = (value, value) if percent == HIGHEST else quantile_interval(numbers, percent)
    return MetricEstimate(value=value, low=low, high=high, count=len(numbers))


def _batch_means_estimate(metric: Metric, found: float, tables: Tables) -> MetricEstimate:
    parts = [metric_value(metric, part) for part in window_parts(tables, _SLICES)]
    told: NDArray[np.float64] = np.array([part for part in parts if part is not None])
    span = statistics.mean_interval([float(part) for part in told], ALPHA)
    if span is None:
        return MetricEstimate(value=found, count=len(told))
    return MetricEstimate(value=found, low=found - span.half, high=found + span.half, count=len(told))


_ROUNDED = 1 / sqrt(12)
_TICK_NS = 10_000_000
"""USER_HZ, in which /proc/PID/stat counts, is 100 on every architecture of Linux that Docker runs on (proc(5))."""
_PAGE_BYTES = 4096
"""The smallest page; memory is charged in pages."""


def rounding_sd(asked: Metric, tables: Tables) -> float:
    """Return the standard deviation that counting leaves in the metric of one run, in its unit; 0: not known.

    Latencies are stamped in nanoseconds. Of failures the count behind them tells it (`variance`).
    """
    match asked.kind:
        case Kind.CPU:
            return _cpu_rounding_ns(asked, tables)
        case Kind.MEMORY | Kind.PEAK:
            return _PAGE_BYTES * _ROUNDED
        case Kind.THROUGHPUT:
            return NS_PER_S / tables.window_ns * _ROUNDED if tables.window_ns > 0 else 0.0
        case _:
            return 0.0


def rounding_variance(asked: Metric, value: float, rounded: float, count: int) -> float:
    """Return what counting leaves in a value, on the scale of the differences: of ratios (rounded / value)^2.

    `rounded` is that of `sd`, `count` how many requests a share is of: p(1-p)/n, were they independent. Failures
    come in groups, so that blocks scatter by more, and never by less. 0 for a value of zero.
    """
    if value <= 0:
        return 0.0
    if asked.kind is Kind.FAILURES:
        return max(value * (1 - value), 0.0) / count if count else 0.0
    return float((rounded / value) ** 2 if asked.scale is Scale.RATIO else rounded**2)


def _cpu_rounding_ns(asked: Metric, tables: Tables) -> float:
    """Each turn's time lies between two readings of each counter, and each of them is rounded."""
    requests = work_count(tables, by_flows=tables.by_flows or asked.per == "flow")
    readings = 2 * len(tables.turns.from_ns) if tables.turns is not None else 2
    counters = _tick_counters(stack_samples(asked.of, tables.samples if tables.around is None else tables.around))
    return sqrt(readings * counters) * _TICK_NS * _ROUNDED / requests if requests else 0.0


def _tick_counters(samples: SampleColumns) -> int:
    """Return how many of the containers given have a counter that moves by whole clock ticks only."""
    told = [counted for _, counted in measure_tables.counter_readings(samples, "cpu_ns")]
    return sum(bool(len(one)) and bool(one.any()) and not bool((one % _TICK_NS).any()) for one in told)


_PERCENTS = (50, 95, 99)
_OF_SERVICE = ("cpu per request", "unreclaimable memory", "peak unreclaimable")
_PER_FLOW = "cpu per flow"


def metrics_of(tables: Tables) -> list[Metric]:
    """Return what can be shown of a run: each endpoint, flow, detail of a flow, and service, and the whole."""
    of_service = (_PER_FLOW, *_OF_SERVICE[1:]) if tables.by_flows else _OF_SERVICE
    found = [metrics.parse_bare(text) for text in ("failures", "throughput", *of_service)]
    for name in _names(tables):
        found += [_named(f"p{percent}", name) for percent in _PERCENTS]
    for mean, _ in details_found(tables.flows, tables.details):
        found += [metrics.detail(statistic, mean.key, mean.of or "") for statistic in ("mean", "p95")]
    for service in tables.samples.service.counts():
        if service not in RESERVED:
            found += [_named(text, service) for text in of_service]
    return found


def values_of(asked: Iterable[Metric], tables: Tables) -> Mapping[str, float | None]:
    """Return the values by the metrics' texts; what is asked of one endpoint is read from its rows alone."""
    wanted = list({one.text: one for one in asked}.values())
    found: dict[str, float | None] = {}
    for name, mine in _by_name(wanted):
        part = _rows_of(name, tables) if name is not None else tables
        found |= {one.text: metric_value(one, part) for one in mine}
    return {one.text: found[one.text] for one in wanted}


def rounding_of(asked: Iterable[Metric], tables: Tables) -> Mapping[str, float]:
    """Return the standard deviation that counting leaves in each value, where there is one."""
    found = {one.text: rounding_sd(one, tables) for one in asked}
    return {text: sd for text, sd in found.items() if sd}


def _names(tables: Tables) -> list[str]:
    return [*dict.fromkeys((*tables.requests.endpoint.counts(), *tables.flows.flow.counts()))]


def _named(what: str, name: str) -> Metric:
    try:
        return metrics.parse_bare(f'{what} of "{name}"')
    except ValueError:  # a name with quotes in it, which the language can't write
        return replace(metrics.parse_bare(f"{what} of x"), of=name, text=f"{what} of {name}")


def _by_name(wanted: Sequence[Metric]) -> Iterator[tuple[str | None, list[Metric]]]:
    timed = [one for one in wanted if one.kind is Kind.LATENCY]
    yield None, [one for one in wanted if one.kind is not Kind.LATENCY]
    for name in dict.fromkeys(one.of for one in timed):
        yield name, [one for one in timed if one.of == name]


def _rows_of(name: str, tables: Tables) -> Tables:
    """Return tables that hold the requests of one name only, or its flows."""
    mine = tables.requests.endpoint.is_(name)
    if mine.any():
        return replace(tables, requests=where(tables.requests, mine))
    return replace(tables, flows=where(tables.flows, tables.flows.flow.is_(name)))

"""The value of a metric in one run, with its uncertainty.

Successive requests are alike: a stack that is slow now is slow in a moment, too. So their effective number is
smaller than their count, and is found from batches. How runs differ from each other can't be seen in one run.

Values that agree to many digits may do so because they were counted coarsely. Rounding to steps of q leaves a
standard deviation of q/√12 (Sheppard, Proc. London Math. Soc. 1898), and blocks can't be known to scatter by less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import sqrt

import numpy as np

from seatrial.measure import metric as metrics
from seatrial.measure import services, statistics
from seatrial.measure import tables as measure_tables
from seatrial.measure.metric import HIGHEST, Kind, Metric, Scale, Unit
from seatrial.measure.origin import origin_bytes, origin_per_played
from seatrial.measure.requests import detail_means
from seatrial.measure.slices import SliceTimes, cpu_ns
from seatrial.measure.statistics import ALPHA, enough, nearest_rank
from seatrial.measure.tables import (
    Floats,
    FlowColumns,
    Ints,
    LabelColumn,
    Mask,
    RequestColumns,
    SampleColumns,
    TierColumns,
    TimedRows,
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
    `tiers` are what the stack's own logs tell.
    `by_flows`: no request was made, so that the work of the run is counted in flows. Of a run that was loaded in
    slices, `slices` are when, and `run_samples` the samples of the whole run.
    """

    requests: RequestColumns
    flows: FlowColumns
    samples: SampleColumns
    window_ns: int
    details: Mapping[str, Floats] = field(default_factory=dict)
    tiers: TierColumns = field(default_factory=TierColumns.empty)
    slices: SliceTimes | None = None
    run_samples: SampleColumns | None = None
    by_flows: bool = False


def metric_value(metric: Metric, tables: Tables) -> float | None:
    """Return the metric in its unit; None if it was never measured, or too seldom for a percentile."""
    if metric.kind is Kind.LATENCY:
        return _statistic(latencies_ns(requests_or_flows(metric.of, tables)), metric.percent)
    if metric.kind is Kind.DETAIL:
        return _statistic(detail_values(metric, tables), metric.percent)
    if metric.kind in metrics.OF_SERVICE:
        return _service_value(metric, tables)
    if metric.kind is Kind.ORIGIN:
        return _origin_value(metric, tables)
    return _outcome_value(metric, tables)


def _outcome_value(metric: Metric, tables: Tables) -> float | None:
    """Return failures or throughput."""
    rows = requests_or_flows(metric.of, tables)
    if not len(rows.t_start_ns):
        return None
    if metric.kind is Kind.FAILURES:
        return float(failure_mask(rows).mean())
    return float(_any_of(rows.outcome, DONE).sum()) * NS_PER_S / tables.window_ns if tables.window_ns > 0 else None


def _origin_value(metric: Metric, tables: Tables) -> float | None:
    fetched = origin_bytes(tables.tiers, metric.of)
    if metric.per == "window":
        return fetched
    return origin_per_played(fetched, measure_tables.total(tables.requests.bytes_received), tables.details)


def requests_or_flows(name: str | None, tables: Tables) -> RequestColumns | FlowColumns:
    """Return the requests of an endpoint, the flows of that name if there is no such request, or all requests.

    Of a run that made no request: all flows.
    """
    if name is None:
        return tables.flows if tables.by_flows else tables.requests
    named = tables.requests.endpoint.is_(name)
    return where(tables.requests, named) if named.any() else where(tables.flows, tables.flows.flow.is_(name))


def latencies_ns(rows: TimedRows) -> Ints:
    """Return how long the successes took from their intended start, in the order of these starts."""
    good = rows.outcome.is_(Outcome.OK) & (rows.t_end_ns != NULL) & (rows.began_ns != NULL)
    order = np.argsort(rows.began_ns[good], kind="stable")
    latency_ns: Ints = (rows.t_end_ns[good] - rows.began_ns[good])[order]
    return latency_ns


def failure_mask(rows: TimedRows) -> Mask:
    """Return which failed, in the order of their starts."""
    failed: Mask = ~_any_of(rows.outcome, NOT_FAILURES)[np.argsort(rows.began_ns, kind="stable")]
    return failed


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


def _statistic(numbers: Ints | Floats, percent: int | None) -> float | None:
    """Return the mean (`percent` None), the highest, or a percentile; None without enough numbers."""
    if not len(numbers):
        return None
    if percent is None:
        return float(numbers.mean())
    return float(numbers.max()) if percent == HIGHEST else statistics.percentile(numbers, percent)


def _any_of(outcome: LabelColumn, outcomes: frozenset[Outcome]) -> Mask:
    codes = [code for code, label in enumerate(outcome.labels) if label in outcomes]
    return np.asarray(np.isin(outcome.codes, codes))


def _service_value(metric: Metric, tables: Tables) -> float | None:
    samples = stack_samples(metric.of, tables.samples)
    if not samples.count:
        return None
    if metric.kind is Kind.CPU:
        return _cpu_per_unit_ns(metric, samples, tables)
    held = np.sort(_unreclaimable(samples))
    if not len(held):
        return None
    return float(nearest_rank(held, 50) if metric.kind is Kind.MEMORY else held[-1])


def stack_samples(service: str | None, samples: SampleColumns) -> SampleColumns:
    """Return the samples of one service, or of all that are the stack's."""
    if service is not None:
        return where(samples, samples.service.is_(service))
    reserved = [code for code, label in enumerate(samples.service.labels) if label in RESERVED]
    return where(samples, ~np.isin(samples.service.codes, reserved))


def _cpu_per_unit_ns(metric: Metric, samples: SampleColumns, tables: Tables) -> float | None:
    """Return the processor time of each request, or of each flow; `samples` are those of the metric's services."""
    count, rows = _work_count(metric, tables)
    if not count or not rows:
        return None
    if tables.slices is not None and tables.run_samples is not None:
        used_ns = cpu_ns(stack_samples(metric.of, tables.run_samples), tables.slices)
        return None if used_ns is None else used_ns / count
    cores = [service.cpu_cores for service in services.service_use(samples, tables.window_ns, count)]
    known = [one for one in cores if one is not None]
    return sum(known) * tables.window_ns / count if len(known) == len(cores) else None


def _work_count(metric: Metric, tables: Tables) -> tuple[int, int]:
    """Return over how many requests, or flows, processor time is shared out, and how many began in the window.

    A dropped arrival is no work.
    """
    by_flows = tables.by_flows or metric.per == "flow"
    rows = len((tables.flows if by_flows else tables.requests).t_start_ns)
    if tables.slices is not None:
        return tables.slices.flow_count if by_flows else tables.slices.count, rows
    return flows_begun(tables.flows) if by_flows else rows, rows


def flows_begun(flows: FlowColumns) -> int:
    """Return how many flows were begun; an arrival that found no user is a row, too, and did nothing."""
    return len(flows.t_start_ns) - flows.outcome.counts().get(Outcome.DROPPED, 0)


def _unreclaimable(samples: SampleColumns) -> Ints:
    """Return the unreclaimable bytes of all containers given, added up tick by tick, as replicas are."""
    stamps, lives = samples.numbers["t_ns"], samples.lives
    held = services.unreclaimable(samples.numbers, lives)
    if len(np.unique(lives)) > 1:
        period_ns = measure_tables.slowest_period_ns(stamps, lives)
        held = measure_tables.summed_over_containers({"held": held, "t_ns": stamps}, lives, period_ns)["held"]
    return measure_tables.known(held)


def detail_from_buckets(metric: Metric, counts: Mapping[int, int]) -> float | None:
    """Return a detail from its counts by bucket (`wire.histogram`), in the metric's unit; None without enough."""
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


_PARTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricEstimate:
    """A metric of one run; `low` and `high` enclose it with 95 %, an end that is not known is None.

    `value` is None without enough observations, and `never` where there was none at all: nothing of that name was
    requested, or nothing ended well. `count` is the number of observations.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    never: bool = False


def estimate(metric: Metric, tables: Tables) -> MetricEstimate:
    """Measure a metric with its uncertainty within the run.

    Percentiles and shares by effective numbers (`quantile_interval`, `share_interval`); a peak, or the highest of
    a detail, and what a log counted, was measured, and is what it is; the others by Student's interval over ten
    parts of the window (batch means; Law, Simulation Modeling and Analysis, 9.5).
    """
    if metric.kind is Kind.LATENCY:
        return _percentile_estimate(latencies_ns(requests_or_flows(metric.of, tables)), metric.percent or 50)
    if metric.kind is Kind.FAILURES:
        return _share_estimate(failure_mask(requests_or_flows(metric.of, tables)))
    if metric.kind is Kind.DETAIL and metric.percent is not None:
        return _percentile_estimate(detail_values(metric, tables), metric.percent)
    value = metric_value(metric, tables)
    if value is None:
        return MetricEstimate(value=None, never=True)
    if metric.kind in {Kind.PEAK, Kind.ORIGIN}:
        return MetricEstimate(value=value, low=value, high=value, count=tables.samples.count)
    parts = [part for table in window_parts(tables, _PARTS) if (part := metric_value(metric, table)) is not None]
    span = statistics.mean_interval(parts, ALPHA)
    half = None if span is None else (span.high - span.low) / 2
    low, high = (None, None) if half is None else (value - half, value + half)
    return MetricEstimate(value=value, low=low, high=high, count=len(parts))


def _share_estimate(hits: Mask) -> MetricEstimate:
    if not len(hits):
        return MetricEstimate(value=None, never=True)
    low, high = statistics.share_interval(hits)
    return MetricEstimate(value=float(hits.mean()), low=low, high=high, count=len(hits))


def _percentile_estimate(numbers: Ints | Floats, percent: int) -> MetricEstimate:
    value = _statistic(numbers, percent)
    if value is None:
        return MetricEstimate(value=None, count=len(numbers), never=not len(numbers))
    low, high = (value, value) if percent == HIGHEST else statistics.quantile_interval(numbers, percent)
    return MetricEstimate(value=value, low=low, high=high, count=len(numbers))


def window_parts(tables: Tables, count: int) -> list[Tables]:
    """Cut the window into parts of equal length, by when requests and flows began and samples were read."""
    moments = (tables.requests.began_ns, tables.flows.began_ns, tables.samples.numbers["t_ns"])
    stamps = np.concatenate(moments)
    if not len(stamps):
        return []
    edges = np.linspace(stamps.min(), stamps.max(), count + 1)[1:-1]
    ends = [-np.inf, *edges.tolist(), np.inf]
    places = [np.searchsorted(edges, when, side="right") for when in moments]
    parts = []
    for number in range(count):
        requests, flows, samples = (place == number for place in places)
        part = replace(
            tables,
            requests=where(tables.requests, requests),
            flows=where(tables.flows, flows),
            samples=where(tables.samples, samples),
            window_ns=tables.window_ns // count,
            details={key: numbers[flows] for key, numbers in tables.details.items()},
            slices=tables.slices and tables.slices.part(ends[number], ends[number + 1]),
        )
        parts.append(part)
    return parts


_ROUNDED = 1 / sqrt(12)
_TICK_NS = 10_000_000
"""USER_HZ, in which /proc/PID/stat counts, is 100 on every architecture of Linux that Docker runs on (proc(5))."""
_PAGE_BYTES = 4096
"""The smallest page; memory is charged in pages."""


def rounding_sd(metric: Metric, tables: Tables) -> float:
    """Return the standard deviation that counting leaves in the metric of one run, in its unit; 0: not known.

    Latencies are stamped in nanoseconds. That of failures follows from their count (`rounding_variance`).
    """
    match metric.kind:
        case Kind.CPU:
            return _cpu_rounding_ns(metric, tables)
        case Kind.MEMORY | Kind.PEAK:
            return _PAGE_BYTES * _ROUNDED
        case Kind.THROUGHPUT:
            return NS_PER_S / tables.window_ns * _ROUNDED if tables.window_ns > 0 else 0.0
        case _:
            return 0.0


def _cpu_rounding_ns(metric: Metric, tables: Tables) -> float:
    """Each slice's time lies between two readings of each counter, and each of them is rounded.

    Only counters that move by whole clock ticks count.
    """
    count, _ = _work_count(metric, tables)
    readings = 2 * len(tables.slices.from_ns) if tables.slices is not None else 2
    samples = stack_samples(metric.of, tables.samples if tables.run_samples is None else tables.run_samples)
    values = [values for _, values in measure_tables.counter_readings(samples, "cpu_ns")]
    counters = sum(bool(len(one)) and bool(one.any()) and not bool((one % _TICK_NS).any()) for one in values)
    return sqrt(readings * counters) * _TICK_NS * _ROUNDED / count if count else 0.0


def rounding_variance(metric: Metric, value: float, rounded: float, count: int) -> float:
    """Return what counting leaves in a value, on the scale of the differences: of ratios (rounded / value)^2.

    `rounded` is that of `rounding_sd`, `count` how many requests a share is of: p(1-p)/n, were they independent.
    Failures come in groups, so that blocks scatter by more, and never by less. 0 for a value of zero.
    """
    if value <= 0:
        return 0.0
    if metric.kind is Kind.FAILURES:
        return max(value * (1 - value), 0.0) / count if count else 0.0
    return float((rounded / value) ** 2 if metric.scale is Scale.RATIO else rounded**2)


_PERCENTS = (50, 95, 99)
_OF_SERVICE = ("cpu per request", "unreclaimable memory", "peak unreclaimable")


def metrics_of(tables: Tables) -> list[Metric]:
    """Return what can be shown of a run: each endpoint, flow, detail of a flow, and service, and the whole."""
    of_service = ("cpu per flow", *_OF_SERVICE[1:]) if tables.by_flows else _OF_SERVICE
    shown = [metrics.parse_bare(text) for text in ("failures", "throughput", *of_service)]
    for name in dict.fromkeys((*tables.requests.endpoint.counts(), *tables.flows.flow.counts())):
        shown += [_named(f"p{percent}", name) for percent in _PERCENTS]
    for mean, _ in detail_means(tables.flows, tables.details):
        shown += [metrics.detail(statistic, mean.key, mean.of or "") for statistic in ("mean", "p95")]
    if origin_bytes(tables.tiers) is not None:
        shown += [metrics.parse_bare(text) for text in ("origin bytes", "origin bytes per played byte")]
    for service in tables.samples.service.counts():
        if service not in RESERVED:
            shown += [_named(text, service) for text in of_service]
    return shown


def _named(what: str, name: str) -> Metric:
    try:
        return metrics.parse_bare(f'{what} of "{name}"')
    except ValueError:  # a name with quotes in it, which the language can't write
        return replace(metrics.parse_bare(f"{what} of x"), of=name, text=f"{what} of {name}")


def values_of(metrics: Iterable[Metric], tables: Tables) -> Mapping[str, float | None]:
    """Return the values by the metrics' texts; an endpoint's rows are selected once for all its latencies."""
    distinct = {metric.text: metric for metric in metrics}
    values: dict[str, float | None] = {}
    for name, named in groupby(sorted(distinct.values(), key=_rows_name), key=_rows_name):
        rows = requests_or_flows(name, tables) if name else tables.requests
        part = replace(tables, flows=rows) if isinstance(rows, FlowColumns) else replace(tables, requests=rows)
        values |= {metric.text: metric_value(metric, part) for metric in named}
    return {text: values[text] for text in distinct}


def _rows_name(metric: Metric) -> str:
    return metric.of or "" if metric.kind is Kind.LATENCY else ""


def rounding_of(metrics: Iterable[Metric], tables: Tables) -> Mapping[str, float]:
    """Return the standard deviation that counting leaves in each value, where there is one."""
    by_text = {metric.text: rounding_sd(metric, tables) for metric in metrics}
    return {text: sd for text, sd in by_text.items() if sd}

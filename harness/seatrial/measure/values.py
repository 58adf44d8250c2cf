"""The value of a metric in one run, from the tables of its window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from seatrial.measure import replicas
from seatrial.measure import services as memory
from seatrial.measure import slices as turns
from seatrial.measure.latency import enough, nearest_rank, quantiles
from seatrial.measure.metric import HIGHEST, Kind, Metric, Unit, detail
from seatrial.measure.slices import Turns
from seatrial.measure.tables import Coded, Floats, Flows, Ints, Mask, Requests, Samples, rows
from seatrial.measure.validity import RESERVED
from seatrial.units import NS_PER_S
from seatrial.wire import histogram as buckets
from seatrial.wire.streams import NULL
from seatrial.wire.tables import NOT_FAILURES, Outcome

DONE = frozenset({Outcome.OK, Outcome.ABORTED})
"""What counts as throughput: a refusal is not work done, and what the end of the run cut off is neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """One run's window; samples stand in the order of time.

    `details` maps the key of a flow's numeric detail to one number for each row of `flows`, NaN where it has none.
    `by_flows` says that no request was made, so that the work of the run is counted in flows.
    Where the load came by turns, `turns` are its own, and `around` the samples of the whole run.
    """

    requests: Requests
    flows: Flows
    samples: Samples
    window_ns: int
    details: Mapping[str, Floats] = field(default_factory=dict)
    turns: Turns | None = None
    around: Samples | None = None
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


def value(metric: Metric, tables: Tables) -> float | None:
    """Return the metric in its unit; None if it was never measured, or too seldom to tell a percentile."""
    if metric.kind is Kind.LATENCY:
        return percentile(metric, latencies_ns(asked(metric.of, tables)))
    if metric.kind is Kind.DETAIL:
        return _summary(details(metric, tables), metric.percent)
    if metric.kind in (Kind.CPU, Kind.MEMORY, Kind.PEAK):
        return _of_services(metric, tables)
    some = asked(metric.of, tables)
    if not len(some.t_start_ns):
        return None
    if metric.kind is Kind.FAILURES:
        return float(failed(some).mean())
    return float(_any_of(some.outcome, DONE).sum()) * NS_PER_S / tables.window_ns if tables.window_ns > 0 else None


def percentile(metric: Metric, took_ns: Ints) -> float | None:
    """Return the percentile that a metric of latency means; None if they are too few to tell it."""
    summary = quantiles(took_ns)
    latency_ns = {50: summary.p50, 95: summary.p95, 99: summary.p99}[metric.percent or 50]
    return None if latency_ns is None else float(latency_ns)


def asked(name: str | None, tables: Tables) -> Requests | Flows:
    """Return the requests of an endpoint, the flows of that name if there is no such request, or all requests.

    Of a run that made no request: all flows.
    """
    if name is None:
        return tables.flows if tables.by_flows else tables.requests
    mine = tables.requests.endpoint.is_(name)
    return rows(tables.requests, mine) if mine.any() else rows(tables.flows, tables.flows.flow.is_(name))


def latencies_ns(some: Requests | Flows) -> Ints:
    """Return how long the successes took from their intended start, in the order of these starts."""
    told = some.outcome.is_(Outcome.OK) & (some.t_end_ns != NULL) & (some.began_ns != NULL)
    order = np.argsort(some.began_ns[told], kind="stable")
    took: Ints = (some.t_end_ns[told] - some.began_ns[told])[order]
    return took


def failed(some: Requests | Flows) -> Mask:
    """Return which failed, in the order of their starts."""
    bad = ~_any_of(some.outcome, NOT_FAILURES)
    found: Mask = bad[np.argsort(some.began_ns, kind="stable")]
    return found


def slices(tables: Tables, count: int) -> list[Tables]:
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
        requests=rows(tables.requests, requests),
        flows=rows(tables.flows, flows),
        samples=rows(tables.samples, samples),
        window_ns=tables.window_ns // count,
        details={key: numbers[flows] for key, numbers in tables.details.items()},
        by_flows=tables.by_flows,
    )


def _of_services(metric: Metric, tables: Tables) -> float | None:
    samples = of_stack(metric.of, tables.samples)
    if not samples.count:
        return None
    if metric.kind is Kind.CPU:
        whole = tables.around and replace(tables, around=of_stack(metric.of, tables.around))
        return _cpu_each_ns(samples, whole or tables, by_flows=tables.by_flows or metric.per == "flow")
    held = np.sort(_held(samples))
    if not len(held):
        return None
    return float(nearest_rank(held, 50) if metric.kind is Kind.MEMORY else held[-1])


def _cpu_each_ns(samples: Samples, tables: Tables, *, by_flows: bool) -> float | None:
    """Return the processor time of each request, or of each flow."""
    count = work(tables, by_flows=by_flows)
    if not count or not (tables.flows if by_flows else tables.requests).t_start_ns.size:
        return None
    if tables.turns is not None and tables.around is not None:
        used_ns = turns.cpu_ns(tables.around, tables.turns)
        return None if used_ns is None else used_ns / count
    cores = [one.cpu_cores for one in memory.services(samples, tables.window_ns, count)]
    if any(one is None for one in cores):
        return None
    return sum(one for one in cores if one is not None) * tables.window_ns / count


def work(tables: Tables, *, by_flows: bool) -> int:
    """Return over how many requests, or flows, processor time is shared out; a dropped arrival is no work."""
    if tables.turns is not None:
        return tables.turns.flow_count if by_flows else tables.turns.count
    return served(tables.flows) if by_flows else len(tables.requests.t_start_ns)


def served(flows: Flows) -> int:
    """Return how many flows were begun; an arrival that found no user stands among them, and did nothing."""
    return len(flows.t_start_ns) - flows.outcome.counts().get(Outcome.DROPPED, 0)


def _held(samples: Samples) -> Ints:
    """Return the unreclaimable bytes of all containers given, added up tick by tick, as replicas are.

    The slowest reader's period says how long a reading stays good: some services may be read ten times a second
    and others once.
    """
    lives = samples.lives
    told = memory.unreclaimable(samples.numbers, lives)
    stamps = samples.numbers["t_ns"]
    if len(np.unique(lives)) > 1:
        periods = [np.median(np.diff(stamps[mine])) for mine in replicas.each(lives) if mine.sum() > 1]
        period_ns = int(max(periods, default=0))
        told = replicas.summed({"held": told, "t_ns": stamps}, lives, period_ns)["held"]
    known: Ints = told[told != NULL]
    return known


def of_stack(service: str | None, samples: Samples) -> Samples:
    """Return the samples of one service, or of all that are the stack's."""
    if service is not None:
        return rows(samples, samples.service.is_(service))
    around = [code for code, label in enumerate(samples.service.labels) if label in RESERVED]
    return rows(samples, ~np.isin(samples.service.codes, around))


def details(metric: Metric, tables: Tables) -> Floats:
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


def details_found(flows: Flows, details: Mapping[str, Floats]) -> Iterator[tuple[Metric, Floats]]:
    """Yield the mean of each detail of each flow as a metric, with the numbers in its unit, by their names."""
    for name in sorted(flows.flow.counts()):
        own = flows.flow.is_(name)
        for key in sorted(details):
            metric = detail("mean", key, name)
            numbers = details[key][own]
            numbers = numbers[~np.isnan(numbers)]
            if len(numbers):
                yield metric, numbers * (NS_PER_S if metric.unit is Unit.NS else 1)


def flow_details(flows: Flows, details: Mapping[str, Floats]) -> tuple[FlowDetail, ...]:
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


def over_buckets(metric: Metric, counts: Mapping[int, int]) -> float | None:
    """Return a detail over its numbers by bucket (`wire.buckets`), in the metric's unit; None without enough."""
    total = sum(counts.values())
    if not total:
        return None
    if metric.percent is None:
        return sum(in_bucket(metric, number) * count for number, count in counts.items()) / total
    if metric.percent != HIGHEST and not enough(total, metric.percent):
        return None
    number = buckets.percentile_bucket(counts, metric.percent)
    return None if number is None else in_bucket(metric, number)


def in_bucket(metric: Metric, number: int) -> float:
    """Return the value in the middle of a detail's bucket, in the metric's unit."""
    return buckets.middle_ns(number) / (buckets.FINE if metric.unit is Unit.SHARE else 1)


def _summary(numbers: Floats, percent: int | None) -> float | None:
    if not len(numbers):
        return None
    if percent is None:
        return float(numbers.mean())
    if percent != HIGHEST and not enough(len(numbers), percent):
        return None
    return float(np.sort(numbers)[max(1, -(-percent * len(numbers) // 100)) - 1])


def _any_of(outcome: Coded, wanted: frozenset[Outcome]) -> Mask:
    codes = [code for code, label in enumerate(outcome.labels) if label in wanted]
    return np.asarray(np.isin(outcome.codes, codes))

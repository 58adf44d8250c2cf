"""The value of a metric in one run, from the tables of its window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from seatrial.judge import memory, replicas, turns
from seatrial.judge.columns import Coded, Floats, Flows, Ints, Mask, Requests, Samples, rows
from seatrial.judge.latency import nearest_rank, quantiles
from seatrial.judge.metric import Kind, Metric
from seatrial.judge.turns import Turns
from seatrial.judge.validity import RESERVED
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL
from seatrial.wire.tables import NOT_FAILURES, Outcome

DONE = frozenset({Outcome.OK, Outcome.ABORTED})
"""What counts as throughput: a refusal is not work done, and what the end of the run cut off is neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """One run's window; samples stand in the order of time.

    `details` maps the key of a flow's numeric detail to one number for each row of `flows`, NaN where it has none.
    Where the load came by turns, `turns` are its own, and `around` the samples of the whole run.
    """

    requests: Requests
    flows: Flows
    samples: Samples
    window_ns: int
    details: Mapping[str, Floats] = field(default_factory=dict)
    turns: Turns | None = None
    around: Samples | None = None


def value(metric: Metric, tables: Tables) -> float | None:
    """Return the metric in its unit; None if it was never measured, or too seldom to tell a percentile."""
    if metric.kind is Kind.LATENCY:
        return percentile(metric, latencies_ns(asked(metric.of, tables)))
    if metric.kind is Kind.DETAIL:
        numbers = _details(metric, tables)
        return float(numbers.mean()) if len(numbers) else None
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
    """Return the requests of an endpoint, the flows of that name if there is no such request, or all requests."""
    if name is None:
        return tables.requests
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
    )


def _of_services(metric: Metric, tables: Tables) -> float | None:
    samples = of_stack(metric.of, tables.samples)
    if not samples.count:
        return None
    if metric.kind is Kind.CPU:
        whole = tables.around and replace(tables, around=of_stack(metric.of, tables.around))
        return _cpu_per_request_ns(samples, whole or tables)
    held = np.sort(_held(samples))
    if not len(held):
        return None
    return float(nearest_rank(held, 50) if metric.kind is Kind.MEMORY else held[-1])


def _cpu_per_request_ns(samples: Samples, tables: Tables) -> float | None:
    requests = len(tables.requests.t_start_ns)
    if not requests:
        return None
    if tables.turns is not None and tables.around is not None:
        used_ns = turns.cpu_ns(tables.around, tables.turns)
        return None if used_ns is None or not tables.turns.count else used_ns / tables.turns.count
    cores = [one.cpu_cores for one in memory.services(samples, tables.window_ns, requests)]
    if any(one is None for one in cores):
        return None
    return sum(one for one in cores if one is not None) * tables.window_ns / requests


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


def _details(metric: Metric, tables: Tables) -> Floats:
    numbers = tables.details.get(metric.key, np.empty(0))
    if metric.of is not None and len(numbers):
        numbers = numbers[tables.flows.flow.is_(metric.of)]
    return numbers[~np.isnan(numbers)]


def _any_of(outcome: Coded, wanted: frozenset[Outcome]) -> Mask:
    codes = [code for code, label in enumerate(outcome.labels) if label in wanted]
    return np.asarray(np.isin(outcome.codes, codes))

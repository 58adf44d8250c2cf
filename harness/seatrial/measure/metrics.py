"""The metrics of one run: those that were asked for, and all that its tables tell of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from seatrial.measure import metric, rounding
from seatrial.measure import values as measured
from seatrial.measure.metric import Kind, Metric
from seatrial.measure.tables import rows
from seatrial.measure.validity import RESERVED
from seatrial.measure.values import Tables

_PERCENTS = (50, 95, 99)
_OF_SERVICE = ("cpu per request", "unreclaimable memory", "peak unreclaimable")
_PER_FLOW = "cpu per flow"


def told_by(tables: Tables) -> list[Metric]:
    """Return what can be shown of a run: each endpoint, flow, detail of a flow, and service, and the whole."""
    of_service = (_PER_FLOW, *_OF_SERVICE[1:]) if tables.by_flows else _OF_SERVICE
    found = [metric.bare(text) for text in ("failures", "throughput", *of_service)]
    for name in _names(tables):
        found += [_named(f"p{percent}", name) for percent in _PERCENTS]
    for mean, _ in measured.details_found(tables.flows, tables.details):
        found += [metric.detail(statistic, mean.key, mean.of or "") for statistic in ("mean", "p95")]
    for service in tables.samples.service.counts():
        if service not in RESERVED:
            found += [_named(text, service) for text in of_service]
    return found


def values(asked: Iterable[Metric], tables: Tables) -> Mapping[str, float | None]:
    """Return the values by the metrics' texts; what is asked of one endpoint is read from its rows alone."""
    wanted = list({one.text: one for one in asked}.values())
    found: dict[str, float | None] = {}
    for name, mine in _by_name(wanted):
        part = _narrowed(name, tables) if name is not None else tables
        found |= {one.text: measured.value(one, part) for one in mine}
    return {one.text: found[one.text] for one in wanted}


def rounded(asked: Iterable[Metric], tables: Tables) -> Mapping[str, float]:
    """Return the standard deviation that counting leaves in each value, where there is one."""
    found = {one.text: rounding.sd(one, tables) for one in asked}
    return {text: sd for text, sd in found.items() if sd}


def _names(tables: Tables) -> list[str]:
    return [*dict.fromkeys((*tables.requests.endpoint.counts(), *tables.flows.flow.counts()))]


def _named(what: str, name: str) -> Metric:
    try:
        return metric.bare(f'{what} of "{name}"')
    except ValueError:  # a name with quotes in it, which the language can't write
        return replace(metric.bare(f"{what} of x"), of=name, text=f"{what} of {name}")


def _by_name(wanted: Sequence[Metric]) -> Iterator[tuple[str | None, list[Metric]]]:
    timed = [one for one in wanted if one.kind is Kind.LATENCY]
    yield None, [one for one in wanted if one.kind is not Kind.LATENCY]
    for name in dict.fromkeys(one.of for one in timed):
        yield name, [one for one in timed if one.of == name]


def _narrowed(name: str, tables: Tables) -> Tables:
    """Return tables that hold the requests of one name only, or its flows."""
    mine = tables.requests.endpoint.is_(name)
    if mine.any():
        return replace(tables, requests=rows(tables.requests, mine))
    return replace(tables, flows=rows(tables.flows, tables.flows.flow.is_(name)))

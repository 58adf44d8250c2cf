"""Latency, outcomes, rates and details of requests and flows.

Percentiles are nearest-rank (the inverse of the empirical distribution): the smallest observed value such that at
least p per cent of the observations are not above it. Nothing is interpolated: a figure shown was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seatrial.measure import metric as metrics
from seatrial.measure.metric import Metric, Unit
from seatrial.measure.statistics import Quantiles, percentile, quantiles, quantiles_in_place
from seatrial.measure.tables import (
    Floats,
    FlowColumns,
    Ints,
    LabelColumn,
    Mask,
    RequestColumns,
    TimedRows,
    Window,
    by_label,
    total,
)
from seatrial.measure.timeseries import LatencyDistribution, LoadSeries, TimeGrid, latency_distribution
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NOT_FAILURES, NULL, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One endpoint, or one kind of flow, over the window.

    `latency_ns` holds the successes only, from the intended start (else the start) to the end; `service_ns` is the
    same from the real start, so that the two differ in an open model only. `first_byte_ns` is from the start of
    the latency, of the successes and of what was aborted after its first byte, and empty for flows. `requests` is
    the number of requests that it stands for.
    """

    name: str
    count: int
    outcomes: Mapping[str, int]
    latency_ns: Quantiles
    service_ns: Quantiles
    first_byte_ns: Quantiles
    requests: int
    bytes_received: int
    per_s: float
    bytes_per_s: float

    @property
    def failures(self) -> int:
        """The number that ended neither well nor on purpose."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in NOT_FAILURES)


def endpoints(requests: RequestColumns, window_ns: int) -> tuple[Traffic, ...]:
    """Return the traffic of each endpoint of the requests given, in the order of the labels."""
    return tuple(all_requests(rows, window_ns, name) for name, rows in by_label(requests, requests.endpoint))


def all_requests(requests: RequestColumns, window_ns: int, name: str = "all") -> Traffic:
    """Return the traffic of all requests given."""
    # A player leaves most of its open-ended ranges before their end: how soon they began is their only latency.
    left = requests.outcome.is_(Outcome.ABORTED) & (requests.t_start_ns != NULL)
    answered = (_succeeded(requests) | left) & (requests.t_first_byte_ns != NULL)
    first_byte = quantiles_in_place(_spans(requests.began_ns, requests.t_first_byte_ns, answered))
    return _traffic(requests, name, window_ns, requests=len(requests.t_start_ns), first_byte=first_byte)


def flow_traffic(table: FlowColumns, window_ns: int) -> tuple[Traffic, ...]:
    """Return the traffic of each kind of flow given, in the order of the labels."""
    never = quantiles(np.empty(0, dtype=np.int64))
    return tuple(
        _traffic(rows, name, window_ns, requests=total(rows.requests), first_byte=never)
        for name, rows in by_label(table, table.flow)
    )


def success_latency(rows: TimedRows) -> tuple[Mask, Ints]:
    """Return which ended well, and how long these took from their intended start."""
    good = _succeeded(rows)
    return good, _spans(rows.began_ns, rows.t_end_ns, good)


def _traffic(rows: TimedRows, name: str, window_ns: int, *, requests: int, first_byte: Quantiles) -> Traffic:
    good, latency_ns = success_latency(rows)
    latency = quantiles_in_place(latency_ns)
    closed = bool(np.all(rows.t_intended_ns == NULL))
    outcomes, bytes_received = rows.outcome.counts(), total(rows.bytes_received)
    count = sum(outcomes.values())
    return Traffic(
        name=name,
        count=count,
        outcomes=outcomes,
        latency_ns=latency,
        service_ns=latency if closed else quantiles_in_place(_spans(rows.t_start_ns, rows.t_end_ns, good)),
        first_byte_ns=first_byte,
        requests=requests,
        bytes_received=bytes_received,
        per_s=count * NS_PER_S / window_ns if window_ns > 0 else 0.0,
        bytes_per_s=bytes_received * NS_PER_S / window_ns if window_ns > 0 else 0.0,
    )


def _succeeded(rows: TimedRows) -> Mask:
    good: Mask = rows.outcome.is_(Outcome.OK) & (rows.t_end_ns != NULL) & (rows.t_start_ns != NULL)
    return good


def _spans(begin: Ints, end: Ints, mask: Mask) -> Ints:
    took: Ints = (end - begin)[mask]
    return took


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDetail:
    """What the flows of one name reported under one key, in `unit`; None where they are too few."""

    flow: str
    key: str
    unit: Unit
    count: int
    mean: float
    p50: float | None
    p95: float | None
    max: float


def flow_details(flows: FlowColumns, details: Mapping[str, Floats]) -> tuple[FlowDetail, ...]:
    """Return what the flows reported, by flow and key."""
    return tuple(
        FlowDetail(
            flow=metric.of or "",
            key=metric.key,
            unit=metric.unit,
            count=len(numbers),
            mean=float(numbers.mean()),
            p50=percentile(numbers, 50),
            p95=percentile(numbers, 95),
            max=float(numbers.max()),
        )
        for metric, numbers in detail_means(flows, details)
    )


def detail_means(flows: FlowColumns, details: Mapping[str, Floats]) -> Iterator[tuple[Metric, Floats]]:
    """Yield the mean of each detail of each flow as a metric, with the numbers in its unit, by flow and key."""
    for name in sorted(flows.flow.counts()):
        named = flows.flow.is_(name)
        for key in sorted(details):
            metric = metrics.detail("mean", key, name)
            numbers = details[key][named]
            numbers = numbers[~np.isnan(numbers)]
            if len(numbers):
                yield metric, numbers * (NS_PER_S if metric.unit is Unit.NS else 1)


_NUMBERS = ("t_start_ns", "t_first_byte_ns", "t_end_ns", "bytes_received")
_CODES: Mapping[str, type[np.signedinteger[Any]]] = {"endpoint": np.int16, "outcome": np.int8, "phase": np.int8}


class _RequestArrays:
    """A table that is filled batch by batch, in arrays made once: growing ones would be held twice.

    An array takes memory only as far as it is written to, and the one of intended starts is made with the first of
    them: a request takes 36 bytes in the closed model, 44 in the open one.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._numbers: dict[str, Ints] = {name: np.empty(capacity, dtype=np.int64) for name in _NUMBERS}
        self._intended_ns: Ints | None = None
        self._codes: dict[str, NDArray[Any]] = {
            name: np.empty(capacity, dtype=kind) for name, kind in _CODES.items()
        }
        self._labels: dict[str, tuple[str, ...]] = dict.fromkeys(_CODES, ())

    def add(self, batch: RequestColumns, mask: Mask) -> None:
        """Append the rows of a batch where `mask` holds."""
        at = slice(self._used, self._used + int(mask.sum()))
        picked = slice(None) if mask.all() else np.flatnonzero(mask)
        for name, column in self._numbers.items():
            column[at] = getattr(batch, name)[picked]
        for name, codes in self._codes.items():
            codes[at] = getattr(batch, name).codes[picked]
            self._labels[name] = getattr(batch, name).labels
        self._add_intended(batch.t_intended_ns[picked], at)
        self._used = at.stop

    def _add_intended(self, intended_ns: Ints, at: slice) -> None:
        if self._intended_ns is None:
            if np.all(intended_ns == NULL):
                return
            self._intended_ns = np.empty(self._capacity, dtype=np.int64)
            self._intended_ns[: at.start] = NULL
        self._intended_ns[at] = intended_ns

    def table(self) -> RequestColumns:
        """Return what was added so far."""
        used = slice(self._used)
        never = np.broadcast_to(np.int64(NULL), (self._used,))  # one value, however many rows
        columns: dict[str, Any] = {name: column[used] for name, column in self._numbers.items()}
        columns |= {name: LabelColumn(codes[used], self._labels[name]) for name, codes in self._codes.items()}
        return RequestColumns(
            t_intended_ns=never if self._intended_ns is None else self._intended_ns[used], **columns
        )


def request_stats(
    batches: Iterable[RequestColumns], window: Window, capacity: int
) -> tuple[RequestColumns, RequestColumns]:
    """Return the requests of the window, and the others; `capacity` is how many there are in all."""
    inside, outside = _RequestArrays(capacity), _RequestArrays(capacity)
    for batch in batches:
        mask = window.rows(batch.phase)
        inside.add(batch, mask)
        outside.add(batch, ~mask)
    return inside.table(), outside.table()


def load_series(tables: Sequence[TimedRows], grid: TimeGrid) -> LoadSeries:
    """Return latency, rate and failures over time."""
    began = [grid.of(table.t_start_ns).astype(np.uint16) for table in tables]
    failed = [stretch[_failed(table.outcome)] for table, stretch in zip(tables, began, strict=True)]
    successes = [success_latency(table) for table in tables]
    return LoadSeries.of(
        grid,
        np.concatenate([latency_ns for _, latency_ns in successes]),
        np.concatenate([stretch[good] for stretch, (good, _) in zip(began, successes, strict=True)]),
        np.bincount(np.concatenate(began), minlength=grid.count),
        np.bincount(np.concatenate(failed), minlength=grid.count),
    )


def distributions(table: RequestColumns | FlowColumns) -> tuple[LatencyDistribution, ...]:
    """Return how the latency of each endpoint, or kind of flow, is distributed, in the order of the labels."""
    named = by_label(table, table.flow) if isinstance(table, FlowColumns) else by_label(table, table.endpoint)
    each = (latency_distribution(name, success_latency(rows)[1]) for name, rows in named)
    return tuple(one for one in each if len(one.value_ns))


def _failed(outcome: LabelColumn) -> Mask:
    fails = np.array([label not in NOT_FAILURES for label in outcome.labels] + [False], dtype=np.bool_)
    failed: Mask = fails[outcome.codes]  # a code of -1, no outcome, takes the last
    return failed

"""Latency, outcomes and rates of requests and flows.

Percentiles are nearest-rank (the inverse of the empirical distribution): the smallest observed value such that at
least p per cent of the observations are not above it. Nothing is interpolated: a figure shown was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seatrial.judge.columns import Coded, Flows, Ints, Mask, Requests, rows
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL
from seatrial.wire.tables import NOT_FAILURES, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """A distribution in the unit of its values; None where the observations are too few to tell."""

    count: int
    p50: int | None
    p95: int | None
    p99: int | None
    max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One endpoint, or one kind of flow, over the window.

    `latency_ns` holds the successes only, from the intended start (else the start) to the end; `service_ns` is the
    same from the real start, so that the two differ in an open model only. `first_byte_ns` is from the start of
    the latency, and empty for flows. `requests` is the number of requests that it stands for.
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


def nearest_rank(ordered: Ints, percent: int) -> int:
    """Return the percentile of values in ascending order; ValueError if there is none."""
    if len(ordered) == 0:
        raise ValueError("a percentile of no value")
    rank = max(1, -(-percent * len(ordered) // 100))
    return int(ordered[rank - 1])


def quantiles(values: Ints) -> Quantiles:
    """Summarise `values`; a percentile is told only if at least one observation is expected above it.

    That asks for 2 values for p50, 20 for p95 and 100 for p99 (Rally's sample-size rule has the same principle).
    """
    ordered = np.sort(values)
    p50, p95, p99 = (_if_enough(ordered, percent) for percent in (50, 95, 99))
    return Quantiles(count=len(ordered), p50=p50, p95=p95, p99=p99, max=int(ordered[-1]) if len(ordered) else None)


def enough(count: int, percent: int) -> bool:
    """Tell whether at least one of so many values is expected above the percentile."""
    return round(count * (1 - percent / 100), 6) >= 1


def endpoints(requests: Requests, window_ns: int) -> tuple[Traffic, ...]:
    """Judge each endpoint of the requests given, in the order of the labels."""
    return tuple(
        _requests(rows(requests, requests.endpoint.is_(name)), name, window_ns)
        for name in _present(requests.endpoint)
    )


def all_requests(requests: Requests, window_ns: int) -> Traffic:
    """Judge all requests together."""
    return _requests(requests, "all", window_ns)


def flows(table: Flows, window_ns: int) -> tuple[Traffic, ...]:
    """Judge each kind of flow given, in the order of the labels."""
    return tuple(_flows(rows(table, table.flow.is_(name)), name, window_ns) for name in _present(table.flow))


def _requests(some: Requests, name: str, window_ns: int) -> Traffic:
    began, good = _began(some), some.outcome.is_(Outcome.OK)
    answered = good & (some.t_first_byte_ns != NULL)
    return Traffic(
        name=name,
        count=len(began),
        outcomes=some.outcome.counts(),
        latency_ns=_spans(began, some.t_end_ns, good),
        service_ns=_spans(some.t_start_ns, some.t_end_ns, good),
        first_byte_ns=_spans(began, some.t_first_byte_ns, answered),
        requests=len(began),
        bytes_received=_total(some.bytes_received),
        per_s=_per_s(len(began), window_ns),
        bytes_per_s=_per_s(_total(some.bytes_received), window_ns),
    )


def _flows(some: Flows, name: str, window_ns: int) -> Traffic:
    began, good = _began(some), some.outcome.is_(Outcome.OK)
    return Traffic(
        name=name,
        count=len(began),
        outcomes=some.outcome.counts(),
        latency_ns=_spans(began, some.t_end_ns, good),
        service_ns=_spans(some.t_start_ns, some.t_end_ns, good),
        first_byte_ns=quantiles(np.empty(0, dtype=np.int64)),
        requests=_total(some.requests),
        bytes_received=_total(some.bytes_received),
        per_s=_per_s(len(began), window_ns),
        bytes_per_s=_per_s(_total(some.bytes_received), window_ns),
    )


def _began(some: Requests | Flows) -> Ints:
    return np.where(some.t_intended_ns == NULL, some.t_start_ns, some.t_intended_ns)


def _spans(begin: Ints, end: Ints, mask: Mask) -> Quantiles:
    told = mask & (end != NULL) & (begin != NULL)
    return quantiles(end[told] - begin[told])


def _total(values: Ints) -> int:
    return int(values[values != NULL].sum())


def _per_s(amount: int, window_ns: int) -> float:
    return amount * NS_PER_S / window_ns if window_ns > 0 else 0.0


def _present(column: Coded) -> list[str]:
    return list(column.counts())


def _if_enough(ordered: Ints, percent: int) -> int | None:
    return nearest_rank(ordered, percent) if enough(len(ordered), percent) else None

"""Latency, outcomes and rates of requests and flows.

Percentiles are nearest-rank (the inverse of the empirical distribution): the smallest observed value such that at
least p per cent of the observations are not above it. Nothing is interpolated: a figure shown was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seatrial.measure.tables import Flows, Ints, Mask, Requests, by_label
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
    return int(ordered[_rank(len(ordered), percent) - 1])


def quantiles(values: Ints) -> Quantiles:
    """Summarise `values`; a percentile is told only if at least one observation is expected above it.

    That asks for 2 values for p50, 20 for p95 and 100 for p99 (Rally's sample-size rule has the same principle).
    """
    return _quantiles_in_place(values.copy())


def _quantiles_in_place(values: Ints) -> Quantiles:
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


def endpoints(requests: Requests, window_ns: int) -> tuple[Traffic, ...]:
    """Judge each endpoint of the requests given, in the order of the labels."""
    return tuple(all_requests(some, window_ns, name) for name, some in by_label(requests, requests.endpoint))


def all_requests(requests: Requests, window_ns: int, name: str = "all") -> Traffic:
    """Judge all requests together."""
    answered = _succeeded(requests) & (requests.t_first_byte_ns != NULL)
    first_byte = _quantiles_in_place(_spans(requests.began_ns, requests.t_first_byte_ns, answered))
    return _traffic(requests, name, window_ns, requests=len(requests.t_start_ns), first_byte=first_byte)


def flows(table: Flows, window_ns: int) -> tuple[Traffic, ...]:
    """Judge each kind of flow given, in the order of the labels."""
    never = quantiles(np.empty(0, dtype=np.int64))
    return tuple(
        _traffic(some, name, window_ns, requests=_total(some.requests), first_byte=never)
        for name, some in by_label(table, table.flow)
    )


def took_ns(some: Requests | Flows) -> tuple[Mask, Ints]:
    """Return which ended well, and how long these took from their intended start."""
    good = _succeeded(some)
    return good, _spans(some.began_ns, some.t_end_ns, good)


def _traffic(
    some: Requests | Flows, name: str, window_ns: int, *, requests: int, first_byte: Quantiles
) -> Traffic:
    good = _succeeded(some)
    latency = _quantiles_in_place(_spans(some.began_ns, some.t_end_ns, good))
    closed = bool(np.all(some.t_intended_ns == NULL))
    outcomes, bytes_received = some.outcome.counts(), _total(some.bytes_received)
    count = sum(outcomes.values())
    return Traffic(
        name=name,
        count=count,
        outcomes=outcomes,
        latency_ns=latency,
        service_ns=latency if closed else _quantiles_in_place(_spans(some.t_start_ns, some.t_end_ns, good)),
        first_byte_ns=first_byte,
        requests=requests,
        bytes_received=bytes_received,
        per_s=_per_s(count, window_ns),
        bytes_per_s=_per_s(bytes_received, window_ns),
    )


def _succeeded(some: Requests | Flows) -> Mask:
    good: Mask = some.outcome.is_(Outcome.OK) & (some.t_end_ns != NULL) & (some.t_start_ns != NULL)
    return good


def _spans(begin: Ints, end: Ints, mask: Mask) -> Ints:
    took: Ints = (end - begin)[mask]
    return took


def _total(values: Ints) -> int:
    return int(values.sum(where=values != NULL))


def _per_s(amount: int, window_ns: int) -> float:
    return amount * NS_PER_S / window_ns if window_ns > 0 else 0.0


def _rank(count: int, percent: int) -> int:
    return max(1, -(-percent * count // 100))


def _if_enough(ordered: Ints, percent: int) -> int | None:
    return nearest_rank(ordered, percent) if enough(len(ordered), percent) else None

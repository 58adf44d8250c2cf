"""How requests and the load generator fared over time, and how latency is distributed: the points of charts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seatrial.measure.grid import Grid
from seatrial.measure.latency import quantiles
from seatrial.measure.tables import Floats, Generator, Ints
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

Stretch: TypeAlias = NDArray[np.signedinteger[Any]] | NDArray[np.unsignedinteger[Any]]
"""Numbers of a grid's stretches, in whatever width they are kept."""

MOST_OF_A_RISE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How requests fared, one point a stretch of `step_ns`.

    Percentiles (nearest rank; NULL if too few to tell) and the highest are of the successes that began in it;
    `asked` counts all that began in it, `failed` those of them that failed.
    """

    step_ns: int
    t_ns: Ints
    p50_ns: Ints
    p95_ns: Ints
    p99_ns: Ints
    max_ns: Ints
    asked: Ints
    failed: Ints

    @classmethod
    def of(cls, grid: Grid, latency_ns: Ints, stretch: Stretch, asked: Ints, failed: Ints) -> Self:
        """Gather latencies by their stretch; `asked` and `failed` hold one number for each stretch."""
        if np.any(stretch[1:] < stretch[:-1]):
            order = np.argsort(stretch, kind="stable")
            latency_ns, stretch = latency_ns[order], stretch[order]
        edges = np.searchsorted(stretch, np.arange(grid.count + 1))
        found = [quantiles(latency_ns[begin:end]) for begin, end in pairwise(edges)]
        return cls(
            step_ns=grid.step_ns,
            t_ns=grid.begins_ns,
            p50_ns=_told([one.p50 for one in found]),
            p95_ns=_told([one.p95 for one in found]),
            p99_ns=_told([one.p99 for one in found]),
            max_ns=_told([one.max for one in found]),
            asked=asked,
            failed=failed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """An empirical distribution: `share` of the observations (0 to 1) are at most `value_ns`; both ascend."""

    name: str
    value_ns: Ints
    share: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The load processes together, one point a stretch: the busiest, the latest, and all that is in flight."""

    t_ns: Ints
    cpu_fraction: Floats
    loop_lag_p99_ns: Ints
    in_flight: Ints


def rise(name: str, values: Ints, most: int = MOST_OF_A_RISE) -> Rise:
    """Return the distribution of `values`, thinned to at most `most` points: half by rank, half into the tail."""
    ordered = np.sort(values)
    count = len(ordered)
    if count > most:
        even = np.linspace(1, count, most // 2)
        tail = count + 1 - np.geomspace(1, count, most - most // 2)
        ranks = np.unique(np.rint(np.concatenate([even, tail])).astype(np.int64))
    else:
        ranks = np.arange(1, count + 1)
    return Rise(name=name, value_ns=ordered[ranks - 1], share=ranks / max(count, 1))


def pulse(table: Generator, grid: Grid) -> Pulse:
    """Return how the load processes fared; a second is stamped at its end, and counts to when it was."""
    stretch = grid.of(table.t_ns - 1)
    lag = np.full(grid.count, NULL, dtype=np.int64)
    np.maximum.at(lag, stretch, table.loop_lag_p99_ns)
    cpu = np.full(grid.count, -np.inf)
    np.maximum.at(cpu, stretch, np.where(np.isnan(table.cpu_fraction), -np.inf, table.cpu_fraction))
    flight = np.zeros(grid.count, dtype=np.int64)
    np.add.at(flight, stretch, np.where(table.in_flight == NULL, 0, table.in_flight))
    # of a stretch of several seconds the mean second
    each = max(1, grid.step_ns // NS_PER_S)
    there = np.bincount(stretch, minlength=grid.count) > 0
    return Pulse(
        t_ns=grid.begins_ns,
        cpu_fraction=np.where(np.isinf(cpu), np.nan, cpu),
        loop_lag_p99_ns=lag,
        in_flight=np.where(there, flight // each, NULL),
    )


def _told(values: list[int | None]) -> Ints:
    return np.array([NULL if value is None else value for value in values], dtype=np.int64)

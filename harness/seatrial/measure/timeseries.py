"""Time series of a run for its charts: load, memory, processors, and the latency distribution.

Readings are thinned out so that a page stays small, never averaged: each point of memory was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count, pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seatrial.measure import tables
from seatrial.measure.statistics import quantiles
from seatrial.measure.tables import Floats, GeneratorColumns, Ints, SampleColumns, where
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

MOST_GRID_POINTS = 1_500
"""A chart is not much wider than this many pixels; more stretches would hide one another."""
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeGrid:
    """`count` stretches of `step_ns`, the first of which begins at `from_ns`."""

    from_ns: int
    step_ns: int
    count: int

    @property
    def begins_ns(self) -> Ints:
        """When each stretch begins."""
        return self.from_ns + np.arange(self.count, dtype=np.int64) * self.step_ns

    def of(self, stamps: Ints) -> Ints:
        """Return the number of the stretch that each stamp lies in; what lies outside counts to the nearest."""
        stretch: Ints = np.clip((stamps - self.from_ns) // self.step_ns, 0, self.count - 1)
        return stretch


def time_grid(begin_ns: int, end_ns: int, anchor_ns: int, most: int = MOST_GRID_POINTS) -> TimeGrid:
    """Return at most `most` stretches, of a second or more, from `begin_ns` up to and with `end_ns`.

    One of them begins exactly at `anchor_ns`, so that no stretch holds some of the warm-up and some of the window.
    """

    def grid(step_s: int) -> TimeGrid:
        step_ns = step_s * NS_PER_S
        from_ns = anchor_ns + (min(begin_ns, anchor_ns) - anchor_ns) // step_ns * step_ns
        return TimeGrid(from_ns=from_ns, step_ns=step_ns, count=max(1, (end_ns - from_ns) // step_ns + 1))

    steps_s = chain(_STEPS_S, (_STEPS_S[-1] << doubled for doubled in count(1)))
    return next(one for one in map(grid, steps_s) if one.count <= most)


STACKED = ("anon_bytes", "kernel_bytes", "shmem_bytes", "sock_bytes", "file_dirty_bytes", "file_clean_bytes")
"""The classes that add up to what a service is charged for; all but the last can't be taken back at once."""
MOST_READINGS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySeries:
    """What one service held, replicas added up; `classes` are those of STACKED that its source measures."""

    service: str
    t_ns: Ints
    classes: Mapping[str, Ints]
    usage_bytes: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuSeries:
    """How many cores one service used, one point a stretch; NaN where it was not read."""

    service: str
    t_ns: Ints
    cores: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class OomKill:
    """How many processes of a service ran out of memory between the reading before and this one."""

    service: str
    t_ns: int
    processes: int


def memory_series(samples: SampleColumns, most: int = MOST_READINGS) -> tuple[MemorySeries, ...]:
    """Return each service's memory over time, at most `most` readings, with each class's lowest and highest."""
    return tuple(
        _memory(where(samples, samples.service.is_(name)), name, most) for name in samples.service.counts()
    )


def cpu_series(samples: SampleColumns, grid: TimeGrid) -> tuple[CpuSeries, ...]:
    """Return the cores that each service used; a rise counts to the stretch in which it was read."""
    return tuple(_cpu(where(samples, samples.service.is_(name)), name, grid) for name in samples.service.counts())


def oom_kills(samples: SampleColumns) -> tuple[OomKill, ...]:
    """Return when the kernel's counters of killed processes rose, in the order of time."""
    kills = []
    for name in samples.service.counts():
        for stamps, counter in tables.counter_readings(where(samples, samples.service.is_(name)), "oom_kills"):
            rises = np.diff(counter)
            kills += [
                OomKill(service=name, t_ns=int(stamps[at + 1]), processes=int(rises[at]))
                for at in np.flatnonzero(rises > 0)
            ]
    return tuple(sorted(kills, key=lambda kill: kill.t_ns))


def thinned(columns: Mapping[str, Ints], most: int) -> Ints:
    """Return which readings to draw, ascending: of equal parts those where any column is lowest or highest."""
    count = len(next(iter(columns.values())))
    if count <= most:
        return np.arange(count)
    parts = np.array_split(np.arange(count), max(1, most // (2 * len(columns))))
    drawn = [
        part[ends]
        for part in parts
        for values in columns.values()
        for ends in (values[part].argmin(), values[part].argmax())
    ]
    return np.unique(np.array(drawn, dtype=np.int64))


def _memory(samples: SampleColumns, name: str, most: int) -> MemorySeries:
    stamps, codes = samples.numbers["t_ns"], samples.container.codes.astype(np.int64)
    names = [column for column in (*STACKED, "usage_bytes") if np.any(samples.numbers[column] != NULL)]
    columns = {column: samples.numbers[column].copy() for column in names}
    if tables.most_at_once(stamps, codes) > 1:
        period_ns = quantiles(tables.reading_periods_ns(stamps, codes)).p50 or 0
        columns = tables.summed_over_containers({"t_ns": stamps, **columns}, codes, period_ns)
        stamps = columns.pop("t_ns")
    else:
        for rows in tables.each_container(codes):
            for values in columns.values():
                values[rows] = tables.carried_forward(values[rows])
    at = thinned(columns or {"t_ns": stamps}, most)
    usage = columns.pop("usage_bytes", np.full(len(stamps), NULL, dtype=np.int64))
    return MemorySeries(
        service=name,
        t_ns=stamps[at],
        classes={column: values[at] for column, values in columns.items()},
        usage_bytes=usage[at],
    )


def _cpu(samples: SampleColumns, name: str, grid: TimeGrid) -> CpuSeries:
    cores = np.full(grid.count, np.nan)
    for stamps, counter in tables.counter_readings(samples, "cpu_ns"):
        stretch = grid.of(stamps[1:])
        used, lasted = np.zeros(grid.count), np.zeros(grid.count)
        np.add.at(used, stretch, np.maximum(np.diff(counter), 0))
        np.add.at(lasted, stretch, np.diff(stamps))
        read = lasted > 0
        cores[read] = np.nan_to_num(cores[read]) + used[read] / lasted[read]
    return CpuSeries(service=name, t_ns=grid.begins_ns, cores=cores)


Stretch: TypeAlias = NDArray[np.signedinteger[Any]] | NDArray[np.unsignedinteger[Any]]
"""Numbers of a grid's stretches, in whatever width they are kept."""
MOST_POINTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSeries:
    """Latency, rate and failures of requests, one point a stretch of `step_ns`.

    Percentiles (nearest rank; NULL with too few) and the highest are of the successes that began in it; `asked`
    counts all that began in it, `failed` those of them that failed.
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
    def of(cls, grid: TimeGrid, latency_ns: Ints, stretch: Stretch, asked: Ints, failed: Ints) -> LoadSeries:
        """Gather latencies by their stretch; `asked` and `failed` hold one number for each stretch."""
        if np.any(stretch[1:] < stretch[:-1]):
            order = np.argsort(stretch, kind="stable")
            latency_ns, stretch = latency_ns[order], stretch[order]
        edges = np.searchsorted(stretch, np.arange(grid.count + 1))
        each = [quantiles(latency_ns[begin:end]) for begin, end in pairwise(edges)]
        p50_ns, p95_ns, p99_ns, max_ns = (
            np.array([NULL if value is None else value for value in column], dtype=np.int64)
            for column in zip(*((one.p50, one.p95, one.p99, one.max) for one in each), strict=True)
        )
        return cls(
            step_ns=grid.step_ns,
            t_ns=grid.begins_ns,
            p50_ns=p50_ns,
            p95_ns=p95_ns,
            p99_ns=p99_ns,
            max_ns=max_ns,
            asked=asked,
            failed=failed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyDistribution:
    """An empirical distribution: `share` of the observations (0 to 1) are at most `value_ns`; both ascend."""

    name: str
    value_ns: Ints
    share: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSeries:
    """The load processes together, one point a stretch: the busiest, the latest, and all that is in flight."""

    t_ns: Ints
    cpu_fraction: Floats
    loop_lag_p99_ns: Ints
    in_flight: Ints


def latency_distribution(name: str, values: Ints, most: int = MOST_POINTS) -> LatencyDistribution:
    """Return the distribution of `values`, thinned to at most `most` points: half by rank, half into the tail."""
    ordered = np.sort(values)
    count = len(ordered)
    if count > most:
        even = np.linspace(1, count, most // 2)
        tail = count + 1 - np.geomspace(1, count, most - most // 2)
        ranks = np.unique(np.rint(np.concatenate([even, tail])).astype(np.int64))
    else:
        ranks = np.arange(1, count + 1)
    return LatencyDistribution(name=name, value_ns=ordered[ranks - 1], share=ranks / max(count, 1))


def generator_series(table: GeneratorColumns, grid: TimeGrid) -> GeneratorSeries:
    """Return CPU, lag and requests in flight of the load processes; a second is stamped at its end."""
    stretch = grid.of(table.t_ns - 1)
    lag = np.full(grid.count, NULL, dtype=np.int64)
    np.maximum.at(lag, stretch, table.loop_lag_p99_ns)
    cpu = np.full(grid.count, -np.inf)
    np.maximum.at(cpu, stretch, np.where(np.isnan(table.cpu_fraction), -np.inf, table.cpu_fraction))
    flight = np.zeros(grid.count, dtype=np.int64)
    np.add.at(flight, stretch, np.where(table.in_flight == NULL, 0, table.in_flight))
    each = max(1, grid.step_ns // NS_PER_S)  # of a stretch of several seconds the mean second
    filled = np.bincount(stretch, minlength=grid.count) > 0
    return GeneratorSeries(
        t_ns=grid.begins_ns,
        cpu_fraction=np.where(np.isinf(cpu), np.nan, cpu),
        loop_lag_p99_ns=lag,
        in_flight=np.where(filled, flight // each, NULL),
    )

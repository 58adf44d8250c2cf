"""What services held and used over time: the points that their charts are drawn from.

Readings are thinned out so that a page stays small, never averaged: each point of memory was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seatrial.measure import replicas
from seatrial.measure.grid import Grid
from seatrial.measure.latency import quantiles
from seatrial.measure.tables import Floats, Ints, Samples, rows
from seatrial.wire.streams import NULL

STACKED = ("anon_bytes", "kernel_bytes", "shmem_bytes", "sock_bytes", "file_dirty_bytes", "file_clean_bytes")
"""The classes that add up to what a service is charged for; all but the last can't be taken back at once."""

MOST_READINGS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one service held, replicas added up; `classes` are those of STACKED that its source can tell."""

    service: str
    t_ns: Ints
    classes: Mapping[str, Ints]
    usage_bytes: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """How many cores one service used, one point a stretch; NaN where it was not read."""

    service: str
    t_ns: Ints
    cores: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """So many processes of a service were killed for want of memory between the reading before and this one."""

    service: str
    t_ns: int
    processes: int


def held(samples: Samples, most: int = MOST_READINGS) -> tuple[Held, ...]:
    """Return each service's memory over time, at most `most` readings, with each class's lowest and highest."""
    return tuple(_held(rows(samples, samples.service.is_(name)), name, most) for name in samples.service.counts())


def worked(samples: Samples, grid: Grid) -> tuple[Worked, ...]:
    """Return the cores that each service used; a rise counts to the stretch in which it was read."""
    return tuple(
        _worked(rows(samples, samples.service.is_(name)), name, grid) for name in samples.service.counts()
    )


def kills(samples: Samples) -> tuple[Kill, ...]:
    """Return when processes were found killed for want of memory, in the order of time, whoever told it or not."""
    found = []
    for service, name in enumerate(samples.service.labels):
        for container in np.unique(samples.container.codes[samples.service.codes == service]):
            mine = (samples.service.codes == service) & (samples.container.codes == container)
            told = mine & (samples.numbers["oom_kills"] != NULL)
            stamps, counter = samples.numbers["t_ns"][told], samples.numbers["oom_kills"][told]
            rises = np.diff(counter)
            found += [
                Kill(service=name, t_ns=int(stamps[at + 1]), processes=int(rises[at]))
                for at in np.flatnonzero(rises > 0)
            ]
    return tuple(sorted(found, key=lambda kill: kill.t_ns))


def thinned(columns: Mapping[str, Ints], most: int) -> Ints:
    """Return which readings to draw, ascending: of equal parts those where any column is lowest or highest."""
    count = len(next(iter(columns.values())))
    if count <= most:
        return np.arange(count)
    parts = np.array_split(np.arange(count), max(1, most // (2 * len(columns))))
    kept = [
        part[ends]
        for part in parts
        for values in columns.values()
        for ends in (values[part].argmin(), values[part].argmax())
    ]
    return np.unique(np.array(kept, dtype=np.int64))


def _held(some: Samples, name: str, most: int) -> Held:
    stamps, codes = some.numbers["t_ns"], some.container.codes.astype(np.int64)
    names = [one for one in (*STACKED, "usage_bytes") if np.any(some.numbers[one] != NULL)]
    columns = {one: some.numbers[one] for one in names}
    if replicas.at_once(stamps, codes) > 1:
        stamps, columns = _together({"t_ns": stamps, **columns}, codes)
    else:
        for mine in replicas.each(codes):
            for one in names:
                columns[one] = columns[one].copy()
                columns[one][mine] = replicas.carried(columns[one][mine])
    at = thinned(columns or {"t_ns": stamps}, most)
    usage = columns.pop("usage_bytes", np.full(len(stamps), NULL, dtype=np.int64))
    return Held(
        service=name,
        t_ns=stamps[at],
        classes={one: values[at] for one, values in columns.items()},
        usage_bytes=usage[at],
    )


def _together(columns: Mapping[str, Ints], codes: Ints) -> tuple[Ints, dict[str, Ints]]:
    stamps = columns["t_ns"]
    periods = np.concatenate([np.diff(stamps[mine]) for mine in replicas.each(codes)])
    period_ns = quantiles(periods).p50 or 0
    number = replicas.ticks(stamps, codes, period_ns)
    last_row = np.searchsorted(number, np.arange(number[-1] + 1), side="right") - 1
    return stamps[last_row], replicas.summed(columns, codes, period_ns)


def _worked(some: Samples, name: str, grid: Grid) -> Worked:
    stamps, counter = some.numbers["t_ns"], some.numbers["cpu_ns"]
    cores = np.full(grid.count, np.nan)
    for mine in replicas.each(some.container.codes.astype(np.int64)):
        told = mine & (counter != NULL)
        when = stamps[told]
        used, lasted = np.zeros(grid.count), np.zeros(grid.count)
        np.add.at(used, grid.of(when[1:]), np.maximum(np.diff(counter[told]), 0))
        np.add.at(lasted, grid.of(when[1:]), np.diff(when))
        there = lasted > 0
        cores[there] = np.nan_to_num(cores[there]) + used[there] / lasted[there]
    return Worked(service=name, t_ns=grid.begins_ns, cores=cores)

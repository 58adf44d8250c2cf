"""What each service held and used during the window.

Memory classes of one service, as the kernel charges them: anonymous, file cache (clean, and dirty or in
write-back), shared memory and tmpfs, kernel, sockets, swap. Only the clean cache can be taken back at once; the
rest is `unreclaimable` = anonymous + kernel + shared + sockets + dirty. (Some kernel memory, dentries for one, can
be taken back; only a forced reclaim shows how much.) A class that is read less often than the others keeps its
container's last known value in the sum; one that a source can't tell at all counts as nothing, and is listed in
`untold`; where anonymous memory is unknown, so is the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from seatrial.measure import replicas
from seatrial.measure.latency import Quantiles, nearest_rank, quantiles
from seatrial.measure.tables import Ints, Samples, rows
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

UNRECLAIMABLE = ("anon_bytes", "kernel_bytes", "shmem_bytes", "sock_bytes", "file_dirty_bytes")
CLASSES = (
    "unreclaimable_bytes",
    "anon_bytes",
    "file_clean_bytes",
    "file_dirty_bytes",
    "shmem_bytes",
    "kernel_bytes",
    "sock_bytes",
    "swap_bytes",
    "usage_bytes",
    "working_set_bytes",
)
COUNTERS = (
    "cpu_ns",
    "throttled_ns",
    "oom_kills",
    "limit_hits",
    "cpu_stall_ns",
    "memory_stall_ns",
    "io_stall_ns",
    "major_faults",
    "read_bytes",
    "written_bytes",
    "rx_bytes",
    "tx_bytes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One memory class over the window: first, median, highest and last value; None where nobody could tell."""

    start: int | None
    median: int | None
    peak: int | None
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUse:
    """One service over the window.

    `memory` maps each of CLASSES to its level, replicas added up; `ticks` counts the moments at which the service
    was read, `samples` the readings of all its containers; `gained` maps each of COUNTERS to what it grew by
    (None: can't be told); `cpu_cores` is the mean number of cores in use; `containers` those seen, `restarts` how
    often one followed another. `cpu_per_flow_ns` is known only where no request was made.
    """

    service: str
    samples: int
    ticks: int
    containers: tuple[str, ...]
    restarts: int
    memory: Mapping[str, Level]
    untold: tuple[str, ...]
    gained: Mapping[str, int | None]
    cpu_cores: float | None
    cpu_per_request_ns: int | None
    samples_per_s: float
    period_ns: Quantiles
    reading_ns: Quantiles
    cpu_per_flow_ns: int | None = None


def services(samples: Samples, window_ns: int, requests: int, flows: int = 0) -> tuple[ServiceUse, ...]:
    """Judge each service of the samples given; `requests` and `flows` are how many there were in that time."""
    used = (
        _use(rows(samples, samples.service.is_(name)), name, window_ns, requests)
        for name in samples.service.counts()
    )
    if requests or not flows:
        return tuple(used)
    return tuple(
        one if one.cpu_cores is None else replace(one, cpu_per_flow_ns=round(one.cpu_cores * window_ns / flows))
        for one in used
    )


def unreclaimable(numbers: Mapping[str, Ints], container: Ints) -> Ints:
    """Return the sum of the classes that can't be taken back, NULL where anonymous memory is unknown."""
    total = np.full(len(container), NULL, dtype=np.int64)
    for mine in replicas.each(container):
        known = [replicas.carried(numbers[name][mine]) for name in UNRECLAIMABLE]
        held = np.sum([np.where(values == NULL, 0, values) for values in known], axis=0)
        total[mine] = np.where(numbers["anon_bytes"][mine] == NULL, NULL, held)
    return total


def level(values: Ints) -> Level:
    """Return the level of one class; its values stand in the order of time."""
    told = values[values != NULL]
    if len(told) == 0:
        return Level(start=None, median=None, peak=None, end=None)
    return Level(
        start=int(told[0]),
        median=nearest_rank(np.sort(told), 50),
        peak=int(told.max()),
        end=int(told[-1]),
    )


def gained(values: Ints, container: Ints) -> int | None:
    """Return what a counter grew by: the rises within each container; None without two readings of one.

    A fall is a counter that began anew (a restart, a child that ended) and counts as nothing.
    """
    grown: list[int] = []
    for code in np.unique(container):
        told = values[(container == code) & (values != NULL)]
        if len(told) > 1:
            grown.append(int(np.maximum(np.diff(told), 0).sum()))
    return sum(grown) if grown else None


def _use(some: Samples, name: str, window_ns: int, requests: int) -> ServiceUse:
    codes = some.container.codes.astype(np.int64)
    numbers, stamps = some.numbers, some.numbers["t_ns"]
    periods = quantiles(_periods(stamps, codes))
    together = replicas.at_once(stamps, codes)
    gains = {counter: gained(numbers[counter], codes) for counter in COUNTERS}
    cores = _cores(gains["cpu_ns"], stamps)
    held = {**{one: numbers[one] for one in CLASSES if one in numbers}, "t_ns": stamps}
    held["unreclaimable_bytes"] = unreclaimable(numbers, codes)
    if together > 1:
        held = replicas.summed(held, codes, periods.p50 or 0)
    return ServiceUse(
        service=name,
        samples=some.count,
        ticks=len(held["usage_bytes"]),
        containers=tuple(some.container.counts()),
        restarts=len(np.unique(codes)) - together,
        memory={one: level(held[one]) for one in CLASSES},
        untold=tuple(one for one in UNRECLAIMABLE if not np.any(numbers[one] != NULL)),
        gained=gains,
        cpu_cores=cores,
        cpu_per_request_ns=None if cores is None or not requests else round(cores * window_ns / requests),
        samples_per_s=some.count * NS_PER_S / window_ns if window_ns > 0 else 0.0,
        period_ns=periods,
        reading_ns=quantiles(_readings(numbers)),
    )


def _cores(cpu_ns: int | None, stamps: Ints) -> float | None:
    covered_ns = int(stamps.max() - stamps.min())
    return cpu_ns / covered_ns if cpu_ns is not None and covered_ns > 0 else None


def _periods(stamps: Ints, container: Ints) -> Ints:
    return np.concatenate([np.diff(stamps[mask]) for mask in replicas.each(container)])


def _readings(numbers: Mapping[str, Ints]) -> Ints:
    told = numbers["t_after_ns"] != NULL
    took: Ints = numbers["t_after_ns"][told] - numbers["t_ns"][told]
    return took

"""Memory levels, counters and memory growth of a service.

Memory classes of one service, as the kernel charges them: anonymous, file cache (clean, and dirty or in
write-back), shared memory and tmpfs, kernel, sockets, swap. Only the clean cache can be taken back at once; the
rest is `unreclaimable` = anonymous + kernel + shared + sockets + dirty. (Some kernel memory, dentries for one, can
be taken back; only a forced reclaim shows how much.) A class that is read less often than the others keeps its
container's last known value in the sum; one that a source can't tell at all counts as nothing, and is listed in
`untold`; where anonymous memory is unknown, so is the sum.

Theil's slope (Theil 1950; Sen, JASA 1968) with its 95 % interval, on the minima of twelve parts of the window: a
minimum leaves out what a garbage collector is about to give back, and parts of several seconds depend less on each
other than readings of ten a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from seatrial.measure import tables
from seatrial.measure.statistics import Quantiles, nearest_rank, quantiles
from seatrial.measure.tables import Floats, Ints, Mask, SampleColumns, where
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
class MemoryLevel:
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
    memory: Mapping[str, MemoryLevel]
    untold: tuple[str, ...]
    gained: Mapping[str, int | None]
    cpu_cores: float | None
    cpu_per_request_ns: int | None
    samples_per_s: float
    period_ns: Quantiles
    reading_ns: Quantiles
    cpu_per_flow_ns: int | None = None


def service_use(samples: SampleColumns, window_ns: int, requests: int, flows: int = 0) -> tuple[ServiceUse, ...]:
    """Judge each service of the samples given; `requests` and `flows` are how many there were in that time."""
    used = (
        _use(where(samples, samples.service.is_(name)), name, window_ns, requests)
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
    for mine in tables.each_container(container):
        known = [tables.carried_forward(numbers[name][mine]) for name in UNRECLAIMABLE]
        held = np.sum([np.where(values == NULL, 0, values) for values in known], axis=0)
        total[mine] = np.where(numbers["anon_bytes"][mine] == NULL, NULL, held)
    return total


def memory_level(values: Ints) -> MemoryLevel:
    """Return the level of one class; its values stand in the order of time."""
    told = values[values != NULL]
    if len(told) == 0:
        return MemoryLevel(start=None, median=None, peak=None, end=None)
    return MemoryLevel(
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


def _use(some: SampleColumns, name: str, window_ns: int, requests: int) -> ServiceUse:
    codes = some.container.codes.astype(np.int64)
    numbers, stamps = some.numbers, some.numbers["t_ns"]
    periods = quantiles(_periods(stamps, codes))
    together = tables.most_at_once(stamps, codes)
    gains = {counter: gained(numbers[counter], codes) for counter in COUNTERS}
    cores = _cores(gains["cpu_ns"], stamps)
    held = {**{one: numbers[one] for one in CLASSES if one in numbers}, "t_ns": stamps}
    held["unreclaimable_bytes"] = unreclaimable(numbers, codes)
    if together > 1:
        held = tables.summed_over_containers(held, codes, periods.p50 or 0)
    return ServiceUse(
        service=name,
        samples=some.count,
        ticks=len(held["usage_bytes"]),
        containers=tuple(some.container.counts()),
        restarts=len(np.unique(codes)) - together,
        memory={one: memory_level(held[one]) for one in CLASSES},
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
    return np.concatenate([np.diff(stamps[mask]) for mask in tables.each_container(container)])


def _readings(numbers: Mapping[str, Ints]) -> Ints:
    told = numbers["t_after_ns"] != NULL
    took: Ints = numbers["t_after_ns"][told] - numbers["t_ns"][told]
    return took


PARTS = 12
MATTERS = 0.02
"""A growth of this part of the level over the window matters, at least LEAST_BYTES."""
LEAST_BYTES = 1 << 20
_LEAST_S = 30.0
_ALPHA = 0.05


class Growth(StrEnum):
    """What is said of memory over a window."""

    GROWING = "GROWING"
    STEADY = "STEADY"
    TOO_SHORT = "TOO SHORT"
    UNTOLD = "NOT TOLD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """What is said of one service: `per_s` with `low` and `high` in bytes a second, `level` the median in bytes.

    `matters_bytes` is the growth over the window from which on it is called one.
    """

    service: str
    word: Growth
    seconds: float
    level_bytes: int | None = None
    matters_bytes: int | None = None
    per_s: float | None = None
    low: float | None = None
    high: float | None = None


def memory_growth(name: str, samples: SampleColumns, inside: Mask) -> Slope:
    """Judge one service by the samples where `inside` holds, replicas added up."""
    mine = where(samples, inside & samples.service.is_(name))
    if not mine.count:
        return Slope(service=name, word=Growth.UNTOLD, seconds=0.0)
    stamps, codes = mine.numbers["t_ns"], mine.container.codes.astype(np.int64)
    held = unreclaimable(mine.numbers, codes)
    if tables.most_at_once(stamps, codes) > 1:
        period_ns = int(
            max(np.median(np.diff(stamps[one])) for one in tables.each_container(codes) if one.sum() > 1)
        )
        held = tables.summed_over_containers({"held": held, "t_ns": stamps}, codes, period_ns)["held"]
        stamps = np.linspace(stamps[0], stamps[-1], len(held))  # ticks are evenly spaced
    return growth(name, stamps.astype(np.int64), held)


def growth(service: str, t_ns: Ints, held: Ints) -> Slope:
    """Judge the readings of one service, in the order of time; NULL where it could not be read.

    Growing: the interval lies above what matters. Steady: it lies below. Else, and for less than 30 s, the window
    was too short to tell, which is no acquittal: a leak slower than that is not seen in a minute.
    """
    told = held != NULL
    when, values = t_ns[told].astype(np.float64) / NS_PER_S, held[told].astype(np.float64)
    if len(values) < PARTS:
        return Slope(service=service, word=Growth.UNTOLD, seconds=0.0)
    seconds = float(when[-1] - when[0])
    level = int(np.median(values))
    matters = max(LEAST_BYTES, round(MATTERS * level))
    begins, least = _minima(when, values)
    if seconds < _LEAST_S or len(least) < PARTS // 2:
        return Slope(
            service=service,
            word=Growth.TOO_SHORT,
            seconds=seconds,
            level_bytes=level,
            matters_bytes=matters,
        )
    from scipy import stats  # type: ignore[import-untyped]  # noqa: PLC0415  (half a second, for this alone)

    found = stats.theilslopes(least, begins, alpha=1 - _ALPHA)
    return Slope(
        service=service,
        word=_word(float(found.low_slope) * seconds, float(found.high_slope) * seconds, matters),
        seconds=seconds,
        level_bytes=level,
        matters_bytes=matters,
        per_s=float(found.slope),
        low=float(found.low_slope),
        high=float(found.high_slope),
    )


def _word(low_bytes: float, high_bytes: float, matters: int) -> Growth:
    if low_bytes > matters:
        return Growth.GROWING
    return Growth.STEADY if high_bytes < matters else Growth.TOO_SHORT


def _minima(when: Floats, values: Floats) -> tuple[Floats, Floats]:
    edges = np.linspace(when[0], when[-1], PARTS + 1)
    part = np.clip(np.searchsorted(edges, when, side="right") - 1, 0, PARTS - 1)
    there = np.unique(part)
    return edges[there], np.array([values[part == one].min() for one in there])

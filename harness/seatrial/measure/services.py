"""Memory levels, processor time, other counters and memory growth of a service.

Memory classes of one service, as the kernel charges them: anonymous, file cache (clean, and dirty or in
write-back), shared memory and tmpfs, kernel, sockets, swap. Only the clean cache can be taken back at once; the
rest is `unreclaimable` = anonymous + kernel + shared + sockets + dirty. (Some kernel memory, dentries for one, can
be taken back; only a forced reclaim shows how much.) A class that is read less often than the others keeps its
container's last known value in the sum; one that a source does not have counts as nothing, and is listed in
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
from seatrial.measure.tables import Ints, Mask, SampleColumns, known, where
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

UNRECLAIMABLE = ("anon_bytes", "kernel_bytes", "shmem_bytes", "sock_bytes", "file_dirty_bytes")
CLASSES = (
    *("unreclaimable_bytes", "anon_bytes", "file_clean_bytes", "file_dirty_bytes", "shmem_bytes", "kernel_bytes"),
    *("sock_bytes", "swap_bytes", "usage_bytes", "working_set_bytes"),
)
COUNTERS = (
    *("cpu_ns", "throttled_ns", "oom_kills", "limit_hits", "cpu_stall_ns", "memory_stall_ns", "io_stall_ns"),
    *("major_faults", "read_bytes", "written_bytes", "rx_bytes", "tx_bytes"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLevel:
    """One memory class over the window: first, median, highest and last value; None where it was not measured."""

    start: int | None
    median: int | None
    peak: int | None
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUse:
    """One service over the window.

    `memory` maps each of CLASSES to its level, replicas added up; `ticks` counts the moments at which the service
    was read, `samples` the readings of all its containers; `gained` maps each of COUNTERS to what it grew by
    (None: not known); `cpu_cores` is the mean number of cores in use; `restarts` how often one of `containers`
    followed another. `cpu_per_flow_ns` is known only where no request was made.
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
    """Return the use of each service in the samples; `requests` and `flows` were made in that time."""
    return tuple(
        _use(where(samples, samples.service.is_(name)), name, window_ns, requests, flows)
        for name in samples.service.counts()
    )


def unreclaimable(numbers: Mapping[str, Ints], container: Ints) -> Ints:
    """Return the sum of the classes that can't be taken back, NULL where anonymous memory is unknown."""
    total = np.full(len(container), NULL, dtype=np.int64)
    for rows in tables.each_container(container):
        classes = [tables.carried_forward(numbers[name][rows]) for name in UNRECLAIMABLE]
        held = np.sum([np.where(values == NULL, 0, values) for values in classes], axis=0)
        total[rows] = np.where(numbers["anon_bytes"][rows] == NULL, NULL, held)
    return total


def memory_level(values: Ints) -> MemoryLevel:
    """Return the level of one class; its values stand in the order of time."""
    values = known(values)
    if len(values) == 0:
        return MemoryLevel(start=None, median=None, peak=None, end=None)
    return MemoryLevel(
        start=int(values[0]), median=nearest_rank(np.sort(values), 50), peak=int(values.max()), end=int(values[-1])
    )


def gained(values: Ints, container: Ints) -> int | None:
    """Return what a counter grew by: the rises within each container; None without two readings of one.

    A fall is a counter that began again at zero (a restart, a child that ended) and counts as nothing.
    """
    own = [known(values[rows]) for rows in tables.each_container(container)]
    rises = [int(np.maximum(np.diff(one), 0).sum()) for one in own if len(one) > 1]
    return sum(rises) if rises else None


def _use(samples: SampleColumns, name: str, window_ns: int, requests: int, flows: int) -> ServiceUse:
    codes = samples.container.codes.astype(np.int64)
    numbers, stamps = samples.numbers, samples.numbers["t_ns"]
    periods = quantiles(tables.reading_periods_ns(stamps, codes))
    replicas = tables.most_at_once(stamps, codes)
    gains = {counter: gained(numbers[counter], codes) for counter in COUNTERS}
    used_ns, covered_ns = gains["cpu_ns"], int(stamps.max() - stamps.min())
    cores = used_ns / covered_ns if used_ns is not None and covered_ns > 0 else None
    held = {**{one: numbers[one] for one in CLASSES if one in numbers}, "t_ns": stamps}
    held["unreclaimable_bytes"] = unreclaimable(numbers, codes)
    if replicas > 1:
        held = tables.summed_over_containers(held, codes, periods.p50 or 0)
    timed = numbers["t_after_ns"] != NULL
    return ServiceUse(
        service=name,
        samples=samples.count,
        ticks=len(held["usage_bytes"]),
        containers=tuple(samples.container.counts()),
        restarts=len(np.unique(codes)) - replicas,
        memory={one: memory_level(held[one]) for one in CLASSES},
        untold=tuple(one for one in UNRECLAIMABLE if not np.any(numbers[one] != NULL)),
        gained=gains,
        cpu_cores=cores,
        cpu_per_request_ns=None if cores is None or not requests else round(cores * window_ns / requests),
        cpu_per_flow_ns=None if cores is None or requests or not flows else round(cores * window_ns / flows),
        samples_per_s=samples.count * NS_PER_S / window_ns if window_ns > 0 else 0.0,
        period_ns=periods,
        reading_ns=quantiles(numbers["t_after_ns"][timed] - stamps[timed]),
    )


PARTS = 12
MATTERS = 0.02
"""A growth of this part of the level over the window matters, at least LEAST_BYTES."""
LEAST_BYTES = 1 << 20
_LEAST_S = 30.0
_ALPHA = 0.05


class Growth(StrEnum):
    """The verdict on the growth of memory over a window."""

    GROWING = "GROWING"
    STEADY = "STEADY"
    TOO_SHORT = "TOO SHORT"
    UNTOLD = "NOT TOLD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """The memory growth of one service: `per_s` with `low` and `high` in bytes a second, `level_bytes` the median.

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
    samples = where(samples, inside & samples.service.is_(name))
    if not samples.count:
        return Slope(service=name, word=Growth.UNTOLD, seconds=0.0)
    stamps, codes = samples.numbers["t_ns"], samples.container.codes.astype(np.int64)
    held = unreclaimable(samples.numbers, codes)
    if tables.most_at_once(stamps, codes) > 1:
        period_ns = tables.slowest_period_ns(stamps, codes)
        held = tables.summed_over_containers({"held": held, "t_ns": stamps}, codes, period_ns)["held"]
        stamps = np.linspace(stamps[0], stamps[-1], len(held))  # ticks are evenly spaced
    return growth(name, stamps.astype(np.int64), held)


def growth(service: str, t_ns: Ints, held: Ints) -> Slope:
    """Judge the readings of one service, in the order of time; NULL where it could not be read.

    Growing: the interval lies above what matters. Steady: it lies below. Else, and for less than 30 s, the window
    was too short: a slow leak can't be seen in a minute.
    """
    read = held != NULL
    when, values = t_ns[read].astype(np.float64) / NS_PER_S, held[read].astype(np.float64)
    if len(values) < PARTS:
        return Slope(service=service, word=Growth.UNTOLD, seconds=0.0)
    seconds = float(when[-1] - when[0])
    level = int(np.median(values))
    matters = max(LEAST_BYTES, round(MATTERS * level))
    edges = np.linspace(when[0], when[-1], PARTS + 1)
    part = np.clip(np.searchsorted(edges, when, side="right") - 1, 0, PARTS - 1)
    parts = np.unique(part)
    least = np.array([values[part == one].min() for one in parts])
    slope = Slope(
        service=service, word=Growth.TOO_SHORT, seconds=seconds, level_bytes=level, matters_bytes=matters
    )
    if seconds < _LEAST_S or len(least) < PARTS // 2:
        return slope
    from scipy import stats  # type: ignore[import-untyped]  # noqa: PLC0415  (half a second, for this alone)

    fit = stats.theilslopes(least, edges[parts], alpha=1 - _ALPHA)
    low, high = float(fit.low_slope), float(fit.high_slope)
    word = Growth.STEADY if high * seconds < matters else Growth.TOO_SHORT
    if low * seconds > matters:
        word = Growth.GROWING
    return replace(slope, word=word, per_s=float(fit.slope), low=low, high=high)

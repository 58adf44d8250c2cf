"""What a service held and used, from its samples alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from factories import MIB, at, readings

from seatrial.measure.services import ServiceUse, gained, memory_level, service_use
from seatrial.measure.services import unreclaimable as unreclaimable_of
from seatrial.measure.tables import Ints, LabelColumn, SampleColumns
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL, SAMPLES, row_columns


def _ints(*values: int | None) -> Ints:
    return np.array([NULL if value is None else value for value in values], dtype=np.int64)


def _use(rows: list[dict[str, int]], containers: list[str] | None = None, requests: int = 100) -> ServiceUse:
    count = len(rows)
    names = containers or ["c"] * count
    labels = tuple(dict.fromkeys(names))
    same = LabelColumn(np.zeros(count, dtype=np.int32), ("app",))
    samples = SampleColumns(
        service=same,
        container=LabelColumn(np.array([labels.index(name) for name in names], dtype=np.int32), labels),
        phase=same,
        numbers={name: _ints(*(row.get(name) for row in rows)) for name in row_columns(SAMPLES)},
    )
    (use,) = service_use(samples, 30 * NS_PER_S, requests)
    return use


def _classes(**values: Any) -> dict[str, Ints]:  # noqa: ANN401  (lists of numbers)
    length = len(values["anon_bytes"])
    names = ("anon_bytes", "kernel_bytes", "shmem_bytes", "sock_bytes", "file_dirty_bytes")
    return {name: _ints(*values.get(name, [None] * length)) for name in names}


def unreclaimable(numbers: dict[str, Ints]) -> Ints:
    """Return the sum for readings of one container."""
    return unreclaimable_of(numbers, np.zeros(len(numbers["anon_bytes"]), dtype=np.int64))


def test_unreclaimable_is_the_sum_of_its_classes() -> None:
    """Anonymous, kernel, shared, sockets and dirty; the clean cache is not in it."""
    numbers = _classes(
        anon_bytes=[1], kernel_bytes=[20], shmem_bytes=[300], sock_bytes=[4000], file_dirty_bytes=[50_000]
    )
    assert unreclaimable(numbers).tolist() == [54_321]


def test_a_class_that_nobody_can_tell_counts_as_nothing() -> None:
    """A source without socket memory still has a sum."""
    assert unreclaimable(_classes(anon_bytes=[7], kernel_bytes=[1])).tolist() == [8]


def test_a_class_that_is_read_rarely_keeps_its_last_value() -> None:
    """Shared memory of a process tree comes every ten seconds; the sum must not jump when it does."""
    numbers = _classes(anon_bytes=[10, 10, 10, 10], shmem_bytes=[None, 5, None, 6])
    assert unreclaimable(numbers).tolist() == [15, 15, 15, 16]


def test_without_anonymous_memory_there_is_no_sum() -> None:
    """A source that tells usage only gets no unreclaimable figure."""
    assert unreclaimable(_classes(anon_bytes=[None, 3], kernel_bytes=[1, 1])).tolist() == [NULL, 4]


def test_a_level_is_first_median_highest_last() -> None:
    """Unknown readings are left out; the median is one of the readings."""
    found = memory_level(_ints(None, 10, 40, 20, 30, None))
    assert (found.start, found.median, found.peak, found.end) == (10, 20, 40, 30)


def test_a_level_that_nobody_could_tell_is_none() -> None:
    """Unknown is not zero."""
    assert memory_level(_ints(None, None)).peak is None


def test_a_counter_gains_its_rises_within_each_container() -> None:
    """A new container begins anew at zero, and that fall is not counted."""
    assert gained(_ints(100, 130, 5, 25), _ints(0, 0, 1, 1)) == 50


def test_a_counter_that_falls_counts_its_rises() -> None:
    """A child that ended takes its CPU time along."""
    assert gained(_ints(10, 30, 5, 6), _ints(0, 0, 0, 0)) == 21


def test_one_reading_tells_no_gain() -> None:
    """A difference needs two readings."""
    assert gained(_ints(10, None), _ints(0, 0)) is None


def test_cpu_is_shared_among_the_requests() -> None:
    """0.4 cores for 30 s over 100 requests is 120 ms each."""
    use = _use(readings(seconds=30, cores=0.4))
    assert round(use.cpu_cores or 0, 6) == 0.4
    assert use.cpu_per_request_ns == 120_000_000


def test_without_requests_there_is_no_cpu_per_request() -> None:
    """Watching without load divides by nothing."""
    assert _use(readings(seconds=30), requests=0).cpu_per_request_ns is None


def test_the_sampling_itself_is_judged() -> None:
    """Rate, period and the time of one reading."""
    use = _use(readings(seconds=30))
    assert (use.samples, use.samples_per_s) == (300, 10.0)
    assert (use.period_ns.p50, use.period_ns.p99, use.reading_ns.p50) == (100_000_000, 100_000_000, 20_000)


def test_memory_of_a_growing_service() -> None:
    """Start, median, peak and end of 8 MiB growing by 1 MiB a second for 30 s at 10 Hz."""
    anon = _use(readings(seconds=30, grow_mib_per_s=1)).memory["anon_bytes"]
    assert (anon.start, anon.peak, anon.end) == (8 * MIB, round(37.9 * MIB), round(37.9 * MIB))
    assert anon.median == round(22.9 * MIB)


def test_one_container_after_another_is_a_restart() -> None:
    """A second container that begins after the first was last seen has replaced it."""
    rows = [{"t_ns": at(second)} for second in (1, 2, 3, 4)]
    assert _use(rows, ["old", "old", "new", "new"]).restarts == 1


def test_two_containers_at_once_are_replicas() -> None:
    """Containers of one service that overlap in time are no restart."""
    rows = [{"t_ns": at(second)} for second in (1, 2, 3, 4)]
    assert _use(rows, ["one", "two", "one", "two"]).restarts == 0


def test_classes_nobody_told_are_named() -> None:
    """The report can say what the sum lacks."""
    assert _use([{"t_ns": at(1), "anon_bytes": 1, "kernel_bytes": 1}]).untold == (
        "shmem_bytes",
        "sock_bytes",
        "file_dirty_bytes",
    )

"""Containers of one service add up while they live at once, and replace each other when they don't."""

from __future__ import annotations

import numpy as np
from factories import MIB, at

from seatrial.measure.services import ServiceUse, service_use
from seatrial.measure.tables import Ints, LabelColumn, SampleColumns, most_at_once, summed_over_containers, ticks
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL, SAMPLES, row_columns

Rows = dict[str, list[dict[str, int]]]
MS = 1_000_000


def _use(containers: Rows) -> ServiceUse:
    """Judge the readings of each container, put in the order of time as in a sealed table."""
    rows = sorted(
        ((row, name) for name, mine in containers.items() for row in mine), key=lambda pair: pair[0]["t_ns"]
    )
    labels = tuple(containers)
    same = LabelColumn(np.zeros(len(rows), dtype=np.int32), ("app",))
    codes = np.array([labels.index(name) for _, name in rows], dtype=np.int32)
    numbers = {
        name: np.array([row.get(name, NULL) for row, _ in rows], dtype=np.int64) for name in row_columns(SAMPLES)
    }
    (use,) = service_use(
        SampleColumns(service=same, container=LabelColumn(codes, labels), phase=same, numbers=numbers),
        30 * NS_PER_S,
        100,
    )
    return use


def _anon(mib: float, from_s: float, until_s: float, *, late_ms: int = 0) -> list[dict[str, int]]:
    """Return 10 Hz of readings with `mib` of anonymous memory."""
    stamps = [at(from_s) + n * 100 * MS + late_ms * MS for n in range(round((until_s - from_s) * 10))]
    return [{"t_ns": stamp, "anon_bytes": round(mib * MIB), "usage_bytes": round(mib * MIB)} for stamp in stamps]


def _ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def _levels(use: ServiceUse, name: str = "anon_bytes") -> list[float | None]:
    found = use.memory[name]
    return [None if v is None else v / MIB for v in (found.start, found.median, found.peak, found.end)]


def test_replicas_add_up_at_each_tick() -> None:
    """Two containers of 10 and 30 MiB, read 3 ms apart, are a service of 40 MiB at every moment."""
    use = _use({"one": _anon(10, 0, 30), "two": _anon(30, 0, 30, late_ms=3)})
    assert _levels(use) == [40.0, 40.0, 40.0, 40.0]
    assert _levels(use, "unreclaimable_bytes") == [40.0, 40.0, 40.0, 40.0]
    assert (use.ticks, use.samples, use.restarts) == (300, 600, 0)


def test_a_container_that_replaces_another_does_not_double() -> None:
    """10 MiB, then 30 MiB from the next tick on: 40 MiB never were."""
    use = _use({"old": _anon(10, 0, 20), "new": _anon(30, 20, 30)})
    assert _levels(use) == [10.0, 10.0, 30.0, 30.0]
    assert use.restarts == 1


def test_one_replica_of_two_is_replaced() -> None:
    """The other one lives on; the sum is 12 MiB before and 14 MiB after, without a peak at the change."""
    use = _use({"stays": _anon(2, 0, 30), "old": _anon(10, 0, 10, late_ms=2), "new": _anon(12, 10, 30, late_ms=2)})
    assert _levels(use) == [12.0, 14.0, 14.0, 14.0]
    assert use.restarts == 1


def test_a_replica_that_comes_later_counts_from_then_on() -> None:
    """Scaling up is no restart."""
    use = _use({"one": _anon(10, 0, 30), "two": _anon(30, 20, 30, late_ms=3)})
    assert _levels(use) == [10.0, 10.0, 40.0, 40.0]
    assert use.restarts == 0


def test_a_tick_that_a_replica_missed_counts_with_its_own_last_reading() -> None:
    """One reading lost is no fall of the service's memory, and is not filled with the other's."""
    numbers = {"t_ns": _ints(0, 1, 100, 101, 200, 300, 301), "anon_bytes": _ints(10, 30, 10, 31, 11, 12, 32)}
    assert summed_over_containers(numbers, _ints(0, 1, 0, 1, 0, 0, 1), 100)["anon_bytes"].tolist() == [
        40,
        41,
        42,
        44,
    ]


def test_a_tick_that_the_window_cuts_in_two_is_whole() -> None:
    """The first tick holds the second container only, the last tick the first one: both lived all the time."""
    numbers = {"t_ns": _ints(1, 100, 101, 200, 201, 300), "anon_bytes": _ints(30, 10, 31, 11, 32, 12)}
    assert summed_over_containers(numbers, _ints(1, 0, 1, 0, 1, 0), 100)["anon_bytes"].tolist() == [40, 41, 43, 44]


def test_a_replica_that_is_down_for_long_does_not_count() -> None:
    """A container that is restarted under its id holds nothing in between."""
    two = _anon(30, 0, 30, late_ms=3)
    use = _use({"one": _anon(10, 0, 30), "two": [*two[:5], *two[295:]]})
    assert _levels(use) == [40.0, 10.0, 40.0, 40.0]


def test_a_class_read_rarely_is_carried_within_its_container_only() -> None:
    """The new container's shared memory is its own first reading, not the old one's last."""
    old, new = _anon(1, 0, 10), _anon(1, 10, 20)
    old[0]["shmem_bytes"] = 50 * MIB
    new[5]["shmem_bytes"] = 3 * MIB
    assert _levels(_use({"old": old, "new": new}), "unreclaimable_bytes") == [51.0, 4.0, 51.0, 4.0]


def test_a_class_that_one_replica_can_not_tell_is_unknown_for_the_service() -> None:
    """Half a sum would look like the whole."""
    two = [{name: value for name, value in row.items() if name != "anon_bytes"} for row in _anon(30, 0, 30)]
    use = _use({"one": _anon(10, 0, 30), "two": two})
    assert _levels(use) == [None, None, None, None]
    assert _levels(use, "usage_bytes")[0] == 40.0


def test_a_tick_ends_where_a_container_comes_again() -> None:
    """Also when a late tick is followed by the next after less than a quarter of the period."""
    assert ticks(_ints(0, 2, 90, 92, 100, 102), _ints(0, 1, 0, 1, 0, 1), 100).tolist() == [0, 0, 1, 1, 2, 2]


def test_the_most_at_once_are_counted_by_first_and_last_reading() -> None:
    """Three containers, never more than two of them alive."""
    assert most_at_once(_ints(0, 0, 5, 6, 9, 9), _ints(0, 1, 1, 2, 0, 2)) == 2

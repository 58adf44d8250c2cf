"""Memory, processor time, replicas and memory growth of a service, from its samples; the measured window."""

from __future__ import annotations

import columns
import numpy as np
import pytest
from columns import ints
from factories import MIB, SPANS, at, readings

from seatrial.measure import services
from seatrial.measure.services import Growth, ServiceUse, growth
from seatrial.measure.tables import Ints, measured_window, most_at_once, summed_over_containers, ticks
from seatrial.model import Phase, Span
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

Rows = dict[str, list[dict[str, int]]]


def _use(rows: Rows | list[dict[str, int]], requests: int = 100) -> ServiceUse:
    """Return the use of a service by the readings of each container, or of one."""
    table = columns.sampled(rows if isinstance(rows, dict) else {"c": rows})
    (use,) = services.service_use(table, 30 * NS_PER_S, requests)
    return use


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ({"anon": [1], "kernel": [20], "shmem": [300], "sock": [4000], "file_dirty": [50_000]}, [54_321]),
        ({"anon": [7], "kernel": [1]}, [8]),
        ({"anon": [10, 10, 10, 10], "shmem": [None, 5, None, 6]}, [15, 15, 15, 16]),
        ({"anon": [None, 3], "kernel": [1, 1]}, [NULL, 4]),
    ],
)
def test_unreclaimable_is_the_sum_of_its_classes(
    classes: dict[str, list[int | None]], expected: list[int]
) -> None:
    """A class that a source lacks is nothing, one that is read rarely keeps its value; else NULL."""
    count = len(expected)
    numbers = {
        name: ints(*classes.get(name.removesuffix("_bytes"), [None] * count)) for name in services.UNRECLAIMABLE
    }
    assert services.unreclaimable(numbers, np.zeros(count, dtype=np.int64)).tolist() == expected


def test_a_level_is_first_median_highest_last() -> None:
    """Unknown readings are left out, and nothing else is no zero; the median is one of the readings."""
    found = services.memory_level(ints(None, 10, 40, 20, 30, None))
    assert (found.start, found.median, found.peak, found.end) == (10, 20, 40, 30)
    assert services.memory_level(ints(None, None)).peak is None


@pytest.mark.parametrize(
    ("values", "containers", "gain"),
    [((100, 130, 5, 25), (0, 0, 1, 1), 50), ((10, 30, 5, 6), (0, 0, 0, 0), 21), ((10, None), (0, 0), None)],
)
def test_a_counter_gains_its_rises_within_each_container(
    values: tuple[int | None, ...], containers: tuple[int, ...], gain: int | None
) -> None:
    """A fall is a new container, or a child that ended; one reading shows no rise."""
    assert services.gained(ints(*values), ints(*containers)) == gain


def test_the_use_of_a_growing_service_and_how_it_was_sampled() -> None:
    """0.4 cores over 100 requests are 120 ms each; 8 MiB grow by 1 MiB a second for 30 s at 10 Hz."""
    use = _use(readings(seconds=30, cores=0.4, grow_mib_per_s=1))
    assert round(use.cpu_cores or 0, 6) == 0.4
    assert use.cpu_per_request_ns == 120_000_000
    assert (use.samples, use.samples_per_s) == (300, 10.0)
    assert (use.period_ns.p50, use.period_ns.p99, use.reading_ns.p50) == (100_000_000, 100_000_000, 20_000)
    anon = use.memory["anon_bytes"]
    assert (anon.start, anon.median, anon.peak, anon.end) == tuple(round(n * MIB) for n in (8, 22.9, 37.9, 37.9))


def test_what_can_not_be_told_is_none_and_named() -> None:
    """Watching without load divides by nothing; the report can say which classes the sum lacks."""
    assert _use(readings(seconds=30), requests=0).cpu_per_request_ns is None
    untold = _use([{"t_ns": at(1), "anon_bytes": 1, "kernel_bytes": 1}]).untold
    assert untold == ("shmem_bytes", "sock_bytes", "file_dirty_bytes")


MS = 1_000_000


def _anon(mib: float, from_s: float, until_s: float, *, late_ms: int = 0) -> list[dict[str, int]]:
    """Return 10 Hz of readings with `mib` of anonymous memory."""
    stamps = [at(from_s) + n * 100 * MS + late_ms * MS for n in range(round((until_s - from_s) * 10))]
    return [{"t_ns": stamp, "anon_bytes": round(mib * MIB), "usage_bytes": round(mib * MIB)} for stamp in stamps]


THIRTY = _anon(30, 0, 30, late_ms=3)


def _levels(use: ServiceUse, name: str = "anon_bytes") -> list[float | None]:
    found = use.memory[name]
    return [None if v is None else v / MIB for v in (found.start, found.median, found.peak, found.end)]


def test_replicas_add_up_at_each_tick() -> None:
    """Two containers of 10 and 30 MiB, read 3 ms apart, are a service of 40 MiB at every moment."""
    use = _use({"one": _anon(10, 0, 30), "two": THIRTY})
    assert _levels(use) == [40.0, 40.0, 40.0, 40.0]
    assert _levels(use, "unreclaimable_bytes") == [40.0, 40.0, 40.0, 40.0]
    assert (use.ticks, use.samples, use.restarts) == (300, 600, 0)


@pytest.mark.parametrize(
    ("rows", "levels", "restarts"),
    [
        ({"old": _anon(10, 0, 20), "new": _anon(30, 20, 30)}, [10.0, 10.0, 30.0, 30.0], 1),
        (
            {"stays": _anon(2, 0, 30), "old": _anon(10, 0, 10, late_ms=2), "new": _anon(12, 10, 30, late_ms=2)},
            [12.0, 14.0, 14.0, 14.0],
            1,
        ),
        ({"one": _anon(10, 0, 30), "two": [*THIRTY[:5], *THIRTY[295:]]}, [40.0, 10.0, 40.0, 40.0], 0),
    ],
    ids=["replaced", "one of two is replaced", "one of two is down for long"],
)
def test_a_container_counts_while_it_lives(rows: Rows, levels: list[float], restarts: int) -> None:
    """The sum has no peak at the change; a container that is restarted under its id holds nothing meanwhile."""
    use = _use(rows)
    assert (_levels(use), use.restarts) == (levels, restarts)


@pytest.mark.parametrize(
    ("stamps", "anon", "containers", "sums"),
    [
        ((0, 1, 100, 101, 200, 300, 301), (10, 30, 10, 31, 11, 12, 32), (0, 1, 0, 1, 0, 0, 1), [40, 41, 42, 44]),
        ((1, 100, 101, 200, 201, 300), (30, 10, 31, 11, 32, 12), (1, 0, 1, 0, 1, 0), [40, 41, 43, 44]),
    ],
    ids=["missed by a replica", "cut in two by the window"],
)
def test_a_tick_that_lacks_a_replica_counts_with_its_own_last_or_next_reading(
    stamps: tuple[int, ...], anon: tuple[int, ...], containers: tuple[int, ...], sums: list[int]
) -> None:
    """One reading lost is no fall of the service's memory, and is not filled with the other's."""
    numbers = {"t_ns": ints(*stamps), "anon_bytes": ints(*anon)}
    assert summed_over_containers(numbers, ints(*containers), 100)["anon_bytes"].tolist() == sums


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
    """Also when a late tick is followed by the next too soon; of three containers two are alive at once."""
    assert ticks(ints(0, 2, 90, 92, 100, 102), ints(0, 1, 0, 1, 0, 1), 100).tolist() == [0, 0, 1, 1, 2, 2]
    assert most_at_once(ints(0, 0, 5, 6, 9, 9), ints(0, 1, 1, 2, 0, 2)) == 2


RNG = np.random.default_rng(7)


def _grown(seconds: float, slope_mib_per_s: float, *, scatter_mib: float = 0.2) -> tuple[Ints, Ints]:
    when = np.arange(0, seconds, 0.1)
    noise = RNG.normal(0, scatter_mib, len(when))
    held = (100 + slope_mib_per_s * when + noise) * MIB
    return (when * NS_PER_S).astype(np.int64), held.astype(np.int64)


def test_a_leak_that_matters_is_seen_in_a_minute() -> None:
    """0.1 MiB a second is 6 MiB a minute, on 100 MiB."""
    found = growth("app", *_grown(60, 0.1))
    assert found.word is Growth.GROWING
    assert found.per_s == pytest.approx(0.1 * MIB, rel=0.1)
    assert None not in (found.low, found.high)
    assert (found.low or 0) < 0.1 * MIB < (found.high or 0)


def test_growth_that_does_not_matter_is_steady_and_some_can_not_be_told() -> None:
    """0.3 MiB a minute on 100 is little; ten seconds, or as much scatter, are no basis; null is not zero."""
    for slope in (0.0, -0.05, 0.005):
        assert growth("app", *_grown(60, slope)).word is Growth.STEADY
    assert growth("app", *_grown(10, 1.0)).word is Growth.TOO_SHORT
    assert growth("app", *_grown(60, 0.035, scatter_mib=6)).word is Growth.TOO_SHORT
    when, held = _grown(60, 1.0)
    assert growth("app", when, np.full_like(held, NULL)).word is Growth.UNTOLD
    assert growth("app", when[:5], held[:5]).word is Growth.UNTOLD


def test_false_alarms_are_rare_on_memory_that_wanders() -> None:
    """A collector's saw-tooth of 8 MiB, and a random walk of 0.02 MiB each reading, both without a trend."""
    alarms = 0
    for _ in range(40):
        when = np.arange(0, 60, 0.1)
        saw = (when * 2 + RNG.uniform(0, 8)) % 8
        walk = np.cumsum(RNG.normal(0, 0.02, len(when)))
        held = ((100 + saw + walk) * MIB).astype(np.int64)
        alarms += growth("app", (when * NS_PER_S).astype(np.int64), held).word is Growth.GROWING

    assert alarms <= 4


NONE = np.empty(0, dtype=np.int64)


def test_the_window_is_that_of_the_spans() -> None:
    """Warm-up and drain lie outside; several windows add up without what lies between."""
    found = measured_window(SPANS, NONE)
    assert (found.opened, found.from_ns, found.until_ns, found.length_ns) == (True, at(10), at(40), 30 * NS_PER_S)
    assert (found.holds(at(10)), found.holds(at(40))) == (True, False)
    slices = [Span(phase=Phase.WINDOW, from_ns=at(s), until_ns=at(s + 1)) for s in (0, 5)]
    assert measured_window(slices, NONE).length_ns == 2 * NS_PER_S


def test_without_a_window_all_that_was_recorded_counts() -> None:
    """From the first stamp to the last, whatever did not happen left out; a run that failed at once has none."""
    found = measured_window(SPANS[:1], np.array([NULL, at(3), at(1)]), np.array([at(7)]))
    assert (found.opened, found.from_ns, found.length_ns) == (False, at(1), 6 * NS_PER_S)
    assert measured_window((), NONE, NONE).length_ns == 0

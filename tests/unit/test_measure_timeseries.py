"""The points of charts: reduced, but each of them measured, and no extreme lost."""

from __future__ import annotations

import columns
import numpy as np
import pytest
from columns import ints, samples
from hypothesis import given
from hypothesis import strategies as st

from seatrial.measure import timeseries
from seatrial.measure.statistics import nearest_rank
from seatrial.measure.timeseries import MOST_GRID_POINTS, LoadSeries, TimeGrid, time_grid
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

TEN = TimeGrid(from_ns=0, step_ns=NS_PER_S, count=10)


@given(
    begin=st.integers(0, 10**6),
    length=st.integers(0, 10**6),
    anchor=st.integers(0, 10**6),
    most=st.integers(2, MOST_GRID_POINTS),
)
def test_a_grid_covers_everything_and_breaks_at_its_anchor(
    begin: int, length: int, anchor: int, most: int
) -> None:
    """A stretch never holds some of the warm-up and some of the window, and there are never too many."""
    begin_ns, end_ns, anchor_ns = begin * NS_PER_S // 7, (begin + length) * NS_PER_S // 7, anchor * NS_PER_S // 7
    found = time_grid(begin_ns, end_ns, anchor_ns, most)

    assert 1 <= found.count <= most
    assert (anchor_ns - found.from_ns) % found.step_ns == 0
    assert found.from_ns <= begin_ns
    assert end_ns < found.from_ns + found.count * found.step_ns
    assert time_grid(0, 60 * NS_PER_S, 10 * NS_PER_S) == TimeGrid(from_ns=0, step_ns=NS_PER_S, count=61)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10**10)), max_size=400))
def test_percentiles_of_a_stretch_are_nearest_rank(told: list[tuple[int, int]]) -> None:
    """The same rule as in the tables, whatever the order in which requests come."""
    stretch, latency = ints(*(one for one, _ in told)), ints(*(one for _, one in told))
    zero = np.zeros(10, dtype=np.int64)
    found = LoadSeries.of(TEN, latency, stretch, zero, zero)

    for number in range(10):
        mine = np.sort(latency[stretch == number])
        assert found.p50_ns[number] == (nearest_rank(mine, 50) if len(mine) >= 2 else NULL)
        assert found.p95_ns[number] == (nearest_rank(mine, 95) if len(mine) >= 20 else NULL)
        assert found.max_ns[number] == (mine[-1] if len(mine) else NULL)


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=3000), st.integers(2, 500))
def test_a_rise_is_the_distribution(values: list[int], most: int) -> None:
    """Each point is true, both ends are there, and it is never longer than asked for."""
    found = timeseries.latency_distribution("blob", np.array(values, dtype=np.int64), most)
    ordered = np.sort(values)

    assert len(found.value_ns) <= max(most, 2)
    assert (found.value_ns[0], found.value_ns[-1]) == (ordered[0], ordered[-1])
    assert found.share[-1] == 1
    ranks = np.rint(found.share * len(ordered)).astype(int)
    assert np.array_equal(found.value_ns, ordered[ranks - 1])


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=500), st.integers(4, 200)
)
def test_thinning_keeps_every_extreme(told: list[tuple[int, int]], most: int) -> None:
    """A peak of a tenth of a second is what memory charts are looked at for."""
    columns = {"anon_bytes": ints(*(one for one, _ in told)), "kernel_bytes": ints(*(one for _, one in told))}
    at = timeseries.thinned(columns, most)

    assert len(at) <= most
    assert np.all(np.diff(at) > 0)
    for values in columns.values():
        assert (values[at].min(), values[at].max()) == (values.min(), values.max())


def test_memory_of_replicas_adds_up() -> None:
    """One that is read late counts with its last reading; classes that the Docker API lacks are left out."""
    told = samples(["a", "b"] * 3, service="auth", t_ns=[0, 1, 100, 101, 200, 201], anon_bytes=[5, 7, 6, 7, 5, 8])
    (found,) = timeseries.memory_series(told)

    assert found.classes["anon_bytes"].tolist() == [12, 13, 13]
    assert found.t_ns.tolist() == [1, 101, 201]
    coarse = samples(
        ["a"] * 3, service="auth", t_ns=[0, 1, 2], usage_bytes=[1, 2, 3], kernel_bytes=[4, NULL, NULL]
    )
    (found,) = timeseries.memory_series(coarse)
    assert {name: values.tolist() for name, values in found.classes.items()} == {"kernel_bytes": [4, 4, 4]}
    assert found.usage_bytes.tolist() == [1, 2, 3]


def test_kills_are_rises_of_the_kernels_count() -> None:
    """A container's first reading may hold earlier kills, and a new container begins at zero: neither is one."""
    told = samples(["a", "a", "a", "b", "b"], service="auth", t_ns=[0, 1, 2, 3, 4], oom_kills=[3, 3, 5, 0, NULL])

    assert timeseries.oom_kills(told) == (timeseries.OomKill(service="auth", t_ns=2, processes=2),)


def test_cores_are_what_the_counter_rose_by() -> None:
    """Half a core for two seconds, then a restart, whose new counter is no negative work."""
    half = NS_PER_S // 2
    told = samples(
        ["a", "a", "a", "b", "b"],
        service="auth",
        t_ns=[0, half, 3 * half, 4 * half, 5 * half],
        cpu_ns=[9, half // 2 + 9, 3 * half // 2 + 9, 0, half],
    )
    (found,) = timeseries.cpu_series(told, TEN)

    assert found.cores[:3] == pytest.approx([0.5, 0.5, 1.0])
    assert np.isnan(found.cores[3:]).all()


def test_the_busiest_process_counts() -> None:
    """Two load processes: one that is full holds up its own requests, whatever the other does."""
    table = columns.generator(
        3,
        t_ns=[NS_PER_S, NS_PER_S, 3 * NS_PER_S],
        worker=[0, 1, 0],
        in_flight=[2, 3, NULL],
        loop_lag_p99_ns=[5, NULL, NULL],
        cpu_fraction=[0.2, 0.9, np.nan],
    )
    found = timeseries.generator_series(table, TEN)

    assert found.cpu_fraction[0] == 0.9
    assert np.isnan(found.cpu_fraction[1:]).all()
    assert found.loop_lag_p99_ns[:3].tolist() == [5, NULL, NULL]
    assert found.in_flight[:3].tolist() == [5, NULL, 0]

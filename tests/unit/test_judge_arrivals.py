"""In the open model, what was offered has to be completed: a backlog is told, chance and a ramp are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.measure.generator import ArrivalSummary, arrival_counts
from seatrial.measure.tables import GeneratorColumns, Ints, LabelColumn
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL


def _seconds(offered: Ints, completed: Ints, *, dropped: int = 0, worker: int = 0) -> GeneratorColumns:
    """Return one row a second; the last one dropped what was dropped."""
    count = len(offered)
    none = np.full(count, NULL)
    last = np.zeros(count, dtype=np.int64)
    last[-1] = dropped
    return GeneratorColumns(
        t_ns=np.arange(1, count + 1) * NS_PER_S,
        worker=np.full(count, worker),
        users=none,
        in_flight=none,
        loop_lag_p50_ns=none,
        loop_lag_p99_ns=none,
        slip_p99_ns=none,
        arrivals=offered,
        arrivals_completed=completed,
        arrivals_late=np.ones(count, dtype=np.int64),
        arrivals_dropped=last,
        cpu_fraction=np.full(count, 0.3),
        phase=LabelColumn(np.zeros(count, dtype=np.int32), ("window",)),
    )


def _all(table: GeneratorColumns) -> ArrivalSummary:
    found = arrival_counts(table, np.ones(len(table.t_ns), dtype=np.bool_))
    assert found is not None
    return found


def _seen(
    *, offered: int, completed: int, dropped: int = 0, in_flight: float = 0.0, rise: float = 0.0
) -> ArrivalSummary:
    return ArrivalSummary(
        seconds=10,
        offered=offered,
        completed=completed,
        late=0,
        dropped=dropped,
        in_flight=in_flight,
        rise=rise,
    )


@pytest.mark.parametrize(("completed", "saturated"), [(10_000, False), (9_900, False), (9_899, True)])
def test_99_in_100_have_to_be_completed(completed: int, saturated: bool) -> None:  # noqa: FBT001  (a parameter of the table above)
    """Exactly 0.99 is enough."""
    assert _seen(offered=10_000, completed=completed).saturated is saturated


@pytest.mark.parametrize(("growth", "saturated"), [(29, False), (30, False), (31, True)])
def test_chance_is_no_backlog(growth: int, saturated: bool) -> None:  # noqa: FBT001  (a parameter of the table above)
    """With 50 in flight, two moments differ with a standard deviation of 10; three of those are chance."""
    assert _seen(offered=100, completed=100 - growth, in_flight=50).saturated is saturated


@pytest.mark.parametrize(("growth", "saturated"), [(40, False), (41, True)])
def test_what_the_schedule_explains_comes_on_top_of_chance(growth: int, saturated: bool) -> None:  # noqa: FBT001  (a parameter of the table above)
    """30 by chance, and 10 because the rate grew."""
    assert _seen(offered=100, completed=100 - growth, in_flight=50, rise=10).saturated is saturated


@pytest.mark.parametrize(("dropped", "saturated"), [(1, False), (2, True)])
def test_dropped_arrivals_count_whatever_is_in_flight(dropped: int, saturated: bool) -> None:  # noqa: FBT001  (a parameter of the table above)
    """No chance explains them; a growth within chance does not add to them."""
    seen = _seen(offered=100, completed=80, dropped=dropped, in_flight=200)
    assert seen.growth == 20 - dropped
    assert seen.saturated is saturated


def test_no_arrival_is_no_backlog() -> None:
    """A schedule may begin with nothing."""
    seen = _seen(offered=0, completed=0)
    assert (seen.saturated, seen.completed_share) == (False, 1.0)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1e4), st.floats(0, 1e4))
def test_more_loss_never_makes_a_run_good(
    completed: int, dropped: int, more: int, in_flight: float, rise: float
) -> None:
    """Arrivals that are dropped instead of completed can only saturate it."""
    offered = completed + dropped + 500
    before = _seen(offered=offered, completed=completed, dropped=dropped, in_flight=in_flight, rise=rise)
    lost = min(more, completed)
    after = _seen(
        offered=offered, completed=completed - lost, dropped=dropped + lost, in_flight=in_flight, rise=rise
    )
    assert after.saturated >= before.saturated


def test_the_closed_model_has_no_arrivals() -> None:
    """Null says that there was no schedule."""
    none = np.full(3, NULL)
    assert arrival_counts(_seconds(none, none), np.ones(3, dtype=np.bool_)) is None


def test_the_warm_up_tells_how_many_were_in_flight_at_the_begin() -> None:
    """40 began in the second before the window and ended in it: they are in flight, and no backlog."""
    table = _seconds(np.array([50, 50, 50, 50]), np.array([10, 50, 50, 50]))
    found = arrival_counts(table, np.array([False, True, True, True]))
    assert found is not None
    assert (found.seconds, found.offered, found.completed, found.in_flight) == (3, 150, 150, 40)


def test_processes_add_up_with_their_own_warm_ups() -> None:
    """Two processes side by side, 5 in flight at each."""
    one = _seconds(np.array([10, 10, 10]), np.array([5, 10, 10]), dropped=0)
    two = _seconds(np.array([10, 10, 10]), np.array([5, 10, 9]), dropped=1, worker=1)
    both = GeneratorColumns(
        **{
            name: np.concatenate([getattr(one, name), getattr(two, name)])
            for name in GeneratorColumns.__dataclass_fields__
            if name != "phase"
        },
        phase=LabelColumn(np.zeros(6, dtype=np.int32), ("window",)),
    )
    found = arrival_counts(both, np.array([False, True, True] * 2))
    assert found is not None
    assert (found.seconds, found.offered, found.completed, found.late, found.dropped) == (2, 40, 39, 4, 1)
    assert found.in_flight == 10


def test_the_rise_is_the_change_of_the_rate_times_the_time_in_flight() -> None:
    """10/s, then 20/s, each 1 s in flight: 10 more; that 30 are in flight at the end is no longer time."""
    found = _all(_seconds(np.array([10, 10, 10, 20]), np.array([0, 10, 10, 0])))
    assert (found.rise, found.growth) == (10, 30)


def test_a_rate_that_falls_excuses_nothing_and_demands_nothing() -> None:
    """Fewer in flight at the end is what should be; that none are is no reason to look for a backlog."""
    found = _all(_seconds(np.array([20, 10, 10, 10]), np.array([0, 20, 10, 10])))
    assert (found.rise, found.growth) == (0, 10)


def _queue(rate_per_s: list[float], capacity_per_s: float, took_s: float, seed: int) -> GeneratorColumns:
    """Return the seconds of Poisson arrivals at one server of even speed; each stays `took_s` longer."""
    noise = np.random.default_rng(seed)
    counts = noise.poisson(rate_per_s)
    begun = np.sort(np.concatenate([second + noise.random(count) for second, count in enumerate(counts)]))
    free_s, ended = 0.0, np.empty(len(begun))
    for index, moment_s in enumerate(begun):
        free_s = max(moment_s, free_s) + 1 / capacity_per_s
        ended[index] = free_s + took_s
    edges = np.arange(len(rate_per_s) + 1)
    return _seconds(np.histogram(begun, edges)[0], np.histogram(ended, edges)[0])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("took_s", [0.01, 3.0])
def test_a_queue_that_keeps_up_is_never_saturated(seed: int, took_s: float) -> None:
    """50/s where 80/s can be served, 30 s after a warm-up of 10 s; with 0.7 and with 150 in flight."""
    table = _queue([50.0] * 40, 80.0, took_s, seed)
    found = arrival_counts(table, np.arange(40) >= 10)
    assert found is not None
    assert not found.saturated


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("took_s", [0.01, 3.0])
def test_a_rate_that_grows_is_not_taken_for_a_backlog(seed: int, took_s: float) -> None:
    """10/s to 100/s within 60 s, 3 s in flight each: 270 more are in flight at the end, 8 % of all."""
    table = _queue([10.0] * 10 + [10 + 1.5 * second for second in range(60)], 200.0, took_s, seed)
    found = arrival_counts(table, np.arange(70) >= 10)
    assert found is not None
    assert not found.saturated


@pytest.mark.parametrize(
    ("rates", "capacity"),
    [([50.0] * 30, 45.0), ([50.0] * 30, 1.0), ([10 + 1.5 * n for n in range(60)], 60.0)],
)
@pytest.mark.parametrize("seed", range(10))
def test_a_queue_that_piles_up_is_saturated(rates: list[float], capacity: float, seed: int) -> None:
    """A tenth too much, far too much, and a ramp that passes the capacity halfway."""
    assert _all(_queue(rates, capacity, 0.01, seed)).saturated

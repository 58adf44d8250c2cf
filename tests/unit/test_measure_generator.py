"""The load generator over a window: backlog, lateness, overload, and the pool of users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import columns
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from seatrial.measure import generator
from seatrial.measure.generator import ArrivalSummary, GeneratorUse, Lateness, lateness
from seatrial.measure.statistics import quantiles
from seatrial.measure.tables import GeneratorColumns
from seatrial.model import LoadSecond
from seatrial.units import NS_PER_S
from seatrial.user.health import TICK_S
from seatrial.wire.streams import NULL


def _seconds(offered: ArrayLike, completed: ArrayLike, **counts: ArrayLike) -> GeneratorColumns:
    """Return one row a second with one late arrival each."""
    count = np.size(offered)
    usual = {"arrivals": offered, "arrivals_completed": completed, "arrivals_late": 1, "arrivals_dropped": 0}
    return columns.generator(count, **{**usual, **counts})


def _table(count: int, **rest: Any) -> GeneratorColumns:  # noqa: ANN401  (a value, or one for each second)
    """Return seconds without any lateness, but for `rest`."""
    return columns.generator(count, **{"loop_lag_p50_ns": 0, "loop_lag_p99_ns": 0, **rest})


def _counted(table: GeneratorColumns, *, warm_s: int = 0) -> ArrivalSummary:
    """Return the arrivals after so many seconds of each process."""
    found = generator.arrival_counts(table, table.t_ns > warm_s * NS_PER_S)
    assert found is not None
    return found


def _summary(
    *, offered: int, completed: int, dropped: int = 0, in_flight: float = 0.0, rise: float = 0.0
) -> ArrivalSummary:
    return ArrivalSummary(
        seconds=10, offered=offered, completed=completed, late=0, dropped=dropped, in_flight=in_flight, rise=rise
    )


@pytest.mark.parametrize(
    ("counts", "saturated"),
    [
        ({"offered": 10_000, "completed": 10_000}, False),
        ({"offered": 10_000, "completed": 9_900}, False),
        ({"offered": 10_000, "completed": 9_899}, True),
        ({"offered": 100, "completed": 70, "in_flight": 50}, False),
        ({"offered": 100, "completed": 69, "in_flight": 50}, True),
        ({"offered": 100, "completed": 60, "in_flight": 50, "rise": 10}, False),
        ({"offered": 100, "completed": 59, "in_flight": 50, "rise": 10}, True),
        ({"offered": 100, "completed": 80, "dropped": 1, "in_flight": 200}, False),
        ({"offered": 100, "completed": 80, "dropped": 2, "in_flight": 200}, True),
        ({"offered": 0, "completed": 0}, False),
    ],
)
def test_a_backlog_is_more_than_chance_and_the_schedule_explain(
    counts: dict[str, int], *, saturated: bool
) -> None:
    """99 % is enough; with 50 in flight chance is 3 x 10, a growing rate comes on top; dropped ones count."""
    assert _summary(**counts).saturated is saturated


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1e4), st.floats(0, 1e4))
def test_more_loss_never_makes_a_run_good(
    completed: int, dropped: int, more: int, in_flight: float, rise: float
) -> None:
    """Arrivals that are dropped instead of completed can only saturate it."""
    offered = completed + dropped + 500
    before = _summary(offered=offered, completed=completed, dropped=dropped, in_flight=in_flight, rise=rise)
    lost = min(more, completed)
    after = replace(before, completed=completed - lost, dropped=dropped + lost)
    assert after.saturated >= before.saturated


def test_processes_add_up_with_their_own_warm_ups() -> None:
    """Two processes side by side, 5 in flight at each; the closed model has no arrivals, as it has no schedule."""
    table = _seconds(
        [10] * 6, [5, 10, 10, 5, 10, 9], worker=[0, 0, 0, 1, 1, 1], arrivals_dropped=[0, 0, 0, 0, 0, 1]
    )
    both = generator.arrival_counts(table, np.array([False, True, True] * 2))
    assert both is not None
    assert (both.seconds, both.offered, both.completed, both.late, both.dropped) == (2, 40, 39, 4, 1)
    assert both.in_flight == 10
    assert generator.arrival_counts(_seconds([NULL] * 3, [NULL] * 3), np.ones(3, dtype=np.bool_)) is None


@pytest.mark.parametrize(
    ("offered", "completed", "rise", "growth"),
    [([10, 10, 10, 20], [0, 10, 10, 0], 10, 30), ([20, 10, 10, 10], [0, 20, 10, 10], 0, 10)],
)
def test_the_rise_is_the_change_of_the_rate_times_the_time_in_flight(
    offered: list[int], completed: list[int], rise: int, growth: int
) -> None:
    """10/s, then 20/s, each 1 s in flight: 10 more, however many at the end; a falling rate excuses nothing."""
    found = _counted(_seconds(offered, completed))
    assert (found.rise, found.growth) == (rise, growth)


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
def test_a_queue_that_keeps_up_or_a_rate_that_grows_is_no_backlog(seed: int, took_s: float) -> None:
    """50/s where 80/s can be served; 10/s to 100/s in 60 s, with 270 more in flight at the end, 8 % of all."""
    growing = [10.0] * 10 + [10 + 1.5 * second for second in range(60)]
    assert not _counted(_queue([50.0] * 40, 80.0, took_s, seed), warm_s=10).saturated
    assert not _counted(_queue(growing, 200.0, took_s, seed), warm_s=10).saturated


@pytest.mark.parametrize(
    ("rates", "capacity"), [([50.0] * 30, 45.0), ([50.0] * 30, 1.0), ([10 + 1.5 * n for n in range(60)], 60.0)]
)
@pytest.mark.parametrize("seed", range(10))
def test_a_queue_that_piles_up_is_saturated(rates: list[float], capacity: float, seed: int) -> None:
    """A tenth too much, far too much, and a ramp that passes the capacity halfway."""
    assert _counted(_queue(rates, capacity, 0.01, seed)).saturated


MS = 1_000_000
LIMIT_NS = 10 * MS


@pytest.mark.parametrize(
    ("p50_ns", "p99_ns", "late"),
    [
        (0, LIMIT_NS, 0),
        (0, LIMIT_NS + 1, 1),
        (0, LIMIT_NS + 50 * MS, 1),
        (0, LIMIT_NS + 50 * MS + 1, 2),
        (0, LIMIT_NS + 450 * MS + 1, 10),
        (LIMIT_NS, LIMIT_NS + 1, 1),
        (LIMIT_NS + 1, LIMIT_NS + 1, 10),
        (LIMIT_NS + 1, LIMIT_NS + 600 * MS, 12),
        (NULL, NULL, 20),
    ],
)
def test_percentiles_of_a_second_prove_late_ticks(p50_ns: int, p99_ns: int, late: int) -> None:
    """One for the p99, half for the p50, one for each 50 ms of a blocked loop, all where no tick ended."""
    assert lateness(_table(1, loop_lag_p50_ns=p50_ns, loop_lag_p99_ns=p99_ns), LIMIT_NS).late_ticks == late


def test_a_loop_that_was_blocked_for_seconds_counts_no_more_ticks_than_there_are() -> None:
    """A second can end late itself, after a block of ten; the user's module has the same ticks in a second."""
    found = lateness(_table(2, loop_lag_p99_ns=[10 * NS_PER_S, 0]), LIMIT_NS)
    assert (found.late_ticks, found.ticks) == (40, 40)
    assert generator.TICKS_PER_S * TICK_S == 1


@pytest.mark.parametrize(
    ("late", "slipped", "expected"),
    [(10, 0, (False, False)), (11, 0, (True, False)), (0, 50, (False, False)), (0, 51, (False, True))],
)
def test_one_tick_in_a_hundred_and_one_arrival_in_twenty_may_be_late(
    late: int, slipped: int, expected: tuple[bool, bool]
) -> None:
    """And what chance makes of it: of 600 ticks 11 are late in 4 % of the windows, 10 in 8 % (binomial)."""
    found = Lateness(limit_ns=LIMIT_NS, late_ticks=late, ticks=600, slipped=slipped, arrivals=1000)
    assert (found.loop, found.schedule) == expected


def test_slip_is_weighed_by_arrivals() -> None:
    """A second of a ramp's begin holds few of them; at the limit is not above it; without any nothing is late."""
    table = _table(3, arrivals=[1, 10, 100], slip_p99_ns=[LIMIT_NS + 1, LIMIT_NS, NULL])
    found = lateness(table, LIMIT_NS)
    assert (found.slipped, found.arrivals, found.schedule) == (1, 111, False)
    for seconds in (3, 0):
        none = lateness(_table(seconds), LIMIT_NS)
        assert (none.slipped, none.arrivals, none.schedule, none.loop) == (0, 0, False, False)


@pytest.mark.parametrize(
    ("latencies_ms", "limit_ms"),
    [([], 10), ([5000], 10), ([1000] * 100, 10), ([1001] * 100, 10.01), ([3000, 4000], 30)],
)
def test_a_slow_service_allows_more(latencies_ms: list[int], limit_ms: float) -> None:
    """1 % of the p95; of the p50 where too few were measured; never less than 10 ms."""
    found = generator.late_limit_ns(quantiles(np.array(latencies_ms, dtype=np.int64) * MS))
    assert found == limit_ms * MS


@given(st.lists(st.integers(0, 2 * NS_PER_S), min_size=20, max_size=20), st.integers(MS, NS_PER_S))
def test_the_proof_never_counts_a_tick_that_was_in_time(lags_ns: list[int], limit: int) -> None:
    """Of any 20 ticks, no more are counted than were late, or would have been while the loop was blocked."""
    ordered = sorted(lags_ns)
    found = lateness(_table(1, loop_lag_p50_ns=ordered[9], loop_lag_p99_ns=ordered[19]), limit)
    really = sum(len(range(lag, limit, -NS_PER_S // 20)) for lag in lags_ns)
    assert found.late_ticks <= really
    assert (found.late_ticks > 0) is (ordered[19] > limit)


def _use(table: GeneratorColumns) -> GeneratorUse:
    return generator.generator_use(table, np.ones(len(table.t_ns), dtype=np.bool_), LIMIT_NS)


def test_only_the_window_is_judged() -> None:
    """The import of everything makes the first second late and busy; what it left in flight is known."""
    counts = {"arrivals": 10, "arrivals_completed": [5, 10, 10], "arrivals_dropped": 0, "arrivals_late": 0}
    table = _table(3, loop_lag_p99_ns=[NS_PER_S, 0, 0], cpu_fraction=[1.0, 0.2, 0.8], **counts)
    use = generator.generator_use(table, np.array([False, True, True]), LIMIT_NS)
    assert (use.seconds, use.busy_seconds, use.cpu_max, use.lateness.late_ticks) == (2, 0, 0.8, 0)
    assert use.arrivals is not None
    assert (use.arrivals.in_flight, use.arrivals.offered) == (5, 20)


def test_users_of_several_processes_are_added_up() -> None:
    """Second by second; a process that ended early, or can't tell, adds nothing."""
    found = _use(_table(5, users=[4, 4, 4, 3, 5], in_flight=[1, 2, NULL, NULL, NULL], worker=[0, 0, 0, 1, 1]))
    assert (found.users_max, found.in_flight_max) == (9, 2)
    assert (found.arrivals, found.saturated) == (None, False)


def test_the_rest_of_a_second_counts_and_is_no_health() -> None:
    """A process's end leaves it without CPU and lag: no second, but its arrivals are there."""
    rest: dict[str, Any] = {
        "cpu_fraction": [0.3, 0.3, np.nan],
        "loop_lag_p50_ns": [0, 0, NULL],
        "loop_lag_p99_ns": [0, 0, NULL],
    }
    found = _use(_seconds([10, 10, 3], [10] * 3, arrivals_dropped=[0, 0, 3], **rest))
    assert (found.seconds, found.cpu_max, found.lateness.late_ticks, found.lateness.ticks) == (2, 0.3, 0, 40)
    assert found.arrivals is not None
    assert (found.arrivals.seconds, found.arrivals.offered, found.arrivals.dropped) == (2, 23, 3)

    alone = _use(_seconds([5], [5], cpu_fraction=[np.nan]))
    assert (alone.seconds, alone.cpu_median, alone.workers) == (0, None, 0)
    assert alone.arrivals is not None
    assert (alone.arrivals.offered, alone.arrivals.in_flight) == (5, 0)


WELL = LoadSecond(
    t_ns=0, arrivals=100, cpu_fraction=0.2, loop_lag_p50_ns=MS // 10, loop_lag_p99_ns=2 * MS, slip_p99_ns=MS
)


def _overload(*seconds: LoadSecond, share: float = 0.05) -> str:
    return generator.overload(seconds, 200 * MS, share)


def test_a_generator_that_does_well_is_not_blamed() -> None:
    """Nor for one late tick in five seconds, nor for one second of slip; but silence is no good sign."""
    late = replace(WELL, loop_lag_p99_ns=40 * MS)
    slipped = replace(WELL, slip_p99_ns=40 * MS)

    assert _overload(*[WELL] * 5) == ""
    assert _overload(WELL, WELL, late, slipped, WELL) == ""
    assert _overload() != ""
    assert _overload(replace(WELL, arrivals=0)) != ""


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cpu_fraction": 0.95}, "95% of what it may"),
        ({"loop_lag_p99_ns": 400 * MS}, "ticks of the event loop"),
        ({"loop_lag_p50_ns": 30 * MS, "loop_lag_p99_ns": 40 * MS}, "ticks of the event loop"),
        ({"loop_lag_p50_ns": None, "loop_lag_p99_ns": None}, "100 of 100 ticks"),
        ({"slip_p99_ns": 100 * MS}, "500 of 500 arrivals"),
    ],
)
def test_what_was_wrong_is_named(change: dict[str, float | None], word: str) -> None:
    """CPU, the loop's lag, the schedule's slip; a loop that never ticked was blocked."""
    assert word in _overload(*[replace(WELL, **change)] * 5)  # type: ignore[arg-type]


def test_what_may_be_late_follows_from_the_budgets() -> None:
    """A tenth of the strictest latency, at least 10 ms, and as many as may break it."""
    slipped = [replace(WELL, slip_p99_ns=15 * MS)]
    assert generator.overload(slipped, 200 * MS, 0.05) == ""
    assert "more than 10 ms late" in generator.overload(slipped, 50 * MS, 0.05)
    four_late = [replace(WELL, loop_lag_p99_ns=21 * MS)] * 4 + [WELL]
    assert _overload(*four_late) == ""
    assert "4 of 100 ticks" in _overload(*four_late, share=0.01)


@pytest.mark.parametrize(
    ("rate_per_s", "late", "users", "flow_s", "needed"),
    [
        (2000.0, 5, 200, 0.0, "400"),
        (2000.0, 5, 400, 0.0, ""),
        (2000.0, 0, 200, 0.0, ""),
        (100.0, 5, 200, 0.0, ""),
        (100.0, 5, 200, 3.0, "300"),
    ],
)
def test_a_pool_of_users_is_too_small_by_littles_law(
    rate_per_s: float, late: int, users: int, flow_s: float, needed: str
) -> None:
    """2,000/s at 200 ms are 400 in flight; 100 flows a second of 3 s are 300, however quick each request is."""
    reason = generator.pool_shortage(
        rate_per_s=rate_per_s, late=late, users=users, strictest_ns=200 * MS, flow_s=flow_s
    )
    assert bool(reason) is bool(needed)
    assert f"{needed} requests in flight" in reason or not needed

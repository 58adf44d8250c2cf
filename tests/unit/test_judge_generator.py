"""When the load itself was late: the least that the seconds' percentiles prove, against what is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.measure.generator import TICKS_PER_S, Lateness, generator_use, late_limit_ns, lateness
from seatrial.measure.statistics import quantiles
from seatrial.measure.tables import GeneratorColumns, LabelColumn
from seatrial.units import NS_PER_S
from seatrial.user.health import TICK_S
from seatrial.wire.streams import NULL

MS = 1_000_000
LIMIT_NS = 10 * MS


def _table(count: int, **columns: Any) -> GeneratorColumns:  # noqa: ANN401  (a value, or one for each second)
    """Return seconds without any lateness, but for `columns`."""
    usual: dict[str, Any] = dict.fromkeys(
        ("users", "in_flight", "slip_p99_ns", "arrivals", "arrivals_completed", "arrivals_late"), NULL
    )
    usual |= {"arrivals_dropped": NULL, "loop_lag_p50_ns": 0, "loop_lag_p99_ns": 0, "worker": 0}
    usual |= columns
    cpu = usual.pop("cpu_fraction", 0.3)
    return GeneratorColumns(
        **{name: np.full(count, value, dtype=np.int64) for name, value in usual.items()},
        t_ns=np.arange(count) * NS_PER_S,
        cpu_fraction=np.full(count, cpu),
        phase=LabelColumn(np.zeros(count, dtype=np.int32), ("window",)),
    )


def _late_ticks(p50_ns: int, p99_ns: int) -> int:
    return lateness(_table(1, loop_lag_p50_ns=p50_ns, loop_lag_p99_ns=p99_ns), LIMIT_NS).late_ticks


def test_the_loop_is_looked_at_as_often_as_judge_believes() -> None:
    """The constant stands in two places, because judge may not import what imports Locust."""
    assert TICKS_PER_S * TICK_S == 1


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
    assert _late_ticks(p50_ns, p99_ns) == late


def test_a_loop_that_was_blocked_for_seconds_counts_no_more_ticks_than_there_are() -> None:
    """A second can end late itself, after a block of ten."""
    found = lateness(_table(2, loop_lag_p99_ns=[10 * NS_PER_S, 0]), LIMIT_NS)
    assert (found.late_ticks, found.ticks) == (40, 40)


def _of(*, late_ticks: int = 0, slipped: int = 0) -> Lateness:
    return Lateness(limit_ns=LIMIT_NS, late_ticks=late_ticks, ticks=600, slipped=slipped, arrivals=1000)


@pytest.mark.parametrize(("late", "told"), [(10, False), (11, True)])
def test_one_late_tick_in_a_hundred_is_allowed(late: int, told: bool) -> None:  # noqa: FBT001  (a parameter of the table above)
    """And what chance makes of it: of 600 ticks 11 are late in 4 % of the windows, 10 in 8 % (binomial)."""
    assert _of(late_ticks=late).loop is told


@pytest.mark.parametrize(("slipped", "told"), [(50, False), (51, True)])
def test_seconds_with_one_arrival_in_twenty_may_slip(slipped: int, told: bool) -> None:  # noqa: FBT001  (a parameter of the table above)
    """Exactly 5 % are allowed."""
    assert _of(slipped=slipped).schedule is told


def test_slip_is_weighed_by_arrivals() -> None:
    """A second of a ramp's begin holds few of them; at the limit is not above it."""
    table = _table(3, arrivals=[1, 10, 100], slip_p99_ns=[LIMIT_NS + 1, LIMIT_NS, NULL])
    found = lateness(table, LIMIT_NS)
    assert (found.slipped, found.arrivals, found.schedule) == (1, 111, False)


def test_the_closed_model_has_no_schedule_to_slip() -> None:
    """Nothing of nothing is not more than 5 %."""
    found = lateness(_table(3), LIMIT_NS)
    assert (found.slipped, found.arrivals, found.schedule, found.loop) == (0, 0, False, False)


def test_no_second_at_all_is_not_late() -> None:
    """A run that has no generator rows has another reason to be invalid."""
    found = lateness(_table(0), LIMIT_NS)
    assert (found.ticks, found.loop, found.schedule) == (0, False, False)


@pytest.mark.parametrize(
    ("latencies_ms", "limit_ms"),
    [([], 10), ([5000], 10), ([1000] * 100, 10), ([1001] * 100, 10.01), ([3000, 4000], 30)],
)
def test_a_slow_service_allows_more(latencies_ms: list[int], limit_ms: float) -> None:
    """1 % of the p95; of the p50 where too few were measured; never less than 10 ms."""
    found = late_limit_ns(quantiles(np.array(latencies_ms, dtype=np.int64) * MS))
    assert found == limit_ms * MS


@given(st.lists(st.integers(0, 2 * NS_PER_S), min_size=20, max_size=20), st.integers(MS, NS_PER_S))
def test_the_proof_never_counts_a_tick_that_was_in_time(lags_ns: list[int], limit: int) -> None:
    """Of any 20 ticks, no more are counted than were late, or would have been while the loop was blocked."""
    ordered = sorted(lags_ns)
    found = lateness(_table(1, loop_lag_p50_ns=ordered[9], loop_lag_p99_ns=ordered[19]), limit)
    really = sum(len(range(lag, limit, -NS_PER_S // 20)) for lag in lags_ns)
    assert found.late_ticks <= really
    assert (found.late_ticks > 0) is (ordered[19] > limit)


@given(st.lists(st.integers(0, NS_PER_S), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_seconds_does_not_matter(lags_ns: list[int], random: Any) -> None:  # noqa: ANN401  (Random)
    """The rule is one of sums."""
    mixed = random.sample(lags_ns, len(lags_ns))
    count = len(lags_ns)
    one, other = (lateness(_table(count, loop_lag_p99_ns=some), LIMIT_NS) for some in (lags_ns, mixed))
    assert one == other


def test_only_the_window_is_judged() -> None:
    """The import of everything makes the first second late and busy."""
    table = _table(3, loop_lag_p99_ns=[NS_PER_S, 0, 0], cpu_fraction=[1.0, 0.2, 0.8])
    use = generator_use(table, np.array([False, True, True]), LIMIT_NS)
    assert (use.seconds, use.busy_seconds, use.cpu_max, use.lateness.late_ticks) == (2, 0, 0.8, 0)
    assert (use.arrivals, use.saturated) == (None, False)


def test_what_the_warm_up_left_in_flight_is_known() -> None:
    """Five of its ten arrivals ended in the window's first second."""
    counts = {"arrivals": 10, "arrivals_completed": [5, 10, 10], "arrivals_dropped": 0, "arrivals_late": 0}
    use = generator_use(_table(3, **counts), np.array([False, True, True]), LIMIT_NS)
    assert use.arrivals is not None
    assert (use.arrivals.in_flight, use.arrivals.offered) == (5, 20)


def test_users_of_several_processes_are_added_up() -> None:
    """Second by second; a process that ended early, or can't tell, adds nothing."""
    table = _table(5, users=[4, 4, 4, 3, 5], in_flight=[1, 2, NULL, NULL, NULL], worker=[0, 0, 0, 1, 1])
    found = generator_use(table, np.ones(5, dtype=np.bool_), LIMIT_NS)

    assert (found.users_max, found.in_flight_max) == (9, 2)


def test_the_rest_of_a_second_counts_and_is_no_health() -> None:
    """A process's end leaves it without CPU and lag: no second, but its arrivals are there."""
    counts = {"arrivals": [10, 10, 3], "arrivals_completed": 10, "arrivals_dropped": [0, 0, 3]}
    rest = {"cpu_fraction": [0.3, 0.3, np.nan], "loop_lag_p50_ns": [0, 0, NULL], "loop_lag_p99_ns": [0, 0, NULL]}
    found = generator_use(_table(3, **counts, **rest, arrivals_late=0), np.ones(3, dtype=np.bool_), LIMIT_NS)
    assert (found.seconds, found.cpu_max, found.lateness.late_ticks, found.lateness.ticks) == (2, 0.3, 0, 40)
    assert found.arrivals is not None
    assert (found.arrivals.seconds, found.arrivals.offered, found.arrivals.dropped) == (2, 23, 3)


def test_a_window_that_holds_but_a_rest_is_not_judged() -> None:
    """There is no median of nothing."""
    counts = {"arrivals": 5, "arrivals_completed": 5, "arrivals_dropped": 0, "arrivals_late": 0}
    found = generator_use(_table(1, **counts, cpu_fraction=[np.nan]), np.ones(1, dtype=np.bool_), LIMIT_NS)
    assert (found.seconds, found.cpu_median, found.workers) == (0, None, 0)
    assert found.arrivals is not None
    assert (found.arrivals.offered, found.arrivals.in_flight) == (5, 0)

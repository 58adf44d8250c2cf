"""Whether a stack keeps up with a rate, on simulated queues."""

from __future__ import annotations

import heapq
import random

import pytest

from seatrial.judge import backlog
from seatrial.judge.backlog import Flows
from seatrial.units import NS_PER_S

SERVERS, SERVICE_S = 4, 0.5
CEILING_PER_S = SERVERS / SERVICE_S
BUSY_S = SERVICE_S * 1.1
"""How long a flow takes at a quarter of the ceiling: hardly longer than its service."""


def _flows(rng: random.Random, rate_per_s: float, trial_s: float, *, servers: int = SERVERS) -> Flows:
    """M/M/c from an empty start: arrivals at random, of exponential service, to `servers` of them."""
    free = [0.0] * servers
    now_s, ends = rng.expovariate(rate_per_s), []
    took_s = 0.0
    while now_s < trial_s:
        end_s = max(now_s, heapq.heappop(free)) + rng.expovariate(1 / SERVICE_S)
        heapq.heappush(free, end_s)
        ends.append(end_s)
        took_s += end_s - now_s
        now_s += rng.expovariate(rate_per_s)
    return Flows(
        rate_per_s=rate_per_s,
        completed=len(ends),
        took_ns=round(took_s * NS_PER_S),
        arrivals=len(ends),
        under_way=sum(end_s > trial_s for end_s in ends),
        after_s=trial_s,
    )


def _broken_share(load: float, trial_s: float, *, flow_s: float = BUSY_S, servers: int = SERVERS) -> float:
    rng = random.Random(7)  # noqa: S311  (a simulated queue)
    made = [_flows(rng, load * CEILING_PER_S, trial_s, servers=servers) for _ in range(200)]
    return sum(backlog.excess(one, flow_s, 0.0).value > 1.0 for one in made) / len(made)


@pytest.mark.parametrize(("load", "trial_s"), [(1.5, 10.0), (2.0, 5.0), (1.3, 20.0), (4.0, 2.0)])
def test_a_rate_beyond_the_ceiling_is_seen(load: float, trial_s: float) -> None:
    """By nearly every trial, though every flow that began does end some time."""
    assert _broken_share(load, trial_s) > 0.9


@pytest.mark.parametrize(("load", "trial_s"), [(0.25, 5.0), (0.5, 5.0), (0.7, 20.0)])
def test_a_rate_below_it_is_kept_by_the_median_of_the_trials(load: float, trial_s: float) -> None:
    """A random queue is long now and then; the search wants half of the trials to be bad."""
    assert _broken_share(load, trial_s) < 0.2


def test_flows_that_are_long_and_never_wait_are_no_backlog() -> None:
    """With servers for all, rate times time are under way, however short the trial is."""
    assert _broken_share(3.0, 5.0, flow_s=SERVICE_S, servers=1000) < 0.2
    assert _broken_share(3.0, 1.0, flow_s=SERVICE_S, servers=1000) < 0.2


def test_a_trial_of_one_service_time_can_not_tell() -> None:
    """Everything that it began may be under way: it is refused elsewhere, and not called broken here."""
    seen = Flows(rate_per_s=10.0, arrivals=20, under_way=20, after_s=2.0)

    assert backlog.excess(seen, 3.0, 0.0).value <= 1.0
    assert backlog.excess(seen, 1.0, 0.0).value > 1.0
    assert backlog.excess(seen, None, 0.0).value == 0.0


def test_what_the_budgets_let_a_flow_wait_is_no_backlog() -> None:
    """A queue of 200 ms is what a budget of 200 ms allows."""
    seen = Flows(rate_per_s=100.0, arrivals=500, under_way=50, after_s=5.0)

    assert backlog.excess(seen, 0.02, 0.2).value <= 1.0
    told = backlog.excess(seen, 0.02, 0.0)
    assert told.value > 1.0
    assert told.text.startswith("50 of 500 arrivals were under way after 5.0 s")


def _ended(rate_per_s: float, mean_s: float) -> Flows:
    return Flows(rate_per_s=rate_per_s, completed=100, took_ns=round(100 * mean_s * NS_PER_S))


def test_a_calm_flow_is_that_of_low_rates() -> None:
    """Not of the warm-up, where all is new, nor of rates at which flows queue already."""
    warmup, kept = _ended(4.0, 2.0), [_ended(4.0, 0.5), _ended(8.0, 0.7), _ended(64.0, 3.0)]

    assert backlog.calm_s(warmup, [], 8.0) == pytest.approx(2.0)
    assert backlog.calm_s(warmup, kept, 8.0) == pytest.approx(0.5)
    assert backlog.calm_s(warmup, kept, 32.0) == pytest.approx(0.6)
    assert backlog.calm_s(warmup, kept, 2.0) == pytest.approx(0.5)
    assert backlog.calm_s(None, [], 8.0) is None
    assert backlog.calm_s(Flows(rate_per_s=4.0), [Flows(rate_per_s=4.0)], 8.0) is None


def test_how_far_a_bound_may_be_above_the_truth() -> None:
    """More in short trials; nothing where the budgets of the requests see a queue sooner than flows do."""
    long, short = (backlog.too_high(10.0, 1.0, 0.2, trial_s) for trial_s in (20.0, 5.0))

    assert 0.05 < long < short < 0.4
    assert backlog.too_high(100.0, 0.02, 0.2, 5.0) == 0.0

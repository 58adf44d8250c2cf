"""The counts of one trial, how far it exceeded its budgets, and whether the stack kept up with its rate."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from typing import Any

import pytest

from seatrial.compare import budgets, capacity_trial
from seatrial.compare.budgets import Budget
from seatrial.compare.capacity_trial import TrialCounts
from seatrial.load.workers import SecondAggregator
from seatrial.measure import metric
from seatrial.model import LoadSecond
from seatrial.units import NS_PER_S
from seatrial.wire.histogram import bucket, of_detail

S = NS_PER_S
MS = S // 1000
SERVERS, SERVICE_S = 4, 0.5
CEILING_PER_S = SERVERS / SERVICE_S
BUSY_S = SERVICE_S * 1.1
"""How long a flow takes at a quarter of the ceiling: hardly longer than its service."""


def _second(at_s: float, **counts: Any) -> LoadSecond:  # noqa: ANN401  (fields of LoadSecond)
    return LoadSecond(t_ns=round(at_s * S), t_least_ns=round(at_s * S), **counts)


def _counts(
    *seconds: LoadSecond, carried: int = 0, rate_per_s: float = 50.0, from_s: float = 10.2, until_s: float = 12.2
) -> TrialCounts:
    """Return a trial that has been given these seconds."""
    counts = TrialCounts(
        rate_per_s=rate_per_s, begin_ns=round(from_s * S), end_ns=round(until_s * S), carried=carried
    )
    for second in seconds:
        counts.take(second)
    return counts


def _answered(fast: int = 0, slow: int = 0, *, failed: int = 0, lost: int = 0) -> TrialCounts:
    """Return a trial whose requests of `wait` took 20 ms or 300 ms."""
    done = fast + slow + failed
    arrivals = {"arrivals": done + lost, "arrivals_completed": done, "arrivals_dropped": lost}
    latency = {"wait": {bucket(20 * MS): fast, bucket(300 * MS): slow}}
    return _counts(_second(12, **arrivals, failures={"wait": failed}, by_endpoint=latency))


def _flows(
    rate_per_s: float, arrivals: int = 0, completed: int = 0, *, took_s: float = 0.0, lasted_s: float = 5.0
) -> TrialCounts:
    """Return a trial whose arrivals ended, or not, while its gate was open."""
    ends = {"arrivals_completed": completed, "arrivals_took_ns": round(took_s * S)}
    last = _second(lasted_s, arrivals=arrivals, **ends)
    return _counts(last, rate_per_s=rate_per_s, from_s=0, until_s=lasted_s)


def _ended(*seconds: tuple[float, int, int]) -> list[LoadSecond]:
    """Return the seconds that ended at these times, with so many arrivals that began and that were completed."""
    return [_second(at_s, arrivals=begun, arrivals_completed=ended) for at_s, begun, ended in seconds]


def test_all_arrivals_of_a_trial_are_its_own_wherever_its_seconds_begin() -> None:
    """The sum from rest to rest is exact; under way is what was so when the last whole second ended."""
    counts = _counts(*_ended((10, 0, 0), (11, 80, 70), (12, 100, 90), (13, 20, 40)))

    assert (counts.arrivals, counts.lost, counts.under_way, counts.at_rest) == (200, 0, 0, True)
    assert counts.completed_per_s == pytest.approx(160 / 1.8)
    assert (counts.open_arrivals, counts.open_under_way, counts.completed) == (180, 20, 200)
    assert counts.open_s == pytest.approx(1.8)


def test_a_trial_is_over_when_nothing_is_under_way_any_more() -> None:
    """Not at its end, nor between two requests of a task, nor before the last process has reported it shut."""
    counts = _counts()
    seconds = [*_ended((12, 10, 10), (13, 10, 9)), _second(14, in_flight=1, arrivals_completed=1), _second(15)]
    for second, at_rest in zip(seconds, (False, False, False, True), strict=True):
        counts.take(second)
        assert counts.at_rest is at_rest

    gathering = SecondAggregator()
    gathering.take(0, {"kind": "second", "t_ns": round(11.9 * S)}, (0, 1))
    whole = gathering.take(1, {"kind": "second", "t_ns": round(12.4 * S)}, (0, 1))
    assert whole is not None
    assert not _counts(whole).at_rest


def test_what_ends_after_the_trial_was_closed_is_lost_and_no_more_under_way() -> None:
    """The next trial waits for it, but it took too long for this one; it is not counted among its answers."""
    begun = {"arrivals": 120, "arrivals_completed": 90, "arrivals_dropped": 20, "arrivals_late": 25}
    counts = _counts(_second(12, **begun, arrivals_took_ns=3 * S))
    assert (counts.lost, counts.late) == (30, 25)
    counts.close()
    late = {"arrivals_completed": 10, "arrivals_took_ns": 90 * S}
    counts.take(_second(30, **late, by_endpoint={"a": {bucket(18 * S): 10}}))

    assert (counts.lost, counts.under_way, counts.at_rest, counts.latency) == (30, 0, True, {})
    assert (counts.completed, counts.took_ns) == (90, 3 * S)


def test_failures_latency_and_details_add_up() -> None:
    """Over all seconds of the trial."""
    details = {"play": {"startup_s": {5: 2, 7: 1}}}
    counts = _counts(
        _second(11, by_endpoint={"a": {5: 2}}, failures={"a": 1}, details=details),
        _second(12, by_endpoint={"a": {5: 1}, "b": {7: 3}}, failures={"a": 1, "b": 4}, details=details),
    )

    assert counts.latency == {"a": {5: 3}, "b": {7: 3}}
    assert counts.failures == {"a": 2, "b": 4}
    assert counts.detail_of(metric.parse("p95 startup_s of play")) == {5: 4, 7: 2}


def test_what_was_under_way_before_is_not_taken_for_its_own() -> None:
    """A request that took longer than the trial lasts began before it; so did all in a second before the gate."""
    latency = {"a": {bucket(3 * S): 2, bucket(5 * MS): 3}}
    counts = _counts(_second(11, arrivals=3, arrivals_completed=5, by_endpoint=latency), carried=2)
    assert counts.latency == {"a": {bucket(5 * MS): 3}}
    assert (counts.under_way, counts.lost) == (0, 0)

    before = _counts(_second(10.1, arrivals_completed=2, failures={"a": 2}), carried=2)
    assert (before.arrivals, before.under_way, before.failures) == (0, 0, {})


def _reported(*values: float, key: str = "startup_s", lost: int = 0) -> TrialCounts:
    numbers = Counter(of_detail("_s" if key.endswith("_s") else "_count", value) for value in values)
    arrivals = {"arrivals": len(values) + lost, "arrivals_completed": len(values), "arrivals_dropped": lost}
    return _counts(_second(12, **arrivals, details={"play": {key: numbers}, "other": {key: {0: 99}}}))


SERVED: dict[str, int] = {"arrivals": 100, "arrivals_completed": 95, "arrivals_dropped": 5}
WITHOUT_REQUESTS = _counts(_second(12, **SERVED, flows=95, flows_failed=15))


def _parsed(*texts: str) -> list[Budget]:
    return [budgets.parse(text) for text in texts]


def _excess(text: str, counts: TrialCounts) -> float:
    return capacity_trial.budget_excess(_parsed(text), counts).value


@pytest.mark.parametrize(
    ("text", "trial", "value"),
    [
        ('p95 of "wait" < 100ms', _answered(950, 50), 1.0),
        ('p95 of "wait" < 100ms', _answered(900, 50, failed=25, lost=25), 2.0),
        ('p99 of "wait" < 100ms', _answered(970, 30), 3.0),
        ('p50 of "wait" < 100ms', _answered(750, 250), 0.5),
        ("failures < 1%", _answered(980, 0, failed=15, lost=5), 2.0),
        ('failures of "wait" < 1%', _answered(990, 0, failed=10), 1.0),
        ("failures < 1%", _answered(900, 100), 0.0),
        ("failures < 1%", _counts(), 0.0),
        ('p95 of "wait" < 100ms', _answered(0, 1), 20.0),
        ("failures < 10%", WITHOUT_REQUESTS, 2.0),
        ("p95 startup_s of play < 2s", _reported(*[1.0] * 95, *[3.0] * 5), 1.0),
        ("p95 startup_s of play < 2s", _reported(*[1.0] * 90, *[3.0] * 10), 2.0),
        ("p95 startup_s of play < 2s", _reported(*[1.0] * 90, lost=10), 2.0),
        ("mean startup_s of play < 2s", _counts(), 0.0),
    ],
)
def test_the_share_that_broke_over_what_may(text: str, trial: TrialCounts, value: float) -> None:
    """Up to 1 the budget is kept; failures and what was not served break a latency or a detail, too."""
    assert _excess(text, trial) == pytest.approx(value)


@pytest.mark.parametrize("text", ['p95 of "wait" < 100ms', 'p99 of "wait" < 100ms', "failures < 0.1%"])
def test_one_request_alone_decides_nothing(text: str) -> None:
    """Of the 8 of a probe one is more than 5 %, of the 500 of a trial more than 0.1 %: that is chance."""
    assert [_excess(text, _answered(8 - failed, failed=failed)) for failed in (1, 2)] == [1.0, 2.0]


def test_the_budget_that_was_exceeded_most_is_named() -> None:
    """A person wants to know which one holds the rate back."""
    asked = _parsed('p95 of "wait" < 100ms', "failures < 1%")

    assert "failures < 1%: 30 of 1000" in capacity_trial.budget_excess(asked, _answered(970, 0, failed=30)).text
    assert 'p95 of "wait" < 100ms: 200 of 1000' in capacity_trial.budget_excess(asked, _answered(800, 200)).text


def test_a_budget_of_one_endpoint_does_not_see_the_others() -> None:
    """Its own successes and failures count, and the arrivals that nobody served: each would have asked it."""
    latency = {"token": {bucket(20 * MS): 98}, "blob": {bucket(900 * MS): 50}}
    counts = _counts(_second(12, arrivals=100, arrivals_completed=98, failures={"blob": 50}, by_endpoint=latency))

    assert _excess('p95 of "token" < 100ms', counts) == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ((), "no budget of latency, failures or a detail"),
        (("peak unreclaimable of app < 200MiB",), "no budget of latency, failures or a detail"),
        (('p95 of "wait" < 1s', "throughput > 100/s"), "the rate is what it searches"),
        (('p95 of "wait" within 10% of base',), "has no base beside it"),
    ],
)
def test_what_a_search_can_not_keep_is_refused(texts: tuple[str, ...], words: str) -> None:
    """With the reason, before anything is started."""
    with pytest.raises(ValueError, match=words):
        capacity_trial.search_budgets(_parsed(*texts))


def test_memory_is_left_to_the_validation() -> None:
    """Five seconds show nothing of it; a flow may wait the sum over its requests, by the wider of two budgets."""
    texts = ('p99 of "wait" < 200ms', "unreclaimable memory of app < 1GiB", "failures < 1%")
    found = capacity_trial.search_budgets(_parsed(*texts))

    assert [one.metric.text for one in found.searched] == ['p99 of "wait"', "failures"]
    assert len(found.validated) == 3
    assert (found.percentile, found.endpoint) == (99, "wait")
    assert (found.strictest_ns, found.share) == (200 * MS, 0.01)
    without = capacity_trial.search_budgets(_parsed("failures < 1%"))
    assert (without.strictest_ns, without.share) == (NS_PER_S, 0.05)
    assert (without.percentile, without.endpoint, without.wait_s) == (95, None, 0.0)
    several = _parsed('p95 of "token" < 100ms', 'p99 of "token" < 300ms', 'p95 of "blob" < 1s', "failures < 1%")
    assert capacity_trial.search_budgets(several).wait_s == pytest.approx(1.3)


@pytest.mark.parametrize(
    ("text", "values", "kept"),
    [
        ("max stalls_count of play < 3", (0, 1, 2), True),
        ("max stalls_count of play < 3", (0, 1, 3), False),
        ("max stalls_count of play <= 3", (0, 1, 3), True),
        ("mean stalls_count of play < 2", (0, 1, 3), True),
        ("mean stalls_count of play < 2", (4, 1, 3), False),
        ("mean stalls_count of play > 2", (4, 1, 3), True),
        ("mean stalls_count of play > 2", (0, 0, 0), False),
    ],
)
def test_a_mean_or_highest_detail_is_set_against_its_limit(
    text: str, values: tuple[float, ...], *, kept: bool
) -> None:
    """On the limit the sign decides; a stack on which no flow comes to its end keeps nothing."""
    assert (_excess(text, _reported(*values, key="stalls_count")) <= 1.0) is kept
    assert _excess(text, _answered(lost=5)) > 1.0


def test_details_that_are_never_reported_are_found() -> None:
    """By the name of the flow and by the key; they are not taken for endpoints."""
    asked = _parsed("p95 startup_s of play < 2s", "p95 startup_s of watch < 2s", "max stalls_count of play < 3")
    assert capacity_trial.unreported_details(asked, _reported(1.0)) == [
        'p95 startup_s of "watch"',
        'max stalls_count of "play"',
    ]
    assert capacity_trial.unknown_endpoints(asked, []) == []
    asked = _parsed('p95 of "waits" < 1s', 'failures of "wait" < 1%', "failures < 1%")
    assert capacity_trial.unknown_endpoints(asked, ["wait"]) == ["waits"]


def test_without_requests_a_completed_arrival_ended_well() -> None:
    """Where some were made, a failed one did not."""
    trials = (_reported(1.0, 2.0), _answered(fast=3, failed=1), _answered(failed=4))
    assert [trial.ended_well for trial in trials] == [2, 3, 0]


NEVER_WAITS = {"flow_s": SERVICE_S, "servers": 1000}


def _queued(rng: random.Random, rate_per_s: float, trial_s: float, *, servers: int = SERVERS) -> TrialCounts:
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
    ended = sum(end_s <= trial_s for end_s in ends)
    return _flows(rate_per_s, len(ends), ended, took_s=took_s, lasted_s=trial_s)


def _broken_share(load: float, trial_s: float, *, flow_s: float = BUSY_S, servers: int = SERVERS) -> float:
    rng = random.Random(7)  # noqa: S311  (a simulated queue)
    trials = [_queued(rng, load * CEILING_PER_S, trial_s, servers=servers) for _ in range(200)]
    return sum(capacity_trial.backlog_excess(one, flow_s, 0.0).value > 1.0 for one in trials) / len(trials)


@pytest.mark.parametrize(("load", "trial_s"), [(1.5, 10.0), (2.0, 5.0), (1.3, 20.0), (4.0, 2.0)])
def test_a_rate_beyond_the_ceiling_is_seen(load: float, trial_s: float) -> None:
    """By nearly every trial, though every flow that began does end some time."""
    assert _broken_share(load, trial_s) > 0.9


@pytest.mark.parametrize(
    ("load", "trial_s", "flow"),
    [(0.25, 5.0, {}), (0.5, 5.0, {}), (0.7, 20.0, {}), (3.0, 5.0, NEVER_WAITS), (3.0, 1.0, NEVER_WAITS)],
)
def test_a_rate_below_it_is_kept_by_the_median_of_the_trials(
    load: float, trial_s: float, flow: dict[str, Any]
) -> None:
    """A random queue is long now and then, but seldom half of the time; flows that never wait are no backlog."""
    assert _broken_share(load, trial_s, **flow) < 0.2


def test_a_trial_of_one_service_time_can_not_tell() -> None:
    """Everything that it began may be under way: it is refused elsewhere, and not called broken here."""
    trial = _flows(10.0, 20, lasted_s=2.0)

    assert capacity_trial.backlog_excess(trial, 3.0, 0.0).value <= 1.0
    assert capacity_trial.backlog_excess(trial, 1.0, 0.0).value > 1.0
    assert capacity_trial.backlog_excess(trial, None, 0.0).value == 0.0


def test_what_the_budgets_let_a_flow_wait_is_no_backlog() -> None:
    """A queue of 200 ms is what a budget of 200 ms allows."""
    trial = _flows(100.0, 500, 450)

    assert capacity_trial.backlog_excess(trial, 0.02, 0.2).value <= 1.0
    most = capacity_trial.backlog_excess(trial, 0.02, 0.0)
    assert most.value > 1.0
    assert most.text.startswith("50 of 500 arrivals were under way after 5.0 s")


def test_a_calm_flow_is_that_of_low_rates() -> None:
    """Not of the warm-up, where all is new, nor of rates at which flows queue already."""
    warmup = _flows(4.0, 100, 100, took_s=200.0)
    kept = [_flows(rate, 100, 100, took_s=100 * took_s) for rate, took_s in ((4.0, 0.5), (8.0, 0.7), (64.0, 3.0))]

    assert capacity_trial.calm_flow_s(warmup, [], 8.0) == pytest.approx(2.0)
    assert capacity_trial.calm_flow_s(warmup, kept, 8.0) == pytest.approx(0.5)
    assert capacity_trial.calm_flow_s(warmup, kept, 32.0) == pytest.approx(0.6)
    assert capacity_trial.calm_flow_s(warmup, kept, 2.0) == pytest.approx(0.5)
    assert capacity_trial.calm_flow_s(None, [], 8.0) is None
    assert capacity_trial.calm_flow_s(_flows(4.0), [_flows(4.0)], 8.0) is None


def test_how_far_a_bound_may_be_above_the_truth() -> None:
    """More in short trials; nothing where the budgets of the requests see a queue sooner than flows do."""
    long, short = (capacity_trial.overestimate(10.0, 1.0, 0.2, trial_s) for trial_s in (20.0, 5.0))

    assert 0.05 < long < short < 0.4
    assert capacity_trial.overestimate(100.0, 0.02, 0.2, 5.0) == 0.0

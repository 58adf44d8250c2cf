"""How far a trial was beyond its budgets, and what a search can't keep."""

from __future__ import annotations

from collections import Counter

import pytest

from seatrial.judge import budgets, excess
from seatrial.judge.budgets import Budget
from seatrial.judge.excess import Observed
from seatrial.units import NS_PER_S
from seatrial.wire.buckets import bucket, of_detail

MS = NS_PER_S // 1000


def _parsed(*texts: str) -> list[Budget]:
    return [budgets.parse(text) for text in texts]


def _seen(fast: int = 0, slow: int = 0, *, failed: int = 0, lost: int = 0, endpoint: str = "wait") -> Observed:
    return Observed(
        arrivals=fast + slow + failed + lost,
        lost=lost,
        failures={endpoint: failed},
        latency={endpoint: {bucket(20 * MS): fast, bucket(300 * MS): slow}},
    )


@pytest.mark.parametrize(
    ("text", "seen", "value"),
    [
        ('p95 of "wait" < 100ms', _seen(950, 50), 1.0),
        ('p95 of "wait" < 100ms', _seen(900, 50, failed=25, lost=25), 2.0),
        ('p99 of "wait" < 100ms', _seen(970, 30), 3.0),
        ('p50 of "wait" < 100ms', _seen(750, 250), 0.5),
        ("failures < 1%", _seen(980, 0, failed=15, lost=5), 2.0),
        ('failures of "wait" < 1%', _seen(990, 0, failed=10), 1.0),
        ("failures < 1%", _seen(900, 100), 0.0),
    ],
)
def test_the_share_that_broke_over_what_may(text: str, seen: Observed, value: float) -> None:
    """Up to 1 the budget is kept; failures and what nobody served break a latency, too, though they have none."""
    assert excess.excess(_parsed(text), seen).value == pytest.approx(value)


@pytest.mark.parametrize("text", ['p95 of "wait" < 100ms', 'p99 of "wait" < 100ms', "failures < 0.1%"])
def test_one_request_alone_decides_nothing(text: str) -> None:
    """Of the 8 of a probe one is more than 5 %, of the 500 of a trial more than 0.1 %: that is chance."""
    assert excess.excess(_parsed(text), _seen(7, 0, failed=1)).value == 1.0
    assert excess.excess(_parsed(text), _seen(6, 0, failed=2)).value == 2.0


def test_where_all_break_it_one_is_enough() -> None:
    """At 0.2 a second a trial has one request: a stack that is never in time must not look as if it were."""
    assert excess.excess(_parsed('p95 of "wait" < 100ms'), _seen(0, 1)).value == pytest.approx(20.0)


def test_the_budget_that_was_exceeded_most_is_named() -> None:
    """A person wants to know which one holds the rate back."""
    asked = _parsed('p95 of "wait" < 100ms', "failures < 1%")

    assert "failures < 1%: 30 of 1000" in excess.excess(asked, _seen(970, 0, failed=30)).text
    assert 'p95 of "wait" < 100ms: 200 of 1000' in excess.excess(asked, _seen(800, 200)).text


def test_a_budget_of_one_endpoint_does_not_see_the_others() -> None:
    """Its own successes and failures count, and the arrivals that nobody served: each would have asked it."""
    seen = Observed(
        arrivals=100,
        lost=2,
        failures={"blob": 50},
        latency={"token": {bucket(20 * MS): 98}, "blob": {bucket(900 * MS): 50}},
    )

    assert excess.excess(_parsed('p95 of "token" < 100ms'), seen).value == pytest.approx(2 / 5)


def test_nothing_observed_breaks_nothing() -> None:
    """A trial without an arrival is judged elsewhere; here it must not divide by zero."""
    assert excess.excess(_parsed("failures < 1%"), Observed(arrivals=0)).value == 0.0


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
        excess.divided(_parsed(*texts))


def test_memory_is_left_to_the_validation() -> None:
    """Five seconds tell nothing about memory."""
    found = excess.divided(_parsed('p99 of "wait" < 200ms', "unreclaimable memory of app < 1GiB", "failures < 1%"))

    assert [one.metric.text for one in found.searched] == ['p99 of "wait"', "failures"]
    assert len(found.validated) == 3
    assert found.latency is found.searched[0]
    assert (found.strictest_ns, found.share) == (200 * MS, 0.01)


def test_what_a_flow_may_wait_is_the_sum_over_its_requests() -> None:
    """Of two budgets of one endpoint the wider; without any nothing."""
    texts = ('p95 of "token" < 100ms', 'p99 of "token" < 300ms', 'p95 of "blob" < 1s', "failures < 1%")

    assert excess.divided(_parsed(*texts)).wait_s == pytest.approx(1.3)
    assert excess.divided(_parsed("failures < 1%")).wait_s == 0.0


def test_without_a_latency_a_second_is_taken() -> None:
    """How late the generator may be has to be measured by something."""
    found = excess.divided(_parsed("failures < 1%"))

    assert (found.strictest_ns, found.share, found.latency) == (NS_PER_S, 0.05, None)


def test_names_that_are_never_asked_for_are_found() -> None:
    """A budget of a request that does not exist would be kept by any rate."""
    asked = _parsed('p95 of "waits" < 1s', 'failures of "wait" < 1%', "failures < 1%")

    assert excess.unknown(asked, ["wait"]) == ["waits"]


def _reported(*values: float, key: str = "startup_s", lost: int = 0) -> Observed:
    numbers = Counter(of_detail("_s" if key.endswith("_s") else "_count", one) for one in values)
    return Observed(
        arrivals=len(values) + lost, lost=lost, details={"play": {key: numbers}, "other": {key: {0: 99}}}
    )


def test_a_percentile_of_a_detail_counts_the_flows_beyond_it() -> None:
    """5 of 100 may; arrivals that nobody served are beyond it, too."""
    asked = _parsed("p95 startup_s of play < 2s")
    assert excess.excess(asked, _reported(*[1.0] * 95, *[3.0] * 5)).value == pytest.approx(1.0)
    assert excess.excess(asked, _reported(*[1.0] * 90, *[3.0] * 10)).value == pytest.approx(2.0)
    assert excess.excess(asked, _reported(*[1.0] * 90, lost=10)).value == pytest.approx(2.0)


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
    """It is no share of flows that may break it; on the limit the sign decides."""
    assert (excess.excess(_parsed(text), _reported(*values, key="stalls_count")).value <= 1.0) is kept


def test_a_detail_that_no_flow_reported_is_broken_by_what_was_lost() -> None:
    """A stack on which no flow comes to its end keeps nothing."""
    asked = _parsed("mean startup_s of play < 2s")
    assert excess.excess(asked, Observed(arrivals=5, lost=5)).value > 1.0
    assert excess.excess(asked, Observed(arrivals=0)).value == 0.0


def test_details_that_are_never_reported_are_found() -> None:
    """By the name of the flow and by the key; they are not taken for endpoints."""
    asked = _parsed("p95 startup_s of play < 2s", "p95 startup_s of watch < 2s", "max stalls_count of play < 3")
    assert excess.unreported(asked, _reported(1.0)) == ['p95 startup_s of "watch"', 'max stalls_count of "play"']
    assert excess.unknown(asked, []) == []


def test_failures_without_requests_are_those_of_flows() -> None:
    """And of arrivals that nobody served."""
    asked = _parsed("failures < 10%")
    assert excess.excess(asked, Observed(arrivals=100, flows=95, flows_failed=15, lost=5)).value == pytest.approx(
        2.0
    )

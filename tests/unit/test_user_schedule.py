"""The arrivals of a schedule are its rate's integral, the same in every process, each in exactly one share."""

from __future__ import annotations

import math
import statistics
from itertools import accumulate, islice, pairwise, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.user.schedule import ArrivalFeed, Schedule, place
from seatrial.wire.rates import Rate, Stretch, parse

S = 1_000_000_000
ORIGIN_NS = 77 * S
rates_per_s = st.one_of(st.just(0.0), st.floats(0.01, 300.0))
stretches = st.lists(st.builds(Stretch, st.floats(0.01, 20.0), rates_per_s, rates_per_s), min_size=1, max_size=5)


def _area(rate: Rate, from_s: float, until_s: float) -> float:
    """Integrate by the trapezoid rule over every corner, which is exact for straight lines."""
    corners = accumulate(stretch.lasts_s for stretch in rate.stretches)
    cuts = sorted({from_s, until_s, *(corner for corner in corners if from_s < corner < until_s)})
    return sum((end - begin) * rate.at((begin + end) / 2) for begin, end in pairwise(cuts))


@given(stretches, st.floats(0, 30), st.floats(0.1, 20))
def test_an_interval_has_as_many_arrivals_as_its_integral(
    pieces: list[Stretch], from_s: float, lasts_s: float
) -> None:
    """Over steps, ramps, and stretches without any: at most one more or less."""
    rate = Rate(tuple(pieces))
    begin_ns, end_ns = (ORIGIN_NS + round(after_s * S) for after_s in (from_s, from_s + lasts_s))
    arrivals = Schedule(rate, origin_ns=ORIGIN_NS).arrivals(begin_ns)
    count = sum(1 for _ in takewhile(lambda arrival: arrival[1] < end_ns, arrivals))
    assert abs(count - _area(rate, from_s, from_s + lasts_s)) <= 1 + 1e-6


@given(stretches, st.booleans(), st.floats(0, 30))
def test_a_process_can_begin_anywhere(pieces: list[Stretch], poisson: bool, from_s: float) -> None:  # noqa: FBT001
    """From a moment on the arrivals are those of the whole schedule: two processes never disagree."""
    schedule = Schedule(Rate(tuple(pieces), poisson), origin_ns=ORIGIN_NS, seed=3)
    from_ns, end_ns = ORIGIN_NS + round(from_s * S), ORIGIN_NS + round((from_s + 5) * S)
    whole, part = (
        list(takewhile(lambda arrival: arrival[1] < end_ns, schedule.arrivals(begin_ns)))
        for begin_ns in (ORIGIN_NS, from_ns)
    )
    assert part == [arrival for arrival in whole if arrival[1] >= from_ns]


def test_evenly_spaced_is_exact() -> None:
    """No drift: the last arrival of an hour at 20,000/s is where it should be."""
    schedule = Schedule(Rate(parse("20000/s")), origin_ns=0)
    assert next(schedule.arrivals(3_599_999_950_000)) == (71_999_999, 3_599_999_950_000)


@pytest.mark.parametrize(
    ("text", "origin_s", "from_s", "times_s"),
    [
        ("0/s for 2s, 2/s for 1s, 0/s", 0, 0, [2.0, 2.5]),
        ("0/s to 8/s for 4s", 0, 0, [math.sqrt(number) for number in range(16)]),
        ("2/s for 1s, 10/s", 5, 4, [4.0, 4.5, 5.0, 5.5, 6.0]),
    ],
    ids=["none at 0/s, which ends a schedule", "a ramp of t²", "the first rate before the origin"],
)
def test_the_moments_of_arrivals(text: str, origin_s: int, from_s: int, times_s: list[float]) -> None:
    """Steps, ramps, and what comes before the origin, such as a warm-up."""
    schedule = Schedule(Rate(parse(text)), origin_ns=origin_s * S)
    arrivals = islice(schedule.arrivals(from_s * S), 5 if origin_s else 16)
    assert [t_ns / S for _, t_ns in arrivals] == pytest.approx(times_s)


def test_poisson_has_the_rates_mean_and_variance() -> None:
    """Counts of 4,000 half seconds at 20/s: mean and variance are 10 (four standard errors); gaps are not even."""
    schedule = Schedule(Rate(parse("20/s"), poisson=True), origin_ns=0, seed=11)
    counts = [0] * 4_000
    for _, t_ns in takewhile(lambda arrival: arrival[1] < 2_000 * S, schedule.arrivals(0)):
        counts[t_ns * 2 // S] += 1
    assert statistics.mean(counts) == pytest.approx(10, abs=4 * math.sqrt(10 / 4_000))
    assert statistics.variance(counts) == pytest.approx(10, abs=4 * 10 * math.sqrt(2 / 4_000) * 1.1)


def test_a_seed_is_a_sequence() -> None:
    """The same seed gives the same arrivals, another seed others."""
    rate = Rate(parse("20/s"), poisson=True)
    first, again, other = (
        list(islice(Schedule(rate, origin_ns=0, seed=seed).arrivals(0), 50)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@given(st.lists(st.floats(0, 1), max_size=5), st.booleans())
def test_each_arrival_is_in_exactly_one_share(cuts: list[float], poisson: bool) -> None:  # noqa: FBT001
    """However the unit interval is cut, the processes together have the whole sequence, and nothing twice."""
    schedule = Schedule(Rate(parse("200/s"), poisson), origin_ns=0, seed=5)
    bounds = [0.0, *sorted(cuts), 1.0]
    dues: list[int] = []
    for low, high in pairwise(bounds):
        feed = ArrivalFeed(low=low, high=high, since_ns=0)
        feed.follow(schedule, 0)
        dues += feed.due(5 * S)
    assert sorted(dues) == [
        t_ns for _, t_ns in takewhile(lambda arrival: arrival[1] <= 5 * S, schedule.arrivals(0))
    ]


def test_a_share_gets_its_part_of_every_second() -> None:
    """A third of 300/s has 100 of every second, give or take three: places are spread evenly."""
    own = [sum(1 / 3 <= place(index) < 2 / 3 for index in range(at, at + 300)) for at in range(0, 30_000, 300)]
    assert all(abs(count - 100) <= 3 for count in own)


def test_shares_change_at_their_moment_exactly_once() -> None:
    """Two processes exchange their shares at 2 s, at different times before: all arrivals, none twice."""
    schedule = Schedule(Rate(parse("100/s")), origin_ns=0)
    feeds = [ArrivalFeed(low=0.0, high=0.3, since_ns=0), ArrivalFeed(low=0.3, high=1.0, since_ns=0)]
    dues: list[int] = []
    for feed in feeds:
        feed.follow(schedule, 0)
        dues += feed.due(S)
    feeds[0].share(0.3, 1.0, 2 * S)
    dues += feeds[1].due(S + S // 2)
    feeds[1].share(0.0, 0.3, 2 * S)
    for feed in feeds:
        dues += feed.due(4 * S)
    assert sorted(dues) == [number * S // 100 for number in range(401)]


def test_a_new_rate_takes_over_at_its_moment() -> None:
    """Until then the old one holds; one that comes late takes over at once, and nothing is given twice."""
    feed = ArrivalFeed(low=0.0, high=1.0, since_ns=0)
    feed.follow(Schedule(Rate(parse("10/s")), origin_ns=0), 0)
    feed.follow(Schedule(Rate(parse("2/s")), origin_ns=S), S)
    assert [due_ns / S for due_ns in feed.due(2 * S)] == [*(number / 10 for number in range(10)), 1.0, 1.5, 2.0]
    feed.follow(Schedule(Rate(parse("4/s")), origin_ns=S), S)
    assert [due_ns / S for due_ns in feed.due(3 * S)] == [2.25, 2.5, 2.75, 3.0]


def test_the_next_moment_is_that_of_an_own_arrival() -> None:
    """Those of other shares are skipped, but no farther than a second; without a schedule there is none."""
    feed = ArrivalFeed(low=0.0, high=0.0, since_ns=0)
    assert feed.next_ns(0) == math.inf
    feed.follow(Schedule(Rate(parse("1000/s")), origin_ns=0), 0)
    assert feed.next_ns(0) == S
    feed.share(0.0, 1.0, 0)
    assert feed.next_ns(0) == 0

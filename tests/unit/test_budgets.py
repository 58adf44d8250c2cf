"""The language of budgets and of stop rules, and what is said about them, on both sides of each limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.compare import budgets, effects
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.effects import Effect
from seatrial.measure import metric, stop_rules
from seatrial.measure.metric import Scale, Unit
from seatrial.measure.stop_rules import HoldingSince
from seatrial.measure.values import MetricEstimate

MS = 1_000_000
MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "name", "op", "limit", "within"),
    [
        ('p95 of "manifest by tag" < 150ms', 'p95 of "manifest by tag"', "<", 150 * MS, None),
        ('p95 of "a < b" <= 1s', 'p95 of "a < b"', "<=", 1000 * MS, None),
        ("p50 of token<2.5ms", 'p50 of "token"', "<", 2.5 * MS, None),
        ("failures < 0.1%", "failures", "<", 0.001, None),
        ("peak unreclaimable of auth < 200MiB", "peak unreclaimable of auth", "<", 200 * MIB, None),
        ("stall ratio < 1%", "stall ratio", "<", 0.01, None),
        ('p95 startup_s of "play" < 2s', 'p95 startup_s of "play"', "<", 2000 * MS, None),
        ('mean received_bytes of "play" < 3MiB', 'mean received_bytes of "play"', "<", 3 * MIB, None),
        ('mean received_bytes of "play" > 1MiB', 'mean received_bytes of "play"', ">", MIB, None),
        ('max stalls_count of "play" < 3', 'max stalls_count of "play"', "<", 3, None),
        ('max stall_ratio of "play" <= 10%', 'max stall_ratio of "play"', "<=", 0.1, None),
        ("p95 startup_s of play within 10% of base", 'p95 startup_s of "play"', "<", None, 0.1),
        ("cpu per request < 3ms", "cpu per request", "<", 3 * MS, None),
        ("throughput > 100/s", "throughput", ">", 100, None),
        ("throughput of pull >= 60/m", 'throughput of "pull"', ">=", 1, None),
        ("p99 of pull within 10% of base", 'p99 of "pull"', "<", None, 0.1),
        ("failures  within 0.5 %  of base", "failures", "<", None, 0.005),
    ],
)
def test_what_can_be_written(text: str, name: str, op: str, limit: float | None, within: float | None) -> None:
    """Metric, direction, and the limit in the metric's unit."""
    found = budgets.parse(text)
    assert (found.metric.text, found.op, found.limit, found.within) == (
        name,
        op,
        limit and pytest.approx(limit),
        within,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no comparison"),
        ("p95 of token", "has no comparison"),
        ("p95 of token = 5ms", "has no comparison"),
        ("p95 of token < 150", "is not a duration"),
        ("p95 of token < 10MiB", "is not a duration"),
        ("failures < 0.001", "a number of per cent such as 0.1% is expected"),
        ("failures < 101%", "is not a share"),
        ("max stalls_count of play < 3s", "is not a count: a plain number such as 3 is expected"),
        ("max stalls_count of play < 0", "more than 0 is expected"),
        ("p95 startup_s of play < 3", "is not a duration"),
        ("failures < 0%", "more than 0 is expected"),
        ("peak unreclaimable of auth < 200ms", "is not a size"),
        ("throughput > 100", "such as 100/s is expected"),
        ("throughput < 100/s", "would be broken by a good result: throughput > 100/s is expected"),
        ("p95 of token > 1ms", "would be broken by a good result"),
        ("p95 of token within 0% of base", "can't be judged"),
        ("trouhgput > 1/s", "did you mean throughput"),
        ("p95 of token < 5ms for 10s", "is not a duration"),
        ("p99 of pull within 10", "`within` and a share of the base such as `within 10% of base` is expected"),
        ("p99 of pull within 10%", "such as `within 10% of base` is expected"),
        ("p99 of pull within 10 of base", "such as `within 10% of base` is expected"),
    ],
)
def test_what_can_not_be_written(text: str, said: str) -> None:
    """The message says what is expected."""
    with pytest.raises(ValueError, match=said):
        budgets.parse(text)


@given(st.text(alphabet='pfailures95 of"<>=%.0123msMiB for', max_size=30))
def test_no_text_is_more_than_a_value_error(text: str) -> None:
    """Whatever stands in a scenario file is read or refused in words."""
    for parse in (budgets.parse, stop_rules.parse):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017  (most texts are refused, a few are read)


def reading(value: float, low: float | None, high: float | None, count: int = 1000) -> MetricEstimate:
    """Make a reading in milliseconds."""
    ends = [None if one is None else one * MS for one in (low, high)]
    return MetricEstimate(value=value * MS, low=ends[0], high=ends[1], count=count)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (140, 149.9, BudgetWord.KEPT),
        (140, 150, BudgetWord.NOT_DECIDED),
        (149.9, 160, BudgetWord.NOT_DECIDED),
        (150, 160, BudgetWord.BROKEN),
        (151, None, BudgetWord.BROKEN),
        (140, None, BudgetWord.NOT_DECIDED),
        (None, None, BudgetWord.NOT_DECIDED),
    ],
)
def test_one_run_is_judged_by_its_own_interval(low: float | None, high: float | None, word: BudgetWord) -> None:
    """Kept if all of the interval is below the limit, broken if none of it is."""
    found = budgets.judge(budgets.parse("p95 of token < 150ms"), [reading(145, low, high)])
    assert found.word is word


def test_the_figures_say_what_their_interval_is_about() -> None:
    """One run knows nothing of the next; an end that nobody can tell is a question mark."""
    budget = budgets.parse("p95 of token < 150ms")
    alone = budgets.judge(budget, [reading(145, 140, None)])
    assert alone.text == "p95 of token < 150ms: not decided: 145 ms (95 % within this run: 140 ms to ?)"
    several = budgets.judge(budget, [reading(100, 99, 101), reading(110, 109, 111), reading(105, 104, 106)])
    assert several.reason == "104.9 ms (95 % over 3 blocks: 93.21 ms to 118.1 ms)"


def test_an_endpoint_may_be_named_within() -> None:
    """The word means a share only where no comparison and no quotes say otherwise."""
    assert budgets.parse("p95 of within < 5ms").metric.of == "within"
    assert budgets.parse('p95 of "a within 3" < 5ms').metric.of == "a within 3"


def test_one_is_not_several() -> None:
    """Of two blocks one told a value; of one request nothing can be told."""
    budget = budgets.parse("p95 of token < 150ms")
    alone = budgets.judge(budget, [reading(200, 190, 210), MetricEstimate(value=None, count=3)])
    assert "over one block:" in alone.reason
    assert budgets.judge(budget, [MetricEstimate(value=None, count=1)]).reason == "1 success is too few for it"


def test_at_most_is_not_below() -> None:
    """`<=` holds at the limit itself."""
    for op, word in (("<", BudgetWord.BROKEN), ("<=", BudgetWord.KEPT)):
        assert budgets.judge(budgets.parse(f"p95 of token {op} 150ms"), [reading(150, 150, 150)]).word is word


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(101, 120, BudgetWord.KEPT), (90, 99, BudgetWord.BROKEN), (90, 101, BudgetWord.NOT_DECIDED)],
)
def test_throughput_has_its_good_side_above(low: float, high: float, word: BudgetWord) -> None:
    """The lower end decides about keeping."""
    found = budgets.judge(budgets.parse("throughput > 100/s"), [MetricEstimate(value=100, low=low, high=high)])
    assert found.word is word


def test_what_was_never_measured_breaks_its_budget() -> None:
    """A renamed endpoint is not a kept budget."""
    found = budgets.judge(budgets.parse("p95 of token < 150ms"), [MetricEstimate(value=None, never=True)])
    assert found.text == 'p95 of token < 150ms: broken: p95 of "token" was never measured'


def test_too_few_do_not_decide() -> None:
    """Twelve requests tell no p95, but they were asked."""
    found = budgets.judge(budgets.parse("p95 of token < 150ms"), [MetricEstimate(value=None, count=12)])
    assert (found.word, found.reason) == (BudgetWord.NOT_DECIDED, "12 successes are too few for it")


def test_several_blocks_are_judged_between_blocks() -> None:
    """Each run is sure of itself, but they differ: Student's interval of the logarithms decides."""
    budget = budgets.parse("p95 of token < 150ms")
    far = [reading(one, one - 1, one + 1) for one in (100, 180, 110)]
    near = [reading(one, one - 1, one + 1) for one in (100, 104, 102)]
    assert [budgets.judge(budget, some).word for some in (far, near)] == [BudgetWord.NOT_DECIDED, BudgetWord.KEPT]
    assert budgets.judge(budget, [reading(one, 1, 2) for one in (200, 204, 202)]).word is BudgetWord.BROKEN


def test_the_order_of_blocks_does_not_matter() -> None:
    """The same blocks, the same figures."""
    budget = budgets.parse("p95 of token < 150ms")
    some = [reading(one, one - 1, one + 1) for one in (100.1, 137.7, 111.3)]
    assert budgets.judge(budget, some) == budgets.judge(budget, some[::-1])


def test_no_failures_are_no_proof_of_none() -> None:
    """Three in n over all blocks: 3 x 900 requests leave 0.11 %, 3 x 1100 leave 0.09 %."""
    budget = budgets.parse("failures < 0.1%")
    words = [
        budgets.judge(budget, [MetricEstimate(value=0.0, low=0, high=0.004, count=count)] * 3).word
        for count in (900, 1100)
    ]
    assert words == [BudgetWord.NOT_DECIDED, BudgetWord.KEPT]


def test_the_highest_peak_counts() -> None:
    """A peak that was seen once is over the limit, whatever the other blocks say."""
    budget = budgets.parse("peak unreclaimable of auth < 200MiB")
    peaks = [MetricEstimate(value=one * MIB, low=one * MIB, high=one * MIB) for one in (150, 201, 150)]
    assert budgets.judge(budget, peaks).text == "peak unreclaimable of auth < 200MiB: broken: 201 MiB"
    assert budgets.judge(budget, peaks[:1]).word is BudgetWord.KEPT


def test_a_block_that_lacks_it_keeps_it_open() -> None:
    """Kept in two blocks and not measured in the third is not kept; broken stays broken."""
    budget = budgets.parse("p95 of token < 150ms")
    none = MetricEstimate(value=None, never=True)
    good, bad = [[reading(one + place, 1, 1) for place in range(3)] for one in (100, 200)]
    assert budgets.judge(budget, [*good, none]).reason == "measured in only 3 of 4 blocks"
    assert [budgets.judge(budget, [*some, none]).word for some in (good, bad)] == [
        BudgetWord.NOT_DECIDED,
        BudgetWord.BROKEN,
    ]


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (0.5, BudgetWord.KEPT),
        (1.0, BudgetWord.KEPT),
        (1.09, BudgetWord.KEPT),
        (1.1, BudgetWord.NOT_DECIDED),
        (1.2, BudgetWord.BROKEN),
    ],
)
def test_within_a_share_of_the_base(ratio: float, word: BudgetWord) -> None:
    """Better than the base is within; at the limit nothing is decided."""
    budget = budgets.parse("p99 of pull within 10% of base")
    effect = effects.pair([100, 100, 100, 100], [100 * ratio * one for one in (0.998, 1.002, 0.999, 1.001)])
    assert budgets.judge_within(budget, effect).word is word


def test_within_for_throughput_is_mirrored() -> None:
    """A fifth less throughput is worse, a fifth more is not."""
    budget = budgets.parse("throughput within 10% of base")
    words = [
        budgets.judge_within(budget, Effect(differences=(mean - 0.01, mean, mean + 0.01))).word
        for mean in (-0.2, 0.2)
    ]
    assert words == [BudgetWord.BROKEN, BudgetWord.KEPT]


@pytest.mark.parametrize("effect", [None, Effect(differences=()), Effect(differences=(0.1,))])
def test_without_a_base_or_scatter_nothing_is_decided(effect: Effect | None) -> None:
    """One block against one proves nothing."""
    budget = budgets.parse("p99 of pull within 10% of base")
    assert budgets.judge_within(budget, effect).word is BudgetWord.NOT_DECIDED


def test_two_blocks_that_happen_to_be_alike_keep_nothing() -> None:
    """Of two the scatter is known within a factor of a hundred."""
    found = budgets.judge_within(budgets.parse("throughput within 5% of base"), Effect(differences=(0.0, 0.00001)))
    assert found.word is BudgetWord.NOT_DECIDED
    assert found.reason.endswith("too few blocks to know the scatter")


def test_shares_within_the_base_are_told_in_points() -> None:
    """0.5 % more that fail is half a point."""
    effect = Effect(differences=(0.004, 0.005, 0.006), scale=Scale.DIFFERENCE)
    found = budgets.judge_within(budgets.parse("failures within 0.1% of base"), effect)
    assert (found.word, found.reason[:10]) == (BudgetWord.BROKEN, "+0.5 point")


def test_too_few_flows_decide_nothing_and_none_break() -> None:
    """As of latency; the words are of flows."""
    budget = budgets.parse("p95 startup_s of play < 2s")
    few = budgets.judge(budget, [MetricEstimate(value=None, count=12)])
    assert (few.word, few.reason) == (BudgetWord.NOT_DECIDED, "12 flows are too few for it")
    assert budgets.judge(budget, [MetricEstimate(value=None, never=True)]).word is BudgetWord.BROKEN


def test_the_highest_detail_of_all_blocks_counts() -> None:
    """As of a peak: it was seen."""
    readings = [MetricEstimate(value=one, low=one, high=one, count=9) for one in (1.0, 4.0, 2.0)]
    found = budgets.judge(budgets.parse("max stalls_count of play < 3"), readings)
    assert (found.word, found.value, found.reason) == (BudgetWord.BROKEN, 4.0, "4")


def test_each_kind_has_its_own_judge() -> None:
    """A limit is not relative, and the other way round."""
    with pytest.raises(ValueError, match="needs a comparison"):
        budgets.judge(budgets.parse("p99 of pull within 10% of base"), [])
    with pytest.raises(ValueError, match="limit of its own"):
        budgets.judge_within(budgets.parse("failures < 1%"), None)


@pytest.mark.parametrize(
    ("text", "signal", "unit", "limit", "lasts_s"),
    [
        ("failures > 20% for 10s", "failures", Unit.SHARE, 0.2, 10),
        ("failures > 0%", "failures", Unit.SHARE, 0.0, 1),
        ("memory of host > 90%", "memory of host", Unit.SHARE, 0.9, 1),
        ("memory of auth >= 1GiB for 1m", "memory of auth", Unit.BYTES, 1 << 30, 60),
        ("swap of host > 1GiB", "swap of host", Unit.BYTES, 1 << 30, 1),
        ('p99 of "manifest for x" > 2s for 30s', 'p99 of "manifest for x"', Unit.NS, 2000 * MS, 30),
        ("throughput < 1/s for 20s", "throughput", Unit.PER_S, 1.0, 20),
        ("mean stalls_count of play > 0 for 5s", 'mean stalls_count of "play"', Unit.COUNT, 0.0, 5),
        ("p95 startup_s of play > 2s", 'p95 startup_s of "play"', Unit.NS, 2000 * MS, 1),
        ("mean received_bytes of play < 1MiB", 'mean received_bytes of "play"', Unit.BYTES, MIB, 1),
    ],
)
def test_stop_rules(text: str, signal: str, unit: Unit, limit: float, lasts_s: int) -> None:
    """What is watched, in which unit, and for how long."""
    found = stop_rules.parse(text)
    assert (found.signal, found.unit, found.limit, found.lasts_s) == (signal, unit, limit, lasts_s)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memory > 90%", "memory of host, or of a service, is expected"),
        ("failures > 20% for 10", "is not a duration"),
        ("failures > 20% for 500ms", "whole seconds from 1s on"),
        ("failures > 20% for 1.5s", "whole seconds from 1s on"),
        ("failures within 5% of base", "has no comparison"),
        ("disk of host > 90%", "is not a metric"),
        ("memory of host > 90", "is not a size"),
        ("failures < 1%", "would end a run that is well: failures > 1% is expected"),
        ("memory of host < 90% for 5s", "memory of host > 90% for 5s is expected"),
        ("swap of host <= 1GiB", "swap of host > 1GiB is expected"),
        ("p99 of token < 2s", 'p99 of "token" > 2s is expected'),
        ("throughput > 10/s", "throughput < 10/s is expected"),
        ("failures >= 0%", "would end every run at once"),
        ("memory of host > 0%", "would end every run at once"),
        ("p50 of token > 0ms", "would end every run at once"),
        ("failures > 100%", "can't come true: >= is expected"),
        ("throughput < 0/s", "can't come true: <= is expected"),
    ],
)
def test_stop_rules_that_can_not_be_written(text: str, said: str) -> None:
    """The message says what is expected."""
    with pytest.raises(ValueError, match=said):
        stop_rules.parse(text)


@pytest.mark.parametrize(
    ("seconds", "after"),
    [
        ([0.3, 0.3, 0.3], 3),
        ([0.3, 0.3], None),
        ([0.3, 0.3, 0.2, 0.3, 0.3], None),
        ([0.3, 0.3, 0.2, 0.3, 0.3, 0.3], 6),
        ([0.3, None, 0.3, None, 0.3], 5),
        ([None] * 9, None),
    ],
)
def test_a_rule_fires_after_an_unbroken_span(seconds: list[float | None], after: int | None) -> None:
    """Three seconds in which it held; where it did not it begins anew, what nobody could tell does neither."""
    rule, held, fired = stop_rules.parse("failures > 20% for 3s"), HoldingSince(), None
    for number, value in enumerate(seconds, start=1):
        held = stop_rules.advance(rule, held, value)
        if stop_rules.fired(rule, held) and fired is None:
            fired = number
    assert fired == after


def test_a_fired_rule_tells_what_it_saw() -> None:
    """The worst value of the span, in the rule's unit."""
    rule, held = stop_rules.parse("failures > 20% for 3s"), HoldingSince()
    for value in (0.3, 0.5, 0.25):
        held = stop_rules.advance(rule, held, value)
    assert stop_rules.fired(rule, held) == "failures > 20% for 3s: failures was at 50 % for 3 s"
    rule = stop_rules.parse("throughput < 10/s")
    assert (
        stop_rules.fired(rule, stop_rules.advance(rule, HoldingSince(), 2.0))
        == "throughput < 10/s: throughput was at 2/s in one second"
    )


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.5e9, Unit.NS, "1.5 s"),
        (123_456_789, Unit.NS, "123.5 ms"),
        (12_000, Unit.NS, "12 µs"),
        (5, Unit.NS, "5 ns"),
        (0, Unit.NS, "0 ns"),
        (3 * 2**30, Unit.BYTES, "3 GiB"),
        (512, Unit.BYTES, "512 B"),
        (0.00123, Unit.SHARE, "0.123 %"),
        (123.456, Unit.PER_S, "123.5/s"),
        (2.0, Unit.COUNT, "2"),
        (1234.5, Unit.COUNT, "1,234"),
    ],
)
def test_values_as_people_read_them(value: float, unit: Unit, text: str) -> None:
    """Three or four figures and the largest unit that fits."""
    assert metric.limit_text(value, unit) == text

"""The budget language, and the verdict on each side of a limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.compare import budgets, effects
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.effects import Effect
from seatrial.measure import metric, stop_rules
from seatrial.measure.metric import Scale
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
        ('mean received_bytes of "play" > 1MiB', 'mean received_bytes of "play"', ">", MIB, None),
        ('max stalls_count of "play" < 3', 'max stalls_count of "play"', "<", 3, None),
        ('max stall_ratio of "play" <= 10%', 'max stall_ratio of "play"', "<=", 0.1, None),
        ("p95 startup_s of play within 10% of base", 'p95 startup_s of "play"', "<", None, 0.1),
        ("cpu per request < 3ms", "cpu per request", "<", 3 * MS, None),
        ("throughput > 100/s", "throughput", ">", 100, None),
        ("throughput of pull >= 60/m", 'throughput of "pull"', ">=", 1, None),
        ("p99 of pull within 10% of base", 'p99 of "pull"', "<", None, 0.1),
        ("p95 of within < 5ms", 'p95 of "within"', "<", 5 * MS, None),
        ('p95 of "a within 3" < 5ms', 'p95 of "a within 3"', "<", 5 * MS, None),
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
        ("failures < 0.001", "a number of per cent such as 0.1% is expected"),
        ("failures < 101%", "is not a share"),
        ("max stalls_count of play < 3s", "is not a count: a plain number such as 3 is expected"),
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
    for parse in (budgets.parse, stop_rules.parse, metric.parse):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017  (most texts are refused, a few are read)


def reading(value: float, low: float | None, high: float | None, count: int = 1000) -> MetricEstimate:
    """Make a reading in milliseconds."""
    ends = [None if one is None else one * MS for one in (low, high)]
    return MetricEstimate(value=value * MS, low=ends[0], high=ends[1], count=count)


KEPT, OPEN, BROKEN = BudgetWord.KEPT, BudgetWord.NOT_DECIDED, BudgetWord.BROKEN


@pytest.mark.parametrize(
    ("text", "low", "high", "word"),
    [
        ("p95 of token < 150ms", 140 * MS, 149.9 * MS, KEPT),
        ("p95 of token < 150ms", 140 * MS, 150 * MS, OPEN),
        ("p95 of token < 150ms", 149.9 * MS, 160 * MS, OPEN),
        ("p95 of token < 150ms", 150 * MS, 160 * MS, BROKEN),
        ("p95 of token <= 150ms", 150 * MS, 150 * MS, KEPT),
        ("p95 of token < 150ms", 151 * MS, None, BROKEN),
        ("p95 of token < 150ms", 140 * MS, None, OPEN),
        ("p95 of token < 150ms", None, None, OPEN),
        ("throughput > 100/s", 101, 120, KEPT),
        ("throughput > 100/s", 90, 99, BROKEN),
        ("throughput > 100/s", 90, 101, OPEN),
    ],
)
def test_one_run_is_judged_by_its_own_interval(
    text: str, low: float | None, high: float | None, word: BudgetWord
) -> None:
    """Kept if all of the interval is on the good side of the limit, broken if none of it is."""
    assert budgets.judge(budgets.parse(text), [MetricEstimate(value=145, low=low, high=high)]).word is word


def test_the_figures_say_what_their_interval_is_about() -> None:
    """One run knows nothing of the next; an end that is not known is a question mark; one block is not several."""
    budget = budgets.parse("p95 of token < 150ms")
    alone = budgets.judge(budget, [reading(145, 140, None)])
    assert alone.text == "p95 of token < 150ms: not decided: 145 ms (95 % within this run: 140 ms to ?)"
    several = budgets.judge(budget, [reading(100, 99, 101), reading(110, 109, 111), reading(105, 104, 106)])
    assert several.reason == "104.9 ms (95 % over 3 blocks: 93.21 ms to 118.1 ms)"
    one_of_two = budgets.judge(budget, [reading(200, 190, 210), MetricEstimate(value=None, count=3)])
    assert "over one block:" in one_of_two.reason
    assert budgets.judge(budget, [MetricEstimate(value=None, count=1)]).reason == "1 success is too few for it"


@pytest.mark.parametrize(
    ("text", "estimates", "said"),
    [
        ("p95 of token < 150ms", [{"value": None, "never": True}], 'broken: p95 of "token" was never measured'),
        ("p95 of token < 150ms", [{"value": None, "count": 12}], "not decided: 12 successes are too few for it"),
        ("p95 startup_s of play < 2s", [{"value": None, "count": 12}], "not decided: 12 flows are too few for it"),
        ("peak unreclaimable of a < 9B", [{"value": x, "low": x, "high": x} for x in (5, 10, 5)], "broken: 10 B"),
        ("max stalls_count of play < 3", [{"value": x, "low": x, "high": x} for x in (1, 4, 2)], "broken: 4"),
    ],
)
def test_too_few_decide_nothing_none_break_and_the_highest_counts(
    text: str, estimates: list[dict[str, Any]], said: str
) -> None:
    """A renamed endpoint is not a kept budget; a peak over the limit is one, whatever the other blocks say."""
    result = budgets.judge(budgets.parse(text), [MetricEstimate(**one) for one in estimates])
    assert result.text == f"{text}: {said}"


def test_several_blocks_are_judged_between_blocks() -> None:
    """Each run is sure of itself, but they differ: Student's interval of the logarithms decides."""
    budget = budgets.parse("p95 of token < 150ms")
    far = [reading(one, one - 1, one + 1) for one in (100, 180, 110)]
    near = [reading(one, one - 1, one + 1) for one in (100, 104, 102)]
    assert [budgets.judge(budget, some).word for some in (far, near)] == [BudgetWord.NOT_DECIDED, BudgetWord.KEPT]
    assert budgets.judge(budget, [reading(one, 1, 2) for one in (200, 204, 202)]).word is BudgetWord.BROKEN


def test_no_failures_are_no_proof_of_none() -> None:
    """Three in n over all blocks: 3 x 900 requests leave 0.11 %, 3 x 1100 leave 0.09 %."""
    budget = budgets.parse("failures < 0.1%")
    words = [
        budgets.judge(budget, [MetricEstimate(value=0.0, low=0, high=0.004, count=count)] * 3).word
        for count in (900, 1100)
    ]
    assert words == [BudgetWord.NOT_DECIDED, BudgetWord.KEPT]


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
    ("metric_text", "ratio", "word"),
    [
        ("p99 of pull", 0.5, KEPT),
        ("p99 of pull", 1.0, KEPT),
        ("p99 of pull", 1.09, KEPT),
        ("p99 of pull", 1.1, OPEN),
        ("p99 of pull", 1.2, BROKEN),
        ("throughput", 0.8, BROKEN),
        ("throughput", 1.2, KEPT),
    ],
)
def test_within_a_share_of_the_base(metric_text: str, ratio: float, word: BudgetWord) -> None:
    """Better than the base is within; at the limit nothing is decided; less throughput is worse."""
    budget = budgets.parse(f"{metric_text} within 10% of base")
    effect = effects.pair([100, 100, 100, 100], [100 * ratio * one for one in (0.998, 1.002, 0.999, 1.001)])
    assert budgets.judge_within(budget, effect).word is word


@pytest.mark.parametrize("differences", [(), (0.1,), (0.0, 0.00001)])
def test_without_a_base_or_scatter_nothing_is_decided(differences: tuple[float, ...]) -> None:
    """One block against one proves nothing; of two alike the scatter is known within a factor of a hundred."""
    budget = budgets.parse("throughput within 5% of base")
    found = budgets.judge_within(budget, Effect(differences=differences))
    assert found.word is BudgetWord.NOT_DECIDED
    assert len(differences) < 2 or found.reason.endswith("too few blocks to know the scatter")
    assert budgets.judge_within(budget, None).word is BudgetWord.NOT_DECIDED


def test_shares_within_the_base_are_told_in_points() -> None:
    """0.5 % more that fail is half a point."""
    effect = Effect(differences=(0.004, 0.005, 0.006), scale=Scale.DIFFERENCE)
    found = budgets.judge_within(budgets.parse("failures within 0.1% of base"), effect)
    assert (found.word, found.reason[:10]) == (BudgetWord.BROKEN, "+0.5 point")


def test_each_kind_has_its_own_judge() -> None:
    """A limit is not relative, and the other way round."""
    with pytest.raises(ValueError, match="needs a comparison"):
        budgets.judge(budgets.parse("p99 of pull within 10% of base"), [])
    with pytest.raises(ValueError, match="limit of its own"):
        budgets.judge_within(budgets.parse("failures < 1%"), None)

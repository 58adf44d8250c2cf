"""The words: each threshold on both sides, symmetry, scale, monotony, the veto of the ranks, failures first."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.compare import effects, verdicts
from seatrial.compare.effects import Effect
from seatrial.compare.verdicts import DECIDED, Verdict, Word, invalid, verdict, word
from seatrial.measure import metric
from seatrial.measure.metric import Scale

P95 = metric.parse('p95 of "token"')
THROUGHPUT = metric.parse("throughput within 10%")
CPU = metric.parse("cpu per request")
MARGIN = 0.1
SHAPE = (-1.0, 1.0, -1.0, 1.0, 0.0)
"""Standard deviation 1, mean 0."""

SEVERITY = (
    Word.EQUIVALENT,
    Word.WORSE_BUT_SMALL,
    Word.INCONCLUSIVE,
    Word.LIKELY_REGRESSION,
    Word.REGRESSION,
)
values = st.lists(st.floats(-0.5, 0.5).map(lambda one: round(one, 5)), min_size=1, max_size=12)


def half_width(sd: float, alpha: float = 0.05) -> float:
    """Return half the t interval of five blocks of SHAPE."""
    span = effects.interval(around(0, sd), alpha)
    assert span is not None
    return span.high


def around(mean: float, sd: float) -> Effect:
    """Make five blocks with this mean and standard deviation."""
    return Effect(differences=tuple(mean + sd * one for one in SHAPE))


def said(effect: Effect, margin: float = MARGIN) -> Word:
    """Return the word at the usual levels."""
    return word(effect, margin, 0.05, 0.05)[0]


def judged(effect: Effect, asked: metric.Metric = P95) -> Verdict:
    """Judge as one gated metric alone."""
    return verdict("variant", asked, effect, alpha=0.05, equivalence_alpha=0.05, gated=True)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (MARGIN + half_width(0.02) + 1e-9, Word.REGRESSION),
        (MARGIN + half_width(0.02) - 1e-9, Word.LIKELY_REGRESSION),
        (MARGIN + 1e-9, Word.LIKELY_REGRESSION),
        (MARGIN - 1e-9, Word.INCONCLUSIVE),
        (MARGIN - half_width(0.02, 0.10) + 1e-9, Word.INCONCLUSIVE),
        (MARGIN - half_width(0.02, 0.10) - 1e-9, Word.WORSE_BUT_SMALL),
        (half_width(0.02) + 1e-9, Word.WORSE_BUT_SMALL),
        (half_width(0.02) - 1e-9, Word.EQUIVALENT),
        (0.0, Word.EQUIVALENT),
    ],
)
def test_each_threshold_on_both_sides(side: int, mean: float, expected: Word) -> None:
    """At a scatter of 2 % and a margin of 0.1 the words follow each other at the ends of the interval."""
    assert said(around(side * mean, 0.02)) is (expected if side > 0 else expected.mirrored)


@pytest.mark.parametrize(("sd", "expected"), [(0.1, Word.EQUIVALENT), (0.11, Word.INCONCLUSIVE)])
def test_equality_is_shown_or_not_known(sd: float, expected: Word) -> None:
    """Without any difference on average: t(0.95, 4) / sqrt(5) = 0.953 standard deviations have to fit in."""
    assert said(around(0, sd)) is expected


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ((), Word.INCONCLUSIVE),
        ((0.5,), Word.INCONCLUSIVE),
        ((0.5, 0.5), Word.INCONCLUSIVE),
        ((0.5, 0.500001), Word.INCONCLUSIVE),
        ((0.0, 0.000001), Word.INCONCLUSIVE),
        ((0.5, 0.5, 0.5), Word.REGRESSION),
        ((0.05, 0.05, 0.05), Word.WORSE_BUT_SMALL),
        ((0.0, 0.0, 0.0), Word.EQUIVALENT),
    ],
)
def test_blocks_without_scatter(differences: tuple[float, ...], expected: Word) -> None:
    """Equal blocks decide from three on; one alone never does."""
    assert said(Effect(differences=differences)) is expected


@given(values)
def test_swapping_base_and_variant_mirrors_the_word(differences: list[float]) -> None:
    """Who is called the base is a convention."""
    effect = Effect(differences=tuple(differences))
    assert said(effect.mirrored()) is said(effect).mirrored


@given(values, st.integers(0, 11))
def test_the_order_of_blocks_does_not_matter(differences: list[float], turn: int) -> None:
    """A word is about the set of blocks."""
    turned = differences[turn:] + differences[:turn]
    assert said(Effect(differences=tuple(turned))) is said(Effect(differences=tuple(differences)))


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 1000)), min_size=1, max_size=10),
    st.integers(-20, 20),
)
def test_the_unit_of_a_ratio_does_not_matter(pairs: list[tuple[int, int]], power: int) -> None:
    """Milliseconds and nanoseconds give one word."""
    base, variant = [one for one, _ in pairs], [other for _, other in pairs]
    scaled = effects.pair([one * 2.0**power for one in base], [one * 2.0**power for one in variant])
    assert said(scaled) is said(effects.pair(base, variant))


@given(values, st.floats(0, 1))
def test_a_larger_effect_never_gives_a_milder_word(differences: list[float], more: float) -> None:
    """Shifted as a whole towards worse, with the same scatter."""
    shape = Effect(differences=tuple(differences))
    centred = tuple(one - shape.mean for one in differences)
    if 0 < shape.sd < 1e-9:
        return
    order = [said(Effect(differences=tuple(one + shift for one in centred))) for shift in (more / 2, more)]
    assert SEVERITY.index(order[0]) <= SEVERITY.index(order[1])


@given(values)
def test_more_trust_is_never_claimed_at_a_stricter_level(differences: list[float]) -> None:
    """What holds at 1 % holds at 5 %: a regression does not vanish when the level is relaxed."""
    effect = Effect(differences=tuple(differences[:5]))
    strict, mild = (word(effect, MARGIN, alpha, 0.05)[0] for alpha in (0.01, 0.05))
    assert strict is not Word.REGRESSION or mild is Word.REGRESSION


def test_lower_throughput_is_worse() -> None:
    """The word follows the metric's direction, the effect stays as it is."""
    found = judged(effects.pair([100, 101, 99], [80, 81, 79.5]), THROUGHPUT)
    assert found.word is Word.REGRESSION
    assert found.effect == pytest.approx(-0.198, abs=0.002)
    assert found.low == pytest.approx(-0.21, abs=0.01)


@pytest.mark.parametrize(
    ("differences", "margin", "expected"),
    [
        ((0.22, 0.18, 0.09, -0.05, 0.06, 0.12), 0.1, Word.INCONCLUSIVE),
        ((-0.03, 0.04, 0.05, 0.11, 0.08, 0.09), 0.1, Word.EQUIVALENT),
        ((0.12, -0.01, 0.19, 0.13, 0.14, 0.16), 0.01, Word.INCONCLUSIVE),
    ],
)
def test_what_the_ranks_do_not_tell_from_zero_is_vetoed(
    differences: tuple[float, ...], margin: float, expected: Word
) -> None:
    """In these sixes t says below 5 %, the signs 2 of 32: likely, small, and even a regression are undone."""
    effect = Effect(differences=differences)
    assert effects.p_value(effect) < 0.05 < effects.sign_flip_p(effect)
    assert word(effect, margin, 0.05, 0.05) == (expected, True)
    assert word(effect.mirrored(), margin, 0.05, 0.05) == (expected, True)


def test_the_signs_alone_can_veto() -> None:
    """The signed-rank interval begins above zero here, but 9 of 128 signs are as extreme."""
    effect = Effect(differences=(-0.05, 0.09, 0.09, 0.1, 0.09, -0.05, 0.07, 0.14))
    span = effects.signed_rank_interval(effect, 0.05)
    assert span is not None
    assert span.low > 0
    assert word(effect, 0.01, 0.05, 0.05) == (Word.INCONCLUSIVE, True)


def test_small_can_be_shown_where_equality_is_not_asked_as_mildly() -> None:
    """An interval between zero and the margin is small, whatever the level of equivalence."""
    assert word(around(0.05, 0.02), MARGIN, 0.05, 0.0001)[0] is Word.WORSE_BUT_SMALL


def test_a_regression_whose_ranks_reach_below_the_margin_is_likely() -> None:
    """Six blocks: the signed-rank interval reaches down to the smallest difference."""
    lone = Effect(differences=(0.09, 0.3, 0.31, 0.29, 0.3, 0.31))
    assert word(lone, 0.11, 0.05, 0.05) == (Word.LIKELY_REGRESSION, True)
    assert word(lone, 0.08, 0.05, 0.05) == (Word.REGRESSION, False)


def test_five_blocks_have_no_veto() -> None:
    """No five signs reach 5 %, so their silence says nothing."""
    assert word(Effect(differences=(0.2, 0.3, 0.31, 0.29, 0.3)), 0.11, 0.05, 0.05) == (Word.REGRESSION, False)


def test_a_verdict_tells_its_numbers() -> None:
    """Effect, interval, threshold, blocks, what could be seen, and how many more would decide."""
    found = judged(effects.pair([100, 100, 100, 100], [90, 110, 97, 115]))
    assert found.word is Word.INCONCLUSIVE
    assert found.text == (
        "INCONCLUSIVE: +2.51 % in 4 blocks (95 % interval -14.3 % to +22.7 %); threshold 10 %; "
        "can only see 26.5 % or more; about 10 more blocks would decide"
    )


@pytest.mark.parametrize(("blocks", "told"), [(1, "one block"), (2, "2 blocks")])
def test_so_few_blocks_say_what_is_lacking(blocks: int, told: str) -> None:
    """One pair, or two that happen to be alike, are never worse or better, and no interval is shown of them."""
    found = judged(effects.pair([100.0, 101.0][:blocks], [200.0, 202.0001][:blocks]))
    assert (found.low, found.equal_low, found.deciding_interval) == (None, None, None)
    assert found.text == (
        f"INCONCLUSIVE: +100 % in {told}; threshold 10 %; "
        "too few blocks to know the scatter: at least 3 are needed"
    )


def test_equality_shows_the_interval_that_it_rests_on() -> None:
    """At the level for six metrics the interval reaches beyond 10 %; the 90 % of the two tests does not."""
    found = verdict("v", P95, around(0.0, 0.08), alpha=0.05 / 6, equivalence_alpha=0.05, gated=True)
    assert found.word is Word.EQUIVALENT
    assert found.high is not None
    assert found.high > P95.threshold
    assert found.deciding_interval is not None
    assert (found.deciding_interval.low, found.deciding_interval.high) == (found.equal_low, found.equal_high)
    assert -P95.threshold < found.deciding_interval.low < found.deciding_interval.high < P95.threshold
    assert found.text == (
        "EQUIVALENT: +0 % in 5 blocks (90 % interval of two one-sided tests -7.34 % to +7.93 %); within ±10 %"
    )


def test_a_look_that_is_stricter_shows_a_wider_interval_of_equality() -> None:
    """Two tests at 1 % each are an interval of 98 %."""
    found = verdict("v", P95, around(0.0, 0.02), alpha=0.01, equivalence_alpha=0.01, gated=True)
    assert found.deciding_interval is not None
    assert found.deciding_interval.confidence == pytest.approx(0.98)
    assert "(98 % interval of two one-sided tests" in found.text


@pytest.mark.parametrize(("scatter", "by_two_tests"), [(0.02, True), (0.005, False)])
def test_a_small_effect_shows_the_interval_that_it_rests_on(scatter: float, *, by_two_tests: bool) -> None:
    """Only where the interval at the corrected level does not itself say that the effect is small."""
    found = verdict("v", P95, around(0.065, scatter), alpha=0.025, equivalence_alpha=0.05, gated=True)
    assert found.word is Word.WORSE_BUT_SMALL
    assert found.by_two_tests is by_two_tests
    assert found.deciding_interval is not None
    assert 0 < found.deciding_interval.low < found.deciding_interval.high < P95.threshold
    assert ("within ±10 %" in found.text) is by_two_tests


def test_any_other_word_shows_the_interval_at_its_own_level() -> None:
    """A regression is one at the level for all gated metrics together."""
    found = verdict("v", P95, around(0.3, 0.02), alpha=0.0125, equivalence_alpha=0.05, gated=True)
    assert found.deciding_interval is not None
    assert (found.deciding_interval.low, found.deciding_interval.high) == (found.low, found.high)
    assert "(98.75 % interval +" in found.text


def test_shares_are_told_in_points() -> None:
    """One per cent that fails is one point."""
    failures = metric.parse("failures")
    found = judged(effects.pair([0.0] * 4, [0.01, 0.011, 0.009, 0.01], Scale.DIFFERENCE), failures)
    assert found.text.startswith("REGRESSION: +1 point in 4 blocks")


@pytest.mark.parametrize("asked", [P95, THROUGHPUT, CPU])
@pytest.mark.parametrize(
    "good", [Word.IMPROVEMENT, Word.LIKELY_IMPROVEMENT, Word.BETTER_BUT_SMALL, Word.EQUIVALENT]
)
def test_who_fails_more_is_not_praised(asked: metric.Metric, good: Word) -> None:
    """A refusal is fast and costs nothing: one point of failures takes the word back, whatever it was."""
    praised = replace(invalid("v", asked, "", gated=True), word=good, reason="")
    failures = Effect(differences=(0.01, 0.012, 0.008), scale=Scale.DIFFERENCE)
    (found,) = verdicts.withhold_gains_of_failing_side([praised], failures, 0.001)
    assert (found.word, found.withheld) == (Word.INVALID, True)
    assert found.text == "INVALID: not comparable: it fails more, by 1 point"


@pytest.mark.parametrize(
    ("share", "bad", "expected"),
    [
        (0.0009, Word.IMPROVEMENT, Word.IMPROVEMENT),
        (0.0011, Word.IMPROVEMENT, Word.INVALID),
        (0.01, Word.REGRESSION, Word.REGRESSION),
        (0.01, Word.INCONCLUSIVE, Word.INCONCLUSIVE),
        (-0.01, Word.REGRESSION, Word.INVALID),
        (-0.01, Word.IMPROVEMENT, Word.IMPROVEMENT),
    ],
)
def test_only_what_failing_helps_is_taken_back(share: float, bad: Word, expected: Word) -> None:
    """Up to the threshold nothing happens; who fails more keeps its blame; the mirror holds for the base."""
    one = replace(invalid("v", P95, "", gated=True), word=bad, reason="")
    failures = Effect(differences=(share,) * 3, scale=Scale.DIFFERENCE)
    assert verdicts.withhold_gains_of_failing_side([one], failures, 0.001)[0].word is expected


def test_memory_is_held_whether_requests_fail_or_not() -> None:
    """Failing does not give memory back."""
    memory = metric.parse("unreclaimable memory")
    one = replace(invalid("v", memory, "", gated=True), word=Word.IMPROVEMENT, reason="")
    failures = Effect(differences=(0.5,) * 3, scale=Scale.DIFFERENCE)
    assert verdicts.withhold_gains_of_failing_side([one], failures, 0.001) == [one]


def test_without_failures_known_nothing_is_praised() -> None:
    """An improvement might be that of refusing."""
    one = replace(invalid("v", P95, "", gated=True), word=Word.IMPROVEMENT, reason="")
    assert (
        verdicts.withhold_gains_of_failing_side([one], None, 0.001)[0].text
        == "INVALID: not comparable: failures were not measured"
    )


def test_every_word_but_two_has_a_mirror_and_decides_or_not() -> None:
    """The mirror of the mirror is the word; a likely one is not decided."""
    assert all(one.mirrored.mirrored is one for one in Word)
    assert [one for one in Word if one.mirrored is one] == [Word.EQUIVALENT, Word.INCONCLUSIVE, Word.INVALID]
    assert not DECIDED & {Word.LIKELY_REGRESSION, Word.LIKELY_IMPROVEMENT, Word.INCONCLUSIVE, Word.INVALID}
    assert math.isclose(effects.margin(effects.shown(0.1, Scale.RATIO), Scale.RATIO), 0.1)

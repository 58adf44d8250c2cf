"""The words: each threshold on both sides, symmetry, monotony, the veto of the ranks, failures, error rates."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import simulated
from hypothesis import given
from hypothesis import strategies as st

from seatrial.compare import effects, verdicts
from seatrial.compare.effects import Effect
from seatrial.compare.verdicts import BETTER, DECIDED, WORSE, Word, invalid, verdict, word
from seatrial.measure import metric
from seatrial.measure.metric import Scale

P95 = metric.parse('p95 of "token"')
METRICS = ('p95 of "token"', "throughput within 10%", "cpu per request")
MARGIN = 0.1
SHAPE = (-1.0, 1.0, -1.0, 1.0, 0.0)
"""Standard deviation 1, mean 0."""
SEVERITY = (Word.EQUIVALENT, Word.WORSE_BUT_SMALL, Word.INCONCLUSIVE, Word.LIKELY_REGRESSION, Word.REGRESSION)
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


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        (around(0, 0.1).differences, Word.EQUIVALENT),
        (around(0, 0.11).differences, Word.INCONCLUSIVE),
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
def test_equality_is_shown_or_not_known(differences: tuple[float, ...], expected: Word) -> None:
    """Equal blocks decide from three on; one alone never does; t(0.95, 4) / sqrt(5) = 0.953 sd have to fit in."""
    assert said(Effect(differences=differences)) is expected


@given(values)
def test_the_mirror_has_the_mirrored_word_and_a_milder_level_the_same_regression(differences: list[float]) -> None:
    """Who is called the base is a convention; what holds at 1 % holds at 5 %."""
    effect, few = Effect(differences=tuple(differences)), Effect(differences=tuple(differences[:5]))
    assert said(effect.mirrored()) is said(effect).mirrored
    strict, mild = (word(few, MARGIN, alpha, 0.05)[0] for alpha in (0.01, 0.05))
    assert strict is not Word.REGRESSION or mild is Word.REGRESSION


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 1000)), min_size=1, max_size=10), st.integers(-20, 20)
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
    if shape.sd < 1e-9 and any(centred):  # only the rounding of equal values
        return
    order = [said(Effect(differences=tuple(one + shift for one in centred))) for shift in (more / 2, more)]
    assert SEVERITY.index(order[0]) <= SEVERITY.index(order[1])


BY_SIGNS = (-0.05, 0.09, 0.09, 0.1, 0.09, -0.05, 0.07, 0.14)
"""The signed-rank interval begins above zero here, but 9 of 128 signs are as extreme."""


@pytest.mark.parametrize(
    ("differences", "margin", "expected"),
    [
        ((0.22, 0.18, 0.09, -0.05, 0.06, 0.12), 0.1, Word.INCONCLUSIVE),
        ((-0.03, 0.04, 0.05, 0.11, 0.08, 0.09), 0.1, Word.EQUIVALENT),
        ((0.12, -0.01, 0.19, 0.13, 0.14, 0.16), 0.01, Word.INCONCLUSIVE),
        (BY_SIGNS, 0.01, Word.INCONCLUSIVE),
    ],
)
def test_what_the_ranks_do_not_tell_from_zero_is_vetoed(
    differences: tuple[float, ...], margin: float, expected: Word
) -> None:
    """In these sixes t is below 5 %, the signs 2 of 32: likely, small, and even a regression are undone."""
    effect = Effect(differences=differences)
    assert effects.p_value(effect) < 0.05 < effects.sign_flip_p(effect)
    assert word(effect, margin, 0.05, 0.05) == (expected, True)
    assert word(effect.mirrored(), margin, 0.05, 0.05) == (expected, True)
    ranks = effects.signed_rank_interval(effect, 0.05)
    assert ranks is not None
    assert (ranks.low > 0) is (differences == BY_SIGNS)


def test_a_regression_whose_ranks_reach_below_the_margin_is_likely_from_six_blocks_on() -> None:
    """The signed-rank interval of six reaches down to the smallest difference; no five signs reach 5 %."""
    lone = Effect(differences=(0.09, 0.3, 0.31, 0.29, 0.3, 0.31))
    assert word(lone, 0.11, 0.05, 0.05) == (Word.LIKELY_REGRESSION, True)
    assert word(lone, 0.08, 0.05, 0.05) == (Word.REGRESSION, False)
    five = Effect(differences=(0.2, 0.3, 0.31, 0.29, 0.3))
    assert word(five, 0.11, 0.05, 0.05) == (Word.REGRESSION, False)


def test_a_verdict_tells_its_numbers() -> None:
    """Effect, interval, threshold, blocks, what could be seen, and how many more would decide."""
    found = simulated.judged(effects.pair([100, 100, 100, 100], [90, 110, 97, 115]))
    assert found.word is Word.INCONCLUSIVE
    assert found.text == (
        "INCONCLUSIVE: +2.51 % in 4 blocks (95 % interval -14.3 % to +22.7 %); threshold 10 %; "
        "can only see 26.5 % or more; about 10 more blocks would decide"
    )


@pytest.mark.parametrize(
    ("text", "base", "variant", "scale", "said"),
    [
        ("throughput within 10%", [100, 101, 99], [80, 81, 79.5], Scale.RATIO, "REGRESSION: -19.8 % in 3 blocks"),
        ("failures", [0.0] * 3, [0.01, 0.011, 0.009], Scale.DIFFERENCE, "REGRESSION: +1 point in 3 blocks"),
    ],
)
def test_the_word_follows_the_metric_and_the_effect_stays_as_it_is(
    text: str, base: list[float], variant: list[float], scale: Scale, said: str
) -> None:
    """Lower throughput is worse; shares are shown in points."""
    assert simulated.judged(effects.pair(base, variant, scale), asked=metric.parse(text)).text.startswith(said)


@pytest.mark.parametrize(
    ("effect", "alpha", "equivalence_alpha", "by_two_tests", "said"),
    [
        (around(0.0, 0.08), 0.05 / 6, 0.05, True, "(90 % interval of two one-sided tests -7.34 % to +7.93 %)"),
        (around(0.0, 0.02), 0.01, 0.01, True, "(98 % interval of two one-sided tests"),
        (around(0.065, 0.02), 0.025, 0.05, True, "within ±10 %"),
        (around(0.065, 0.005), 0.025, 0.05, False, "threshold 10 %"),
        (around(0.3, 0.02), 0.0125, 0.05, False, "(98.75 % interval +"),
    ],
)
def test_a_verdict_shows_the_interval_that_decides_it(
    effect: Effect, alpha: float, equivalence_alpha: float, said: str, *, by_two_tests: bool
) -> None:
    """That of the two tests where the one at the corrected level reaches beyond the threshold, else its own."""
    shown = verdict("v", P95, effect, alpha=alpha, equivalence_alpha=equivalence_alpha, gated=True)
    assert shown.by_two_tests is by_two_tests
    assert said in shown.text
    interval = shown.deciding_interval
    assert interval is not None
    ends = (shown.equal_low, shown.equal_high) if by_two_tests else (shown.low, shown.high)
    assert (interval.low, interval.high) == ends
    assert interval.confidence == pytest.approx(1 - 2 * equivalence_alpha if by_two_tests else 1 - alpha)


@pytest.mark.parametrize(("blocks", "told"), [(1, "one block"), (2, "2 blocks")])
def test_so_few_blocks_say_what_is_lacking(blocks: int, told: str) -> None:
    """One pair, or two that happen to be alike, are never worse or better, and no interval is shown of them."""
    found = simulated.judged(effects.pair([100.0, 101.0][:blocks], [200.0, 202.0001][:blocks]))
    assert (found.low, found.equal_low, found.deciding_interval) == (None, None, None)
    assert found.text == (
        f"INCONCLUSIVE: +100 % in {told}; threshold 10 %; "
        "too few blocks to know the scatter: at least 3 are needed"
    )


@pytest.mark.parametrize(
    ("text", "share", "before", "after"),
    [
        *((text, 0.01, word, Word.INVALID) for text in METRICS[:3] for word in (*sorted(BETTER), Word.EQUIVALENT)),
        ("unreclaimable memory", 0.5, Word.IMPROVEMENT, Word.IMPROVEMENT),
        (METRICS[0], 0.0009, Word.IMPROVEMENT, Word.IMPROVEMENT),
        (METRICS[0], 0.0011, Word.IMPROVEMENT, Word.INVALID),
        (METRICS[0], 0.01, Word.REGRESSION, Word.REGRESSION),
        (METRICS[0], 0.01, Word.INCONCLUSIVE, Word.INCONCLUSIVE),
        (METRICS[0], -0.01, Word.REGRESSION, Word.INVALID),
        (METRICS[0], -0.01, Word.IMPROVEMENT, Word.IMPROVEMENT),
        (METRICS[0], None, Word.IMPROVEMENT, Word.INVALID),
        (METRICS[0], None, Word.EQUIVALENT, Word.EQUIVALENT),
    ],
)
def test_a_side_that_fails_more_is_not_praised(text: str, share: float | None, before: Word, after: Word) -> None:
    """A refusal is fast and costs nothing, but memory is held. Up to the threshold nothing is withheld."""
    one = replace(invalid("v", metric.parse(text), "", gated=True), word=before, reason="")
    failures = None if share is None else Effect(differences=(share,) * 3, scale=Scale.DIFFERENCE)
    (checked,) = verdicts.withhold_gains_of_failing_side([one], failures, 0.001)
    assert (checked.word, checked.withheld) == (after, after is Word.INVALID)
    if checked.withheld and share is None:
        assert checked.text == "INVALID: not comparable: failures were not measured"
    elif share == 0.01 and checked.withheld:
        assert checked.text == "INVALID: not comparable: it fails more, by 1 point"


def test_every_word_but_two_has_a_mirror_and_decides_or_not() -> None:
    """The mirror of the mirror is the word; a likely one is not decided."""
    assert all(one.mirrored.mirrored is one for one in Word)
    assert [one for one in Word if one.mirrored is one] == [Word.EQUIVALENT, Word.INCONCLUSIVE, Word.INVALID]
    assert not DECIDED & {Word.LIKELY_REGRESSION, Word.LIKELY_IMPROVEMENT, Word.INCONCLUSIVE, Word.INVALID}
    assert math.isclose(effects.margin(effects.shown(0.1, Scale.RATIO), Scale.RATIO), 0.1)


DRAWS = 200


@pytest.mark.parametrize("kind", simulated.KINDS)
def test_equal_variants_are_seldom_told_apart(kind: str) -> None:
    """Nominal 5 %, of 200 draws at most 9 % (3 sigma); REGRESSION or IMPROVEMENT ask for more: at most 1 %."""
    found = simulated.rates(simulated.KINDS[kind], 6, 1.0, DRAWS, 1)
    assert found.of(*WORSE, *BETTER) <= 0.09
    assert found.of(Word.REGRESSION, Word.IMPROVEMENT) <= 0.01


@pytest.mark.parametrize("kind", simulated.KINDS)
def test_an_effect_as_large_as_the_threshold_is_seldom_called_small(kind: str) -> None:
    """EQUIVALENT and WORSE BUT SMALL say that the threshold is not passed: nominal 5 %."""
    found = simulated.rates(simulated.KINDS[kind], 8, 1.1, DRAWS, 2)
    assert found.of(Word.EQUIVALENT, Word.WORSE_BUT_SMALL) <= 0.10


def test_twenty_per_cent_are_found_in_eight_blocks() -> None:
    """At a scatter of 4 % and a threshold of 10 %: 93 % in the long form."""
    assert simulated.rates(simulated.independent, 8, 1.2, DRAWS, 1).of(Word.REGRESSION) >= 0.85


@pytest.mark.parametrize(("floor", "least", "most"), [(False, 0.06, 0.2), (True, 0.0, 0.025)])
def test_coarse_counters_make_no_regression(least: float, most: float, *, floor: bool) -> None:
    """Three blocks of 30 clock ticks, truth and threshold 5 %: 11 % of alarms in the long form, and none."""
    found = simulated.counted(3, 1.05, DRAWS, 1, floor=floor)
    assert least <= found.of(Word.REGRESSION) <= most

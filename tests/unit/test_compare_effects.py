"""Effects over blocks: estimates, intervals, equivalence, precision; against others' figures where there are."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from seatrial.compare import effects
from seatrial.compare.effects import Effect, NoRatio
from seatrial.measure import statistics
from seatrial.measure.metric import Scale

DARWIN = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)
"""Darwin's maize (eighths of an inch): Fisher's own example of signs that are flipped."""
differences = st.lists(st.floats(-1, 1).map(lambda one: round(one, 6)), min_size=2, max_size=14)


def of(*values: float) -> Effect:
    """Make an effect of these differences."""
    return Effect(differences=values)


def test_intervals_and_p_are_students_and_sign_flips_fishers() -> None:
    """By scipy's one-sample test; The Design of Experiments, section 21: 1,726 of 32,768 signs are as extreme."""
    span, test = effects.interval(of(*DARWIN), 0.05), stats.ttest_1samp(DARWIN, 0)
    theirs = test.confidence_interval(0.95)
    assert span is not None
    assert (span.low, span.high) == pytest.approx((theirs.low, theirs.high))
    assert effects.p_value(of(*DARWIN)) == pytest.approx(test.pvalue)
    assert effects.sign_flip_p(of(*DARWIN)) == pytest.approx(1726 / 32768)


@given(differences)
def test_sign_flips_by_halves_are_all_sign_flips(values: list[float]) -> None:
    """The two halves are only a faster way to the same count."""
    if len(values) > 9:
        values = values[:9]
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(values))).reshape(len(values), -1)
    sums = np.abs(np.array(values) @ signs)
    reached = abs(math.fsum(values)) - 1e-9 * sum(map(abs, values))
    assert effects.sign_flip_p(of(*values)) == pytest.approx(np.mean(sums >= reached))


@pytest.mark.parametrize(("blocks", "ways"), [(24, 1 << 24), (25, (1 << 16) + 1)])
def test_the_signs_are_counted_up_to_24_blocks(blocks: int, ways: int) -> None:
    """All signs, or one more than were drawn: p is a whole number of these."""
    p = effects.sign_flip_p(of(*np.random.default_rng(6).normal(0.2, 1, blocks)))
    assert (p * ways) == pytest.approx(round(p * ways), abs=1e-6)


def test_hodges_lehmann_is_the_median_of_pair_means() -> None:
    """Worked by hand: the means of 1, 2, 6 and their pairs are 1, 1.5, 2, 3.5, 4, 6."""
    assert effects.hodges_lehmann(of(1, 2, 6)) == pytest.approx(2.75)


@pytest.mark.parametrize(("blocks", "alpha", "place"), [(6, 0.05, 1), (8, 0.05, 4), (10, 0.05, 9), (20, 0.05, 53)])
def test_the_signed_rank_interval_cuts_where_the_tables_say(blocks: int, alpha: float, place: int) -> None:
    """Critical rank sums of Wilcoxon's table (two-sided 5 %): 0, 3, 8, 52 for 6, 8, 10, 20 pairs."""
    values = np.sort(np.random.default_rng(blocks).normal(0, 1, blocks))
    one, other = np.triu_indices(blocks)
    walsh = np.sort((values[one] + values[other]) / 2)
    found = effects.signed_rank_interval(of(*values), alpha)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((walsh[place - 1], walsh[-place]))


@pytest.mark.parametrize(("blocks", "speaks"), [(5, False), (6, True)])
def test_ranks_are_mute_with_too_few_blocks(blocks: int, *, speaks: bool) -> None:
    """2 / 2^5 is above 5 %, 2 / 2^6 is not."""
    assert effects.enough_for_ranks(blocks, 0.05) is speaks
    assert (effects.signed_rank_interval(of(*range(blocks)), 0.05) is not None) is speaks


@pytest.mark.parametrize(
    ("base", "variant", "scale", "differences"),
    [
        ([1, 10, None, 5], [2, 20, 7, math.nan], Scale.RATIO, (math.log(2), math.log(2))),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], Scale.RATIO, (0, 0, 0)),
        ([0.0], [0.01], Scale.DIFFERENCE, (0.01,)),
    ],
)
def test_effects_are_those_of_the_same_block(
    base: list[float | None], variant: list[float | None], scale: Scale, differences: tuple[float, ...]
) -> None:
    """Log-ratios, also of nothing and nothing, but not of zero; differences of shares; no block without a side."""
    effect = effects.pair(base, variant, scale)
    assert effect.differences == pytest.approx(differences)
    assert effect.missing == len(base) - len(differences)
    with pytest.raises(NoRatio, match="0 or less in some block"):
        effects.pair([1.0, 2.0], [1.0, 0.0])


@pytest.mark.parametrize("values", [(), (0.3,), (0.3, 0.3), (0.003, 0.0030001), (0.2, 0.4)])
def test_two_blocks_prove_nothing(values: tuple[float, ...]) -> None:
    """However alike they are: so are two of any scatter in one experiment of twelve. Equal ones: no interval."""
    few = of(*values)
    assert (effects.interval(few, 0.05) is None) is (len(set(values)) < 2)
    assert not effects.decidable(few)
    assert effects.p_value(few) == 1
    assert not effects.equivalent(few, 10.0, 0.05)
    assert effects.smallest_seen(few, 0.05) is None
    assert effects.blocks_needed(few, 0.1, 0.05, 0.05) is None


def test_blocks_scatter_at_least_by_what_counting_leaves() -> None:
    """Three equal blocks of values that were counted in steps: their interval is that of the steps, or a point."""
    steps = Effect(differences=(0.1, 0.1, 0.1), least_sd=0.02)
    span = effects.interval(steps, 0.05)
    assert span is not None
    assert span.high - span.low == pytest.approx(2 * stats.t.ppf(0.975, 2) * 0.02 / math.sqrt(3))
    assert replace(steps, differences=(0.0, 0.1, 0.2)).sd == pytest.approx(0.1)
    assert steps.mirrored().sd == 0.02
    third = math.log(1.1)
    found = effects.interval(of(third, third * (1 + 1e-15), third), 0.05)
    assert found is not None
    assert found.low == found.high == pytest.approx(third)


def test_no_failure_at_all_still_leaves_three_in_n() -> None:
    """The rule of three: of 300 requests without a failure the share may be up to 1 %."""
    found = effects.pair([0.0] * 3, [0.0] * 3, Scale.DIFFERENCE, floor=3 / 300)
    assert effects.interval(found, 0.05) == statistics.Interval(-0.01, 0.01)
    assert not effects.equivalent(found, 0.01, 0.05)
    assert effects.equivalent(found, 0.011, 0.05)


def test_the_smallest_effect_seen_is_seen_four_times_in_five() -> None:
    """Power by simulation: an effect of that size is told from zero in 80 % of experiments."""
    random = np.random.default_rng(7)
    base = of(*stats.norm.ppf((np.arange(10) + 0.5) / 10))
    size = effects.smallest_seen(base, 0.05)
    assert size is not None
    hits = [effects.p_value(of(*random.normal(size, base.sd, 10))) <= 0.05 for _ in range(2000)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.04)


def test_so_many_blocks_see_the_margin() -> None:
    """By the formula, the first number at which the smallest effect seen is the margin or less."""
    found = of(-0.05, 0.05, -0.04, 0.06, 0.0)
    needed = effects.blocks_needed(found, 0.05, 0.05, 0.05)
    assert needed is not None
    for blocks, enough in ((needed, True), (needed - 1, False)):
        sum_t = stats.t.ppf(0.975, blocks - 1) + stats.t.ppf(0.8, blocks - 1)
        assert bool(sum_t * found.sd / math.sqrt(blocks) <= 0.05) is enough
    assert effects.blocks_needed(of(-1, 1, -1, 1), 0.01, 0.05, 0.05) is None  # not with a thousand


@given(differences)
def test_neither_the_order_of_blocks_nor_who_is_the_base_matters(values: list[float]) -> None:
    """Every figure is that of the set; the mirror of an effect has the mirror of its interval."""
    one, turned, mirror = of(*values), of(*reversed(values)), of(*values).mirrored()
    mine, theirs = effects.interval(one, 0.05), effects.interval(mirror, 0.05)
    assert mine == effects.interval(turned, 0.05)
    assert effects.hodges_lehmann(one) == effects.hodges_lehmann(turned)
    assert effects.sign_flip_p(one) == effects.sign_flip_p(turned)
    assert (mine is None) is (theirs is None)
    if mine and theirs:
        assert (mine.low, mine.high) == pytest.approx((-theirs.high, -theirs.low), abs=1e-12)
    assert effects.p_value(one) == pytest.approx(effects.p_value(mirror))
    assert effects.sign_flip_p(one) == pytest.approx(effects.sign_flip_p(mirror))


@given(differences, st.sampled_from([0.01, 0.1, 0.5]))
def test_equivalence_is_the_ninety_per_cent_interval_inside(values: list[float], margin: float) -> None:
    """Two one-sided tests at 5 % each, from three blocks on."""
    span = effects.interval(of(*values), 0.10)
    inside = len(values) >= statistics.FEWEST and span is not None and -margin < span.low and span.high < margin
    assert effects.equivalent(of(*values), margin, 0.05) is inside


def test_holm_steps_down_and_no_test_is_no_family() -> None:
    """The smallest is judged at alpha/3; the next at alpha/2, which it misses, so that all others are, too."""
    assert effects.holm([0.06, 0.01, 0.08], 0.10) == pytest.approx([0.05, 0.1 / 3, 0.05])
    assert effects.holm([0.06, 0.01, 0.08], 0.05) == pytest.approx([0.025, 0.05 / 3, 0.025])
    assert effects.holm([], 0.05) == []
    assert effects.benjamini_hochberg([]) == ([], 0.10)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_bonferroni_and_no_correction(p_values: list[float]) -> None:
    """No level is stricter than alpha / m or milder than alpha."""
    assert all(0.05 / len(p_values) <= level <= 0.05 for level in effects.holm(p_values, 0.05))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_discoveries_are_those_of_scipy(p_values: list[float]) -> None:
    """SciPy adjusts the p values; below the rate means the same."""
    adjusted = stats.false_discovery_control(p_values, method="bh")
    found, _ = effects.benjamini_hochberg(p_values)
    near = np.isclose(adjusted, 0.10)
    assert [hit for hit, close in zip(found, near, strict=True) if not close] == [
        bool(one <= 0.10) for one, close in zip(adjusted, near, strict=True) if not close
    ]

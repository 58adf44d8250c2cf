"""Whole comparisons: the verdict on all, what comes first, planned looks, when to stop, noise floors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import comparisons
import numpy as np
import pytest
import simulated
from comparisons import CPU, MEMORY, P95, run
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from seatrial.compare import comparison, pairing
from seatrial.compare.comparison import Comparison, Next, Overall, compare
from seatrial.compare.effects import Effect
from seatrial.compare.pairing import BlockValues, Ending, Paired, RunValues, endings
from seatrial.compare.verdicts import Verdict, Word
from seatrial.measure import metric
from seatrial.model import Look

NOISE = (1.0, 1.01, 0.99, 1.005, 0.995, 1.002, 0.998, 1.0)
KILLED = RunValues(ended="killed for memory", why="service 'app' ended with exit code 137")
DIED, NEVER_UP = RunValues(ended="a service exited"), RunValues(ended="did not come up")
NOT_TRUSTED = "v: 2 of 2 blocks are invalid: foreign CPU 31 %"


def blocks(*, count: int = 6, **variants: Mapping[str, float | None]) -> list[BlockValues]:
    """Make blocks of a base and variants; the values of the variants are slightly noisy."""
    return [
        {"base": run()}
        | {
            name: run(**{key: value if not value else value * NOISE[number % 8] for key, value in values.items()})
            for name, values in variants.items()
        }
        for number in range(count)
    ]


def judged(some: Sequence[BlockValues], gate: Sequence[metric.Metric] = (P95,), **more: object) -> Comparison:
    """Compare with the base."""
    return compare(some, base="base", gate=gate, **more)  # type: ignore[arg-type]


def of(found: Comparison, text: str, variant: str = "v") -> Verdict:
    """Return one verdict."""
    return next(
        one for one in (*found.gated, *found.exploratory) if (one.variant, one.metric.text) == (variant, text)
    )


@pytest.mark.parametrize(
    ("p95", "word", "overall"),
    [
        (130, Word.REGRESSION, Overall.REGRESSION),
        (105, Word.WORSE_BUT_SMALL, Overall.KEPT),
        (100, Word.EQUIVALENT, Overall.KEPT),
        (70, Word.IMPROVEMENT, Overall.KEPT),
        (110.1, Word.LIKELY_REGRESSION, Overall.INCONCLUSIVE),
    ],
)
def test_one_variant_one_metric(p95: float, word: Word, overall: Overall) -> None:
    """The word, and the word for all."""
    found = judged(blocks(v={"p95": p95}))
    assert (of(found, P95.text).word, found.overall) == (word, overall)


def test_a_variant_that_is_fast_by_failing_is_no_improvement() -> None:
    """One request in a hundred fails, all others take half the time and half the processor."""
    found = judged(blocks(v={"failures": 0.01, "p95": 50, "cpu": 5}), (P95, CPU))
    assert of(found, pairing.FAILURES.text).word is Word.REGRESSION
    assert [of(found, one.text).word for one in (P95, CPU)] == [Word.INVALID] * 2
    assert of(found, P95.text).reason == "not comparable: it fails more, by 1 point"
    assert found.overall is Overall.REGRESSION


def test_the_exploratory_table_is_shown_and_not_gated() -> None:
    """A worse metric that was not named is pointed out, and the comparison is kept."""
    found = judged(blocks(v={"cpu": 20, "p95": 100}), shown=[CPU, MEMORY, P95])
    assert [one.metric.text for one in found.exploratory] == [CPU.text, MEMORY.text]
    assert found.discoveries == {("v", CPU.text)}
    assert of(judged(blocks(v={"failures": 0.01, "cpu": 5}), shown=[CPU]), CPU.text).withheld
    assert (of(found, CPU.text).word, of(found, CPU.text).gated) == (Word.REGRESSION, False)
    assert found.overall is Overall.KEPT


def test_on_shared_cores_latency_is_shown_and_not_gated() -> None:
    """Generator and stack take each other's time: CPU and memory gate instead, and it is said."""
    found = judged(blocks(v={"p95": 200}), shared_cores=True)
    assert found.host_limited
    assert {one.metric.text for one in found.gated} == {CPU.text, MEMORY.text, pairing.FAILURES.text}
    assert of(found, P95.text).word is Word.REGRESSION
    assert found.overall is Overall.KEPT


def test_the_family_makes_each_test_stricter() -> None:
    """Two variants with two metrics and their failures are six tests: the first is judged at 5 % / 6."""
    found = judged(blocks(v={"p95": 130}, w={"p95": 100}), (P95, CPU))
    assert len(found.gated) == 6
    assert min(one.alpha for one in found.gated) == pytest.approx(0.05 / 6)
    assert of(found, P95.text).alpha == pytest.approx(0.05 / 6)


def test_a_variant_that_is_killed_is_a_regression_and_no_lost_block() -> None:
    """Six kills of six leave no latency to compare; a kill that is noted as invalid, too, counts as well."""
    found = judged([{"base": run(), "v": RunValues(ended="killed for memory")}] * 6)
    assert found.endings[0].word is Word.REGRESSION
    assert of(found, P95.text).reason == "v never finished: killed for memory in 6 of 6 blocks"
    assert found.overall is Overall.REGRESSION
    noted = RunValues(ended="killed for memory", invalid="restart")
    assert judged([{"base": run(), "v": noted}] * 6).endings[0].counts == {"killed for memory": 6}


@pytest.mark.parametrize(
    ("base", "variant", "count", "reason"),
    [
        (run(), KILLED, 1, f"v never finished: killed for memory in 1 of 1 block ({KILLED.why})"),
        (run(), KILLED, 3, f"v never finished: killed for memory in 3 of 3 blocks ({KILLED.why})"),
        (
            run(invalid="foreign CPU 31 %"),
            DIED,
            2,
            f"{NOT_TRUSTED}; v never finished: a service exited in 2 of 2 blocks",
        ),
        (NEVER_UP, run(), 6, "the base never finished: did not come up in 6 of 6 blocks"),
    ],
)
def test_without_a_side_that_finished_nothing_is_kept(
    base: RunValues, variant: RunValues, count: int, reason: str
) -> None:
    """Three kills of three are no regression, but nothing can be judged; a base that is invalid hides no kill."""
    found = judged([{"base": base, "v": variant}] * count)
    assert (found.overall, found.reason) == (Overall.INVALID, reason)


def test_runs_that_never_finished_in_the_same_block() -> None:
    """Each side came to its end, if not as often, and never beside the other: a gated metric can't be judged."""
    found = judged([{"base": run(), "v": DIED}] * 2 + [{"base": DIED, "v": run()}])
    assert found.endings[0].word is Word.INCONCLUSIVE
    assert of(found, P95.text).reason == "there is no block in which both finished"
    assert found.overall is Overall.INVALID


def test_a_regression_stands_above_a_variant_that_never_finished() -> None:
    """What is known of one variant is not lost by the other."""
    some = [{**block, "dead": RunValues(ended="failed")} for block in blocks(count=3, v={"p95": 300})]
    assert judged(some).overall is Overall.REGRESSION


def test_all_requests_failed() -> None:
    """With the variant: a regression in failures. On both sides: nothing was measured."""
    assert judged(blocks(v={"p95": None, "failures": 1.0})).overall is Overall.REGRESSION
    dead = {"base": run(p95=None, failures=1.0), "v": run(p95=None, failures=1.0)}
    found = judged([dead] * 6)
    assert (found.overall, of(found, P95.text).reason) == (Overall.INVALID, "never measured")


def test_failures_that_can_not_be_compared_gate_nothing_and_withhold_praise() -> None:
    """Across hosts who fails more may owe it to the host, and is not fast all the same."""
    some = blocks(v={"failures": 0.01, "cpu": 5})
    found = judged(some, (CPU, P95), shown=[P95], comparable=lambda one: metric.comparable_across(one, "host"))
    assert [one.metric.text for one in (*found.gated, *found.exploratory)] == [CPU.text]
    assert of(found, CPU.text).withheld


def test_a_family_of_equal_metrics_seldom_raises_an_alarm() -> None:
    """300 equal experiments of 2 variants x 3 metrics: a word but equal or open in at most 5 % (9 %: 3 sigma)."""
    random = np.random.default_rng(4)
    alarms = 0
    for _ in range(300):
        some = [
            {name: run(p95=float(p95), cpu=float(cpu)) for name, p95, cpu in zip("abc", *draw, strict=True)}
            for draw in np.exp(random.normal(0, 0.04, (6, 2, 3)))
        ]
        found = compare(some, base="a", gate=(P95, CPU, MEMORY))
        alarms += any(one.word not in (Word.EQUIVALENT, Word.INCONCLUSIVE) for one in found.gated)
    assert alarms / 300 <= 0.09


def test_the_noise_floor_refuses_what_can_not_be_seen() -> None:
    """Scatter of 10 % in six blocks hides 10 %; the last look has half of 5 %, by 3 metrics and 4 variants."""
    scatter = Effect(differences=(-0.1, 0.1, -0.1, 0.1, 0.0, 0.0))
    pairs = [Paired(variant="base", metric=one, effect=scatter) for one in (P95, metric.parse("p99 of token"))]
    found = comparison.noise_floors(pairs, 6)
    assert [one.smallest_seen for one in found] == pytest.approx([0.1356] * 2, abs=1e-3)
    assert comparison.refusals(found) == (
        'p95 of "token": a threshold of 10 % can\'t be seen here: the smallest that can is 13.6 %',
    )
    assert comparison.refusals(comparison.noise_floors(pairs, 20)) == ()
    unknown = comparison.noise_floors([Paired(variant="base", metric=P95, reason="never measured")], 6)
    assert comparison.refusals(unknown) == (
        'p95 of "token": a threshold of 10 % can\'t be checked: the scatter of 0 blocks is not known',
    )
    assert comparison.first_level(20, 0.05, 3, 4) == pytest.approx(0.025 / 12)
    assert comparison.first_level(6, 0.05, 1, 1) == pytest.approx(0.05)


_INCONCLUSIVE = comparisons.verdict("v", P95.text, Word.INCONCLUSIVE, 0.0)
OPEN = replace(_INCONCLUSIVE, metric=P95, low=-0.05, high=0.2, smallest_seen=0.2, blocks_needed=12)
EQUAL = replace(OPEN, word=Word.EQUIVALENT)


def compared(
    *gated: Verdict, ended: Sequence[Ending] = (), lost: Mapping[str, tuple[str, ...]] | None = None
) -> Comparison:
    """Return what is known after six blocks."""
    alone = simulated.alone(OPEN, Look(blocks=6, alpha=0.01))
    return replace(alone, gated=gated, endings=tuple(ended), lost=lost or {})


@pytest.mark.parametrize(
    ("most", "blocks", "alphas"),
    [
        (20, (6, 10, 20), (0.010, 0.015, 0.025)),
        (40, (12, 20, 40), (0.010, 0.015, 0.025)),
        (10, (5, 10), (0.025, 0.025)),
        (6, (6,), (0.05,)),
        (1, (1,), (0.05,)),
    ],
)
def test_the_plan_scales_with_the_budget(most: int, blocks: tuple[int, ...], alphas: tuple[float, ...]) -> None:
    """Looks that would see next to nothing are left out, and their level kept for later."""
    found = comparison.planned(most)
    assert tuple(look.blocks for look in found) == blocks
    assert [look.alpha for look in found] == pytest.approx(alphas)
    with pytest.raises(ValueError, match="at least 1"):
        comparison.planned(0)


def test_three_planned_looks_raise_false_alarms_in_less_than_five_per_cent() -> None:
    """20,000 equal experiments: any look below its own level. 3.6 % at .010, .015 and .025; 16 % at each block."""
    series = np.random.default_rng(1).normal(0, 1, (20_000, 20))
    alarmed = np.zeros(len(series), dtype=bool)
    for look in comparison.planned(20):
        alarmed |= stats.ttest_1samp(series[:, : look.blocks], 0, axis=1).pvalue <= look.alpha
    assert 0.03 < alarmed.mean() < 0.045


@given(st.integers(1, 500), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_levels_add_up_and_the_last_look_is_the_budget(most: int, alpha: float) -> None:
    """Nothing is spent twice or lost."""
    found = comparison.planned(most, alpha)
    assert sum(look.alpha for look in found) == pytest.approx(alpha)
    assert found[-1].blocks == most
    assert [look.blocks for look in found] == sorted({look.blocks for look in found})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Next.GO_ON),
        ({"word": Word.EQUIVALENT}, Next.DECIDED),
        ({"word": Word.REGRESSION}, Next.DECIDED),
        ({"word": Word.LIKELY_REGRESSION}, Next.GO_ON),
        ({"word": Word.INVALID}, Next.DECIDED),
        ({"word": Word.INVALID, "withheld": True}, Next.GO_ON),
        ({"blocks_needed": 41, "smallest_seen": 0.28}, Next.FUTILE),
        ({"blocks_needed": 40, "smallest_seen": 0.28}, Next.GO_ON),
        ({"blocks_needed": None, "smallest_seen": 0.28}, Next.FUTILE),
        ({"blocks_needed": None, "smallest_seen": 0.27}, Next.GO_ON),
        ({"blocks_needed": 21, "low": -0.05, "high": 0.1}, Next.PRECISE),
        ({"blocks_needed": 20, "low": -0.05, "high": 0.1}, Next.GO_ON),
        ({"blocks_needed": None, "smallest_seen": None, "low": None, "high": None}, Next.GO_ON),
    ],
)
def test_what_a_look_advises(changes: dict[str, object], expected: Next) -> None:
    """Decided, precise, or hopeless ends it: scatter of which 40 blocks show more than 10 % only is hopeless."""
    assert comparison.next_step(compared(replace(OPEN, **changes)), 6, 20) is expected  # type: ignore[arg-type]


def test_one_open_verdict_keeps_it_going() -> None:
    """All of the gate have to be decided, or out of reach."""
    hopeless = replace(OPEN, smallest_seen=0.3, blocks_needed=None)
    assert comparison.next_step(compared(replace(OPEN, word=Word.REGRESSION), OPEN), 6, 20) is Next.GO_ON
    assert comparison.next_step(compared(hopeless, OPEN), 6, 20) is Next.GO_ON
    assert comparison.next_step(compared(hopeless, EQUAL), 6, 20) is Next.FUTILE
    assert comparison.next_step(compared(OPEN), 20, 20) is Next.OVER


@pytest.mark.parametrize(
    ("finished", "expected"), [(6, Next.DECIDED), (5, Next.GO_ON), (3, Next.GO_ON), (0, Next.DECIDED)]
)
def test_how_runs_end_keeps_it_going_until_it_is_decided(finished: int, expected: Next) -> None:
    """Three kills of six may be chance, six are none: equal latencies of the rest decide nothing."""
    ways = {"base": ["finished"] * 6, "v": ["finished"] * finished + ["killed"] * (6 - finished)}
    ended = endings(ways, "base")

    assert comparison.next_step(compared(EQUAL, ended=ended), 6, 20) is expected
    at_last = Next.OVER if expected is Next.GO_ON else Next.DECIDED
    assert comparison.next_step(compared(EQUAL, ended=ended), 20, 20) is at_last


@pytest.mark.parametrize(
    ("bad", "expected"), [(1, Next.DECIDED), (2, Next.GO_ON), (5, Next.GO_ON), (6, Next.DECIDED)]
)
def test_invalid_blocks_that_others_can_make_up_for_keep_it_going(bad: int, expected: Next) -> None:
    """Two of six are too many, and five of twenty are not; with six the whole stays invalid whatever comes."""
    blind = replace(OPEN, word=Word.INVALID) if bad > 1 else EQUAL

    assert comparison.next_step(compared(blind, lost={"v": ("foreign CPU",) * bad}), 6, 20) is expected

"""Whole comparisons: who is judged on what, what comes first, which exit code follows; bad input gets words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.compare import comparison, pairing
from seatrial.compare.comparison import Comparison, Overall, compare
from seatrial.compare.effects import Effect
from seatrial.compare.pairing import BlockValues, Paired, RunValues, by_flows, gated_metrics
from seatrial.compare.verdicts import Verdict, Word
from seatrial.measure import metric

P95, CPU, MEMORY = (metric.parse(text) for text in ('p95 of "token"', "cpu per request", "unreclaimable memory"))
FAILURES = pairing.FAILURES
NOISE = (1.0, 1.01, 0.99, 1.005, 0.995, 1.002, 0.998, 1.0)


def run(
    p95: float | None = 100, failures: float | None = 0.0, cpu: float | None = 10, **more: object
) -> RunValues:
    """Make a finished run of 10,000 requests."""
    values = {P95.text: p95, CPU.text: cpu, FAILURES.text: failures, MEMORY.text: 50.0}
    return RunValues(values=values, requests=10_000, **more)  # type: ignore[arg-type]


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
    assert of(found, FAILURES.text).word is Word.REGRESSION
    assert [of(found, one.text).word for one in (P95, CPU)] == [Word.INVALID] * 2
    assert of(found, P95.text).reason == "not comparable: it fails more, by 1 point"
    assert found.overall is Overall.REGRESSION


def test_failures_that_are_not_certain_still_forbid_praise() -> None:
    """Failures in one block of six: not significant, but what is faster for it stays unsaid."""
    some = blocks(v={"p95": 50})
    some[2] = {**some[2], "v": run(p95=50, failures=0.2)}
    found = judged(some)
    assert of(found, FAILURES.text).word is Word.INCONCLUSIVE
    assert of(found, P95.text).withheld
    assert found.overall is Overall.INCONCLUSIVE


def test_a_failing_base_makes_nobody_slow() -> None:
    """The mirror: that the base was faster by refusing is no regression of the variant."""
    some = [{"base": run(p95=50 * one, failures=0.02), "v": run()} for one in NOISE[:6]]
    found = judged(some)
    assert (of(found, FAILURES.text).word, of(found, P95.text).withheld) == (Word.IMPROVEMENT, True)
    assert found.overall is Overall.INCONCLUSIVE


def test_the_exploratory_table_is_shown_and_not_gated() -> None:
    """A worse metric that was not named is pointed out, and the comparison is kept."""
    found = judged(blocks(v={"cpu": 20, "p95": 100}), shown=[CPU, MEMORY, P95])
    assert [one.metric.text for one in found.exploratory] == [CPU.text, MEMORY.text]
    assert found.discoveries == {("v", CPU.text)}
    assert (of(found, CPU.text).word, of(found, CPU.text).gated) == (Word.REGRESSION, False)
    assert found.overall is Overall.KEPT


def test_failing_takes_back_praise_in_the_exploratory_table_too() -> None:
    """Whatever is shown beside the gate is read as well."""
    found = judged(blocks(v={"failures": 0.01, "cpu": 5}), shown=[CPU])
    assert of(found, CPU.text).withheld


def test_without_requests_the_default_gate_is_processor_time_of_flows() -> None:
    """Which of the two the runs have tells what their work was."""
    for flows_alone, first in ((False, "cpu per request"), (True, "cpu per flow")):
        gating, _ = gated_metrics((), shared_cores=True, by_flows=flows_alone)
        assert [one.text for one in gating] == [first, "unreclaimable memory", "failures"]
    flows, requests = {"cpu per flow": 1.0}, {"cpu per request": 1.0, "cpu per flow": 4.0}
    assert by_flows([{"base": RunValues(values=flows)}])
    assert not by_flows([{"base": RunValues(values=requests)}])
    assert not by_flows([{"base": RunValues()}])


def test_on_shared_cores_latency_is_shown_and_not_gated() -> None:
    """Generator and stack take each other's time: CPU and memory gate instead, and it is said."""
    found = judged(blocks(v={"p95": 200}), shared_cores=True)
    assert found.host_limited
    assert {one.metric.text for one in found.gated} == {CPU.text, MEMORY.text, FAILURES.text}
    assert of(found, P95.text).word is Word.REGRESSION
    assert found.overall is Overall.KEPT


def test_the_family_makes_each_test_stricter() -> None:
    """Two variants with two metrics and their failures are six tests: the first is judged at 5 % / 6."""
    found = judged(blocks(v={"p95": 130}, w={"p95": 100}), (P95, CPU))
    assert len(found.gated) == 6
    assert min(one.alpha for one in found.gated) == pytest.approx(0.05 / 6)
    assert of(found, P95.text).alpha == pytest.approx(0.05 / 6)


@pytest.mark.parametrize(("bad", "overall"), [(2, Overall.KEPT), (3, Overall.INVALID)])
def test_a_quarter_of_the_blocks_may_be_lost(bad: int, overall: Overall) -> None:
    """Two of eight are a quarter; three are more, and whatever the rest says is not said."""
    some = blocks(count=8, v={"p95": 100})
    for number in range(bad):
        some[number] = {**some[number], "v": run(p95=900, invalid="foreign CPU 31 %")}
    found = judged(some)
    assert found.overall is overall
    assert found.lost["v"] == ("foreign CPU 31 %",) * bad
    assert of(found, P95.text).blocks == (8 - bad if overall is Overall.KEPT else 0)


def test_a_base_that_can_not_be_trusted_loses_the_block_for_all() -> None:
    """Without its base a run has nothing to be compared with."""
    some = blocks(count=8, v={"p95": 130}, w={"p95": 100})
    some[0] = {**some[0], "base": run(invalid="generator busy")}
    found = judged(some)
    assert [of(found, P95.text, name).blocks for name in ("v", "w")] == [7, 7]


def test_a_variant_that_is_killed_is_a_regression_and_no_lost_block() -> None:
    """Six kills of six against none: there is no latency to compare, and no need for it."""
    some = [{"base": run(), "v": RunValues(ended="killed for memory")} for _ in range(6)]
    found = judged(some)
    assert found.endings[0].word is Word.REGRESSION
    assert of(found, P95.text).reason == "v never finished: killed for memory in 6 of 6 blocks"
    assert found.overall is Overall.REGRESSION


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_variant_that_never_finished_is_never_kept(count: int) -> None:
    """Three kills of three are p = 0.1, and no regression; but nothing of it could be judged either."""
    killed = RunValues(ended="killed for memory", why="service 'app' ended with exit code 137")
    found = judged([{"base": run(), "v": killed}] * count)
    assert (found.endings[0].word, found.overall) == (Word.LIKELY_REGRESSION, Overall.INVALID)
    blocks = "1 of 1 block" if count == 1 else f"{count} of {count} blocks"
    assert found.reason == (
        f"v never finished: killed for memory in {blocks} (service 'app' ended with exit code 137)"
    )


def test_a_variant_that_never_finished_is_told_though_the_base_can_not_be_trusted() -> None:
    """The host was busy whenever the base ran; that is no reason to be silent about the variant."""
    some = [{"base": run(invalid="foreign CPU 31 %"), "v": RunValues(ended="a service exited")}] * 2
    assert judged(some).reason == (
        "v: 2 of 2 blocks are invalid: foreign CPU 31 %; v never finished: a service exited in 2 of 2 blocks"
    )


def test_a_variant_that_never_finished_where_the_base_seldom_did() -> None:
    """Two of three against none is not even likely, and no word about the variant all the same."""
    died = RunValues(ended="a service exited")
    found = judged([{"base": run(), "v": died}, {"base": died, "v": died}, {"base": run(), "v": died}])
    assert (found.endings[0].word, found.overall) == (Word.INCONCLUSIVE, Overall.INVALID)


def test_runs_that_never_finished_in_the_same_block() -> None:
    """Each side came to its end, if not as often, and never beside the other: a gated metric can't be judged."""
    died = RunValues(ended="a service exited")
    found = judged([{"base": run(), "v": died}, {"base": run(), "v": died}, {"base": died, "v": run()}])
    assert found.endings[0].word is Word.INCONCLUSIVE
    assert of(found, P95.text).reason == "there is no block in which both finished"
    assert found.overall is Overall.INVALID


def test_a_regression_stands_above_a_variant_that_never_finished() -> None:
    """What is known of one variant is not lost by the other."""
    some = [{**block, "dead": RunValues(ended="failed")} for block in blocks(count=3, v={"p95": 300})]
    assert judged(some).overall is Overall.REGRESSION


def test_a_kill_that_is_also_noted_as_invalid_is_counted() -> None:
    """The note about an out-of-memory kill invalidates the run; how it ended still counts."""
    some = [{"base": run(), "v": RunValues(ended="killed for memory", invalid="restart")} for _ in range(6)]
    assert judged(some).endings[0].counts == {"killed for memory": 6}


def test_a_base_that_never_comes_up_compares_with_nothing() -> None:
    """The variants did not improve: there was no base."""
    some = [{"base": RunValues(ended="did not come up"), "v": run()} for _ in range(6)]
    found = judged(some)
    assert (found.overall, found.reason) == (
        Overall.INVALID,
        "the base never finished: did not come up in 6 of 6 blocks",
    )


def test_different_endpoints_are_told() -> None:
    """An endpoint that only one side has can't be compared; one that lacks here and there can't either."""
    found = judged(blocks(v={"p95": None}))
    assert of(found, P95.text).text == "INVALID: never measured with v"
    assert found.overall is Overall.INVALID
    some = blocks(count=8, v={"p95": 100})
    for number in range(3):
        some[number] = {**some[number], "v": run(p95=None)}
    assert of(judged(some), P95.text).reason == "measured on both sides in only 5 of 8 blocks"
    some[2] = {**some[2], "v": run(p95=100)}
    assert of(judged(some), P95.text).missing == 2


def test_all_requests_failed() -> None:
    """With the variant: a regression in failures. On both sides: nothing was measured."""
    assert judged(blocks(v={"p95": None, "failures": 1.0})).overall is Overall.REGRESSION
    dead = {"base": run(p95=None, failures=1.0), "v": run(p95=None, failures=1.0)}
    found = judged([dead] * 6)
    assert (found.overall, of(found, P95.text).reason) == (Overall.INVALID, "never measured")


def test_one_block_is_inconclusive() -> None:
    """However large the difference."""
    found = judged(blocks(count=1, v={"p95": 500}))
    assert of(found, P95.text).word is Word.INCONCLUSIVE
    assert found.overall is Overall.INCONCLUSIVE


def test_two_blocks_that_happen_to_be_alike_decide_nothing() -> None:
    """Four failures of a thousand on one side, twice: to five digits the same, and yet only two blocks."""
    failed = {FAILURES.text: 0.004}
    found = judged([{"base": run(), "v": replace(run(), values={**run().values, **failed})}] * 2)
    assert {one.word for one in found.gated} == {Word.INCONCLUSIVE}
    assert found.overall is Overall.INCONCLUSIVE


@pytest.mark.parametrize(("requests", "word"), [(1_000, Word.INCONCLUSIVE), (100_000, Word.REGRESSION)])
def test_equal_shares_scatter_by_what_was_counted(requests: int, word: Word) -> None:
    """Three times 0.4 %: of a thousand requests 4 ± 2 are meant, which may be none above 0.1 points."""
    failing = RunValues(values={FAILURES.text: 0.004, P95.text: 100.0}, requests=requests)
    fine = RunValues(values={FAILURES.text: 0.0, P95.text: 100.0}, requests=requests)
    assert of(judged([{"base": fine, "v": failing}] * 3), FAILURES.text).word is word


@pytest.mark.parametrize(("rounding", "word"), [(0.0, Word.EQUIVALENT), (0.3, Word.INCONCLUSIVE)])
def test_equal_values_scatter_by_the_steps_they_are_counted_in(rounding: float, word: Word) -> None:
    """10 ± 0.3 ns three times on both sides: the processor's clock was too coarse to show 5 %."""
    counted = replace(run(), rounding={CPU.text: rounding})
    found = judged([{"base": counted, "v": counted}] * 3, (CPU,))
    assert of(found, CPU.text).word is word


def test_variants_that_differ_in_nothing_are_equivalent() -> None:
    """The same numbers in each block."""
    found = judged([{"base": run(), "v": run()}] * 4, (P95, CPU, MEMORY))
    assert {one.word for one in found.gated} == {Word.EQUIVALENT}
    assert found.overall is Overall.KEPT


def test_few_requests_without_a_failure_do_not_show_equal_failures() -> None:
    """4 blocks of 100 requests: the share may still be 0.75 %, which is not within 0.1 points."""
    few = RunValues(values={FAILURES.text: 0.0, P95.text: 100.0}, requests=100)
    assert of(judged([{"base": few, "v": few}] * 4), FAILURES.text).word is Word.INCONCLUSIVE


def test_the_requests_of_an_endpoint_bound_its_failures() -> None:
    """40 requests of 40,000 were for a token: no failure among them leaves 7.5 % open."""
    tokens = metric.parse('failures of "token"')
    few = RunValues(values={FAILURES.text: 0.0, tokens.text: 0.0}, requests=10_000, counts={tokens.text: 10})
    found = judged([{"base": few, "v": few}] * 4, (tokens,))
    assert of(found, tokens.text).word is Word.INCONCLUSIVE
    assert of(found, tokens.text).smallest_seen == pytest.approx(0.075)
    assert of(found, FAILURES.text).word is Word.EQUIVALENT


def test_failures_that_can_not_be_compared_gate_nothing_and_withhold_praise() -> None:
    """Across hosts who fails more may owe it to the host, and is not fast all the same."""
    some = blocks(v={"failures": 0.01, "cpu": 5})
    found = judged(some, (CPU, P95), shown=[P95], comparable=lambda one: metric.comparable_across(one, "host"))
    assert [one.metric.text for one in (*found.gated, *found.exploratory)] == [CPU.text]
    assert of(found, CPU.text).withheld


def test_nothing_to_compare_is_no_comparison() -> None:
    """With recordings of another schema nothing gates, and an empty gate would be kept by anybody."""
    with pytest.raises(ValueError, match="no metric can be compared"):
        judged(blocks(v={}), comparable=lambda _: False)


def test_a_zero_is_no_ratio_and_no_traceback() -> None:
    """CPU that reads 0 on one side is a meter that failed."""
    found = judged(blocks(v={"cpu": 0.0}), (CPU,))
    assert of(found, CPU.text).text == "INVALID: 0 or less in some block: there is no ratio to it"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_was_not_measured(bad: float) -> None:
    """A clock that stepped gives no figure to average."""
    found = judged([{"base": run(), "v": run(p95=bad)}] * 4)
    assert of(found, P95.text).word is Word.INVALID


def test_a_variant_that_some_blocks_lack_is_compared_where_it_ran() -> None:
    """An interrupted experiment: the last block has only the base."""
    found = judged([*blocks(v={"p95": 130}), {"base": run()}])
    assert (of(found, P95.text).word, of(found, P95.text).blocks) == (Word.REGRESSION, 6)


def test_thirty_variants_are_one_family() -> None:
    """Each at 5 % / 58; a gross difference is still seen, the others are equivalent."""
    others = {f"v{number}": {"p95": 100.0} for number in range(28)}
    found = judged(blocks(count=8, slow={"p95": 200}, **others))
    assert len(found.gated) == 58
    assert [one.variant for one in found.gated if one.word is Word.REGRESSION] == ["slow"]


@pytest.mark.parametrize(
    ("some", "said"),
    [
        ([], "there is no run at all"),
        ([{"v": run()}], "the base 'base' is in no block: v"),
        ([{"base": run()}], "there is nothing to compare"),
    ],
)
def test_what_is_no_experiment(some: Sequence[BlockValues], said: str) -> None:
    """An error in words."""
    with pytest.raises(ValueError, match=said):
        judged(some)


def test_more_than_six_metrics_are_refused() -> None:
    """Each one costs the others sight."""
    with pytest.raises(ValueError, match="at most 6"):
        judged(blocks(v={}), [metric.parse(f"p95 of x{number}") for number in range(7)])


@given(
    st.lists(st.tuples(st.floats(50, 150), st.floats(50, 150)), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_blocks_in_any_order_and_sides_in_either_place(pairs: list[tuple[float, float]], random: object) -> None:
    """The same words for the blocks shuffled; the mirrored ones with base and variant exchanged."""
    some = [{"base": run(p95=one), "v": run(p95=other)} for one, other in pairs]
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    swapped = [{"base": block["v"], "v": block["base"]} for block in some]
    words = [one.word for one in judged(some).gated]
    assert [one.word for one in judged(shuffled).gated] == words
    assert [one.word.mirrored for one in judged(swapped).gated] == words


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
    """Scatter of 10 % and six blocks see 15 % or more: a threshold of 10 % is refused with that number."""
    scatter = Effect(differences=(-0.1, 0.1, -0.1, 0.1, 0.0, 0.0))
    pairs = [Paired(variant="base", metric=one, effect=scatter) for one in (P95, metric.parse("p99 of token"))]
    found = comparison.noise_floors(pairs, 6)
    assert [one.smallest_seen for one in found] == pytest.approx([0.1356] * 2, abs=1e-3)
    assert comparison.refusals(found) == (
        'p95 of "token": a threshold of 10 % can\'t be seen here: the smallest that can is 13.6 %',
    )
    assert comparison.refusals(comparison.noise_floors(pairs, 20)) == ()


def test_the_noise_floor_is_that_of_the_last_look_and_of_all_variants() -> None:
    """Of 5 % half is left for the last of several looks, for 3 metrics of 4 variants; one look has all of it."""
    assert comparison.first_level(20, 0.05, 3, 4) == pytest.approx(0.025 / 12)
    assert comparison.first_level(6, 0.05, 1, 1) == pytest.approx(0.05)


def test_a_floor_that_nobody_knows_is_told() -> None:
    """One block of self-check has no scatter."""
    (told,) = comparison.refusals(
        comparison.noise_floors([Paired(variant="base", metric=P95, reason="never measured")], 6)
    )
    assert told == "p95 of \"token\": a threshold of 10 % can't be checked: 0 blocks can't tell the scatter"

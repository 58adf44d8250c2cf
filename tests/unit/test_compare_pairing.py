"""Blocks as paired effects: which are used, what can't be compared, how coarse counts scatter; endings of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from comparisons import CPU, P95, run
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from seatrial.compare import pairing
from seatrial.compare.pairing import FAILURES, FINISHED, Paired, RunValues, endings
from seatrial.compare.verdicts import Word
from seatrial.measure import metric

KILLED = "killed for memory"


def ways(finished: int, killed: int) -> list[str]:
    """Return how runs ended."""
    return [FINISHED] * finished + [KILLED] * killed


@pytest.mark.parametrize(
    ("variant", "base", "word"),
    [
        (ways(6, 0), ways(6, 0), None),
        (ways(0, 6), ways(0, 6), None),
        (ways(0, 6), ways(6, 0), Word.REGRESSION),
        (ways(6, 0), ways(0, 6), Word.IMPROVEMENT),
        (ways(0, 1), ways(1, 0), Word.LIKELY_REGRESSION),
        (ways(0, 3), ways(3, 0), Word.LIKELY_REGRESSION),
        (ways(3, 0), ways(0, 3), Word.LIKELY_IMPROVEMENT),
        (ways(0, 4), ways(4, 0), Word.REGRESSION),
        (ways(5, 1), ways(6, 0), Word.INCONCLUSIVE),
        (ways(3, 3), ways(6, 0), Word.INCONCLUSIVE),
        (ways(1, 5), ways(6, 0), Word.REGRESSION),
    ],
)
def test_words(variant: list[str], base: list[str], word: Word | None) -> None:
    """Four of four against none are enough (2 in 70), three of three are not, but likely."""
    (found,) = endings({"base": base, "small": variant}, "base")
    assert found.word is word


@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_p_is_that_of_scipy(counts: tuple[int, int, int, int]) -> None:
    """Whatever the counts."""
    (found,) = endings({"base": ways(*counts[:2]), "v": ways(*counts[2:])}, "base")
    theirs = stats.fisher_exact([counts[2:], counts[:2]]).pvalue
    assert found.p_value == pytest.approx(theirs)


def test_several_variants_share_the_level_and_one_that_was_never_run_tells_nothing() -> None:
    """Alone p = 2/70 is below 5 %, as one of three variants it is above 5 % / 3."""
    runs = {"base": ways(4, 0), "a": ways(0, 4), "b": ways(4, 0), "c": ways(4, 0)}
    assert [one.word for one in endings(runs, "base")] == [Word.LIKELY_REGRESSION, None, None]
    (never,) = endings({"base": ways(2, 0), "late": []}, "base")
    assert (never.word, never.text) == (None, "was never run; the base finished in 2 of 2")
    (most_frequent_first,) = endings({"base": ways(6, 0), "small": [*ways(1, 4), "ran out of space"]}, "base")
    assert most_frequent_first.text == (
        "REGRESSION: killed for memory in 4 of 6, finished in 1 of 6, ran out of space in 1 of 6; "
        "the base finished in 6 of 6 (p = 0.015, Fisher's exact test)"
    )


def pair(sides: Sequence[tuple[RunValues, RunValues]], asked: metric.Metric = P95) -> Paired:
    """Return the effect of the variant on a metric."""
    return pairing.paired([{"base": base, "v": variant} for base, variant in sides], "base", "v", asked)


def test_without_requests_the_default_gate_is_processor_time_of_flows() -> None:
    """The metrics that the runs have show what their work was."""
    for flows_alone, first in ((False, "cpu per request"), (True, "cpu per flow")):
        gating, _ = pairing.gated_metrics((), shared_cores=True, by_flows=flows_alone)
        assert [one.text for one in gating] == [first, "unreclaimable memory", "failures"]
    flows, requests = {"cpu per flow": 1.0}, {"cpu per request": 1.0, "cpu per flow": 4.0}
    assert pairing.by_flows([{"base": RunValues(values=flows)}])
    assert not pairing.by_flows([{"base": RunValues(values=requests)}])
    assert not pairing.by_flows([{"base": RunValues()}])


@pytest.mark.parametrize(
    ("names", "comparable", "message"),
    [
        ([f"p95 of x{number}" for number in range(7)], True, "at most 6"),
        (["p95 of x"], False, "no metric can be compared"),
    ],
)
def test_a_gate_of_too_many_or_no_metrics_is_refused(names: list[str], message: str, *, comparable: bool) -> None:
    """Each one makes the others stricter; an empty gate would always be kept."""
    gate = [metric.parse(name) for name in names]
    with pytest.raises(ValueError, match=message):
        pairing.gated_metrics(gate, shared_cores=False, comparable=lambda _: comparable)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "there is no run at all"),
        ([{"v": run()}], "the base 'base' is in no block: v"),
        ([{"base": run()}], "there is nothing to compare"),
    ],
)
def test_what_is_no_experiment(blocks: list[pairing.BlockValues], message: str) -> None:
    """It needs a base and another variant."""
    with pytest.raises(ValueError, match=message):
        pairing.variants_of(blocks, "base")


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("bad", "used"), [(2, 6), (3, 0)])
def test_a_quarter_of_the_blocks_may_be_lost(bad: int, used: int, side: int) -> None:
    """Two of eight are a quarter; three are more. A base that can't be trusted loses the block, too."""
    spoiled = run(p95=900, invalid="foreign CPU 31 %")
    lost = (spoiled, run()) if side == 0 else (run(), spoiled)
    result = pair([lost] * bad + [(run(), run())] * (8 - bad))
    assert result.blocks == used
    assert result.reason == ("" if used else "3 of 8 blocks are invalid: foreign CPU 31 %")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([(100, None)] * 6, "never measured with v"),
        ([(None, 100)] * 6, "never measured with base"),
        ([(None, None)] * 6, "never measured"),
        ([(100, None)] * 3 + [(100, 100)] * 5, "measured on both sides in only 5 of 8 blocks"),
        ([(100, None)] * 2 + [(100, 100)] * 6, ""),
        ([(100, float("nan"))] * 4, "never measured with v"),
        ([(100, 0.0)] * 4, "0 or less in some block: there is no ratio to it"),
    ],
)
def test_a_metric_that_blocks_lack_is_not_compared(
    values: list[tuple[float | None, float | None]], reason: str
) -> None:
    """An endpoint that only one side has, a clock that stepped, a meter that failed."""
    result = pair([(run(p95=base), run(p95=variant)) for base, variant in values])
    assert result.reason == reason
    if result.effect:
        assert result.effect.missing == 2


def _shares(share: float, requests: int, **counts: int) -> RunValues:
    return RunValues(values={FAILURES.text: share}, requests=requests, counts=counts)


@pytest.mark.parametrize(
    ("side", "asked", "floor", "least_sd"),
    [
        (_shares(0.0, 100), FAILURES, 0.0075, 0.0),
        (_shares(0.0, 10_000, failures=10), FAILURES, 0.075, 0.0),
        (_shares(0.004, 1_000), FAILURES, 0.00075, 0.00282),
        (replace(run(), rounding={CPU.text: 0.3}), CPU, 0.0, 0.03 * math.sqrt(2)),
    ],
)
def test_values_scatter_by_what_was_counted(
    side: RunValues, asked: metric.Metric, floor: float, least_sd: float
) -> None:
    """No failure of n leaves 3/n open, n being an endpoint's own; 4 of 1,000 are 4 +- 2; 10 +- 0.3 ns are 3 %."""
    effect = pair([(side, side)] * 4, asked).effect
    assert effect is not None
    assert effect.floor == pytest.approx(floor)
    assert effect.least_sd == pytest.approx(least_sd, rel=0.01)

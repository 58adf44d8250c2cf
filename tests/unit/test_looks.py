"""When to look, how strictly, and whether to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.compare import comparison
from seatrial.compare.comparison import Comparison, Next, Overall
from seatrial.compare.pairing import Ending, endings
from seatrial.compare.verdicts import Verdict, Word
from seatrial.measure import metric

P95 = metric.parse('p95 of "token"')
OPEN = Verdict(
    variant="v",
    metric=P95,
    word=Word.INCONCLUSIVE,
    gated=True,
    blocks=6,
    effect=0.0,
    low=-0.05,
    high=0.2,
    smallest_seen=0.2,
    blocks_needed=12,
)
EQUAL = replace(OPEN, word=Word.EQUIVALENT)


def compared(
    *gated: Verdict, ended: Sequence[Ending] = (), lost: Mapping[str, tuple[str, ...]] | None = None
) -> Comparison:
    """Return what is known after six blocks."""
    return Comparison(
        base="base",
        alpha=0.01,
        blocks=6,
        lost=lost or {},
        gated=gated,
        exploratory=(),
        discoveries=frozenset(),
        endings=tuple(ended),
        host_limited=False,
        overall=Overall.INCONCLUSIVE,
        reason="",
    )


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


@given(st.integers(1, 500), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_levels_add_up_and_the_last_look_is_the_budget(most: int, alpha: float) -> None:
    """Nothing is spent twice or lost."""
    found = comparison.planned(most, alpha)
    assert sum(look.alpha for look in found) == pytest.approx(alpha)
    assert found[-1].blocks == most
    assert [look.blocks for look in found] == sorted({look.blocks for look in found})


def test_no_block_is_no_plan() -> None:
    """A budget without room for a block is told."""
    with pytest.raises(ValueError, match="at least 1"):
        comparison.planned(0)


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


def test_the_budget_ends_it() -> None:
    """After the last block there is nothing to go on with."""
    assert comparison.next_step(compared(OPEN), 20, 20) is Next.OVER


@pytest.mark.parametrize(
    ("finished", "expected"),
    [(6, Next.DECIDED), (5, Next.GO_ON), (3, Next.GO_ON), (0, Next.DECIDED)],
)
def test_how_runs_end_keeps_it_going_until_it_is_decided(finished: int, expected: Next) -> None:
    """Three kills of six may be chance, six are none: equal latencies of the rest decide nothing."""
    ways = {"base": ["finished"] * 6, "v": ["finished"] * finished + ["killed"] * (6 - finished)}
    ended = endings(ways, "base")

    assert comparison.next_step(compared(EQUAL, ended=ended), 6, 20) is expected
    assert comparison.next_step(compared(EQUAL, ended=ended), 20, 20) is (
        Next.OVER if expected is Next.GO_ON else Next.DECIDED
    )


@pytest.mark.parametrize(
    ("bad", "expected"), [(1, Next.DECIDED), (2, Next.GO_ON), (5, Next.GO_ON), (6, Next.DECIDED)]
)
def test_invalid_blocks_that_others_can_make_up_for_keep_it_going(bad: int, expected: Next) -> None:
    """Two of six are too many, and five of twenty are not; with six the whole stays invalid whatever comes."""
    blind = replace(OPEN, word=Word.INVALID) if bad > 1 else EQUAL

    assert comparison.next_step(compared(blind, lost={"v": ("foreign CPU",) * bad}), 6, 20) is expected

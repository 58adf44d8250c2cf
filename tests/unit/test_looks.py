"""When to look, how strictly, and whether to go on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.judge import looks, metric
from seatrial.judge.looks import Next
from seatrial.judge.verdicts import Verdict
from seatrial.judge.words import Word

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
    found = looks.planned(most)
    assert tuple(look.blocks for look in found) == blocks
    assert [look.alpha for look in found] == pytest.approx(alphas)


@given(st.integers(1, 500), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_levels_add_up_and_the_last_look_is_the_budget(most: int, alpha: float) -> None:
    """Nothing is spent twice or lost."""
    found = looks.planned(most, alpha)
    assert sum(look.alpha for look in found) == pytest.approx(alpha)
    assert found[-1].blocks == most
    assert [look.blocks for look in found] == sorted({look.blocks for look in found})


def test_no_block_is_no_plan() -> None:
    """A budget without room for a block is told."""
    with pytest.raises(ValueError, match="at least 1"):
        looks.planned(0)


def test_a_look_is_due_at_its_block_only() -> None:
    """Between looks nothing is judged."""
    plan = looks.planned(20)
    assert looks.after(6, plan) is plan[0]
    assert looks.after(7, plan) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Next.GO_ON),
        ({"word": Word.EQUIVALENT}, Next.DECIDED),
        ({"word": Word.REGRESSION}, Next.DECIDED),
        ({"word": Word.LIKELY_REGRESSION}, Next.GO_ON),
        ({"word": Word.INVALID}, Next.DECIDED),
        ({"word": Word.INVALID, "withheld": True}, Next.GO_ON),
        ({"blocks_needed": 41}, Next.FUTILE),
        ({"blocks_needed": 40}, Next.GO_ON),
        ({"blocks_needed": None}, Next.FUTILE),
        ({"blocks_needed": 21, "low": -0.05, "high": 0.1}, Next.PRECISE),
        ({"blocks_needed": 20, "low": -0.05, "high": 0.1}, Next.GO_ON),
        ({"blocks_needed": None, "smallest_seen": None, "low": None, "high": None}, Next.GO_ON),
    ],
)
def test_what_a_look_advises(changes: dict[str, object], expected: Next) -> None:
    """Decided, precise, or hopeless ends it; twice the budget is hopeless, once is not."""
    assert looks.advice([replace(OPEN, **changes)], 6, 20) is expected  # type: ignore[arg-type]


def test_one_open_verdict_keeps_it_going() -> None:
    """All of the gate have to be decided, or out of reach."""
    hopeless = replace(OPEN, blocks_needed=None)
    assert looks.advice([replace(OPEN, word=Word.REGRESSION), OPEN], 6, 20) is Next.GO_ON
    assert looks.advice([hopeless, OPEN], 6, 20) is Next.GO_ON
    assert looks.advice([hopeless, replace(OPEN, word=Word.EQUIVALENT)], 6, 20) is Next.FUTILE


def test_the_budget_ends_it() -> None:
    """After the last block there is nothing to go on with."""
    assert looks.advice([OPEN], 20, 20) is Next.OVER

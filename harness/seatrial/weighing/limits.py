"""The budgets of an experiment, judged for each variant over its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seatrial.judge import budgets, pairing
from seatrial.judge.budgets import Budget, Judged, Kept
from seatrial.judge.categories import FINISHED
from seatrial.judge.pairing import Block
from seatrial.weighing.runs import Found


def judged(
    asked: Sequence[Budget], found: Sequence[Found], numbers: Sequence[int], blocks: Sequence[Block], base: str
) -> Mapping[str, tuple[Judged, ...]]:
    """Judge each budget for each variant, the base first; one that is relative to the base not for the base."""
    if not asked:
        return {}
    names = dict.fromkeys(one.taken.variant for one in found)
    ordered = [name for name in names if name == base] + [name for name in names if name != base]
    return {name: tuple(_of(name, asked, found, numbers, blocks, base)) for name in ordered}


def _of(
    variant: str,
    asked: Sequence[Budget],
    found: Sequence[Found],
    numbers: Sequence[int],
    blocks: Sequence[Block],
    base: str,
) -> list[Judged]:
    mine = [one for one in found if one.taken.variant == variant and one.taken.block in numbers]
    return [
        _absolute(one, mine) if one.limit is not None else _relative(one, variant, blocks, base)
        for one in asked
        if one.limit is not None or variant != base or not _has_others(blocks, base)
    ]


def _absolute(budget: Budget, mine: Sequence[Found]) -> Judged:
    usable = [one for one in mine if not one.taken.run.invalid and one.taken.run.ended == FINISHED]
    if usable:
        return budgets.judge(budget, [one.readings[budget.text] for one in usable])
    ended = next((one.taken.run.ended for one in mine if one.taken.run.ended != FINISHED), "")
    if ended:
        return Judged(budget=budget, word=Kept.BROKEN, reason=f"no run finished: {ended}")
    why = next((one.taken.run.invalid for one in mine), "there is no run that counts")
    return Judged(budget=budget, word=Kept.NOT_DECIDED, reason=f"no run can be trusted: {why}")


def _relative(budget: Budget, variant: str, blocks: Sequence[Block], base: str) -> Judged:
    if not any(base in block for block in blocks) or variant == base:
        return budgets.judge_within(budget, None)
    paired = pairing.paired(blocks, base, variant, budget.metric)
    if paired.effect is not None:
        return budgets.judge_within(budget, paired.effect)
    word = Kept.BROKEN if paired.reason.startswith("never measured") else Kept.NOT_DECIDED
    return Judged(budget=budget, word=word, reason=paired.reason)


def _has_others(blocks: Sequence[Block], base: str) -> bool:
    return any(name != base for block in blocks for name in block)

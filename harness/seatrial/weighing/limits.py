"""The budgets of an experiment, judged for each variant over its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from seatrial.judge import budgets, pairing
from seatrial.judge.budgets import Budget, Judged, Kept
from seatrial.judge.categories import FINISHED
from seatrial.judge.pairing import ON_SHARED_CORES, Block
from seatrial.weighing.runs import AnalysedRun
from seatrial.weighing.stored import Base


def judged(
    asked: Sequence[Budget],
    found: Sequence[AnalysedRun],
    numbers: Sequence[int],
    blocks: Sequence[Block],
    base: Base,
    *,
    shared_cores: bool,
) -> Mapping[str, tuple[Judged, ...]]:
    """Judge each budget for each variant, the base first; one that is relative to the base not for the base.

    A variant of which a run did not finish keeps nothing for sure: what its other runs kept is not decided.
    """
    if not asked:
        return {}
    names = dict.fromkeys(one.taken.variant for one in found)
    why_not = {one.text: _incomparable(one, base, shared_cores=shared_cores) for one in asked}
    ordered = [name for name in names if name == base.name] + [name for name in names if name != base.name]
    runs = {name: _of_variant(name, found, numbers) for name in ordered}
    return {name: tuple(_of(name, asked, mine, blocks, base.name, why_not)) for name, mine in runs.items()}


def _of(
    variant: str,
    asked: Sequence[Budget],
    mine: Sequence[AnalysedRun],
    blocks: Sequence[Block],
    base: str,
    why_not: Mapping[str, str],
) -> list[Judged]:
    told = []
    for one in asked:
        if one.limit is not None:
            told.append(_absolute(one, mine))
        elif variant == base and not _has_others(blocks, base):
            told.append(budgets.judge_alone(one))
        elif variant != base:
            why = why_not[one.text]
            told.append(_undecided(one, why) if why else _relative(one, variant, blocks, base))
    return [_unless_ended(one, mine) for one in told]


def _of_variant(variant: str, found: Sequence[AnalysedRun], numbers: Sequence[int]) -> list[AnalysedRun]:
    return [one for one in found if one.taken.variant == variant and one.taken.block in numbers]


def _unless_ended(judged: Judged, mine: Sequence[AnalysedRun]) -> Judged:
    """Take `kept` back where a run did not finish: of that one nothing is known."""
    ended = [one.taken.run.ended for one in mine if one.taken.run.ended != FINISHED]
    if not ended or judged.word is not Kept.KEPT:
        return judged
    reason = f"{ended[0]} in {len(ended)} of {len(mine)} runs; kept in the others: {judged.reason}"
    return replace(judged, word=Kept.NOT_DECIDED, reason=reason)


def _incomparable(budget: Budget, base: Base, *, shared_cores: bool) -> str:
    """Return why a budget can't be judged by a difference from the base; empty if it can, or has its own limit."""
    if budget.limit is not None:
        return ""
    if not base.comparable(budget.metric):
        return f"{budget.metric.text} can't be compared across what differs: {', '.join(base.kinds)}"
    if shared_cores and budget.metric.kind not in ON_SHARED_CORES:
        return "load and stack shared cores: a difference would be that of the whole host"
    return ""


def _undecided(budget: Budget, reason: str) -> Judged:
    return Judged(budget=budget, word=Kept.NOT_DECIDED, reason=reason)


def _absolute(budget: Budget, mine: Sequence[AnalysedRun]) -> Judged:
    usable = [one for one in mine if not one.taken.run.invalid and one.taken.run.ended == FINISHED]
    if usable:
        return budgets.judge(budget, [one.readings[budget.text] for one in usable])
    ended = next((one.taken.run for one in mine if one.taken.run.ended != FINISHED), None)
    if ended is not None:
        seen = f" ({ended.why})" if ended.why else ""
        return Judged(budget=budget, word=Kept.BROKEN, reason=f"no run finished: {ended.ended}{seen}")
    why = next((one.taken.run.invalid for one in mine), "there is no run that counts")
    return Judged(budget=budget, word=Kept.NOT_DECIDED, reason=f"no run can be trusted: {why}")


def _relative(budget: Budget, variant: str, blocks: Sequence[Block], base: str) -> Judged:
    if not any(base in block for block in blocks):
        return budgets.judge_within(budget, None)
    paired = pairing.paired(blocks, base, variant, budget.metric)
    if paired.effect is not None:
        return budgets.judge_within(budget, paired.effect)
    word = Kept.BROKEN if paired.reason.startswith("never measured") else Kept.NOT_DECIDED
    return Judged(budget=budget, word=word, reason=paired.reason)


def _has_others(blocks: Sequence[Block], base: str) -> bool:
    return any(name != base for block in blocks for name in block)

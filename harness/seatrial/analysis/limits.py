"""The budgets of an experiment, judged for each variant over its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from seatrial.analysis.baseline import Base
from seatrial.analysis.stored_runs import AnalysedRun
from seatrial.compare import budgets, pairing
from seatrial.compare.budgets import Budget, Judged, Kept
from seatrial.compare.categories import FINISHED
from seatrial.compare.pairing import ON_SHARED_CORES, Block


def judged(
    asked: Sequence[Budget],
    runs: Sequence[AnalysedRun],
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
    names = sorted(dict.fromkeys(run.taken.variant for run in runs), key=lambda name: name != base.name)
    has_others = any(name != base.name for block in blocks for name in block)
    verdicts = {}
    for name in names:
        own = [run for run in runs if run.taken.variant == name and run.taken.block in numbers]
        each = []
        for budget in asked:
            if budget.limit is not None:
                each.append(_absolute(budget, own))
            elif name != base.name:
                each.append(_relative(budget, name, blocks, base, shared_cores=shared_cores))
            elif not has_others:
                each.append(budgets.judge_alone(budget))
        verdicts[name] = tuple(_unless_ended(verdict, own) for verdict in each)
    return verdicts


def _unless_ended(verdict: Judged, runs: Sequence[AnalysedRun]) -> Judged:
    """Take `kept` back where a run did not finish: of that one nothing is known."""
    ended = [run.taken.run.ended for run in runs if run.taken.run.ended != FINISHED]
    if not ended or verdict.word is not Kept.KEPT:
        return verdict
    reason = f"{ended[0]} in {len(ended)} of {len(runs)} runs; kept in the others: {verdict.reason}"
    return replace(verdict, word=Kept.NOT_DECIDED, reason=reason)


def _absolute(budget: Budget, runs: Sequence[AnalysedRun]) -> Judged:
    usable = [run for run in runs if not run.taken.run.invalid and run.taken.run.ended == FINISHED]
    if usable:
        return budgets.judge(budget, [run.readings[budget.text] for run in usable])
    ended = next((run.taken.run for run in runs if run.taken.run.ended != FINISHED), None)
    if ended is not None:
        seen = f" ({ended.why})" if ended.why else ""
        return Judged(budget=budget, word=Kept.BROKEN, reason=f"no run finished: {ended.ended}{seen}")
    why = next((run.taken.run.invalid for run in runs), "there is no run that counts")
    return Judged(budget=budget, word=Kept.NOT_DECIDED, reason=f"no run can be trusted: {why}")


def _relative(budget: Budget, variant: str, blocks: Sequence[Block], base: Base, *, shared_cores: bool) -> Judged:
    """Judge a budget by the difference from the base, if there can be one."""
    if not base.comparable(budget.metric):
        reason = f"{budget.metric.text} can't be compared across what differs: {', '.join(base.kinds)}"
        return Judged(budget=budget, word=Kept.NOT_DECIDED, reason=reason)
    if shared_cores and budget.metric.kind not in ON_SHARED_CORES:
        reason = "load and stack shared cores: a difference would be that of the whole host"
        return Judged(budget=budget, word=Kept.NOT_DECIDED, reason=reason)
    if not any(base.name in block for block in blocks):
        return budgets.judge_within(budget, None)
    paired = pairing.paired(blocks, base.name, variant, budget.metric)
    if paired.effect is not None:
        return budgets.judge_within(budget, paired.effect)
    word = Kept.BROKEN if paired.reason.startswith("never measured") else Kept.NOT_DECIDED
    return Judged(budget=budget, word=word, reason=paired.reason)

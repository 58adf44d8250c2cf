"""A stored experiment to an ExperimentResult: pairs, verdicts, budgets, reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seatrial.analysis import baseline, stored_runs
from seatrial.analysis.baseline import StoredBase
from seatrial.analysis.results import COMPARES, ExperimentResult
from seatrial.analysis.stored_runs import AnalysedRun, Rules, RunCache, newest_runs
from seatrial.compare import budgets, comparison, pairing
from seatrial.compare.budgets import Budget, BudgetResult, BudgetWord
from seatrial.compare.comparison import Comparison, NoiseFloor
from seatrial.compare.pairing import FINISHED, ON_SHARED_CORES, BlockMean, BlockValues
from seatrial.errors import UsageError
from seatrial.measure import metric
from seatrial.measure.metric import Metric
from seatrial.model import ExperimentPlan
from seatrial.record import documents


def judge_budgets(
    asked: Sequence[Budget],
    runs: Sequence[AnalysedRun],
    numbers: Sequence[int],
    blocks: Sequence[BlockValues],
    base: StoredBase,
    *,
    shared_cores: bool,
) -> Mapping[str, tuple[BudgetResult, ...]]:
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


def _unless_ended(verdict: BudgetResult, runs: Sequence[AnalysedRun]) -> BudgetResult:
    """Take `kept` back where a run did not finish: of that one nothing is known."""
    ended = [run.taken.run.ended for run in runs if run.taken.run.ended != FINISHED]
    if not ended or verdict.word is not BudgetWord.KEPT:
        return verdict
    reason = f"{ended[0]} in {len(ended)} of {len(runs)} runs; kept in the others: {verdict.reason}"
    return replace(verdict, word=BudgetWord.NOT_DECIDED, reason=reason)


def _absolute(budget: Budget, runs: Sequence[AnalysedRun]) -> BudgetResult:
    usable = [run for run in runs if not run.taken.run.invalid and run.taken.run.ended == FINISHED]
    if usable:
        return budgets.judge(budget, [run.readings[budget.text] for run in usable])
    ended = next((run.taken.run for run in runs if run.taken.run.ended != FINISHED), None)
    if ended is not None:
        seen = f" ({ended.why})" if ended.why else ""
        return BudgetResult(budget=budget, word=BudgetWord.BROKEN, reason=f"no run finished: {ended.ended}{seen}")
    why = next((run.taken.run.invalid for run in runs), "there is no run that counts")
    return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, reason=f"no run can be trusted: {why}")


def _relative(
    budget: Budget, variant: str, blocks: Sequence[BlockValues], base: StoredBase, *, shared_cores: bool
) -> BudgetResult:
    """Judge a budget by the difference from the base, if there can be one."""
    if not base.comparable(budget.metric):
        reason = f"{budget.metric.text} can't be compared across what differs: {', '.join(base.kinds)}"
        return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, reason=reason)
    if shared_cores and budget.metric.kind not in ON_SHARED_CORES:
        reason = "load and stack shared cores: a difference would be that of the whole host"
        return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, reason=reason)
    if not any(base.name in block for block in blocks):
        return budgets.judge_within(budget, None)
    paired = pairing.paired(blocks, base.name, variant, budget.metric)
    if paired.effect is not None:
        return budgets.judge_within(budget, paired.effect)
    word = BudgetWord.BROKEN if paired.reason.startswith("never measured") else BudgetWord.NOT_DECIDED
    return BudgetResult(budget=budget, word=word, reason=paired.reason)


def analyse(experiment: Path, *, alpha: float | None = None, cache: RunCache | None = None) -> ExperimentResult:
    """Judge what is stored of an experiment; UsageError without a plan, or for a rule that can't be read.

    `alpha` is the level of the look; without it that of the look which so many blocks have reached, or else the
    next one's, which is then spent. A run that is in the `cache` is not read again.
    """
    plan, stopped = documents.load_plan(experiment), documents.load_progress(experiment).stopped
    rules = _rules(plan, experiment)

    # the runs that count, in the order of the plan
    cache = cache or RunCache()
    folders, passed_over = newest_runs(experiment)
    runs = stored_runs.mark_image_mismatches([cache.analysed(*stored_run, rules) for stored_run in folders])
    order = {name: place for place, name in enumerate(plan.variants)}
    runs.sort(key=lambda run: (run.taken.block, order.get(run.taken.variant, len(order))))
    base = baseline.stored_base(experiment, plan, runs, rules, cache)

    # the blocks in which every planned run has ended
    numbers = _whole_blocks(plan, runs)
    blocks = [
        base.beside({run.taken.variant: run.taken.run for run in runs if run.taken.block == number}, number)
        for number in numbers
    ]
    metrics = _with_values([*rules.gate, *base.shown, *(one for run in runs for one in run.shown)], blocks)
    shared_cores = plan.shared_cores or any(run.shared_cores for run in runs)

    # what is said of them
    verdicts, why_not = None, ""
    if rules.alone or not blocks:
        why_not = _uncompared(runs, stopped, alone=rules.alone)
    else:
        try:
            verdicts = comparison.compare(
                blocks,
                base=base.name,
                gate=rules.gate,
                shown=metrics,
                alpha=confidence_alpha(plan, len(blocks)) if alpha is None else alpha,
                shared_cores=shared_cores,
                comparable=base.comparable,
            )
        except ValueError as error:
            why_not = str(error)
    planned = [(name, number) for number, names in enumerate(plan.blocks, start=1) for name in names]
    done = {(run.taken.variant, run.taken.block) for run in runs}
    return ExperimentResult(
        name=experiment.name,
        folder=str(experiment),
        plan=plan,
        comparison=verdicts and _with_course(verdicts, plan, stopped),
        why_not=why_not,
        blocks=tuple(blocks),
        numbers=numbers,
        unfinished=tuple(trial for trial in planned if trial not in done),
        taken=tuple(run.taken for run in runs),
        budgets=judge_budgets(rules.budgets, runs, numbers, blocks, base, shared_cores=shared_cores),
        metrics={one.text: one for one in (*rules.gate, *metrics)},
        levels=_levels(metrics, blocks),
        floors=_floors(plan, verdicts, blocks, base.name),
        against=base.against,
        commit=next((run.commit for run in reversed(runs) if run.commit), ""),
        began_ns=min((run.taken.began_ns for run in runs if run.taken.began_ns is not None), default=None),
        notes=tuple(passed_over),
        stopped=stopped,
    )


def compares(experiment: Path) -> bool:
    """Tell whether an experiment sets variants against each other; a run of one variant is no such thing."""
    try:
        plan = documents.load_plan(experiment)
    except UsageError:
        return False
    return plan.command in COMPARES or bool(plan.against)


def confidence_alpha(plan: ExperimentPlan, blocks: int) -> float:
    """Return the level of the look that so many blocks are for: that one, or the next; beyond all, the last."""
    looks = sorted(plan.looks, key=lambda look: look.blocks)
    return next((look.alpha for look in looks if look.blocks >= blocks), looks[-1].alpha if looks else plan.alpha)


def _rules(plan: ExperimentPlan, experiment: Path) -> Rules:
    limited = plan.budgets or tuple(plan.resolved.get("budgets") or ())
    try:
        return Rules(
            gate=tuple(metric.parse(text) for text in plan.gate),
            budgets=tuple(budgets.parse(text) for text in limited),
            alone=not (plan.command in COMPARES or plan.against),
        )
    except ValueError as error:
        raise UsageError("a rule of plan.json can't be read", where=str(experiment), seen=str(error)) from error


def _whole_blocks(plan: ExperimentPlan, runs: Sequence[AnalysedRun]) -> tuple[int, ...]:
    """Return the numbers of the blocks in which every planned run has come to an end."""
    done = {(run.taken.variant, run.taken.block) for run in runs}
    return tuple(
        number
        for number, names in enumerate(plan.blocks, start=1)
        if names and all((name, number) in done for name in names)
    )


def _with_values(metrics: Sequence[Metric], blocks: Sequence[BlockValues]) -> list[Metric]:
    """Return the metrics that some run of the blocks has a value of, each once."""
    by_text = {one.text: one for one in reversed(metrics)}
    values = [run.values for block in blocks for run in block.values()]
    ordered = dict.fromkeys(one.text for one in metrics)
    return [by_text[text] for text in ordered if any(each.get(text) is not None for each in values)]


def _with_course(verdicts: Comparison, plan: ExperimentPlan, stopped: str) -> Comparison:
    """Return the comparison; its reason, if it has one, also says why the experiment ended before its plan did.

    `stopped` is what course.json says, empty while the experiment goes on.
    """
    if not (verdicts.reason and stopped) or verdicts.blocks >= len(plan.blocks):
        return verdicts
    after = f"it ended after {verdicts.blocks} of {len(plan.blocks)} blocks: {stopped}"
    return replace(verdicts, reason=f"{verdicts.reason}; {after}")


def _uncompared(runs: Sequence[AnalysedRun], stopped: str, *, alone: bool) -> str:
    """Return why there is nothing to compare, and each way in which runs ended that did not finish."""
    if alone:
        why = "a plain run is not compared with anything"
    else:
        why = f"no block has come to its end: {stopped}" if stopped else "no block has come to its end yet"
    endings: dict[str, str] = {}
    for taken in (run.taken for run in runs if run.taken.run.ended != FINISHED):
        first_seen = f" ({taken.run.why})" if taken.run.why else ""
        endings.setdefault(f"{taken.variant}: {taken.run.ended}", first_seen)
    return "; ".join([why, *(ending + first_seen for ending, first_seen in endings.items())])


def _levels(metrics: Sequence[Metric], blocks: Sequence[BlockValues]) -> dict[str, dict[str, BlockMean]]:
    names = dict.fromkeys(name for block in blocks for name in block)
    means = {name: {one.text: pairing.block_mean(one, blocks, name) for one in metrics} for name in names}
    return {name: {text: one for text, one in each.items() if one is not None} for name, each in means.items()}


def _floors(
    plan: ExperimentPlan, verdicts: Comparison | None, blocks: Sequence[BlockValues], base: str
) -> tuple[NoiseFloor, ...]:
    """Return what the machine can see, of an experiment that set the base against itself."""
    if plan.command != "selfcheck" or verdicts is None:
        return ()
    judged = (*verdicts.gated, *verdicts.exploratory)
    pairs = [pairing.paired(blocks, base, verdict.variant, verdict.metric) for verdict in judged]
    strictest = comparison.first_level(len(plan.blocks), plan.alpha, len(verdicts.gated), plan.sides)
    return comparison.noise_floors(pairs, len(plan.blocks), strictest)

"""Analysis of an experiment: blocks, comparison and budgets of its stored runs, as an ExperimentResult."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seatrial.analysis import baseline, stored_runs
from seatrial.analysis.baseline import StoredBase
from seatrial.analysis.results import COMPARES, ExperimentResult
from seatrial.analysis.stored_runs import AnalysedRun, Rules, RunCache
from seatrial.compare import budgets, comparison, pairing
from seatrial.compare.budgets import Budget, BudgetResult, BudgetWord
from seatrial.compare.comparison import Comparison, NoiseFloor
from seatrial.compare.pairing import FINISHED, ON_SHARED_CORES, BlockMean, BlockValues
from seatrial.errors import UsageError
from seatrial.measure.metric import Metric, parse
from seatrial.model import ExperimentPlan
from seatrial.record import documents


def analyse(experiment: Path, *, alpha: float | None = None, cache: RunCache | None = None) -> ExperimentResult:
    """Compare and judge the stored runs; UsageError without a plan, or for a rule of it that can't be read.

    `alpha` is the level of the look; without it that of the look that so many blocks have reached, or else of the
    next one, which is then spent. A run that is in the `cache` is not read again.
    """
    plan, stopped = documents.load_plan(experiment), documents.load_progress(experiment).stopped
    rules, cache = _rules(plan, experiment), cache or RunCache()

    runs, unreadable = _runs(experiment, plan, rules, cache)
    base = baseline.stored_base(experiment, plan, runs, rules, cache)
    shared_cores = plan.shared_cores or any(run.shared_cores for run in runs)

    numbers, unfinished = _whole_blocks(plan, runs)
    blocks = [
        base.added_to({run.variant: run.measured for run in runs if run.block == number}, number)
        for number in numbers
    ]
    metrics = _with_values(
        [*rules.gate, *base.metrics, *(metric for run in runs for metric in run.metrics)], blocks
    )

    compared, why_not = None, _why_not_compared(runs, blocks, stopped, alone=rules.alone)
    if not why_not:
        try:
            compared = comparison.compare(
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

    return ExperimentResult(
        name=experiment.name,
        folder=str(experiment),
        plan=plan,
        comparison=compared and _with_early_end(compared, plan, stopped),
        why_not=why_not,
        blocks=tuple(blocks),
        numbers=numbers,
        unfinished=unfinished,
        runs=tuple(runs),
        budgets=_budget_results(rules.budgets, runs, numbers, blocks, base, shared_cores=shared_cores),
        metrics={metric.text: metric for metric in (*rules.gate, *metrics)},
        levels=_block_means(metrics, blocks),
        floors=_noise_floors(plan, compared, blocks, base.name),
        against=base.against,
        commit=next((run.commit for run in reversed(runs) if run.commit), ""),
        began_ns=min((run.began_ns for run in runs if run.began_ns is not None), default=None),
        notes=tuple(unreadable),
        stopped=stopped,
    )


def compares(experiment: Path) -> bool:
    """Return whether an experiment compares variants; False for plain runs, and where there is no plan."""
    try:
        plan = documents.load_plan(experiment)
    except UsageError:
        return False
    return plan.command in COMPARES or bool(plan.against)


def confidence_alpha(plan: ExperimentPlan, blocks: int) -> float:
    """Return the level of the look at so many blocks: that one or the next; beyond all looks, of the last."""
    looks = sorted(plan.looks, key=lambda look: look.blocks)
    return next((look.alpha for look in looks if look.blocks >= blocks), looks[-1].alpha if looks else plan.alpha)


def _rules(plan: ExperimentPlan, experiment: Path) -> Rules:
    limits = plan.budgets or tuple(plan.resolved.get("budgets") or ())
    try:
        return Rules(
            gate=tuple(parse(text) for text in plan.gate),
            budgets=tuple(budgets.parse(text) for text in limits),
            alone=not (plan.command in COMPARES or plan.against),
        )
    except ValueError as error:
        raise UsageError("a rule of plan.json can't be read", where=str(experiment), seen=str(error)) from error


def _runs(
    experiment: Path, plan: ExperimentPlan, rules: Rules, cache: RunCache
) -> tuple[list[AnalysedRun], list[str]]:
    """Return the runs that count, in the order of the plan; also the folders that can't be read."""
    folders, unreadable = stored_runs.newest_runs(experiment)
    runs = stored_runs.mark_image_mismatches([cache.analysed(*stored, rules) for stored in folders])
    order = {name: place for place, name in enumerate(plan.variants)}
    return sorted(runs, key=lambda run: (run.block, order.get(run.variant, len(order)))), unreadable


def _whole_blocks(
    plan: ExperimentPlan, runs: Sequence[AnalysedRun]
) -> tuple[tuple[int, ...], tuple[tuple[str, int], ...]]:
    """Return the numbers of the blocks of which every planned trial has a run, and the trials without one."""
    done = {(run.variant, run.block) for run in runs}
    planned = [[(name, number) for name in names] for number, names in enumerate(plan.blocks, start=1)]
    numbers = tuple(number for number, trials in enumerate(planned, start=1) if trials and done.issuperset(trials))
    return numbers, tuple(trial for trials in planned for trial in trials if trial not in done)


def _with_values(metrics: Sequence[Metric], blocks: Sequence[BlockValues]) -> list[Metric]:
    """Return the metrics that have a value in some run of the blocks, each once."""
    values = [run.values for block in blocks for run in block.values()]
    by_text = {one.text: one for one in reversed(metrics)}
    ordered = dict.fromkeys(one.text for one in metrics)
    return [by_text[text] for text in ordered if any(each.get(text) is not None for each in values)]


def _why_not_compared(
    runs: Sequence[AnalysedRun], blocks: Sequence[BlockValues], stopped: str, *, alone: bool
) -> str:
    """Return why there is nothing to compare (empty: there is), with the endings of runs that did not finish."""
    if alone:
        reason = "a plain run is not compared with anything"
    elif blocks:
        return ""
    else:
        reason = f"no block has come to its end: {stopped}" if stopped else "no block has come to its end yet"
    endings: dict[str, str] = {}
    for run in runs:
        if run.measured.ended != FINISHED:
            first_reason = f" ({run.measured.why})" if run.measured.why else ""
            endings.setdefault(f"{run.variant}: {run.measured.ended}", first_reason)
    return "; ".join([reason, *(ending + first_reason for ending, first_reason in endings.items())])


def _with_early_end(compared: Comparison, plan: ExperimentPlan, stopped: str) -> Comparison:
    """Return the comparison; its reason, if any, also says why the experiment ended before its planned blocks."""
    if not (compared.reason and stopped) or compared.blocks >= len(plan.blocks):
        return compared
    after = f"it ended after {compared.blocks} of {len(plan.blocks)} blocks: {stopped}"
    return replace(compared, reason=f"{compared.reason}; {after}")


def _budget_results(
    limits: Sequence[Budget],
    runs: Sequence[AnalysedRun],
    numbers: Sequence[int],
    blocks: Sequence[BlockValues],
    base: StoredBase,
    *,
    shared_cores: bool,
) -> Mapping[str, tuple[BudgetResult, ...]]:
    """Judge each budget for each variant, the base first; one that is relative to the base not for the base.

    A variant of which a run did not finish keeps no budget for certain: what its other runs kept is not decided.
    """
    if not limits:
        return {}
    names = sorted(dict.fromkeys(run.variant for run in runs), key=lambda name: name != base.name)
    has_others = any(name != base.name for block in blocks for name in block)
    results = {}
    for name in names:
        own = [run for run in runs if run.variant == name and run.block in numbers]
        each = []
        for budget in limits:
            if budget.limit is not None:
                each.append(_absolute(budget, own))
            elif name != base.name:
                each.append(_relative(budget, name, blocks, base, shared_cores=shared_cores))
            elif not has_others:
                each.append(budgets.judge_alone(budget))
        results[name] = tuple(_unless_ended(result, own) for result in each)
    return results


def _unless_ended(result: BudgetResult, runs: Sequence[AnalysedRun]) -> BudgetResult:
    """Turn KEPT into NOT DECIDED where a run did not finish."""
    ended = [run.measured.ended for run in runs if run.measured.ended != FINISHED]
    if not ended or result.word is not BudgetWord.KEPT:
        return result
    reason = f"{ended[0]} in {len(ended)} of {len(runs)} runs; kept in the others: {result.reason}"
    return replace(result, word=BudgetWord.NOT_DECIDED, reason=reason)


def _absolute(budget: Budget, runs: Sequence[AnalysedRun]) -> BudgetResult:
    usable = [run for run in runs if run.usable]
    if usable:
        return budgets.judge(budget, [run.estimates[budget.text] for run in usable])
    ended = next((run.measured for run in runs if run.measured.ended != FINISHED), None)
    if ended is not None:
        why = f" ({ended.why})" if ended.why else ""
        return BudgetResult(budget=budget, word=BudgetWord.BROKEN, reason=f"no run finished: {ended.ended}{why}")
    invalid = next((run.measured.invalid for run in runs), "there is no run that counts")
    reason = f"no run can be trusted: {invalid}"
    return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, reason=reason)


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


def _block_means(metrics: Sequence[Metric], blocks: Sequence[BlockValues]) -> dict[str, dict[str, BlockMean]]:
    names = dict.fromkeys(name for block in blocks for name in block)
    means = {name: {one.text: pairing.block_mean(one, blocks, name) for one in metrics} for name in names}
    return {name: {text: mean for text, mean in each.items() if mean is not None} for name, each in means.items()}


def _noise_floors(
    plan: ExperimentPlan, compared: Comparison | None, blocks: Sequence[BlockValues], base: str
) -> tuple[NoiseFloor, ...]:
    """Return the noise floors of a selfcheck; nothing for other experiments."""
    if plan.command != "selfcheck" or compared is None:
        return ()
    verdicts = (*compared.gated, *compared.exploratory)
    pairs = [pairing.paired(blocks, base, verdict.variant, verdict.metric) for verdict in verdicts]
    strictest = comparison.first_level(len(plan.blocks), plan.alpha, len(compared.gated), plan.sides)
    return comparison.noise_floors(pairs, len(plan.blocks), strictest)

"""A stored experiment, from its folder to what every report shows of it: pairs, verdicts and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seatrial.analysis import baseline as stored
from seatrial.analysis import limits, subjects
from seatrial.analysis.results import COMPARES, Weighed
from seatrial.analysis.stored_runs import AnalysedRun, Rules, RunCache, newest
from seatrial.compare import budgets, comparison, levels, noise, pairing
from seatrial.compare.categories import FINISHED
from seatrial.compare.comparison import Comparison
from seatrial.compare.levels import Level
from seatrial.compare.noise import Floor
from seatrial.compare.pairing import Block
from seatrial.errors import UsageError
from seatrial.measure import metric
from seatrial.measure.metric import Metric
from seatrial.model import ExperimentPlan
from seatrial.record import courses, plans


def analyse(experiment: Path, *, alpha: float | None = None, cache: RunCache | None = None) -> Weighed:
    """Judge what is stored of an experiment; UsageError without a plan, or for a rule that can't be read.

    `alpha` is the level of the look; without it that of the look which so many blocks have reached, or else the
    next one's, which is then spent. A run that is in the `cache` is not read again.
    """
    plan, stopped = plans.load(experiment), courses.load(experiment).stopped
    rules = _rules(plan, experiment)

    # the runs that count, in the order of the plan
    cache = cache or RunCache()
    folders, passed_over = newest(experiment)
    runs = subjects.mark_image_mismatches([cache.analysed(*stored_run, rules) for stored_run in folders])
    order = {name: place for place, name in enumerate(plan.variants)}
    runs.sort(key=lambda run: (run.taken.block, order.get(run.taken.variant, len(order))))
    base = stored.base(experiment, plan, runs, rules, cache)

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
                alpha=level(plan, len(blocks)) if alpha is None else alpha,
                shared_cores=shared_cores,
                comparable=base.comparable,
            )
        except ValueError as error:
            why_not = str(error)
    planned = [(name, number) for number, names in enumerate(plan.blocks, start=1) for name in names]
    done = {(run.taken.variant, run.taken.block) for run in runs}
    return Weighed(
        name=experiment.name,
        folder=str(experiment),
        plan=plan,
        comparison=verdicts and _with_course(verdicts, plan, stopped),
        why_not=why_not,
        blocks=tuple(blocks),
        numbers=numbers,
        unfinished=tuple(trial for trial in planned if trial not in done),
        taken=tuple(run.taken for run in runs),
        budgets=limits.judged(rules.budgets, runs, numbers, blocks, base, shared_cores=shared_cores),
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
        plan = plans.load(experiment)
    except UsageError:
        return False
    return plan.command in COMPARES or bool(plan.against)


def level(plan: ExperimentPlan, blocks: int) -> float:
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


def _with_values(metrics: Sequence[Metric], blocks: Sequence[Block]) -> list[Metric]:
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


def _levels(metrics: Sequence[Metric], blocks: Sequence[Block]) -> dict[str, dict[str, Level]]:
    names = dict.fromkeys(name for block in blocks for name in block)
    means = {name: {one.text: levels.level(one, blocks, name) for one in metrics} for name in names}
    return {name: {text: one for text, one in each.items() if one is not None} for name, each in means.items()}


def _floors(
    plan: ExperimentPlan, verdicts: Comparison | None, blocks: Sequence[Block], base: str
) -> tuple[Floor, ...]:
    """Return what the machine can see, of an experiment that set the base against itself."""
    if plan.command != "selfcheck" or verdicts is None:
        return ()
    judged = (*verdicts.gated, *verdicts.exploratory)
    pairs = [pairing.paired(blocks, base, verdict.variant, verdict.metric) for verdict in judged]
    strictest = noise.first_level(len(plan.blocks), plan.alpha, len(verdicts.gated), plan.sides)
    return noise.floors(pairs, len(plan.blocks), strictest)

"""Weighs an experiment: from its stored runs to verdicts and budgets, and the files that say so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seatrial.errors import UsageError
from seatrial.judge import budgets, comparison, levels, metric, noise, pairing
from seatrial.judge.budgets import Budget
from seatrial.judge.comparison import Comparison
from seatrial.judge.levels import Level
from seatrial.judge.metric import Metric
from seatrial.judge.noise import Floor
from seatrial.judge.pairing import Block
from seatrial.model import ExperimentPlan
from seatrial.record import courses, plans
from seatrial.report.weighed import COMPARES, Taken, Weighed
from seatrial.weighing import files, limits, reasons, runs, stored, subjects
from seatrial.weighing.runs import Found
from seatrial.weighing.stored import Base


def weigh(experiment: Path, *, alpha: float | None = None) -> Weighed:
    """Judge what is stored of an experiment; UsageError without a plan, or for a rule that can't be read.

    `alpha` is the level of the look; without it that of the look which so many blocks have reached, or else the
    next one's, which is then spent.
    """
    plan = plans.load(experiment)
    gate, limited = _rules(plan, experiment)
    listed, passed = runs.newest(experiment)
    order = {name: place for place, name in enumerate(plan.variants)}
    listed.sort(key=lambda one: (one[1].block, order.get(one[1].variant, len(order))))
    alone = not (plan.command in COMPARES or plan.against)
    found = subjects.alike(
        [runs.found(folder, document, gate, limited, alone=alone) for folder, document in listed]
    )
    base = stored.base(experiment, plan, found, gate, limited)
    numbers = whole(plan, [one.taken for one in found])
    blocks = [base.beside(_block(found, number), number) for number in numbers]
    shown = _told([*gate, *base.shown, *(one for each in found for one in each.shown)], blocks)
    shared = _shared(plan, found)
    judged, why_not = None, ""
    stopped = courses.load(experiment).stopped
    if alone or not blocks:
        why_not = reasons.uncompared(found, stopped, plain=alone)
    else:
        judged, why_not = _compared(plan, blocks, base, gate, shown, alpha=alpha, shared=shared)
    began = [one.taken.began_ns for one in found if one.taken.began_ns is not None]
    return Weighed(
        name=experiment.name,
        folder=str(experiment),
        plan=plan,
        comparison=judged and reasons.with_course(judged, plan, stopped),
        why_not=why_not,
        blocks=tuple(blocks),
        numbers=numbers,
        unfinished=_unfinished(plan, found),
        taken=tuple(one.taken for one in found),
        budgets=limits.judged(limited, found, numbers, blocks, base, shared_cores=shared),
        metrics={one.text: one for one in (*gate, *shown)},
        levels=_levels(shown, blocks),
        floors=_floors(plan, judged, blocks, base.name),
        against=base.told,
        commit=stored.commit(found),
        began_ns=min(began, default=None),
        notes=tuple(passed),
        stopped=stopped,
    )


def compares(experiment: Path) -> bool:
    """Tell whether an experiment sets variants against each other; a run of one variant is no such thing."""
    try:
        plan = plans.load(experiment)
    except UsageError:
        return False
    return plan.command in COMPARES or bool(plan.against)


def save(weighed: Weighed, experiment: Path) -> None:
    """Write verdict.json, verdict.md, junit.xml, benchmark.json and changes.csv; ResultsUnwritable if refused."""
    files.save(weighed, experiment)


def whole(plan: ExperimentPlan, taken: Sequence[Taken]) -> tuple[int, ...]:
    """Return the numbers of the blocks in which every planned run has come to an end."""
    done = {(one.variant, one.block) for one in taken}
    return tuple(
        number
        for number, names in enumerate(plan.blocks, start=1)
        if names and all((name, number) in done for name in names)
    )


def level(plan: ExperimentPlan, blocks: int) -> float:
    """Return the level of the look that so many blocks are for: that one, or the next; beyond all, the last."""
    looks = sorted(plan.looks, key=lambda look: look.blocks)
    return next((look.alpha for look in looks if look.blocks >= blocks), looks[-1].alpha if looks else plan.alpha)


def _rules(plan: ExperimentPlan, experiment: Path) -> tuple[list[Metric], list[Budget]]:
    wanted = plan.budgets or tuple(plan.resolved.get("budgets") or ())
    try:
        return [metric.parse(text) for text in plan.gate], [budgets.parse(text) for text in wanted]
    except ValueError as error:
        raise UsageError("a rule of plan.json can't be read", where=str(experiment), seen=str(error)) from error


def _compared(
    plan: ExperimentPlan,
    blocks: Sequence[Block],
    base: Base,
    gate: Sequence[Metric],
    shown: Sequence[Metric],
    *,
    alpha: float | None,
    shared: bool,
) -> tuple[Comparison | None, str]:
    used = alpha if alpha is not None else level(plan, len(blocks))
    try:
        found = comparison.compare(
            blocks,
            base=base.name,
            gate=gate,
            shown=shown,
            alpha=used,
            shared_cores=shared,
            comparable=base.comparable,
        )
    except ValueError as error:
        return None, str(error)
    return found, ""


def _levels(shown: Sequence[Metric], blocks: Sequence[Block]) -> dict[str, dict[str, Level]]:
    names = dict.fromkeys(name for block in blocks for name in block)
    told = {name: {one.text: levels.level(one, blocks, name) for one in shown} for name in names}
    return {name: {text: one for text, one in each.items() if one is not None} for name, each in told.items()}


def _floors(
    plan: ExperimentPlan, judged: Comparison | None, blocks: Sequence[Block], base: str
) -> tuple[Floor, ...]:
    """Tell what the machine can see, of an experiment that set the base against itself."""
    if plan.command != "selfcheck" or judged is None:
        return ()
    pairs = [pairing.paired(blocks, base, one.variant, one.metric) for one in (*judged.gated, *judged.exploratory)]
    strictest = noise.first_level(len(plan.blocks), plan.alpha, len(judged.gated), plan.sides)
    return noise.floors(pairs, len(plan.blocks), strictest)


def _block(found: Sequence[Found], number: int) -> Block:
    return {one.taken.variant: one.taken.run for one in found if one.taken.block == number}


def _told(metrics: Sequence[Metric], blocks: Sequence[Block]) -> list[Metric]:
    """Return the metrics that some run of the blocks has a value of, each once."""
    by_text = {one.text: one for one in reversed(metrics)}
    values = [run.values for block in blocks for run in block.values()]
    ordered = dict.fromkeys(one.text for one in metrics)
    return [by_text[text] for text in ordered if any(each.get(text) is not None for each in values)]


def _shared(plan: ExperimentPlan, found: Sequence[Found]) -> bool:
    """Tell whether load and stack had cores in common in any run."""
    pinned = [(one.document.facts.get("environment") or {}).get("pinning") or {} for one in found]
    return plan.shared_cores or any(
        set(one.get("generator") or ()) & set(one.get("stack") or ()) for one in pinned
    )


def _unfinished(plan: ExperimentPlan, found: Sequence[Found]) -> tuple[tuple[str, int], ...]:
    done = {(one.taken.variant, one.taken.block) for one in found}
    planned = [(name, number) for number, names in enumerate(plan.blocks, start=1) for name in names]
    return tuple(one for one in planned if one not in done)

"""From a scenario to the plan of an experiment: which variants, in which order, with which looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from seatrial.judge import looks
from seatrial.model import Design, ExperimentPlan, PlannedLook, Scenario
from seatrial.scenario import comparable, order, plan

AGAIN = "again"
"""The base under another name, in a check of a machine."""

STORED = "stored"
"""The name of the base where stored runs stand for it."""

_IN_WORDS = {"path", "compose_file"}
"""Where a scenario lies is no part of what it asks: a checkout may have been moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The stored experiment that stands for the base: its folder, the variant, and how many blocks there are."""

    folder: str
    variant: str
    blocks: int


def comparison(
    scenario: Scenario, *, seed: int, shared_cores: bool, design: Design, against: Baseline | None = None
) -> ExperimentPlan:
    """Plan a comparison; UsageError for one that can say nothing, or has no time for a block (`comparable`).

    Against a baseline the variants that were named run, else the base as it stands now, in as many blocks as are
    stored.
    """
    comparing = scenario.comparing
    names = comparable.named(scenario) if against is None else comparing.variants or (comparing.base,)
    blocks = comparing.blocks if against is None else min(comparing.blocks, against.blocks)
    told = names if against is not None else (comparing.base, *names)
    comparable.refuse_equals(scenario, told)
    comparable.refuse_short(scenario, len(told), design)
    made = _plan("compare", scenario, told, blocks, seed)
    made = replace(
        made,
        base=comparing.base,
        shared_cores=shared_cores,
        looks=tuple(PlannedLook(blocks=one.blocks, alpha=one.alpha) for one in looks.planned(blocks)),
    )
    made = _designed(made, scenario, design)
    if against is None:
        return made
    return replace(made, base=STORED, against=against.folder, stored=against.variant, varies=comparing.varies)


def selfcheck(
    scenario: Scenario, *, seed: int, shared_cores: bool, design: Design = Design.RUNS
) -> ExperimentPlan:
    """Plan the base against itself: one look, at the end; UsageError if no block fits in the budget of time."""
    base, blocks = scenario.comparing.base, scenario.comparing.blocks
    comparable.refuse_short(scenario, len((base, AGAIN)), design)
    made = _plan("selfcheck", scenario, (base, AGAIN), blocks, seed)
    last = PlannedLook(blocks=blocks, alpha=made.alpha)
    made = replace(made, base=base, shared_cores=shared_cores, looks=(last,), sides=scenario.comparing.sides)
    return _designed(made, scenario, design)


def with_again(scenario: Scenario) -> Scenario:
    """Return the scenario with its base a second time, under the name `again`, and the number of the others."""
    base = scenario.variants[scenario.comparing.base]
    others = {*(scenario.comparing.variants or scenario.variants)} - {base.name}
    variants = {base.name: base, AGAIN: replace(base, name=AGAIN)}
    comparing = replace(scenario.comparing, variants=(), sides=max(len(others), 1))
    return replace(scenario, variants=variants, comparing=comparing)


def differing(there: Mapping[str, Any], here: Mapping[str, Any], at: str = "") -> list[str]:
    """Return, one line each, where two resolved scenarios differ, with both values."""
    found = []
    for key in dict.fromkeys((*there, *here)):
        if not at and key in _IN_WORDS:
            continue
        place = f"{at}.{key}" if at else key
        one, other = there.get(key), here.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differing(one, other, place)
        elif one != other:
            found.append(f"{place}: {one!r} then, {other!r} now")
    return found


def _plan(command: str, scenario: Scenario, names: tuple[str, ...], blocks: int, seed: int) -> ExperimentPlan:
    return ExperimentPlan(
        command=command,
        scenario=scenario.name,
        question=scenario.question,
        seed=seed,
        blocks=order.orders(names, blocks, seed),
        gate=scenario.gate,
        budgets=scenario.budgets,
        time_s=scenario.comparing.time_s,
        resolved=plan.resolved(scenario),
    )


def _designed(made: ExperimentPlan, scenario: Scenario, design: Design) -> ExperimentPlan:
    one = scenario.comparing
    if design is not Design.SLICES:
        return replace(made, design=design)
    return replace(made, design=design, slice_s=one.slice_s, settle_s=one.settle_s, slices=one.slices)

"""The plan of an experiment made from a scenario: which variants, in which order, with which looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from seatrial.compare import looks
from seatrial.model import Design, ExperimentPlan, Look, Scenario
from seatrial.scenario import comparable, order
from seatrial.scenario import plan_ as plan

AGAIN = "again"
"""The base under another name, in a check of a machine."""

STORED = "stored"
"""The name of the base where stored runs stand for it."""

_NOT_COMPARED = {"path", "compose_file", "files"}
"""The place of a scenario may change: a checkout may have been moved. Older plans have digests under `files`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The stored experiment that stands for the base: its folder, the variant, and how many blocks there are."""

    folder: str
    variant: str
    blocks: int


def comparison(
    scenario: Scenario, *, seed: int, shared_cores: bool, design: Design, against: Baseline | None = None
) -> ExperimentPlan:
    """Plan a comparison; UsageError for one without a difference to find, or without time for a block.

    Against a baseline the named variants run, else the base as it is now, in as many blocks as are stored.
    """
    comparing = scenario.comparing
    names = comparable.named(scenario) if against is None else comparing.variants or (comparing.base,)
    blocks = comparing.blocks if against is None else min(comparing.blocks, against.blocks)
    variants = names if against is not None else (comparing.base, *names)
    comparable.refuse_equals(scenario, variants)
    comparable.refuse_short(scenario, len(variants), design)
    made = replace(
        _plan("compare", scenario, variants, blocks, design, seed=seed, shared_cores=shared_cores),
        looks=looks.planned(blocks),
    )
    if against is None:
        return made
    return replace(made, base=STORED, against=against.folder, stored=against.variant, varies=comparing.varies)


def selfcheck(
    scenario: Scenario, *, seed: int, shared_cores: bool, design: Design = Design.RUNS
) -> ExperimentPlan:
    """Plan the base against itself: one look, at the end; UsageError if no block fits in the budget of time."""
    base, blocks = scenario.comparing.base, scenario.comparing.blocks
    comparable.refuse_short(scenario, len((base, AGAIN)), design)
    made = _plan("selfcheck", scenario, (base, AGAIN), blocks, design, seed=seed, shared_cores=shared_cores)
    last = Look(blocks=blocks, alpha=made.alpha)
    return replace(made, looks=(last,), sides=scenario.comparing.sides)


def with_again(scenario: Scenario) -> Scenario:
    """Return the scenario with its base a second time, under the name `again`, and the number of the others."""
    base = scenario.variants[scenario.comparing.base]
    others = {*(scenario.comparing.variants or scenario.variants)} - {base.name}
    variants = {base.name: base, AGAIN: replace(base, name=AGAIN)}
    comparing = replace(scenario.comparing, variants=(), sides=max(len(others), 1))
    return replace(scenario, variants=variants, comparing=comparing)


def differing(there: Mapping[str, Any], here: Mapping[str, Any], at: str = "") -> list[str]:
    """Return, one line each, where two resolved scenarios differ, with both values."""
    lines = []
    for key in dict.fromkeys((*there, *here)):
        if not at and key in _NOT_COMPARED:
            continue
        place = f"{at}.{key}" if at else key
        one, other = there.get(key), here.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            lines += differing(one, other, place)
        elif one != other:
            lines.append(f"{place}: {one!r} then, {other!r} now")
    return lines


def _plan(
    command: str,
    scenario: Scenario,
    variants: tuple[str, ...],
    blocks: int,
    design: Design,
    *,
    seed: int,
    shared_cores: bool,
) -> ExperimentPlan:
    comparing, in_slices = scenario.comparing, design is Design.SLICES
    return ExperimentPlan(
        command=command,
        scenario=scenario.name,
        question=scenario.question,
        seed=seed,
        blocks=order.orders(variants, blocks, seed),
        base=comparing.base,
        design=design,
        gate=scenario.gate,
        budgets=scenario.budgets,
        time_s=comparing.time_s,
        slice_s=comparing.slice_s if in_slices else None,
        settle_s=comparing.settle_s if in_slices else None,
        slices=comparing.slices if in_slices else None,
        shared_cores=shared_cores,
        resolved=plan.resolved(scenario),
    )

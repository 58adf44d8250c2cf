"""A scenario to an experiment plan: block order, planned looks, design, resolved values."""

from __future__ import annotations

import difflib
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from seatrial.compare import comparison as comparisons
from seatrial.errors import UsageError
from seatrial.measure import metric
from seatrial.measure.metric import Kind
from seatrial.model import Comparing, Design, ExperimentPlan, Load, Look, Scenario, Variant
from seatrial.scenario import reading
from seatrial.wire.rates import Rate


def variant_of(scenario: Scenario, name: str) -> Variant:
    """Return the variant of this name; UsageError if the scenario has none."""
    if name not in scenario.variants:
        close = difflib.get_close_matches(name, scenario.variants, n=1)
        raise UsageError(
            f"the scenario has no variant {name!r}",
            where=str(scenario.path),
            expected=f"one of: {', '.join(scenario.variants)}",
            hint=f"did you mean {close[0]}?" if close else "",
        )
    return scenario.variants[name]


def resolved(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as JSON values, every default filled in, quantities with their unit in the name."""
    load = scenario.load
    return {
        "name": scenario.name,
        "path": str(scenario.path),
        "question": scenario.question,
        "compose_file": str(scenario.compose_file),
        "front_door": scenario.front_door and asdict(scenario.front_door),
        "ready": [{"path": p.path, "expect": p.expect, "within_s": p.within_s} for p in scenario.ready],
        "seed": list(scenario.seed),
        "secrets": list(scenario.secrets),
        "tiers": dict(scenario.tiers),
        "load": {
            "locustfile": str(load.locustfile),
            "user_classes": list(load.user_classes),
            "users": load.users,
            "rate": None if load.rate is None else _rate(load.rate),
            "processes": load.processes,
            "pinning": load.pinning,
            "warmup_s": load.warmup_s,
            "stable": load.stable,
            "duration_s": load.duration_s,
            "drain_s": load.drain_s,
            "parameters": dict(load.parameters),
        },
        "variants": {name: _variant(v, scenario.compose_file.parent) for name, v in scenario.variants.items()},
        "allow_hosts": list(scenario.allow_hosts),
        "gate": list(scenario.gate),
        "budgets": list(scenario.budgets),
        "stop_when": list(scenario.stop_when),
        "compare": _comparing(scenario.comparing),
    }


def _comparing(comparing: Comparing) -> dict[str, Any]:
    return {
        "design": None if comparing.design is None else comparing.design.value,
        "blocks": comparing.blocks,
        "base": comparing.base,
        "variants": list(comparing.variants),
        "time_s": comparing.time_s,
        "slice_s": comparing.slice_s,
        "settle_s": comparing.settle_s,
        "slices": comparing.slices,
        "varies": list(comparing.varies),
    }


def _rate(rate: Rate) -> dict[str, Any]:
    """Return a schedule as people write it, and as numbers: null lasts for ever."""
    stretches = [
        [one.lasts_s if math.isfinite(one.lasts_s) else None, one.begin_per_s, one.end_per_s]
        for one in rate.stretches
    ]
    return {"text": rate.text(), "poisson": rate.poisson, "stretches": stretches}


def _variant(variant: Variant, folder: Path) -> dict[str, Any]:
    files = {str(old.relative_to(folder)): str(new.relative_to(folder)) for old, new in variant.files.items()}
    changed = {"compose": dict(variant.compose), "files": files}
    return {**changed, "load": {"parameters": dict(variant.parameters)}} if variant.parameters else changed


def block_orders(variants: Sequence[str], blocks: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Return the order of every block: random, and balanced over each group of as many blocks as variants.

    Within such a group every variant stands in every position once (a random Latin square), so that what an order
    does (a warm page cache, a host that slows down) falls on all variants alike. The same seed gives the same
    orders, and more blocks begin with the same ones.
    """
    rng = random.Random(seed)  # noqa: S311  (an order of runs)
    rows: list[tuple[str, ...]] = []
    while len(rows) < blocks:
        row, steps = list(variants), list(range(len(variants)))
        rng.shuffle(row)
        rng.shuffle(steps)
        rows += [tuple(row[step:] + row[:step]) for step in steps]
    return tuple(rows[:blocks])


def slice_turns(variants: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    """Return whose turn each slice is: every round has each variant once, in a random order of its own."""
    rng = random.Random(seed)  # noqa: S311  (an order of slices)
    slices: list[str] = []
    for _ in range(count):
        round_ = list(variants)
        rng.shuffle(round_)
        slices += round_
    return tuple(slices)


AGAIN = "again"
"""The base under another name, in a check of a machine."""
STORED = "stored"
"""The name of the base where stored runs stand for it."""
_NOT_COMPARED = {"path", "compose_file", "files"}
"""The place of a scenario may change: a checkout may have been moved. Older plans have digests under `files`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselinePlan:
    """The stored experiment that stands for the base: its folder, the variant, and how many blocks there are."""

    folder: str
    variant: str
    blocks: int


def comparison_plan(
    scenario: Scenario, *, seed: int, shared_cores: bool, design: Design, against: BaselinePlan | None = None
) -> ExperimentPlan:
    """Plan a comparison; UsageError for one without a difference to find, or without time for a block.

    Against a baseline the named variants run, else the base as it is now, in as many blocks as are stored.
    """
    comparing = scenario.comparing
    names = reading.named_variants(scenario) if against is None else comparing.variants or (comparing.base,)
    blocks = comparing.blocks if against is None else min(comparing.blocks, against.blocks)
    variants = names if against is not None else (comparing.base, *names)
    reading.refuse_equals(scenario, variants)
    reading.refuse_short(scenario, len(variants), design)
    made = replace(
        _plan("compare", scenario, variants, blocks, design, seed=seed, shared_cores=shared_cores),
        looks=comparisons.planned(blocks),
    )
    if against is None:
        return made
    return replace(made, base=STORED, against=against.folder, stored=against.variant, varies=comparing.varies)


def selfcheck_plan(
    scenario: Scenario, *, seed: int, shared_cores: bool, design: Design = Design.RUNS
) -> ExperimentPlan:
    """Plan the base against itself: one look, at the end; UsageError if no block fits in the budget of time."""
    base, blocks = scenario.comparing.base, scenario.comparing.blocks
    reading.refuse_short(scenario, len((base, AGAIN)), design)
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


def differing_values(there: Mapping[str, Any], here: Mapping[str, Any], at: str = "") -> list[str]:
    """Return, one line each, where two resolved scenarios differ, with both values."""
    lines = []
    for key in dict.fromkeys((*there, *here)):
        if not at and key in _NOT_COMPARED:
            continue
        place = f"{at}.{key}" if at else key
        one, other = there.get(key), here.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            lines += differing_values(one, other, place)
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
        blocks=block_orders(variants, blocks, seed),
        base=comparing.base,
        design=design,
        gate=scenario.gate,
        budgets=scenario.budgets,
        time_s=comparing.time_s,
        slice_s=comparing.slice_s if in_slices else None,
        settle_s=comparing.settle_s if in_slices else None,
        slices=comparing.slices if in_slices else None,
        shared_cores=shared_cores,
        resolved=resolved(scenario),
    )


SERVICE_BYTES = 256 << 20
"""Planned for a service without a limit; those of the shipped stacks hold 5 to 120 MiB."""
LOAD_BYTES = 200 << 20
"""Planned for one variant's load process and sampler: they hold 90 and 40 MiB."""
SPARE = 0.8
"""The part of the free memory that may be planned for."""
_SIZE = re.compile(r"\A\s*(\d+(?:\.\d+)?)\s*(?:([bkmg])b?)?\s*\Z", re.IGNORECASE)
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """The free memory of the host (None: unknown), and what each variant's stack may take."""

    available_bytes: int | None
    stacks_bytes: Mapping[str, int]

    @property
    def needed_bytes(self) -> int:
        """What all variants take together, with their load."""
        return sum(self.stacks_bytes.values()) + LOAD_BYTES * len(self.stacks_bytes)

    @property
    def fits(self) -> bool:
        """Whether all variants may be up at once."""
        return self.available_bytes is not None and self.needed_bytes <= SPARE * self.available_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenDesign:
    """A design, and the reason for it."""

    design: Design
    reason: str


def choose_design(
    comparing: Comparing, gate: Sequence[str], memory: MemoryNeed, *, load: Load, hindrance: str = ""
) -> ChosenDesign:
    """Return the design that was asked for or, without one, slices where latency gates; runs if slices can't be.

    `gate` are metrics in their language (ValueError if one can't be read), `memory` has one stack for each variant
    that takes part; `hindrance` says in words what else keeps them from being up at once.
    """
    if comparing.design is Design.RUNS:
        return ChosenDesign(design=Design.RUNS, reason="asked for")
    latency_gates = any(metric.parse(one).kind is Kind.LATENCY for one in gate)
    if comparing.design is not Design.SLICES and not latency_gates:
        text = "no latency is gated: memory and CPU are measured best with a fresh stack for each run"
        return ChosenDesign(design=Design.RUNS, reason=text)
    why_not = hindrance or _hindered(load, memory)
    if why_not:
        asked = "slices were asked for, but " if comparing.design is Design.SLICES else "not slices: "
        return ChosenDesign(design=Design.RUNS, reason=asked + why_not)
    if comparing.design is Design.SLICES:
        return ChosenDesign(design=Design.SLICES, reason="asked for")
    text = f"latency is gated, and all {len(memory.stacks_bytes)} variants fit in memory at once"
    return ChosenDesign(design=Design.SLICES, reason=text)


def _hindered(load: Load, memory: MemoryNeed) -> str:
    if len(memory.stacks_bytes) < 2:  # noqa: PLR2004  (two, to go from one to the other)
        return "there is only one variant to be up"
    rates = (
        {rate for one in load.rate.stretches for rate in (one.begin_per_s, one.end_per_s)} if load.rate else set()
    )
    if len(rates) > 1:
        return "the rate changes in the window, so that each turn would get another part of it"
    if memory.available_bytes is None:
        return "the free memory of the host that the stacks run on is not known"
    if not memory.fits:
        mib = 1 << 20
        return (
            f"{len(memory.stacks_bytes)} variants may take {memory.needed_bytes // mib} MiB at once, more than "
            f"{SPARE:.0%} of the {memory.available_bytes // mib} MiB that are free"
        )
    return ""


def stack_bytes(services: Mapping[str, Any], variant: Variant) -> int:
    """Return what a stack may take: the limits of its services, SERVICE_BYTES for each that has none.

    `services` are those of the Compose file as it is written; without any, one is assumed.
    """
    changed = variant.compose.get("services") or {}
    merged = {name: (services.get(name) or {}, changed.get(name) or {}) for name in (*services, *changed)}
    limits = [_limit_bytes(here) or _limit_bytes(there) or SERVICE_BYTES for there, here in merged.values()]
    return sum(limits) or SERVICE_BYTES


def _limit_bytes(service: Mapping[str, Any]) -> int | None:
    deployed = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    match = _SIZE.match(str(service.get("mem_limit") or deployed.get("memory")))
    return int(float(match[1]) * float(1024 ** _POWERS[(match[2] or "b").lower()])) if match else None

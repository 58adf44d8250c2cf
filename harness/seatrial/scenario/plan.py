"""Planning an experiment from a scenario: order of blocks, looks, choice of a design, resolved values."""

from __future__ import annotations

import json
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
from seatrial.scenario.source import did_you_mean
from seatrial.wire.rates import Rate
from seatrial.wire.redaction import masked

AGAIN = "again"
"""The name of the base's second run in a selfcheck."""
STORED = "stored"
"""The name of the base where stored runs take its place."""
_NOT_COMPARED = {"path", "compose_file", "files"}
"""A resumed scenario may lie elsewhere: a checkout may have been moved. Older plans have digests in `files`."""
SERVICE_BYTES = 256 << 20
"""Planned for a service without a limit; those of the shipped stacks use 5 to 120 MiB."""
LOAD_BYTES = 200 << 20
"""Planned for one variant's load process and sampler: they use 90 and 40 MiB."""
SPARE = 0.8
"""The share of the free memory that may be planned for."""
_SIZE = re.compile(r"\A\s*(\d+(?:\.\d+)?)\s*(?:([bkmg])b?)?\s*\Z", re.IGNORECASE)
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3}


def variant_of(scenario: Scenario, name: str) -> Variant:
    """Return the variant of this name; UsageError if the scenario has none."""
    if name not in scenario.variants:
        raise UsageError(
            f"the scenario has no variant {name!r}",
            where=str(scenario.path),
            expected=f"one of: {', '.join(scenario.variants)}",
            hint=did_you_mean(name, scenario.variants),
        )
    return scenario.variants[name]


def resolved(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as JSON values, every default filled in, quantities with their unit in the name.

    Signatures, tokens and passwords in URLs are masked: the values go into run folders.
    """
    values = asdict(scenario)
    values["ready"] = [{"path": p.path, "expect": p.expect, "within_s": p.within_s} for p in scenario.ready]
    values["load"]["rate"] = None if scenario.load.rate is None else _rate(scenario.load.rate)
    values["variants"] = {
        name: _variant(variant, scenario.compose_file.parent) for name, variant in scenario.variants.items()
    }
    values["compare"] = values.pop("comparing")
    del values["compare"]["sides"]
    if not scenario.actions:
        del values["actions"]  # which experiments of earlier versions don't have
    as_stored: dict[str, Any] = _masked(json.loads(json.dumps(values, default=str)))
    return as_stored


def _masked(value: Any) -> Any:  # noqa: ANN401  (JSON values)
    if isinstance(value, dict):
        return {key: _masked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return masked(value) if isinstance(value, str) else value


def _rate(rate: Rate) -> dict[str, Any]:
    """Return a schedule as people write it, and as numbers; null is a stretch without an end."""
    stretches = [
        [stretch.lasts_s if math.isfinite(stretch.lasts_s) else None, stretch.begin_per_s, stretch.end_per_s]
        for stretch in rate.stretches
    ]
    return {"text": rate.text(), "poisson": rate.poisson, "stretches": stretches}


def _variant(variant: Variant, folder: Path) -> dict[str, Any]:
    files = {str(old.relative_to(folder)): str(new.relative_to(folder)) for old, new in variant.files.items()}
    changed: dict[str, Any] = {"compose": variant.compose, "files": files}
    if variant.parameters:
        changed["load"] = {"parameters": variant.parameters}
    if variant.actions is not None:
        changed["actions"] = [asdict(action) for action in variant.actions]
    return changed


def block_orders(variants: Sequence[str], blocks: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Return the order of every block: random, and balanced over each group of as many blocks as variants.

    Within such a group every variant is in every position once (a random Latin square), so that effects of the
    order (a warm page cache, a host that slows down) are the same for all variants. The same seed gives the same
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
    """Return the variant of each slice: every round has each variant once, in a random order of its own."""
    rng = random.Random(seed)  # noqa: S311  (an order of slices)
    slices: list[str] = []
    for _ in range(count):
        turns = list(variants)
        rng.shuffle(turns)
        slices += turns
    return tuple(slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselinePlan:
    """The stored experiment that takes the base's place: its folder, the variant, and its number of blocks."""

    folder: str
    variant: str
    blocks: int


def comparison_plan(
    scenario: Scenario, *, seed: int, shared_cores: bool, design: Design, against: BaselinePlan | None = None
) -> ExperimentPlan:
    """Plan a comparison; UsageError for one without a difference to find, or without time for a block.

    Against a baseline the named variants run, or without any the base as it is now, in at most as many blocks as
    are stored.
    """
    comparing = scenario.comparing
    names = reading.named_variants(scenario) if against is None else comparing.variants or (comparing.base,)
    blocks = comparing.blocks if against is None else min(comparing.blocks, against.blocks)
    variants = names if against is not None else (comparing.base, *names)
    reading.refuse_equal_variants(scenario, variants)
    reading.refuse_short_time(scenario, len(variants), design)
    plan = _plan(
        "compare", scenario, block_orders(variants, blocks, seed), design, seed=seed, shared_cores=shared_cores
    )
    plan = replace(plan, looks=comparisons.planned(blocks))
    if against is None:
        return plan
    return replace(plan, base=STORED, against=against.folder, stored=against.variant, varies=comparing.varies)


def selfcheck_plan(
    scenario: Scenario, *, seed: int, shared_cores: bool, design: Design = Design.RUNS
) -> ExperimentPlan:
    """Plan the base against itself: one look, at the end; UsageError if no block fits in the budget of time."""
    base, blocks = scenario.comparing.base, scenario.comparing.blocks
    reading.refuse_short_time(scenario, len((base, AGAIN)), design)
    orders = block_orders((base, AGAIN), blocks, seed)
    plan = _plan("selfcheck", scenario, orders, design, seed=seed, shared_cores=shared_cores)
    return replace(plan, looks=(Look(blocks=blocks, alpha=plan.alpha),), sides=scenario.comparing.sides)


def with_again(scenario: Scenario) -> Scenario:
    """Return the scenario with only its base, twice, the second time as `again`, and the number of the others."""
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
        then, now = there.get(key), here.get(key)
        if isinstance(then, Mapping) and isinstance(now, Mapping):
            lines += differing_values(then, now, place)
        elif then != now:
            lines.append(f"{place}: {then!r} then, {now!r} now")
    return lines


def _plan(
    command: str,
    scenario: Scenario,
    blocks: tuple[tuple[str, ...], ...],
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
        blocks=blocks,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """The free memory of the host (None: unknown), and what the stack of each variant may use."""

    available_bytes: int | None
    stacks_bytes: Mapping[str, int]

    @property
    def needed_bytes(self) -> int:
        """The memory of all variants together, with their load."""
        return sum(self.stacks_bytes.values()) + LOAD_BYTES * len(self.stacks_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenDesign:
    """A design, and the reason for it."""

    design: Design
    reason: str


def choose_design(
    comparing: Comparing, gate: Sequence[str], memory: MemoryNeed, *, load: Load, hindrance: str = ""
) -> ChosenDesign:
    """Return the design that was asked for; without one slices where latency gates, if they are possible, or runs.

    `gate` are metrics in their language (ValueError if one can't be read), `memory` has one stack for each variant
    that takes part; `hindrance` is another reason, in words, why they can't be up at once.
    """
    if comparing.design is Design.RUNS:
        return ChosenDesign(design=Design.RUNS, reason="asked for")
    latency_gates = any(metric.parse(text).kind is Kind.LATENCY for text in gate)
    if comparing.design is not Design.SLICES and not latency_gates:
        text = "no latency is gated: memory and CPU are measured best with a fresh stack for each run"
        return ChosenDesign(design=Design.RUNS, reason=text)
    hindrance = hindrance or _hindrance(load, memory)
    if hindrance:
        but = "slices were asked for, but " if comparing.design is Design.SLICES else "not slices: "
        return ChosenDesign(design=Design.RUNS, reason=but + hindrance)
    if comparing.design is Design.SLICES:
        return ChosenDesign(design=Design.SLICES, reason="asked for")
    text = f"latency is gated, and all {len(memory.stacks_bytes)} variants fit in memory at once"
    return ChosenDesign(design=Design.SLICES, reason=text)


def _hindrance(load: Load, memory: MemoryNeed) -> str:
    if len(memory.stacks_bytes) < 2:  # noqa: PLR2004  (turns need two)
        return "there is only one variant to be up"
    stretches = load.rate.stretches if load.rate else ()
    if len({rate for stretch in stretches for rate in (stretch.begin_per_s, stretch.end_per_s)}) > 1:
        return "the rate changes in the window, so that each turn would get another part of it"
    if memory.available_bytes is None:
        return "the free memory of the host that the stacks run on is not known"
    if memory.needed_bytes > SPARE * memory.available_bytes:
        mib = 1 << 20
        return (
            f"{len(memory.stacks_bytes)} variants may take {memory.needed_bytes // mib} MiB at once, more than "
            f"{SPARE:.0%} of the {memory.available_bytes // mib} MiB that are free"
        )
    return ""


def stack_bytes(services: Mapping[str, Any], variant: Variant) -> int:
    """Return the memory that a stack may use: the limits of its services, SERVICE_BYTES where there is none.

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

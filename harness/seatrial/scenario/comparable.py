"""Checks whether a scenario can be compared, before anything starts."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seatrial.errors import UsageError
from seatrial.model import Design, Scenario, Variant
from seatrial.scenario import reading, shipped
from seatrial.scenario.problems import Problem, refuse

_STABLE_AFTER_S = 10.0
"""A warm-up until stable compares two spans of 5 s (`load.warmup`), in slices of each variant's own turns."""

_BLOCKS_OF_HINT = 10
_DIFFERENT = "a Compose override, replaced files, or load parameters that differ"


def check(wanted: str, settings: Mapping[str, str]) -> Scenario:
    """Read a scenario as `reading.read` does, and refuse also what a comparison of it would refuse."""
    scenario, source = reading.sourced(wanted, settings)
    refuse(source, _problems(scenario, source.values))
    return scenario


def named(scenario: Scenario) -> tuple[str, ...]:
    """Return the variants that are compared with the base; UsageError if there is none."""
    names = _others(scenario)
    if names:
        return names
    base = scenario.comparing.base
    left = [name for name in scenario.variants if name != base]
    among = f"another variant: {', '.join(left)}"
    command = f"seatrial compare {shipped.word(scenario.path)} --variants {','.join(left)}"
    raise UsageError(
        "there is nothing to compare",
        where=str(scenario.path),
        seen=f"only the base, {base!r}",
        expected=among if left else "at least one more variant, under `variants` or `grid`",
        hint=command if left else _selfcheck(scenario),
    )


def refuse_equals(scenario: Scenario, names: Sequence[str]) -> None:
    """Raise UsageError for two variants that differ in nothing: there is no difference to find."""
    for one, other in _equals(scenario, names):
        raise UsageError(
            f"the variants {other!r} and {one!r} differ in nothing",
            where=str(scenario.path),
            expected=_DIFFERENT,
            hint=_selfcheck(scenario),
        )


def refuse_short(scenario: Scenario, variants: int, design: Design) -> None:
    """Raise UsageError for a budget of time in which not even the load of one block of so many variants fits."""
    time_s, least_s = scenario.comparing.time_s, _least_s(scenario, variants, design)
    if time_s is None or time_s >= least_s:
        return
    whose = "one variant" if variants == 1 else f"{variants} variants"
    shorter = "fewer compare.slices" if design is Design.SLICES else "a shorter --duration"
    raise UsageError(
        "the budget of time is too short for one block",
        where=str(scenario.path),
        seen=f"{time_s:g} s",
        expected=f"at least {least_s:g} s, for warm-up and window of {whose}; stacks come up and go beside that",
        hint=f"--time {math.ceil(_BLOCKS_OF_HINT * least_s / 60)}m, or {shorter}",
    )


def _problems(scenario: Scenario, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what a comparison of the scenario as it stands refuses; one without variants is for other commands."""
    comparing, listed = scenario.comparing, values.get("variants") or {}
    others = _others(scenario)
    names = (comparing.base, *others)
    for one, other in _equals(scenario, names):
        place = ("variants", one) if one in listed else ("grid",)
        yield Problem(place, f"the variants {other!r} and {one!r} differ in nothing; {_DIFFERENT} is expected")
    if comparing.variants and not others:
        yield Problem(("compare", "variants"), f"compare.variants names only the base, {comparing.base!r}")
    least_s = _least_s(scenario, len(names), comparing.design)
    if comparing.time_s is not None and others and comparing.time_s < least_s:
        text = f"compare.time ({comparing.time_s:g} s) is too short for one block"
        yield Problem(("compare", "time"), text, f"warm-up and window of {len(names)} variants take {least_s:g} s")


def _others(scenario: Scenario) -> tuple[str, ...]:
    """Return the variants that are compared with the base, each once."""
    comparing = scenario.comparing
    names = dict.fromkeys(comparing.variants or scenario.variants)
    return tuple(name for name in names if name != comparing.base)


def _equals(scenario: Scenario, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each of these variants that differs in nothing from one before it, with that one."""
    changed = [(name, _changes(scenario.variants[name], scenario)) for name in names]
    for index, (name, changes) in enumerate(changed):
        other = next((before for before, same in changed[:index] if same == changes), None)
        if other is not None:
            yield name, other


def _changes(variant: Variant, scenario: Scenario) -> tuple[Any, ...]:
    files = {old: new for old, new in variant.files.items() if old != new}
    return variant.compose, files, {**scenario.load.parameters, **variant.parameters}


def _least_s(scenario: Scenario, variants: int, design: Design | None) -> float:
    """Return how long the load of one block lasts at least, in seconds; without a design, of the shorter.

    The time for stacks to come up and requests to drain is unknown, and not counted.
    """
    load, comparing = scenario.load, scenario.comparing
    warmup_s = min(load.warmup_s, _STABLE_AFTER_S) if load.stable else load.warmup_s
    window_s = {Design.RUNS: load.duration_s, Design.SLICES: comparing.slices * comparing.slice_s}
    return variants * (warmup_s + (min(window_s.values()) if design is None else window_s[design]))


def _selfcheck(scenario: Scenario) -> str:
    base = scenario.comparing.base
    named_base = "" if base == "base" else f" --base {shlex.quote(base)}"
    return f"seatrial selfcheck {shipped.word(scenario.path)}{named_base}"

"""Reading a scenario file into a checked `model.Scenario`, and what a comparison of it refuses."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from seatrial.errors import UsageError
from seatrial.model import AccessLog, Design, FrontDoor, HttpProbe, Scenario, Variant
from seatrial.scenario import checks, source
from seatrial.scenario.actions import action_problems, actions_of
from seatrial.scenario.grammar import ScenarioText, VariantText
from seatrial.scenario.problems import Problem, grammar_problems, refuse
from seatrial.scenario.source import Document, YamlPlace

COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_STABLE_AFTER_S = 10.0
"""A warm-up until stable compares two spans of 5 s (`load.warmup`), in slices of each variant's own turns."""
_BLOCKS_OF_HINT = 10
_DIFFERENT = "a Compose override, replaced files, load parameters, or actions that differ"


def read(name: str, settings: Mapping[str, str] | None = None) -> Scenario:
    """Read a scenario by name or path, `--set` values applied; ScenarioInvalid with all problems at once."""
    return _read_with_document(name, settings or {})[0]


def check_comparable(name: str, settings: Mapping[str, str]) -> Scenario:
    """Read a scenario as `read` does, and refuse also what a comparison of it would refuse."""
    scenario, document = _read_with_document(name, settings)
    refuse(document, _comparison_problems(scenario, document.values))
    return scenario


def _read_with_document(name: str, settings: Mapping[str, str]) -> tuple[Scenario, Document]:
    document = source.apply_overrides(source.read_document(source.find_scenario(name)), settings)
    problems = [Problem(place, f"{place[-1]} stands twice") for place in document.repeated]
    try:
        text = ScenarioText.model_validate(document.values)
    except ValidationError as error:
        of_grammar = grammar_problems(error, ScenarioText)
        places = {problem.place for problem in of_grammar}  # one message for each place is enough
        others = (problem for problem in _file_problems(document) if problem.place not in places)
        refuse(document, [*problems, *of_grammar, *others])
        raise  # refuse always raises here: a ValidationError has at least one problem
    for key in ("ready", "preflight") if text.front_door is None else ():
        if getattr(text, key):
            hint = f"name front_door: {{service: NAME, port: NUMBER}}, or leave {key} out"
            problems.append(Problem((key,), f"{key} asks over HTTP, and there is no front door to ask", hint))
    refuse(document, [*problems, *_file_problems(document)])
    path = document.path
    compose_file = _compose_file(path, text.stack)
    scenario = Scenario(
        name=path.stem,
        path=path,
        question=text.question,
        compose_file=compose_file,
        front_door=None if text.front_door is None else FrontDoor(**text.front_door.model_dump()),
        ready=tuple(HttpProbe(path=probe.get, expect=probe.expect, within_s=probe.within) for probe in text.ready),
        seed=text.seed,
        secrets=text.secrets,
        tiers={name: tier.place for name, tier in text.tiers.items()},
        logs={name: AccessLog(**tier.log.model_dump()) for name, tier in text.tiers.items() if tier.log},
        load=checks.load_of(text.load, _locustfile(path, text.load.locustfile), path.parent),
        variants=_variants(text, compose_file.parent),
        allow_hosts=text.allow_hosts,
        actions=actions_of(text.actions),
        gate=text.gate,
        budgets=text.budgets,
        stop_when=text.stop_when,
        comparing=checks.comparing_of(text.compare),
        preflight=checks.preflight_of(text.preflight),
    )
    return scenario, document


def _variants(text: ScenarioText, folder: Path) -> dict[str, Variant]:
    """Return the base, the listed variants, and the grid's; a combination that changes nothing is the base."""
    axes = {axis: {name: _written(level) for name, level in levels.items()} for axis, levels in text.grid.items()}
    combined = {name: level for name, level in checks.combinations(axes).items() if checks.changes(level)}
    levels = {name: _written(variant) for name, variant in text.variants.items()} | combined
    return {"base": Variant(name="base")} | {
        name: Variant(
            name=name,
            compose=level.get("compose", {}),
            files={_in_stack(folder, old): _in_stack(folder, new) for old, new in level.get("files", {}).items()},
            parameters=level.get("load", {}).get("parameters", {}),
            actions=level.get("actions"),
        )
        for name, level in levels.items()
    }


def _written(variant: VariantText) -> dict[str, Any]:
    """Return the keys of a variant, or of a level of the grid, that were written."""
    keys = variant.model_dump(exclude_unset=True)
    return keys | ({"actions": actions_of(variant.actions)} if "actions" in keys else {})


def _compose_file(path: Path, stack: str) -> Path:
    place = (path.parent / stack).resolve()
    candidates = [place / name for name in COMPOSE_NAMES] if place.is_dir() else [place]
    return next((candidate for candidate in candidates if candidate.is_file()), candidates[0])


def _locustfile(path: Path, name: str) -> Path:
    places = (
        path.parent / name,
        path.parent.parent / "locustfiles" / name,
        source.shipped_root() / "locustfiles" / name,
    )
    return next((place.resolve() for place in places if place.is_file()), places[0])


def _file_problems(document: Document) -> Iterator[Problem]:
    """Yield what is wrong with the files that a scenario names, as far as its values can be read at all."""
    values = document.values if isinstance(document.values, dict) else {}
    load, stack = values.get("load"), values.get("stack")
    compose_file = _compose_file(document.path, stack) if isinstance(stack, str) else None
    services = None if compose_file is None else source.compose_services(compose_file)
    if isinstance(load, dict):
        yield from checks.load_problems(load, document.path.parent)
    known = None if services is None else _with_added(services, values)
    yield from checks.compare_problems(values, known)
    if known is not None:
        yield from action_problems(values, list(_levels(values)), known)
    locustfile = load.get("locustfile") if isinstance(load, dict) else None
    if isinstance(locustfile, str) and not _locustfile(document.path, locustfile).is_file():
        yield Problem(
            ("load", "locustfile"), f"there is no locustfile {locustfile!r} beside the scenario or shipped"
        )
    if compose_file is None:
        return
    if services is None:
        missing = f"there is no Compose file at {compose_file}"
        unreadable = f"{compose_file} is not a Compose file: it has no services"
        yield Problem(("stack",), unreadable if compose_file.is_file() else missing)
        return
    yield from _stack_problems(values, services, compose_file.parent)


def _stack_problems(values: Mapping[str, Any], services: Collection[str], folder: Path) -> Iterator[Problem]:
    door, tiers = values.get("front_door"), values.get("tiers")
    named: list[tuple[YamlPlace, object]]
    named = [(("front_door", "service"), door.get("service"))] if isinstance(door, dict) else []
    named += [(("tiers", str(name)), str(name)) for name in tiers] if isinstance(tiers, dict) else []
    for place, name in named:
        if isinstance(name, str) and name not in services:
            yield Problem(place, f"the stack has no service {name!r}", f"its services: {', '.join(services)}")
    for place, level in _levels(values):
        files = level.get("files")
        for old, new in files.items() if isinstance(files, dict) else ():
            for file in (old, new):
                problem = _file_problem(folder, file) if isinstance(file, str) else ""
                if problem:
                    yield Problem((*place, "files", str(old)), problem)


def _levels(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield every variant, and every level of the grid, with its place, as far as they can be read."""
    axes = values.get("grid")
    groups: list[tuple[tuple[str, ...], Any]] = [(("variants",), values.get("variants"))]
    groups += [(("grid", str(axis)), levels) for axis, levels in axes.items()] if isinstance(axes, dict) else []
    for place, group in groups:
        for name, level in group.items() if isinstance(group, dict) else ():
            if isinstance(level, dict):
                yield (*place, str(name)), level


def _with_added(services: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """Return the names of the services, and of those that variants add."""
    names = [str(name) for name in services]
    for _, level in _levels(values):
        compose = level.get("compose")
        added = compose.get("services") if isinstance(compose, dict) else None
        names += [str(name) for name in added] if isinstance(added, dict) else []
    return list(dict.fromkeys(names))


def _file_problem(folder: Path, name: str) -> str:
    file = _in_stack(folder, name)
    if not file.is_relative_to(folder):
        return f"{name!r} lies outside of the stack's folder, {folder}"
    return "" if file.is_file() else f"the stack has no file {name!r}"


def _in_stack(folder: Path, name: str) -> Path:
    """Return the path of a file in the stack's folder; as in Compose, `..` is resolved without following links."""
    return Path(os.path.normpath(folder / name))


def named_variants(scenario: Scenario) -> tuple[str, ...]:
    """Return the variants that are compared with the base; UsageError if there is none."""
    names = _others(scenario)
    if names:
        return names
    base = scenario.comparing.base
    rest = [name for name in scenario.variants if name != base]
    command = f"seatrial compare {source.scenario_name(scenario.path)} --variants {','.join(rest)}"
    raise UsageError(
        "there is nothing to compare",
        where=str(scenario.path),
        seen=f"only the base, {base!r}",
        expected=f"another variant: {', '.join(rest)}" if rest else "one more variant, under `variants` or `grid`",
        hint=command if rest else _selfcheck(scenario),
    )


def refuse_equal_variants(scenario: Scenario, names: Sequence[str]) -> None:
    """Raise UsageError for two variants that differ in nothing: there is no difference to find."""
    for name, earlier in _equal_variants(scenario, names):
        raise UsageError(
            f"the variants {earlier!r} and {name!r} differ in nothing",
            where=str(scenario.path),
            expected=_DIFFERENT,
            hint=_selfcheck(scenario),
        )


def refuse_short_time(scenario: Scenario, variants: int, design: Design) -> None:
    """Raise UsageError if the load of one block of so many variants does not fit in the budget of time."""
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


def _comparison_problems(scenario: Scenario, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what a comparison of the scenario refuses; one without variants is meant for other commands."""
    comparing, listed = scenario.comparing, values.get("variants") or {}
    others = _others(scenario)
    names = (comparing.base, *others)
    for name, earlier in _equal_variants(scenario, names):
        place = ("variants", name) if name in listed else ("grid",)
        yield Problem(place, f"the variants {earlier!r} and {name!r} differ in nothing; {_DIFFERENT} is expected")
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


def _equal_variants(scenario: Scenario, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each of these variants that differs in nothing from an earlier one, with that one."""
    earlier: list[tuple[str, tuple[Any, ...]]] = []
    for name in names:
        variant = scenario.variants[name]
        files = {old: new for old, new in variant.files.items() if old != new}
        parameters = {**scenario.load.parameters, **variant.parameters}
        changes = (variant.compose, files, parameters, scenario.actions_of(name))
        equal = next((other for other, same in earlier if same == changes), None)
        if equal is not None:
            yield name, equal
        earlier.append((name, changes))


def _least_s(scenario: Scenario, variants: int, design: Design | None) -> float:
    """Return the shortest time of one block's load, in seconds; without a design, that of the shorter design.

    The time in which stacks come up and requests drain is unknown, and not counted.
    """
    load, comparing = scenario.load, scenario.comparing
    warmup_s = min(load.warmup_s, _STABLE_AFTER_S) if load.stable else load.warmup_s
    window_s = {Design.RUNS: load.duration_s, Design.SLICES: comparing.slices * comparing.slice_s}
    return variants * (warmup_s + (min(window_s.values()) if design is None else window_s[design]))


def _selfcheck(scenario: Scenario) -> str:
    base = scenario.comparing.base
    named_base = "" if base == "base" else f" --base {shlex.quote(base)}"
    return f"seatrial selfcheck {source.scenario_name(scenario.path)}{named_base}"

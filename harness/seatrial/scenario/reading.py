"""From a scenario file to a Scenario: grammar first, then what the words mean beside the files they name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from seatrial.model import FrontDoor, HttpProbe, Scenario, Variant
from seatrial.scenario import compare_rules, document, grid, load_rules, overrides, shipped
from seatrial.scenario.document import Document
from seatrial.scenario.grammar import ScenarioText, VariantText
from seatrial.scenario.problems import Problem, of_grammar, refuse

COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def read(wanted: str, settings: Mapping[str, str] | None = None) -> Scenario:
    """Read a scenario by name or path, `--set` values applied; ScenarioInvalid tells all problems at once."""
    return sourced(wanted, settings or {})[0]


def sourced(wanted: str, settings: Mapping[str, str]) -> tuple[Scenario, Document]:
    """Read a scenario as `read` does; return it with the document that it was read from."""
    source = overrides.apply(document.read(shipped.find(wanted)), settings)
    problems = [Problem(place, f"{place[-1]} stands twice") for place in source.repeated]
    try:
        text = ScenarioText.model_validate(source.values)
    except ValidationError as error:
        told = of_grammar(error, ScenarioText)
        places = {problem.place for problem in told}  # what is no word of the grammar needs no second message
        refuse(source, [*problems, *told, *(one for one in _file_problems(source) if one.place not in places)])
        raise  # refuse always raises here: a ValidationError has at least one problem
    if text.ready and text.front_door is None:
        seen, mend = (
            "ready asks over HTTP, and there is no front door to ask",
            "front_door: {service: NAME, port: NUMBER}",
        )
        problems.append(Problem(("ready",), seen, f"name {mend}, or leave ready out"))
    refuse(source, [*problems, *_file_problems(source)])
    return _meaning(text, source.path), source


def _meaning(text: ScenarioText, path: Path) -> Scenario:
    compose_file = _compose_file(path, text.stack)
    folder = compose_file.parent
    return Scenario(
        name=path.stem,
        path=path,
        question=text.question,
        compose_file=compose_file,
        front_door=None if text.front_door is None else FrontDoor(**text.front_door.model_dump()),
        ready=tuple(HttpProbe(path=probe.get, expect=probe.expect, within_s=probe.within) for probe in text.ready),
        seed=text.seed,
        secrets=text.secrets,
        tiers={name: tier.place for name, tier in text.tiers.items()},
        load=load_rules.meaning(text.load, _locustfile(path, text.load.locustfile), path.parent),
        variants=_variants(text, folder),
        allow_hosts=text.allow_hosts,
        gate=text.gate,
        budgets=text.budgets,
        stop_when=text.stop_when,
        comparing=compare_rules.meaning(text.compare),
    )


def _variants(text: ScenarioText, folder: Path) -> dict[str, Variant]:
    """Return the base, the listed variants, and the grid's; a combination that changes nothing is the base."""
    axes = {axis: {name: one.model_dump() for name, one in levels.items()} for axis, levels in text.grid.items()}
    combined = grid.combinations(axes) if axes else {}
    found = dict(text.variants) | {
        name: VariantText.model_validate(level) for name, level in combined.items() if compare_rules.changes(level)
    }
    return {"base": Variant(name="base")} | {name: _variant(name, one, folder) for name, one in found.items()}


def _variant(name: str, text: VariantText, folder: Path) -> Variant:
    return Variant(
        name=name,
        compose=text.compose,
        files={_in_stack(folder, old): _in_stack(folder, new) for old, new in text.files.items()},
        parameters=text.load.parameters,
    )


def _compose_file(path: Path, stack: str) -> Path:
    place = (path.parent / stack).resolve()
    candidates = [place / name for name in COMPOSE_NAMES] if place.is_dir() else [place]
    return next((candidate for candidate in candidates if candidate.is_file()), candidates[0])


def _locustfile(path: Path, name: str) -> Path:
    places = (path.parent / name, path.parent.parent / "locustfiles" / name, shipped.root() / "locustfiles" / name)
    return next((place.resolve() for place in places if place.is_file()), places[0])


def _file_problems(source: Document) -> Iterator[Problem]:
    """Yield what is wrong with the files that a scenario names, as far as its words can be read at all."""
    values = source.values if isinstance(source.values, dict) else {}
    load = values.get("load")
    if isinstance(load, dict):
        yield from load_rules.problems(load, source.path.parent)
    yield from compare_rules.problems(values, _all_services(source.path, values))
    locustfile = load.get("locustfile") if isinstance(load, dict) else None
    if isinstance(locustfile, str) and not _locustfile(source.path, locustfile).is_file():
        yield Problem(
            ("load", "locustfile"), f"there is no locustfile {locustfile!r} beside the scenario or shipped"
        )
    if not isinstance(values.get("stack"), str):
        return
    compose_file = _compose_file(source.path, values["stack"])
    if not compose_file.is_file():
        yield Problem(("stack",), f"there is no Compose file at {compose_file}")
        return
    services = _services(compose_file)
    if services is None:
        yield Problem(("stack",), f"{compose_file} is not a Compose file: it has no services")
        return
    yield from _service_problems(values, services)
    yield from _replaced_files(values, compose_file.parent)


def _services(compose_file: Path) -> list[str] | None:
    try:
        content = yaml.safe_load(compose_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError):
        return None
    services = content.get("services") if isinstance(content, dict) else None
    return [str(name) for name in services] if isinstance(services, dict) else None


def _service_problems(values: Mapping[str, Any], services: list[str]) -> Iterator[Problem]:
    named: list[tuple[tuple[str, ...], object]] = []
    if isinstance(values.get("front_door"), dict):
        named.append((("front_door", "service"), values["front_door"].get("service")))
    if isinstance(values.get("tiers"), dict):
        named += [(("tiers", str(name)), str(name)) for name in values["tiers"]]
    for place, name in named:
        if isinstance(name, str) and name not in services:
            yield Problem(place, f"the stack has no service {name!r}", f"its services: {', '.join(services)}")


def _replaced_files(values: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    for place, level in _levels(values):
        files = level.get("files")
        for old, new in files.items() if isinstance(files, dict) else ():
            yield from (Problem((*place, "files", str(old)), text) for text in _of_files(folder, old, new))


def _levels(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield every variant, and every level of the grid, with its place, as far as they can be read."""
    axes = values.get("grid")
    groups: list[tuple[tuple[str, ...], Any]] = [(("variants",), values.get("variants"))]
    groups += [(("grid", str(axis)), levels) for axis, levels in axes.items()] if isinstance(axes, dict) else []
    for place, group in groups:
        for name, level in group.items() if isinstance(group, dict) else ():
            if isinstance(level, dict):
                yield (*place, str(name)), level


def _all_services(path: Path, values: Mapping[str, Any]) -> list[str] | None:
    """Return the services of the stack, and those that variants add; None if the stack can't be read."""
    stack = values.get("stack")
    services = _services(_compose_file(path, stack)) if isinstance(stack, str) else None
    if services is None:
        return None
    changes = [level.get("compose") for _, level in _levels(values)]
    added = [one["services"] for one in changes if isinstance(one, dict) and isinstance(one.get("services"), dict)]
    return list(dict.fromkeys([*services, *(str(name) for one in added for name in one)]))


def _of_files(folder: Path, *names: object) -> Iterator[str]:
    for name in names:
        if not isinstance(name, str):
            continue
        file = _in_stack(folder, name)
        if not file.is_relative_to(folder):
            yield f"{name!r} lies outside of the stack's folder, {folder}"
        elif not file.is_file():
            yield f"the stack has no file {name!r}"


def _in_stack(folder: Path, name: str) -> Path:
    """Return the file that a name in the stack's folder means; `..` is taken by its letters, as Compose does."""
    return Path(os.path.normpath(folder / name))

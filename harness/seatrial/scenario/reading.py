"""A scenario file to a Scenario: the grammar first, then checks of the values and of the files they name."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from seatrial.model import FrontDoor, HttpProbe, Scenario, Variant
from seatrial.scenario import checks as compare_rules
from seatrial.scenario import grid, load_rules, overrides, plain, shipped
from seatrial.scenario import source as document
from seatrial.scenario.grammar_ import ScenarioText, VariantText
from seatrial.scenario.problems import Problem, of_grammar, refuse
from seatrial.scenario.source import Document

COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def read(wanted: str, settings: Mapping[str, str] | None = None) -> Scenario:
    """Read a scenario by name or path, `--set` values applied; ScenarioInvalid with all problems at once."""
    return sourced(wanted, settings or {})[0]


def sourced(wanted: str, settings: Mapping[str, str]) -> tuple[Scenario, Document]:
    """Read a scenario as `read` does; return it with the document that it was read from."""
    source = overrides.apply(document.read(shipped.find(wanted)), settings)
    problems = [Problem(place, f"{place[-1]} stands twice") for place in source.repeated]
    try:
        text = ScenarioText.model_validate(source.values)
    except ValidationError as error:
        refused = of_grammar(error, ScenarioText)
        places = {problem.place for problem in refused}  # a second message for the same place would add nothing
        refuse(source, [*problems, *refused, *(one for one in _file_problems(source) if one.place not in places)])
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
        load=load_rules.load_meaning(text.load, _locustfile(path, text.load.locustfile), path.parent),
        variants=_variants(text, folder),
        allow_hosts=text.allow_hosts,
        gate=text.gate,
        budgets=text.budgets,
        stop_when=text.stop_when,
        comparing=compare_rules.compare_meaning(text.compare),
    )


def _variants(text: ScenarioText, folder: Path) -> dict[str, Variant]:
    """Return the base, the listed variants, and the grid's; a combination that changes nothing is the base."""
    axes = {axis: {name: one.model_dump() for name, one in levels.items()} for axis, levels in text.grid.items()}
    combined = grid.combinations(axes) if axes else {}
    texts = dict(text.variants) | {
        name: VariantText.model_validate(level) for name, level in combined.items() if compare_rules.changes(level)
    }
    return {"base": Variant(name="base")} | {
        name: Variant(
            name=name,
            compose=one.compose,
            files={_in_stack(folder, old): _in_stack(folder, new) for old, new in one.files.items()},
            parameters=one.load.parameters,
        )
        for name, one in texts.items()
    }


def _compose_file(path: Path, stack: str) -> Path:
    place = (path.parent / stack).resolve()
    candidates = [place / name for name in COMPOSE_NAMES] if place.is_dir() else [place]
    return next((candidate for candidate in candidates if candidate.is_file()), candidates[0])


def _locustfile(path: Path, name: str) -> Path:
    places = (path.parent / name, path.parent.parent / "locustfiles" / name, shipped.root() / "locustfiles" / name)
    return next((place.resolve() for place in places if place.is_file()), places[0])


def _file_problems(source: Document) -> Iterator[Problem]:
    """Yield what is wrong with the files that a scenario names, as far as its values can be read at all."""
    values = source.values if isinstance(source.values, dict) else {}
    load, stack = values.get("load"), values.get("stack")
    compose_file = _compose_file(source.path, stack) if isinstance(stack, str) else None
    services = None if compose_file is None else plain.compose_services(compose_file)
    if isinstance(load, dict):
        yield from load_rules.load_problems(load, source.path.parent)
    yield from compare_rules.compare_problems(values, None if services is None else _with_added(services, values))
    locustfile = load.get("locustfile") if isinstance(load, dict) else None
    if isinstance(locustfile, str) and not _locustfile(source.path, locustfile).is_file():
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
    yield from _service_problems(values, services)
    for place, level in _levels(values):
        files = level.get("files")
        for old, new in files.items() if isinstance(files, dict) else ():
            texts = _file_texts(compose_file.parent, old, new)
            yield from (Problem((*place, "files", str(old)), text) for text in texts)


def _service_problems(values: Mapping[str, Any], services: Collection[str]) -> Iterator[Problem]:
    named: list[tuple[tuple[str, ...], object]] = []
    if isinstance(values.get("front_door"), dict):
        named.append((("front_door", "service"), values["front_door"].get("service")))
    if isinstance(values.get("tiers"), dict):
        named += [(("tiers", str(name)), str(name)) for name in values["tiers"]]
    for place, name in named:
        if isinstance(name, str) and name not in services:
            yield Problem(place, f"the stack has no service {name!r}", f"its services: {', '.join(services)}")


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
    changes = [level.get("compose") for _, level in _levels(values)]
    added = [one["services"] for one in changes if isinstance(one, dict) and isinstance(one.get("services"), dict)]
    return list(dict.fromkeys([*services, *(str(name) for one in added for name in one)]))


def _file_texts(folder: Path, *names: object) -> Iterator[str]:
    for name in names:
        if not isinstance(name, str):
            continue
        file = _in_stack(folder, name)
        if not file.is_relative_to(folder):
            yield f"{name!r} lies outside of the stack's folder, {folder}"
        elif not file.is_file():
            yield f"the stack has no file {name!r}"


def _in_stack(folder: Path, name: str) -> Path:
    """Return the file of a name in the stack's folder; as in Compose, `..` is resolved without following links."""
    return Path(os.path.normpath(folder / name))

"""From a scenario file to a Scenario: grammar first, then what the words mean beside the files they name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from seatrial.model import FrontDoor, Probe, Scenario, Variant
from seatrial.scenario import document, load_rules, overrides, shipped
from seatrial.scenario.grammar import ScenarioText
from seatrial.scenario.problems import Problem, of_grammar, refuse

COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def read(wanted: str, settings: Mapping[str, str] | None = None) -> Scenario:
    """Read a scenario by name or path, `--set` values applied; ScenarioInvalid tells all problems at once."""
    source = overrides.apply(document.read(shipped.find(wanted)), settings or {})
    problems = [Problem(place, f"{place[-1]} stands twice") for place in source.repeated]
    try:
        text = ScenarioText.model_validate(source.values)
    except ValidationError as error:
        told = of_grammar(error, ScenarioText)
        places = {problem.place for problem in told}  # what is no word of the grammar needs no second message
        refuse(source, [*problems, *told, *(one for one in _file_problems(source) if one.place not in places)])
        raise  # refuse always raises here: a ValidationError has at least one problem
    refuse(source, [*problems, *_file_problems(source)])
    return _meaning(text, source.path)


def _meaning(text: ScenarioText, path: Path) -> Scenario:
    compose_file = _compose_file(path, text.stack)
    folder = compose_file.parent
    variants = {"base": Variant(name="base")} | {
        name: Variant(
            name=name,
            compose=variant.compose,
            files={_in_stack(folder, old): _in_stack(folder, new) for old, new in variant.files.items()},
        )
        for name, variant in text.variants.items()
    }
    return Scenario(
        name=path.stem,
        path=path,
        question=text.question,
        compose_file=compose_file,
        front_door=FrontDoor(service=text.front_door.service, port=text.front_door.port),
        ready=tuple(Probe(path=probe.get, expect=probe.expect, within_s=probe.within) for probe in text.ready),
        seed=text.seed,
        secrets=text.secrets,
        tiers={name: tier.place for name, tier in text.tiers.items()},
        load=load_rules.meaning(text.load, _locustfile(path, text.load.locustfile), path.parent),
        variants=variants,
        allow_hosts=text.allow_hosts,
    )


def _compose_file(path: Path, stack: str) -> Path:
    place = (path.parent / stack).resolve()
    candidates = [place / name for name in COMPOSE_NAMES] if place.is_dir() else [place]
    return next((candidate for candidate in candidates if candidate.is_file()), candidates[0])


def _locustfile(path: Path, name: str) -> Path:
    places = (path.parent / name, path.parent.parent / "locustfiles" / name, shipped.root() / "locustfiles" / name)
    return next((place.resolve() for place in places if place.is_file()), places[0])


def _file_problems(source: document.Document) -> Iterator[Problem]:
    """Yield what is wrong with the files that a scenario names, as far as its words can be read at all."""
    values = source.values if isinstance(source.values, dict) else {}
    load = values.get("load")
    if isinstance(load, dict):
        yield from load_rules.problems(load, source.path.parent)
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
    variants = values.get("variants")
    for name, variant in variants.items() if isinstance(variants, dict) else ():
        files = variant.get("files") if isinstance(variant, dict) else None
        for old, new in files.items() if isinstance(files, dict) else ():
            place = ("variants", str(name), "files", str(old))
            yield from (Problem(place, text) for text in _of_files(folder, old, new))


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

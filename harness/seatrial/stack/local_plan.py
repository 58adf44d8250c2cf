"""The plan of the local engine: the `x-seatrial.local` entries of a Compose file, with variables filled in."""

from __future__ import annotations

import os
import re
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seatrial.errors import UsageError
from seatrial.model import StackSpec
from seatrial.stack.compose_file import check_front_door, local_entry

_VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:(:?[-?+])([^}]*))?\})")
_REQUIRED = re.compile(r"(?<!\$)\$\{(\w+):?\?")
_ENTRY = re.compile(r"""^\s*(?:export\s+)?(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|(.*?))\s*(?:(?<=\s)\#.*)?$""")
_NAME = re.compile(r"\$\{([^}]*)\}")
_MAIN = "main"
_CHANGEABLE = {"environment", "x-seatrial"}


def compose_variables(text: str, environment: Mapping[str, str]) -> str:
    """Fill in `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `${NAME:+other}`; `$$` is one dollar.

    The rules are those of the Compose file reference, "Interpolation"; nested defaults are not supported.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return "$" if name is None else _value(name, match[3] or "", match[4] or "", environment)

    return _VARIABLE.sub(value, text)


def dotenv(folder: Path) -> dict[str, str]:
    """Return the variables of the `.env` file in a folder; none if there is no such file.

    A subset of Compose's syntax: one `NAME=value` a line, the value plain, in 'single' or in "double" quotes,
    without escapes or other variables in it; `export` before the name, and ` # comments`.
    """
    try:
        lines = (folder / ".env").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("the .env file can't be read", where=str(folder / ".env"), seen=str(error)) from error
    entries = [match for line in lines if (match := _ENTRY.match(line))]
    return {entry[1]: next((part for part in entry.groups()[1:] if part is not None), "") for entry in entries}


def required(text: str) -> set[str]:
    """Return the variables without which a Compose file can't be read (`${NAME:?message}`)."""
    return set(_REQUIRED.findall(text))


def names(text: str, known: Mapping[str, str], *, where: str) -> str:
    """Fill in `${name}`, written `$${name}` where Compose reads it, too; UsageError for an unknown name."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise UsageError(
                f"unknown name {match[0]}", where=where, expected=f"one of {', '.join(sorted(known))}"
            )
        return known[match[1]]

    return _NAME.sub(value, text.replace("$$", "$"))


def _value(name: str, operator: str, word: str, environment: Mapping[str, str]) -> str:
    given = environment.get(name)
    is_set = bool(given) if operator.startswith(":") else given is not None
    match operator[-1:]:
        case "-":
            return given or "" if is_set else word
        case "+":
            return word if is_set else ""
        case "?" if not is_set:
            raise UsageError(f"the stack needs the variable {name}", seen="it is not set", hint=word)
        case _:
            return given or ""


class Local(BaseModel):
    """One service's `local` entry, as written."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    command: list[str] = Field(min_length=1)
    kind: str = Field(default="service", pattern="^(service|once)$")
    port: int | None = None
    ports: dict[str, int] = {}
    files: list[str] = []
    replace: dict[str, str] = {}
    environment: dict[str, str] = {}
    logs: list[str] = []
    package: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalService:
    """One service; `where` is the place of its entry."""

    name: str
    where: str
    local: Local
    environment: Mapping[str, str]
    after: tuple[str, ...]

    @property
    def is_once(self) -> bool:
        """Whether it is meant to end."""
        return self.local.kind == "once"

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports that it has inside a container, by name, the main one first."""
        main = {} if self.local.port is None else {_MAIN: self.local.port}
        return {**main, **dict(sorted(self.local.ports.items(), key=lambda one: one[0] != _MAIN))}


def plan(spec: StackSpec, *, surroundings: Mapping[str, str] = os.environ) -> list[LocalService]:
    """Return the services in the order in which they start; UsageError if one can't run without containers.

    Compose variables come from where Compose takes them: the spec's environment, this process's, and the `.env`
    file beside the Compose file.
    """
    try:
        document = yaml.safe_load(spec.compose_file.read_text(encoding="utf-8"))
        raw: Mapping[str, Any] = document["services"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UsageError("the stack can't be read", where=str(spec.compose_file), seen=str(error)) from error
    changes = _changes(spec)
    settings = ChainMap(dict(spec.environment), dict(surroundings), dotenv(spec.folder))
    services = {}
    for name, service in raw.items():
        where = f"{spec.compose_file}: services.{name}.x-seatrial.local"
        services[name] = _service(name, service or {}, changes.get(name, {}), settings, where)
    check_front_door(spec, services)
    try:
        order = list(TopologicalSorter({name: one.after for name, one in services.items()}).static_order())
    except CycleError as error:
        raise UsageError(
            "services wait for each other", where=str(spec.compose_file), seen=" -> ".join(error.args[1])
        ) from error
    return [services[name] for name in order]


def _changes(spec: StackSpec) -> Mapping[str, Any]:
    """Return the variant's changes by service; UsageError for a change that needs a container."""
    changes: Mapping[str, Any] = spec.variant.compose.get("services") or {}
    unknown = [key for key in spec.variant.compose if key != "services"]
    unknown += [f"services.{name}.{key}" for name, one in changes.items() for key in one if key not in _CHANGEABLE]
    if unknown:
        raise UsageError(
            f"the local engine can't apply variant {spec.variant.name!r}",
            seen=f"it changes {', '.join(unknown)}",
            expected="changes of `environment`, `x-seatrial` or `files` only",
            hint="run it with `--engine compose`",
        )
    return changes


def _service(
    name: str, service: Mapping[str, Any], change: Mapping[str, Any], settings: Mapping[str, str], where: str
) -> LocalService:
    entry = local_entry(service) | local_entry(change)
    if not entry:
        raise UsageError(
            f"service {name!r} has no `local` entry, so it can't run without Docker",
            where=where,
            hint="use `--engine compose`",
        )
    try:
        local = Local.model_validate(entry)
    except ValidationError as error:
        seen = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UsageError(f"service {name!r} has a wrong `local` entry", where=where, seen=seen) from error
    return LocalService(
        name=name,
        where=where,
        local=local,
        environment=_environment(service, settings) | _environment(change, settings),
        after=tuple(service.get("depends_on") or ()),
    )


def _environment(service: Mapping[str, Any], settings: Mapping[str, str]) -> dict[str, str]:
    given = service.get("environment") or {}
    if isinstance(given, list):  # the other form of Compose: NAME=value, or NAME alone to pass it on
        given = {name: value if sep else None for name, sep, value in (line.partition("=") for line in given)}
    filled = {}
    for name, value in given.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        filled[name] = settings.get(name, "") if value is None else compose_variables(text, settings)
    return filled

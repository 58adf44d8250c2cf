"""Finding a scenario file, reading its YAML with line numbers, and applying `--set` overrides."""

from __future__ import annotations

import copy
import difflib
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from seatrial.errors import ScenarioInvalid, UsageError

_ANY = "*"
_PARAMETERS = (
    ("load", "parameters"),
    ("variants", _ANY, "load", "parameters"),
    ("grid", _ANY, _ANY, "load", "parameters"),
)
"""Below these places every value is text, as it goes to the command line of the load generator."""
_PACKAGE = Path(__file__).resolve().parent.parent
YamlPlace = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The plain values of a YAML file, the line (from 1) of each place, and the repeated keys.

    `overridden` are the places that the command line has set.
    """

    path: Path
    values: Any
    lines: Mapping[YamlPlace, int] = field(default_factory=dict)
    repeated: tuple[YamlPlace, ...] = ()
    overridden: frozenset[YamlPlace] = frozenset()

    def line(self, place: YamlPlace) -> int:
        """Return the line of the place, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def where(self, place: YamlPlace) -> str:
        """Return file and line of the place, or that the command line has set it."""
        if any(place[: len(overridden)] == overridden for overridden in self.overridden):
            return "on the command line"
        return f"{self.path}:{self.line(place)}"


def shipped_root() -> Path:
    """Return the folder that holds `scenarios/` and `locustfiles/`."""
    installed = _PACKAGE / "_shipped"
    return installed if installed.is_dir() else _PACKAGE.parent.parent


def shipped_names() -> tuple[str, ...]:
    """Return the names of the shipped scenarios."""
    return tuple(sorted(path.stem for path in (shipped_root() / "scenarios").glob("*.yaml")))


def scenario_name(path: Path) -> str:
    """Return the shell argument for the scenario of this file: its name or its path."""
    name = path.stem
    return name if name in shipped_names() and path == find_scenario(name) else shlex.quote(str(path))


def find_scenario(name: str) -> Path:
    """Return the scenario's file: a path, or the name of one that is shipped; UsageError if there is neither."""
    path = Path(name)
    if path.is_file():
        return path.resolve()
    if path.suffix in {".yaml", ".yml"}:
        raise UsageError("the scenario's file does not exist", where=str(path), hint="seatrial list --scenarios")
    if name in shipped_names():
        return shipped_root() / "scenarios" / f"{name}.yaml"
    raise UsageError(
        f"there is no scenario {name!r}",
        seen=name,
        expected=f"the path of a .yaml file, or one of: {', '.join(shipped_names())}",
        hint=did_you_mean(name, shipped_names()) or "seatrial list --scenarios",
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known name that is most like this one; empty where none is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""


def read_document(path: Path) -> Document:
    """Read one YAML file; ScenarioInvalid if it can't be read or is not YAML."""
    try:
        root, places = _yaml_tree(path.read_text(encoding="utf-8"))
        values = _plain_values(root)
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioInvalid("the file can't be read", where=str(path), seen=str(error)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise ScenarioInvalid("the file is not YAML", where=where, seen=problem) from error
    except RecursionError as error:
        raise ScenarioInvalid("the file is nested too deeply", where=str(path)) from error
    counts = Counter(place for place, _ in places)
    return Document(path, values, dict(places), tuple(place for place, count in counts.items() if count > 1))


def parse_overrides(pairs: tuple[str, ...]) -> dict[str, str]:
    """Parse `a.b=value` pairs into a mapping; UsageError for a pair without a key or an equals sign."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError("--set takes key=value", seen=pair, expected="--set load.users=4")
        settings[key] = value
    return settings


def apply_overrides(document: Document, settings: Mapping[str, str]) -> Document:
    """Return the document with each dotted key set; the result is checked as if it were written in the file."""
    if not settings or not isinstance(document.values, dict):
        return document
    values = copy.deepcopy(document.values)
    for key, text in settings.items():
        place = tuple(key.split("."))
        node = values
        for step in place[:-1]:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                raise UsageError("--set names a key inside a value that has none", where=key, seen=repr(node))
        try:
            is_text = any(len(place) == len(path) + 1 and _within(place[:-1], path) for path in _PARAMETERS)
            node[place[-1]] = text if is_text else _plain_values(_yaml_tree(text)[0], place)
        except (yaml.YAMLError, RecursionError) as error:
            raise UsageError("--set has a value that is not YAML", where=key, seen=text) from error
    return replace(document, values=values, overridden=frozenset(tuple(key.split(".")) for key in settings))


def compose_services(compose_file: Path) -> dict[str, Any] | None:
    """Return the services of a Compose file as they are written; None if it has none or can't be read."""
    try:
        content = yaml.safe_load(compose_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError):
        return None
    services = content.get("services") if isinstance(content, dict) else None
    return {str(name): service for name, service in services.items()} if isinstance(services, dict) else None


def _plain_values(root: yaml.Node | None, place: tuple[str, ...] = ()) -> Any:  # noqa: ANN401  (any YAML value)
    """Return the values of a tree at `place` of the scenario, parameters as text; YAMLError for unknown tags."""
    if root is None:
        return None
    for path in _PARAMETERS:
        if _within(place, path):
            _mark_as_text(root, path[len(place) :])
    return yaml.constructor.SafeConstructor().construct_document(root)


def _within(place: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Return whether `place` is the path, or leads to it."""
    return len(place) <= len(path) and all(step in (_ANY, here) for here, step in zip(place, path, strict=False))


def _mark_as_text(node: yaml.Node, path: tuple[str, ...]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for index, (key, value) in enumerate(node.value):
        if not path:
            node.value[index] = (key, _text(value))
        elif path[0] in (_ANY, key.value):
            _mark_as_text(value, path[1:])


def _text(node: yaml.Node) -> yaml.Node:
    """Return a scalar as text, in a new node: an alias may use the same one at another place.

    Null, true and false stay what they are; YAML 1.1's other words for a flag (`no`, `on`) are text.
    """
    is_null = node.tag == "tag:yaml.org,2002:null"
    if not isinstance(node, yaml.ScalarNode) or is_null or node.value.lower() in {"true", "false"}:
        return node
    return yaml.ScalarNode("tag:yaml.org,2002:str", node.value, node.start_mark, node.end_mark, node.style)


def _yaml_tree(text: str) -> tuple[yaml.Node | None, list[tuple[YamlPlace, int]]]:
    """Return the tree of a YAML text and the line of each place in it; YAMLError for one that contains itself."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return root, list(_places((), root, frozenset(), set())) if root is not None else []


def _places(
    place: YamlPlace, node: yaml.Node, ancestors: frozenset[int], visited: set[int]
) -> Iterator[tuple[YamlPlace, int]]:
    """Yield the place and line of all keys and items; those that an alias repeats are listed once."""
    if id(node) in ancestors:
        raise yaml.MarkedYAMLError(
            problem="an alias (*) stands within the value that it repeats", problem_mark=node.start_mark
        )
    if id(node) in visited:
        return
    visited.add(id(node))
    inside = ancestors | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _places(inner, value, inside, visited)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*place, index), item.start_mark.line + 1
            yield from _places((*place, index), item, inside, visited)

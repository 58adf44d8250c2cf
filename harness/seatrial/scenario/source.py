"""A YAML document with the line of every key, so that a problem can be reported with its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seatrial.errors import ScenarioInvalid
from seatrial.scenario import plain

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The plain values of a YAML file, the line (from 1) of each place, and the repeated keys.

    `overridden` are the places that the command line has set.
    """

    path: Path
    values: Any
    lines: Mapping[Place, int] = field(default_factory=dict)
    repeated: tuple[Place, ...] = ()
    overridden: frozenset[Place] = frozenset()

    def line(self, place: Place) -> int:
        """Return the line of the place, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def where(self, place: Place) -> str:
        """Return file and line of the place, or that the command line has set it."""
        if any(place[: len(one)] == one for one in self.overridden):
            return "on the command line"
        return f"{self.path}:{self.line(place)}"


def read(path: Path) -> Document:
    """Read one YAML file; ScenarioInvalid if it can't be read or is not YAML."""
    try:
        root, places = tree(path.read_text(encoding="utf-8"))
        values = plain.plain_values(root)
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


def tree(text: str) -> tuple[yaml.Node | None, list[tuple[Place, int]]]:
    """Return the tree of a YAML text and the line of each place in it; YAMLError for one that contains itself."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return root, list(_places((), root, frozenset(), set())) if root is not None else []


def _places(place: Place, node: yaml.Node, around: frozenset[int], seen: set[int]) -> Iterator[tuple[Place, int]]:
    """Yield the place and line of all keys and items; what an alias repeats is listed once."""
    if id(node) in around:
        raise yaml.MarkedYAMLError(
            problem="an alias (*) stands within the value that it repeats", problem_mark=node.start_mark
        )
    if id(node) in seen:
        return
    seen.add(id(node))
    inside = around | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _places(inner, value, inside, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*place, index), item.start_mark.line + 1
            yield from _places((*place, index), item, inside, seen)

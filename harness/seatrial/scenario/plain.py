"""Plain values of a YAML tree, in which a load parameter keeps its text (1.10 is not 1.1); Compose services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_ANY = "*"
_PARAMETERS = (
    ("load", "parameters"),
    ("variants", _ANY, "load", "parameters"),
    ("grid", _ANY, _ANY, "load", "parameters"),
)
"""Below these places every value is text, as it goes to the command line of the load generator."""

_TEXT = "tag:yaml.org,2002:str"
_NOTHING = "tag:yaml.org,2002:null"
_FLAGS = frozenset({"true", "false"})


def plain_values(root: yaml.Node | None, place: tuple[str, ...] = ()) -> Any:  # noqa: ANN401  (any YAML value)
    """Return the values of a tree at `place` of the scenario, parameters as text; YAMLError for unknown tags."""
    if root is None:
        return None
    for path in _PARAMETERS:
        if _within(place, path):
            _keep_text(root, path[len(place) :])
    return yaml.constructor.SafeConstructor().construct_document(root)


def is_parameter(place: tuple[str, ...]) -> bool:
    """Return whether a place of the scenario is a load parameter's."""
    return any(len(place) == len(path) + 1 and _within(place[:-1], path) for path in _PARAMETERS)


def _within(place: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Return whether `place` is the path, or leads to it."""
    return len(place) <= len(path) and all(step in (_ANY, here) for here, step in zip(place, path, strict=False))


def _keep_text(node: yaml.Node, path: tuple[str, ...]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for index, (key, value) in enumerate(node.value):
        if not path:
            node.value[index] = (key, _text(value))
        elif path[0] in (_ANY, key.value):
            _keep_text(value, path[1:])


def _text(node: yaml.Node) -> yaml.Node:
    """Return a scalar as text, in a node of its own: an alias may use the same one at another place.

    Null, true and false stay what they are; YAML 1.1's other words for a flag (`no`, `on`) are text.
    """
    if not isinstance(node, yaml.ScalarNode) or node.tag == _NOTHING or node.value.lower() in _FLAGS:
        return node
    return yaml.ScalarNode(_TEXT, node.value, node.start_mark, node.end_mark, node.style)


def compose_services(compose_file: Path) -> dict[str, Any] | None:
    """Return the services of a Compose file as they are written; None if the file has none or can't be read."""
    try:
        content = yaml.safe_load(compose_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError):
        return None
    services = content.get("services") if isinstance(content, dict) else None
    return {str(name): service for name, service in services.items()} if isinstance(services, dict) else None

"""From a YAML tree to plain values; a load parameter keeps the text that was written: 1.10 is not 1.1."""

from __future__ import annotations

from typing import Any

import yaml

PARAMETERS = ("load", "parameters")
"""Below this place every value is text, as it goes to the command line of the load generator."""

_TEXT = "tag:yaml.org,2002:str"
_NOTHING = "tag:yaml.org,2002:null"
_FLAGS = frozenset({"true", "false"})


def values(root: yaml.Node | None, place: tuple[str, ...] = ()) -> Any:  # noqa: ANN401  (any YAML value)
    """Return what a tree at `place` of the scenario stands for; YAMLError if YAML has no word for it.

    The tree's parameters are turned into text.
    """
    if root is None:
        return None
    if PARAMETERS[: len(place)] == place:
        _keep_text(root, PARAMETERS[len(place) :])
    return yaml.constructor.SafeConstructor().construct_document(root)


def _keep_text(node: yaml.Node, path: tuple[str, ...]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for index, (key, value) in enumerate(node.value):
        if not path:
            node.value[index] = (key, _text(value))
        elif key.value == path[0]:
            _keep_text(value, path[1:])


def _text(node: yaml.Node) -> yaml.Node:
    """Return a scalar as text, in a node of its own: an alias may give the same one a place elsewhere.

    Nothing and a flag stay what they are; YAML 1.1's other words for a flag (`no`, `on`) are text.
    """
    if not isinstance(node, yaml.ScalarNode) or node.tag == _NOTHING or node.value.lower() in _FLAGS:
        return node
    return yaml.ScalarNode(_TEXT, node.value, node.start_mark, node.end_mark, node.style)

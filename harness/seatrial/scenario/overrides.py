"""`--set key=value`: values of a scenario replaced from the command line, before they are checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from seatrial.errors import UsageError
from seatrial.scenario import plain
from seatrial.scenario.source import Document, tree


def parse(pairs: tuple[str, ...]) -> dict[str, str]:
    """Turn `a.b=value` pairs into a mapping; UsageError for a pair without a key or an equals sign."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError("--set takes key=value", seen=pair, expected="--set load.users=4")
        settings[key] = value
    return settings


def apply(document: Document, settings: Mapping[str, str]) -> Document:
    """Return the document with each dotted key set; the result is checked as if it were written in the file."""
    if not settings or not isinstance(document.values, dict):
        return document
    values = copy.deepcopy(document.values)
    for key, text in settings.items():
        _set(values, key, text)
    return replace(document, values=values, overridden=frozenset(tuple(key.split(".")) for key in settings))


def _set(values: dict[str, Any], key: str, text: str) -> None:
    place = tuple(key.split("."))
    node = values
    for step in place[:-1]:
        inner = node.setdefault(step, {})
        if not isinstance(inner, dict):
            raise UsageError("--set names a key inside a value that has none", where=key, seen=repr(inner))
        node = inner
    try:
        node[place[-1]] = text if plain.is_parameter(place) else plain.plain_values(tree(text)[0], place)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError("--set has a value that is not YAML", where=".".join(place), seen=text) from error

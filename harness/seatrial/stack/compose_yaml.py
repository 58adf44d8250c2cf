"""Compose's YAML: read from `docker compose config`, and written for an override."""

from __future__ import annotations

from typing import Any, cast

import yaml

Config = dict[str, Any]
"""What `docker compose config` prints: every default filled in, every short form made long."""


class Instead(list[Any]):
    """A list that takes the place of the one in the file, where Compose would append (`!override`, 2.24.4)."""


class _Dumper(yaml.SafeDumper):
    """Writes `Instead` with its tag."""


def _represent_instead(dumper: yaml.SafeDumper, data: Instead) -> yaml.Node:
    return dumper.represent_sequence("!override", list(data))


_Dumper.add_representer(Instead, _represent_instead)


def dump(document: Config) -> str:
    """Return the file's text."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False)


def parsed(text: str) -> Config:
    """Read what `docker compose config` printed; it doubles every `$`, which is undone here."""
    return cast("Config", _unescaped(yaml.safe_load(text)))


def escaped(text: object) -> str:
    """Return a text with its `$` doubled, as Compose reads it."""
    return str(text).replace("$", "$$")


def _unescaped(value: object) -> object:
    match value:
        case str():
            return value.replace("$$", "$")
        case list():
            return [_unescaped(one) for one in value]
        case dict():
            return {key: _unescaped(one) for key, one in value.items()}
        case _:
            return value

"""What a client asks for and what it may have, in the scope grammar of the Distribution specification.

`repository:team/app:pull,push` is a resource type, a name and actions (docs/content/spec/auth/scope.md). The rules
of a user are written in the same grammar, where a name is a shell pattern and the action `*` allows every action.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

# A name may hold a host with a port, so that only the first and the last colon separate.
_SCOPE = re.compile(r"([a-z0-9]+)(?:\(([a-z0-9]+)\))?:(\S+):((?:[a-z]+|\*)(?:,(?:[a-z]+|\*))*)")


class InvalidScope(ValueError):
    """A scope does not follow the grammar."""


@dataclass(frozen=True)
class Scope:
    """Actions on one resource, asked for or granted."""

    kind: str
    name: str
    actions: tuple[str, ...]
    group: str = ""

    def __str__(self) -> str:
        group = f"({self.group})" if self.group else ""
        return f"{self.kind}{group}:{self.name}:{','.join(self.actions)}"

    def claim(self) -> dict[str, Any]:
        """Return the entry of the token's `access` claim."""
        group = {"class": self.group} if self.group else {}
        return {"type": self.kind, **group, "name": self.name, "actions": list(self.actions)}


def parse(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Read scopes, several in one text where spaces separate them; raises InvalidScope."""
    return tuple(_one(word) for text in texts for word in text.split())


def granted(asked: Iterable[Scope], rules: Sequence[Scope]) -> tuple[Scope, ...]:
    """Return the part of what was asked that the rules allow; less, or nothing, is not an error.

    The registry refuses later what the token lacks (docs/content/spec/auth/token.md, "Requesting a Token").
    """
    allowed = (Scope(ask.kind, ask.name, _allowed(ask, rules), ask.group) for ask in asked)
    return tuple(scope for scope in allowed if scope.actions)


def _one(word: str) -> Scope:
    match = _SCOPE.fullmatch(word)
    if match is None:
        raise InvalidScope(f"scope {word!r} is not TYPE:NAME:ACTION[,ACTION]")
    kind, group, name, actions = match.groups()
    return Scope(kind, name, tuple(dict.fromkeys(actions.split(","))), group or "")


def _allowed(ask: Scope, rules: Sequence[Scope]) -> tuple[str, ...]:
    matching = [rule for rule in rules if rule.kind == ask.kind and fnmatchcase(ask.name, rule.name)]
    actions = {action for rule in matching for action in rule.actions}
    return tuple(action for action in ask.actions if action in actions or "*" in actions)

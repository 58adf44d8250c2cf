"""Fills in what stands between braces: Compose's variables, and our own names in `x-seatrial`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from seatrial.errors import UsageError

_VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:(:?[-?+])([^}]*))?\})")
_NAME = re.compile(r"\$\{([^}]*)\}")


def compose_variables(text: str, environment: Mapping[str, str]) -> str:
    """Fill in `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `${NAME:+other}`; `$$` is one dollar.

    The rules are those of the Compose file reference, "Interpolation"; nested defaults are not supported.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return "$" if name is None else _value(name, match[3] or "", match[4] or "", environment)

    return _VARIABLE.sub(value, text)


def names(text: str, known: Mapping[str, str], *, where: str) -> str:
    """Fill in `${name}`, written `$${name}` where Compose reads it, too; UsageError for an unknown name."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise UsageError(
                f"nothing is known as {match[0]}", where=where, expected=f"one of {', '.join(sorted(known))}"
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

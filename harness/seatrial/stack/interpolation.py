"""Interpolation of Compose's variables, and of Seatrial's own names in `x-seatrial`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from seatrial.errors import UsageError

_VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:(:?[-?+])([^}]*))?\})")
_REQUIRED = re.compile(r"(?<!\$)\$\{(\w+):?\?")
_ENTRY = re.compile(r"""^\s*(?:export\s+)?(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|(.*?))\s*(?:(?<=\s)\#.*)?$""")
_NAME = re.compile(r"\$\{([^}]*)\}")


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

    A subset of Compose's syntax: one `NAME=value` a line, the value plain, in 'single' or in "double" quotes, all
    taken as they are (no escapes, no other variables in them); `export` before the name, and ` # comments`.
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

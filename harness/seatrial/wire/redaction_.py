"""Masks secrets in text before it is stored or shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST = 4  # shorter settings (a port, `yes`) are no secrets, and masking them would spoil every log


class Redactor:
    """Replaces the values of an environment, also in their URL-encoded forms, by three stars."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        forms = {
            form
            for value in environment.values()
            if len(value) >= _SHORTEST
            for form in (value, quote(value, safe=""), quote_plus(value))
        }
        self._forms = sorted(forms, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def line(self, line: bytes) -> bytes:
        """Return one line, whatever its encoding, without secrets."""
        for form in self._forms:
            line = line.replace(form.encode(), MASK.encode())
        return line

    def tail(self, lines: Iterable[str], count: int) -> str:
        """Return the last lines, without secrets, as one text."""
        return self.text("\n".join(list(lines)[-count:]))

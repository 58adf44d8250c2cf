"""Exceptions of tasks: the load writes each kind once, and tells how many there were in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskErrors:
    """What was written down, and the total that was told (0 if nobody told it)."""

    rows: Sequence[Mapping[str, Any]] = ()
    total: int = 0

    @property
    def count(self) -> int:
        """How many there were: a process that was killed could not tell its total, only its rows."""
        return max(self.total, len(self.rows))

    def text(self) -> str:
        """Return how many there were, of how many kinds, where they are, and the first one's words."""
        count = "1 exception" if self.count == 1 else f"{self.count:,} exceptions"
        if not self.rows:
            return f"{count}, none of which was written down"
        kinds = len({row.get("traceback", _words(row)) for row in self.rows})
        told = "1 kind" if kinds == 1 else f"{kinds} kinds"
        return f"{count}, {told}; see logs/task-errors.jsonl; first: {_words(self.rows[0])}"


def _words(row: Mapping[str, Any]) -> str:
    texts = (value for name, value in row.items() if isinstance(value, str) and name != "traceback")
    return ": ".join(texts)[:_SHOWN_CHARACTERS]

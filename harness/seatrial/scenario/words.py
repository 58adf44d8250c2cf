"""Types of a scenario's values: durations, names, and the text of a load parameter."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from seatrial.units import seconds


def _duration(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit: write {value}s, {value}m or {value}ms")  # noqa: TRY004  (pydantic reports ValueError)
    return seconds(value) if isinstance(value, str) else value


def _parameter(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        raise ValueError("must be one value: text, a number, true or false")  # noqa: TRY004  (pydantic reports ValueError)
    return value


_PATTERN = r"^\d+(\.\d+)?\s*(ms|s|m|min|h)$"
Duration = Annotated[
    float, BeforeValidator(_duration), WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["30s"]})
]
Parameter = Annotated[
    str,
    BeforeValidator(_parameter),
    WithJsonSchema({"anyOf": [{"type": kind} for kind in ("string", "integer", "number", "boolean")]}),
]
Word = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class Grammar(BaseModel):
    """A mapping without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

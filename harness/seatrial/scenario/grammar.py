"""The grammar of a scenario file, as pydantic models: what may be written, not what it means for a run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

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


class _Grammar(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FrontDoorText(_Grammar):
    """Where the load goes: a service of the Compose file and its port inside the network."""

    service: Word
    port: Annotated[int, Field(ge=1, le=65535)]


class ProbeText(_Grammar):
    """One request that has to be answered as expected, three times in a row, before the load starts."""

    get: Annotated[str, Field(pattern="^/")]
    expect: Annotated[int, Field(ge=100, le=599)] = 200
    within: Duration = 60.0


class TierText(_Grammar):
    """A service's place on the request's way."""

    place: Literal["proxy", "app", "store"]


class LoadText(_Grammar):
    """Who drives the stack, how hard, and for how long; `parameters` are text when they come here (`plain`)."""

    locustfile: str
    user_classes: tuple[Word, ...] = Field(default=(), strict=False)
    users: Annotated[int, Field(ge=1, le=100_000)]
    warmup: Duration = 5.0
    duration: Annotated[Duration, Field(gt=0)] = 30.0
    drain: Duration = 5.0
    parameters: dict[Word, Parameter] = Field(default_factory=dict)


class VariantText(_Grammar):
    """The stack with named changes."""

    compose: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)


class ScenarioText(_Grammar):
    """One question."""

    question: Annotated[str, Field(min_length=1)]
    stack: str
    front_door: FrontDoorText
    ready: tuple[ProbeText, ...] = Field(default=(), strict=False)
    seed: tuple[str, ...] = Field(default=(), strict=False)
    secrets: tuple[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")], ...] = Field(default=(), strict=False)
    tiers: dict[Word, TierText] = Field(default_factory=dict)
    load: LoadText
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], VariantText] = Field(
        default_factory=dict
    )
    allow_hosts: tuple[str, ...] = Field(default=(), strict=False)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a scenario file, for editors."""
    schema = ScenarioText.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Seatrial scenario"
    return schema

"""The pydantic models of a scenario file, and its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from seatrial.scenario.compare_grammar import CompareText, RuleText, VariantName
from seatrial.scenario.grammar import LoadText
from seatrial.scenario.words import Duration, Grammar, Parameter, Word


class FrontDoorText(Grammar):
    """Where the load goes: a service of the Compose file and its port inside the network."""

    service: Word
    port: Annotated[int, Field(ge=1, le=65535)]


class ProbeText(Grammar):
    """One request that has to be answered as expected, three times in a row, before the load starts."""

    get: Annotated[str, Field(pattern="^/")]
    expect: Annotated[int, Field(ge=100, le=599)] = 200
    within: Duration = 60.0


class TierText(Grammar):
    """A service's place on the request's way."""

    place: Literal["proxy", "app", "store"]


class VariantLoadText(Grammar):
    """What a variant changes of the load."""

    parameters: dict[Word, Parameter] = Field(default_factory=dict)


class VariantText(Grammar):
    """The stack with named changes."""

    compose: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    load: VariantLoadText = Field(default_factory=VariantLoadText)


class ScenarioText(Grammar):
    """A scenario file."""

    question: Annotated[str, Field(min_length=1)]
    stack: str
    front_door: FrontDoorText | None = None
    ready: tuple[ProbeText, ...] = Field(default=(), strict=False)
    seed: tuple[str, ...] = Field(default=(), strict=False)
    secrets: tuple[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")], ...] = Field(default=(), strict=False)
    tiers: dict[Word, TierText] = Field(default_factory=dict)
    load: LoadText
    variants: dict[VariantName, VariantText] = Field(default_factory=dict)
    grid: dict[VariantName, dict[VariantName, VariantText]] = Field(default_factory=dict)
    compare: CompareText = Field(default_factory=CompareText)
    gate: tuple[RuleText, ...] = Field(default=(), strict=False)
    budgets: tuple[RuleText, ...] = Field(default=(), strict=False)
    stop_when: tuple[RuleText, ...] = Field(default=(), strict=False)
    allow_hosts: tuple[str, ...] = Field(default=(), strict=False)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a scenario file, for editors."""
    schema = ScenarioText.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Seatrial scenario"
    return schema

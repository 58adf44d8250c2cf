"""The pydantic model of `compare`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from seatrial.scenario.words import Duration, Grammar

MOST_BLOCKS = 1000

VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
RuleText = Annotated[str, Field(min_length=1)]
"""A metric, a budget or a stop rule, each in a language of its own."""

_NOT_GIVEN: Any = None


def _without_nothing(schema: dict[str, Any]) -> None:
    del schema["properties"]["time"]["default"]


class CompareText(Grammar):
    """How variants are compared, and with what."""

    model_config = ConfigDict(json_schema_extra=_without_nothing)

    design: Literal["auto", "runs", "slices"] = "auto"
    blocks: Annotated[int, Field(ge=1, le=MOST_BLOCKS)] = 10
    time: Annotated[Duration, Field(gt=0)] = Field(default=_NOT_GIVEN)
    base: str = "base"
    variants: tuple[str, ...] = Field(default=(), strict=False)
    varies: tuple[Literal["host", "engine", "storage driver", "load", "seed"], ...] = Field(
        default=(), strict=False
    )
    slice: Annotated[Duration, Field(gt=0)] = 1.0
    settle: Duration = 0.15
    slices: Annotated[int, Field(ge=1, le=MOST_BLOCKS)] = 20

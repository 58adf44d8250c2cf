"""The pydantic models of `load`: users, rate, warm-up and duration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from seatrial.scenario.words import Duration, Grammar, Parameter, Word
from seatrial.wire import rates

POOL_USERS = 50
"""Users of an open load without `users`: enough for 50 requests a second that take one second each."""

TAGS = frozenset({"[text]", "[list]", "[file]", "[time]", "[until]"})
"""Steps that pydantic adds to the place of a value that may be written in several ways."""

_LEAST_STABLE_S = 12.0
_NOT_GIVEN: Any = None


def _two_spans(value: float) -> float:
    if value < _LEAST_STABLE_S:
        raise ValueError(f"must be at least {_LEAST_STABLE_S:g}s: two spans of 5 s are compared")
    return value


class RateFile(Grammar):
    """A file of `second,rate` lines, beside the scenario."""

    file: Annotated[str, Field(min_length=1)]


class StableText(Grammar):
    """A warm-up that lasts until latency is stable."""

    until: Literal["stable"]
    at_most: Annotated[Duration, AfterValidator(_two_spans)] = 60.0


def _rate_word(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit: did you mean {value}/s?")  # noqa: TRY004  (pydantic reports ValueError)
    if not isinstance(value, str):
        raise ValueError(f"must be a rate such as {rates.EXPECTED}")  # noqa: TRY004  (pydantic reports ValueError)
    return value


def _rate(value: object) -> str:
    text = _rate_word(value)
    rates.parse(text)
    return text


def _part(value: object) -> str:
    text = _rate_word(value)
    rates.parse(f"1/s for 1s, {text}")  # `_whole` checks the end, and that there are arrivals
    return text


def _whole(parts: tuple[str, ...]) -> tuple[str, ...]:
    if not parts:
        raise ValueError("must have at least one rate")
    rates.parse(", ".join(parts))
    return parts


def _rate_form(value: object) -> str:
    return "[file]" if isinstance(value, dict) else "[list]" if isinstance(value, list | tuple) else "[text]"


def _warmup_form(value: object) -> str:
    return "[until]" if isinstance(value, dict) else "[time]"


def _pinning(value: object) -> object:
    """Return `on` and `off`, which YAML 1.1 reads as flags, as words."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


_RATE_SCHEMA = WithJsonSchema({"type": "string", "examples": ["50/s", "10/s for 10s, 20/s", "1/s to 9/s for 60s"]})
RateValue = Annotated[
    Annotated[str, BeforeValidator(_rate), _RATE_SCHEMA, Tag("[text]")]
    | Annotated[
        tuple[Annotated[str, BeforeValidator(_part), _RATE_SCHEMA], ...],
        Field(strict=False),
        AfterValidator(_whole),
        Tag("[list]"),
    ]
    | Annotated[RateFile, Tag("[file]")],
    Discriminator(_rate_form),
]
WarmupValue = Annotated[
    Annotated[Duration, Tag("[time]")] | Annotated[StableText, Tag("[until]")], Discriminator(_warmup_form)
]
Pinning = Annotated[
    Literal["auto", "on", "off"],
    BeforeValidator(_pinning),
    WithJsonSchema({"enum": ["auto", "on", "off", True, False]}),
]


def _either_users_or_rate(schema: dict[str, Any]) -> None:
    schema["required"].remove("users")
    schema["anyOf"] = [{"required": ["users"]}, {"required": ["rate"]}]
    del schema["properties"]["rate"]["default"]


class LoadText(Grammar):
    """The load; `parameters` are text already (`plain_values`)."""

    model_config = ConfigDict(json_schema_extra=_either_users_or_rate)

    locustfile: str
    user_classes: tuple[Word, ...] = Field(default=(), strict=False)
    users: Annotated[int, Field(ge=1, le=100_000)]
    rate: RateValue = Field(default=_NOT_GIVEN)
    arrivals: Literal["constant", "poisson"] = "constant"
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    pinning: Pinning = "auto"
    warmup: WarmupValue = 5.0
    duration: Annotated[Duration, Field(gt=0)] = 30.0
    drain: Duration = 5.0
    parameters: dict[Word, Parameter] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _pool(cls, values: object) -> object:
        """Fill in the users of an open load."""
        if isinstance(values, dict) and "rate" in values and "users" not in values:
            return {**values, "users": POOL_USERS}
        return values

"""Grammar of a scenario file: its pydantic models, and the JSON Schema made of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from seatrial.units import seconds
from seatrial.wire import rates


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
NameText = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class Grammar(BaseModel):
    """A mapping without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
    Discriminator(
        lambda value: (
            "[file]" if isinstance(value, dict) else "[list]" if isinstance(value, list | tuple) else "[text]"
        )
    ),
]
WarmupValue = Annotated[
    Annotated[Duration, Tag("[time]")] | Annotated[StableText, Tag("[until]")],
    Discriminator(lambda value: "[until]" if isinstance(value, dict) else "[time]"),
]
PinningText = Annotated[
    Literal["auto", "on", "off"],
    BeforeValidator(_pinning),
    WithJsonSchema({"enum": ["auto", "on", "off", True, False]}),
]


class LoadText(Grammar):
    """The load; `parameters` are text already (`source.read_document`)."""

    locustfile: str
    user_classes: tuple[NameText, ...] = Field(default=(), strict=False)
    users: Annotated[int, Field(ge=1, le=100_000)]
    rate: RateValue = Field(default=_NOT_GIVEN)
    arrivals: Literal["constant", "poisson"] = "constant"
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    pinning: PinningText = "auto"
    warmup: WarmupValue = 5.0
    duration: Annotated[Duration, Field(gt=0)] = 30.0
    drain: Duration = 5.0
    parameters: dict[NameText, Parameter] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _pool(cls, values: object) -> object:
        """Fill in the users of an open load."""
        if isinstance(values, dict) and "rate" in values and "users" not in values:
            return {**values, "users": POOL_USERS}
        return values


MOST_BLOCKS = 1000
VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
RuleText = Annotated[str, Field(min_length=1)]
"""A metric, a budget or a stop rule, each in a language of its own."""


class CompareText(Grammar):
    """How variants are compared, and with what."""

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


class FrontDoorText(Grammar):
    """Where the load goes: a service of the Compose file and its port inside the network."""

    service: NameText
    port: Annotated[int, Field(ge=1, le=65535)]


class ProbeText(Grammar):
    """One request that has to be answered as expected, three times in a row, before the load starts."""

    get: Annotated[str, Field(pattern="^/")]
    expect: Annotated[int, Field(ge=100, le=599)] = 200
    within: Duration = 60.0


class AccessLogText(Grammar):
    """The access log, and its fields, that tell bytes from the origin; without a file: standard output."""

    file: Annotated[str, Field(pattern=r"^[^/]*$")] = ""
    origin: Annotated[str, Field(min_length=1)] = "upstream_bytes_received"
    time: Annotated[str, Field(min_length=1)] = "msec"
    took: Annotated[str, Field(min_length=1)] = "request_time"


class PreflightText(Grammar):
    """What is asked of the front door before the load: range cases for the file at a path."""

    ranges: Annotated[str, Field(pattern="^/")]


PreflightValue = Annotated[
    Annotated[Literal["ranges"], Tag("[text]")] | Annotated[PreflightText, Tag("[file]")],
    Discriminator(lambda value: "[file]" if isinstance(value, dict) else "[text]"),
]


class TierText(Grammar):
    """A service's place on the request's way, and the log that tells what it fetched from the origin."""

    place: Literal["proxy", "app", "store"]
    log: AccessLogText | None = None


SIGNALS = ("HUP", "USR1", "USR2", "WINCH")
"""Those by which servers reload, or rotate their logs; the others end a process, or stop it."""
_LEAST_EVERY_S = 1.0


def _signal(value: object) -> object:
    if value in SIGNALS:
        return value
    bare = str(value).upper().removeprefix("SIG")
    hint = f"did you mean {bare}?" if bare in SIGNALS else "`restart: NAME` ends a service and starts it again"
    raise ValueError(f"must be {', '.join(SIGNALS[:-1])} or {SIGNALS[-1]}; {hint}")


def _not_too_often(value: float) -> float:
    if value < _LEAST_EVERY_S:
        raise ValueError(f"must be at least {_LEAST_EVERY_S:g}s")
    return value


class ActionText(Grammar):
    """What is done to a service during the window: a restart, or a signal to it."""

    at: Duration
    every: Annotated[Duration, AfterValidator(_not_too_often)] = Field(default=_NOT_GIVEN)
    restart: NameText = Field(default=_NOT_GIVEN)
    signal: Annotated[str, BeforeValidator(_signal), WithJsonSchema({"enum": list(SIGNALS)})] = Field(
        default=_NOT_GIVEN
    )
    service: NameText = Field(default=_NOT_GIVEN)

    @model_validator(mode="after")
    def _one(self) -> ActionText:
        """Refuse an action that is not one of the two."""
        given = self.model_fields_set & {"restart", "signal", "service"}
        if given not in ({"restart"}, {"signal", "service"}):
            raise ValueError("must be one of {at: 10s, restart: NAME} and {at: 10s, signal: HUP, service: NAME}")
        return self


class VariantLoadText(Grammar):
    """What a variant changes of the load."""

    parameters: dict[NameText, Parameter] = Field(default_factory=dict)


class VariantText(Grammar):
    """The stack with named changes."""

    compose: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    load: VariantLoadText = Field(default_factory=VariantLoadText)
    actions: tuple[ActionText, ...] = Field(default=_NOT_GIVEN, strict=False)


class ScenarioText(Grammar):
    """A scenario file."""

    question: Annotated[str, Field(min_length=1)]
    stack: str
    front_door: FrontDoorText | None = None
    ready: tuple[ProbeText, ...] = Field(default=(), strict=False)
    seed: tuple[str, ...] = Field(default=(), strict=False)
    preflight: PreflightValue = Field(default=_NOT_GIVEN)
    secrets: tuple[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")], ...] = Field(default=(), strict=False)
    tiers: dict[NameText, TierText] = Field(default_factory=dict)
    load: LoadText
    actions: tuple[ActionText, ...] = Field(default=(), strict=False)
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
    load, compare = schema["$defs"]["LoadText"], schema["$defs"]["CompareText"]
    load["required"].remove("users")
    load["anyOf"] = [{"required": ["users"]}, {"required": ["rate"]}]
    for absent in (load["properties"]["rate"], compare["properties"]["time"], schema["properties"]["preflight"]):
        del absent["default"]
    action = schema["$defs"]["ActionText"]
    action["oneOf"] = [{"required": ["restart"]}, {"required": ["signal", "service"]}]
    for name in ("every", "restart", "signal", "service"):
        del action["properties"][name]["default"]
    del schema["$defs"]["VariantText"]["properties"]["actions"]["default"]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Seatrial scenario"
    return schema

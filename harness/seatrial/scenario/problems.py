"""Problems of a scenario file, each with its place and a hint; messages for pydantic's errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from seatrial.errors import ScenarioInvalid
from seatrial.scenario.grammar import TAGS
from seatrial.scenario.source import Document, YamlPlace

KEY_PATTERN = "[key]"
"""The step that pydantic adds to the place of a mapping's key."""
_SHOWN_CHARACTERS = 60
_WRONG_TYPES = frozenset({"string_type", "tuple_type"})
_WITHOUT_VALUE = {"missing": "is missing", "extra_forbidden": "is not a key of a scenario"}
_MESSAGES = {
    "string_type": "must be text",
    "invalid_key": "must be a key of text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a duration such as 30s",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
}
_PATTERNS = {
    "^/": "must start with /",
    r"^[A-Za-z_][A-Za-z0-9_.-]*$": "must start with a letter or _ and hold only letters, digits, _ . and -",
    r"^[A-Z][A-Z0-9_]*$": "must be a name in capitals such as REGISTRY_PASSWORD",
    r"^[^/]*$": "must be the name of a file, without its folder",
    r"^[a-z0-9][a-z0-9-]*$": "must hold only small letters, digits and -",
}
_EXAMPLES = {
    ("gate",): """gate: [cpu per request, 'p95 of "NAME" within 5%']""",
    ("budgets",): """budgets: ['p95 of "NAME" < 150ms', 'failures < 0.1%']""",
    ("actions",): "actions: [{at: 10s, restart: NAME}]",
    ("stop_when",): "stop_when: ['failures > 20% for 10s']",
    ("compare", "variants"): "variants: [one, other]",
    ("compare", "varies"): "varies: [host]",
}
"""For lists, and their items."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at one place of the document."""

    place: YamlPlace
    text: str
    hint: str = ""


def refuse(document: Document, problems: Iterable[Problem]) -> None:
    """Raise ScenarioInvalid with all problems in the order of their lines; return if there is none."""
    ordered = sorted(problems, key=lambda problem: document.line(problem.place))
    if not ordered:
        return
    lines = [
        f"  {document.where(problem.place)}: {problem.text}" + (f"; {problem.hint}" if problem.hint else "")
        for problem in ordered
    ]
    count = "one problem" if len(lines) == 1 else f"{len(lines)} problems"
    raise ScenarioInvalid(
        "\n".join((f"the scenario has {count}", *lines)), hint="seatrial schema prints what a scenario may hold"
    )


def grammar_problems(error: ValidationError, grammar: type[BaseModel]) -> list[Problem]:
    """Translate pydantic's errors: one problem for each mistake."""
    problems = []
    misspelt: set[YamlPlace] = set()
    for detail in sorted(error.errors(), key=lambda detail: detail["type"] == "missing"):
        place, hint = _place(detail["loc"]), ""
        if detail["type"] == "missing" and place in misspelt:
            continue  # the misspelt key was reported already
        if detail["type"] == "extra_forbidden":
            keys = _keys_at(place[:-1], grammar)
            close = difflib.get_close_matches(str(place[-1]), keys, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(keys)}"
            misspelt |= {(*place[:-1], key) for key in close}
        elif detail["type"] in _WRONG_TYPES:
            example = _EXAMPLES.get(tuple(step for step in place if isinstance(step, str)))
            hint = f"such as {example}" if example else ""
        problems.append(Problem(place, _text(detail, place, grammar), hint))
    return problems


def _text(detail: ErrorDetails, place: YamlPlace, grammar: type[BaseModel]) -> str:
    """Return what is wrong with the value, or the name, at a place."""
    if not place:
        return "the file must hold keys such as question, stack, load"
    key, kind = ".".join(map(str, place)), detail["type"]
    if kind.startswith("model"):
        keys = ", ".join(_keys_at(place, grammar)[:3])
        return f"{key} must hold keys such as {keys} (seen: {_shown(detail['input'])})"
    if kind in _WITHOUT_VALUE:
        return f"{key} {_WITHOUT_VALUE[kind]}"
    is_key = detail["loc"][-1:] == (KEY_PATTERN,)
    name = f"the name {key}" if is_key else key
    if kind == "value_error":
        message = detail["msg"].removeprefix("Value error, ")
        joint = " " if message.startswith("must ") else ": "
        return f"{name}{joint}{message} (seen: {_shown(detail['input'])})"
    context = detail.get("ctx", {})
    if (pattern := context.get("pattern", "")) in _PATTERNS:
        message = _PATTERNS[pattern]
    elif kind in _MESSAGES:
        message = _MESSAGES[kind].format_map(context)
    else:
        message = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{name} {message}" + ("" if is_key else f" (seen: {_shown(detail['input'])})")


def _shown(value: object) -> str:
    """Return a value as it is written in a scenario, cut to a readable length."""
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _place(loc: tuple[int | str, ...]) -> YamlPlace:
    """Return the place of a problem; for a bad key pydantic's place is that of its value, with one more step."""
    bare = tuple(step for step in loc if step not in TAGS)
    return (*bare[:-2], str(bare[-2])) if bare[-1:] == (KEY_PATTERN,) else bare


def _keys_at(place: YamlPlace, grammar: type[BaseModel]) -> list[str]:
    """Return the keys of the model at a place of the grammar; empty where none stands there."""
    model: Any = grammar
    for step in place:
        if isinstance(model, type) and issubclass(model, BaseModel):
            known = model.model_fields.get(str(step))
            model = known.annotation if known else None
        else:
            model = get_args(model)[-1 if get_origin(model) is dict else 0]
        model = _with_keys(model)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _with_keys(model: Any) -> Any:  # noqa: ANN401  (any annotation)
    """Return that member of a union that is a model; the annotation itself where there is none."""
    if get_origin(model) not in {Union, UnionType}:
        return model
    forms = [get_args(form)[0] if get_origin(form) is Annotated else form for form in get_args(model)]
    return next((form for form in forms if isinstance(form, type) and issubclass(form, BaseModel)), model)

"""Problems of a scenario: one line for each, with file, line and a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from seatrial.errors import ScenarioInvalid
from seatrial.scenario import wording
from seatrial.scenario.grammar import TAGS
from seatrial.scenario.source import Document, Place

_WRONG_TYPES = frozenset({"string_type", "tuple_type"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at one place of the document."""

    place: Place
    text: str
    hint: str = ""


def of_grammar(error: ValidationError, grammar: type[BaseModel]) -> list[Problem]:
    """Translate pydantic's errors: one problem for each mistake."""
    problems = []
    meant: set[Place] = set()
    for detail in sorted(error.errors(), key=lambda one: one["type"] == "missing"):
        place = _place(detail["loc"])
        if detail["type"] == "missing" and place in meant:
            continue  # the misspelt key was reported already
        hint = ""
        if detail["type"] == "extra_forbidden":
            keys = _keys_at(place[:-1], grammar)
            close = difflib.get_close_matches(str(place[-1]), keys, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(keys)}"
            meant |= {(*place[:-1], key) for key in close}
        elif detail["type"] in _WRONG_TYPES:
            hint = wording.example(place)
        problems.append(Problem(place, _text(detail, place, grammar), hint))
    return problems


def _text(detail: ErrorDetails, place: Place, grammar: type[BaseModel]) -> str:
    if not place:
        return "the file must hold keys such as question, stack, load"
    key = ".".join(map(str, place))
    if detail["type"].startswith("model"):
        words = f"must hold keys such as {', '.join(_keys_at(place, grammar)[:3])}"
        return f"{key} {words} (seen: {wording.shown(detail['input'])})"
    return wording.message_of(key, detail)


def _place(loc: tuple[int | str, ...]) -> Place:
    """Return the place of a problem; pydantic gives that of a bad key as its value's, and one step more."""
    bare = tuple(step for step in loc if step not in TAGS)
    return (*bare[:-2], str(bare[-2])) if bare[-1:] == (wording.KEY,) else bare


def refuse(document: Document, problems: Iterable[Problem]) -> None:
    """Raise ScenarioInvalid with all problems in the order of their lines; return if there is none."""
    ordered = sorted(problems, key=lambda problem: document.line(problem.place))
    if not ordered:
        return
    lines = [
        f"{document.where(problem.place)}: {problem.text}" + (f"; {problem.hint}" if problem.hint else "")
        for problem in ordered
    ]
    count = "one problem" if len(lines) == 1 else f"{len(lines)} problems"
    raise ScenarioInvalid(
        f"the scenario has {count}\n" + "\n".join(f"  {line}" for line in lines),
        hint="seatrial schema prints what a scenario may hold",
    )


def _keys_at(place: Place, grammar: type[BaseModel]) -> list[str]:
    """Walk the grammar to the model at a place and return its keys."""
    model: Any = grammar
    for step in place:
        if isinstance(model, type) and issubclass(model, BaseModel):
            known = model.model_fields.get(str(step))
            model = known.annotation if known else None
        else:
            model = get_args(model)[-1 if get_origin(model) is dict else 0]
        model = _mapping_among(model)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _mapping_among(model: Any) -> Any:  # noqa: ANN401  (any annotation)
    """Return, of a value that may be written in several ways, the one that has keys; else the annotation."""
    if get_origin(model) not in {Union, UnionType}:
        return model
    forms = [get_args(form)[0] if get_origin(form) is Annotated else form for form in get_args(model)]
    return next((form for form in forms if isinstance(form, type) and issubclass(form, BaseModel)), model)

"""Actions of a scenario: from their text to values, and what is wrong with their services and moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seatrial.model import Action
from seatrial.scenario.grammar import ActionText, LoadText
from seatrial.scenario.problems import Problem
from seatrial.scenario.source import YamlPlace, did_you_mean
from seatrial.units import seconds

_WINDOW_S: float = LoadText.model_fields["duration"].default
"""The length of a window without `load.duration`."""


def actions_of(texts: Sequence[ActionText]) -> tuple[Action, ...]:
    """Return the values of actions, in the order of their moments."""
    actions = (
        Action(at_s=text.at, service=text.restart or text.service, signal=text.signal or "", every_s=text.every)
        for text in texts
    )
    return tuple(sorted(actions, key=lambda action: action.at_s))


def action_problems(
    values: Mapping[str, Any], levels: Sequence[tuple[YamlPlace, Mapping[str, Any]]], services: Sequence[str]
) -> Iterator[Problem]:
    """Yield each action whose service the stack does not have, or that lies behind the window's end.

    `levels` are the variants, and the levels of the grid, as far as they can be read, each with its place.
    """
    load = values.get("load")
    window_s = _seconds(load.get("duration", _WINDOW_S)) if isinstance(load, dict) else None
    for place, holder in [((), values), *levels]:
        listed = holder.get("actions")
        for index, action in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(action, dict):
                yield from _of_one((*place, "actions", index), action, window_s, services)


def _of_one(
    place: YamlPlace, action: Mapping[str, Any], window_s: float | None, services: Sequence[str]
) -> Iterator[Problem]:
    at_s = _seconds(action.get("at"))
    if at_s is not None and window_s is not None and at_s >= window_s:
        text = f"{'.'.join(map(str, place))}.at is {at_s:g} s, but the window ends after {window_s:g} s"
        yield Problem((*place, "at"), text, "a longer load.duration, or an earlier moment")
    for key in ("restart", "service"):
        name = action.get(key)
        if isinstance(name, str) and name not in services:
            hint = did_you_mean(name, services) or f"its services: {', '.join(services)}"
            yield Problem((*place, key), f"the stack has no service {name!r}", hint)


def _seconds(value: object) -> float | None:
    """Return a duration as it is written, or a default; None where it can't be read, which the grammar reports."""
    try:
        return seconds(value) if isinstance(value, str) else value if isinstance(value, float) else None
    except ValueError:
        return None

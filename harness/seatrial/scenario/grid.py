"""Variants as a grid: each axis has levels, and every combination of levels is a variant."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from seatrial.scenario.problems import Problem

MOST_VARIANTS = 30
"""More can't be compared in a realistic budget of time, and Holm's correction grows with each."""

Level = Mapping[str, Any]
Grid = Mapping[str, Mapping[str, Level]]


def combinations(grid: Grid) -> dict[str, dict[str, Any]]:
    """Return every combination of levels under the name `level-level`, in the order of the axes.

    Levels are mappings like a variant's; `grid_problems` reports two axes that set the same value.
    """
    combined = {}
    for levels in itertools.product(*(axis.items() for axis in grid.values())):
        merged: dict[str, Any] = {}
        for _, level in levels:
            _merge(merged, level)
        combined["-".join(name for name, _ in levels)] = merged
    return combined


def grid_problems(grid: Grid) -> Iterator[Problem]:
    """Yield what is wrong: an axis without levels, too many combinations, or two axes that set the same value."""
    for name, axis in grid.items():
        if not axis:
            yield Problem(("grid", name), f"the axis {name!r} has no level, so the grid makes no variant")
    count = math.prod(map(len, grid.values()))
    if count > MOST_VARIANTS:
        yield Problem(("grid",), f"{count} combinations; at most {MOST_VARIANTS} can be compared")
    places = {
        axis: {place for level in levels.values() for place in _leaves(level)} for axis, levels in grid.items()
    }
    for one, other in itertools.combinations(places, 2):
        for place in sorted(places[one] & places[other]):
            yield Problem(("grid", other), f"the axes {one!r} and {other!r} both set {'.'.join(place)}")


def _merge(into: dict[str, Any], level: Mapping[str, Any]) -> None:
    for key, value in level.items():
        if isinstance(value, Mapping):
            node = into.setdefault(key, {})
            _merge(node, value)
        else:
            into[key] = value


def _leaves(level: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in level.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*at, str(key)))
        else:
            yield (*at, str(key))

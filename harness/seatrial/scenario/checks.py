"""Checks of `compare`, `grid` and the rules that judge a comparison, and `compare` as model.Comparing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from seatrial.model import Comparing, Design
from seatrial.scenario import grid, rule_texts
from seatrial.scenario.compare_grammar import CompareText
from seatrial.scenario.problems import Problem

BASE = "base"
RESERVED = {
    "again": "seatrial selfcheck gives this name to the base when it runs a second time",
    "stored": "seatrial compare --against gives this name to the stored base",
}
"""Names that Seatrial gives to variants itself, and when."""


def compare_meaning(text: CompareText) -> Comparing:
    """Return the values of `compare`."""
    return Comparing(
        design=None if text.design == "auto" else Design(text.design),
        blocks=text.blocks,
        base=text.base,
        variants=text.variants,
        time_s=text.time,
        slice_s=text.slice,
        settle_s=text.settle,
        slices=text.slices,
        varies=text.varies,
    )


def compare_problems(values: Mapping[str, Any], services: Sequence[str] | None) -> Iterator[Problem]:
    """Yield what is wrong, as far as it can be read; `services` are those of the stack, None: unknown."""
    yield from rule_texts.rule_problems(values, services)
    yield from _of_grid(values)
    yield from _of_compare(values)


def _of_grid(values: Mapping[str, Any]) -> Iterator[Problem]:
    axes: Any = values.get("grid")
    listed = values.get("variants")
    of_axes = list(grid.grid_problems(axes)) if _readable(axes) else []
    yield from of_axes
    taken = {BASE, *(listed if isinstance(listed, dict) else ())}
    yield from _of_names(("variants", str(name)) for name in taken)
    yield from _of_names(("grid", name) for name in _combined(axes))
    for name in _combined(axes):
        if name in taken:
            yield Problem(("grid",), f"the grid makes a variant {name!r}, and there is one already")
    count = len(variant_names(values))
    if count > grid.MOST_VARIANTS and not of_axes:
        place = ("variants",) if isinstance(listed, dict) else ("grid",)
        yield Problem(place, f"{count} variants with the base: at most {grid.MOST_VARIANTS} can be compared")


def _of_names(places: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    """Yield which variants have a name that is reserved; for those of a grid the place is the grid."""
    for key, name in places:
        if name in RESERVED:
            place = (key,) if key == "grid" else (key, name)
            yield Problem(place, f"a variant can't be named {name!r}: {RESERVED[name]}")


def _readable(axes: object) -> bool:
    return isinstance(axes, dict) and all(
        isinstance(levels, dict)
        and all(isinstance(name, str) and isinstance(level, dict) for name, level in levels.items())
        for levels in axes.values()  # YAML 1.1 reads a bare `on` as `true`
    )


def _combined(axes: Any) -> list[str]:  # noqa: ANN401  (any YAML value)
    """Return the names of the combinations that change something; none where they are unreadable or too many."""
    if not _readable(axes) or not axes or prod(map(len, axes.values())) > grid.MOST_VARIANTS:
        return []
    return [name for name, level in grid.combinations(axes).items() if changes(level)]


def changes(level: Mapping[str, Any]) -> bool:
    """Return whether a level, or a variant, as it is written changes anything."""
    return any(changes(value) if isinstance(value, dict) else True for value in level.values())


def _of_compare(values: Mapping[str, Any]) -> Iterator[Problem]:
    compare = values.get("compare")
    if not isinstance(compare, dict):
        return
    known = variant_names(values)
    base, names = compare.get("base"), compare.get("variants")
    if isinstance(base, str) and base not in known:
        yield Problem(("compare", "base"), f"there is no variant {base!r}", _meant(base, known))
    if isinstance(names, list):
        yield from _of_compared(names, known)
    try:
        slices = CompareText.model_validate({key: compare[key] for key in ("slice", "settle") if key in compare})
    except ValueError:
        return
    if slices.settle >= slices.slice:
        text = f"compare.settle ({slices.settle:g} s) leaves nothing of a slice of {slices.slice:g} s"
        yield Problem(("compare", "settle" if "settle" in compare else "slice"), text)


def _of_compared(names: Sequence[object], known: Sequence[str]) -> Iterator[Problem]:
    place = ("compare", "variants")
    if not names:
        yield Problem(
            place, "compare.variants names none", f"there are: {', '.join(known)}; left out it means all"
        )
    for index, name in enumerate(names):
        if isinstance(name, str) and name not in known:
            yield Problem((*place, index), f"there is no variant {name!r}", _meant(name, known))
        elif name in names[:index]:
            yield Problem((*place, index), f"compare.variants: {name} stands twice")


def variant_names(values: Mapping[str, Any]) -> list[str]:
    """Return the names of all variants that the raw values of a scenario make."""
    listed = values.get("variants")
    named = [str(one) for one in listed] if isinstance(listed, dict) else []
    return list(dict.fromkeys([BASE, *named, *_combined(values.get("grid"))]))


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"

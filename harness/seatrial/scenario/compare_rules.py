"""What `gate`, `budgets`, `stop_when`, `compare` and `grid` mean, and what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from seatrial.judge import budgets, metric, stopping
from seatrial.judge.metric import Kind, Metric
from seatrial.judge.pairing import MOST_GATED
from seatrial.judge.stopping import StopRule
from seatrial.model import Comparing, Design
from seatrial.scenario import grid
from seatrial.scenario.compare_grammar import CompareText
from seatrial.scenario.problems import Problem

BASE = "base"
RESERVED = {
    "again": "seatrial selfcheck calls the base so when it runs a second time",
    "stored": "seatrial compare --against calls the stored base so",
}
"""Names of variants that Seatrial gives itself, with why: two of one name could not be told apart."""

_OF_SERVICE = frozenset({Kind.CPU, Kind.MEMORY, Kind.PEAK})
_LIVE = frozenset({Kind.LATENCY, Kind.FAILURES, Kind.THROUGHPUT})


def meaning(text: CompareText) -> Comparing:
    """Return how variants are to be compared."""
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


def problems(values: Mapping[str, Any], services: Sequence[str] | None) -> Iterator[Problem]:
    """Yield what is wrong, as far as the words can be read; `services` are those of the stack, None: not known."""
    yield from _of_list(values, "gate", lambda text: _gated(text, services))
    yield from _of_list(values, "budgets", lambda text: _served(budgets.parse(text).metric, services))
    yield from _of_list(values, "stop_when", lambda text: _stops(text, services))
    gate = values.get("gate")
    if isinstance(gate, list) and len(gate) > MOST_GATED:
        text = f"gate has {len(gate)} metrics: at most {MOST_GATED} can be told apart from chance"
        yield Problem(("gate", MOST_GATED), text, "what is not gated is still shown")
    yield from _of_grid(values)
    yield from _of_compare(values)


def _of_list(values: Mapping[str, Any], key: str, read: Callable[[str], str]) -> Iterator[Problem]:
    """Yield what is wrong with the items of a list; `read` returns the canonical text of one, or ValueError."""
    found: set[str] = set()
    items = values.get(key)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if not isinstance(item, str) or not item:
            continue
        try:
            canonical = read(item)
        except ValueError as error:
            yield Problem((key, index), f"{key}: {error}")
            continue
        if canonical in found:
            yield Problem((key, index), f"{key}: {canonical} stands twice")
        found.add(canonical)


def _gated(text: str, services: Sequence[str] | None) -> str:
    asked = metric.parse(text)
    _served(asked, services)
    return asked.text


def _served(asked: Metric, services: Sequence[str] | None) -> str:
    if asked.kind in _OF_SERVICE and asked.of is not None:
        _known(asked.of, services)
    return asked.text


def _stops(text: str, services: Sequence[str] | None) -> str:
    rule = stopping.parse(text)
    _told_live(rule)
    if rule.metric is None and rule.of is not None and rule.of != "host":
        _known(rule.of, services)
    return rule.text


def _told_live(rule: StopRule) -> None:
    """Raise ValueError for what nobody can tell while a run lasts."""
    asked = rule.metric
    if asked is None:
        return
    if asked.kind not in _LIVE:
        meant = "latency, failures and memory are"
        if asked.kind in {Kind.MEMORY, Kind.PEAK}:
            meant = f"memory of {asked.of or 'NAME'} is"
        raise ValueError(f"{rule.text!r}: {asked.text} is told only after the run; {meant} told each second")


def _known(service: str, services: Sequence[str] | None) -> None:
    if services is None or service in services:
        return
    close = difflib.get_close_matches(service, services, n=1)
    hint = f"did you mean {close[0]}?" if close else f"its services: {', '.join(services)}"
    raise ValueError(f"the stack has no service {service!r}; {hint}")


def _of_grid(values: Mapping[str, Any]) -> Iterator[Problem]:
    axes: Any = values.get("grid")
    listed = values.get("variants")
    told = list(grid.problems(axes)) if _readable(axes) else []
    yield from told
    taken = {BASE, *(listed if isinstance(listed, dict) else ())}
    yield from _of_names(("variants", str(name)) for name in taken)
    yield from _of_names(("grid", name) for name in _combined(axes))
    for name in _combined(axes):
        if name in taken:
            yield Problem(("grid",), f"the grid makes a variant {name!r}, and there is one already")
    count = len(variant_names(values))
    if count > grid.MOST_VARIANTS and not told:
        place = ("variants",) if isinstance(listed, dict) else ("grid",)
        yield Problem(place, f"{count} variants with the base: at most {grid.MOST_VARIANTS} can be compared")


def _of_names(places: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    """Yield which variants have a name that is reserved; those of a grid are told at the grid."""
    for key, name in places:
        if name in RESERVED:
            place = (key,) if key == "grid" else (key, name)
            yield Problem(place, f"a variant can't be named {name!r}: {RESERVED[name]}")


def _readable(axes: object) -> bool:
    return isinstance(axes, dict) and all(
        isinstance(levels, dict)
        and all(isinstance(name, str) and isinstance(level, dict) for name, level in levels.items())
        for levels in axes.values()  # to YAML 1.1 a bare `on` is no name but `true`
    )


def _combined(axes: Any) -> list[str]:  # noqa: ANN401  (any YAML value)
    """Return the names of the combinations that change something; none where they are unreadable or too many."""
    if not _readable(axes) or not axes or prod(map(len, axes.values())) > grid.MOST_VARIANTS:
        return []
    return [name for name, level in grid.combinations(axes).items() if changes(level)]


def changes(level: Mapping[str, Any]) -> bool:
    """Tell whether a level, or a variant, as it is written changes anything."""
    return any(changes(value) if isinstance(value, dict) else True for value in level.values())


def _of_compare(values: Mapping[str, Any]) -> Iterator[Problem]:
    compare = values.get("compare")
    if not isinstance(compare, dict):
        return
    known = variant_names(values)
    base, wanted = compare.get("base"), compare.get("variants")
    if isinstance(base, str) and base not in known:
        yield Problem(("compare", "base"), f"there is no variant {base!r}", _meant(base, known))
    for index, name in enumerate(wanted if isinstance(wanted, list) else ()):
        if isinstance(name, str) and name not in known:
            yield Problem(("compare", "variants", index), f"there is no variant {name!r}", _meant(name, known))
    try:
        one = CompareText.model_validate({key: compare[key] for key in ("slice", "settle") if key in compare})
    except ValueError:
        return
    if one.settle >= one.slice:
        text = f"compare.settle ({one.settle:g} s) leaves nothing of a slice of {one.slice:g} s"
        yield Problem(("compare", "settle" if "settle" in compare else "slice"), text)


def variant_names(values: Mapping[str, Any]) -> list[str]:
    """Return the names of all variants that the raw values of a scenario make."""
    listed = values.get("variants")
    named = [str(one) for one in listed] if isinstance(listed, dict) else []
    return list(dict.fromkeys([BASE, *named, *_combined(values.get("grid"))]))


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"

"""Semantic checks of a scenario beyond its grammar: load, grid, names, gate, budgets and stop rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from seatrial.compare import budgets
from seatrial.compare.pairing import MOST_GATED
from seatrial.measure import metric, stop_rules
from seatrial.measure.metric import Kind, Metric
from seatrial.model import Comparing, Design, Load, Preflight
from seatrial.scenario.grammar import POOL_USERS, CompareText, LoadText, PreflightText, RateFile, StableText
from seatrial.scenario.problems import Problem
from seatrial.scenario.source import YamlPlace, did_you_mean
from seatrial.wire import rates
from seatrial.wire.rates import Rate, Stretch

_OF_SERVICE = frozenset({Kind.CPU, Kind.MEMORY, Kind.PEAK, Kind.ORIGIN})
_LIVE = frozenset({Kind.LATENCY, Kind.FAILURES, Kind.THROUGHPUT, Kind.DETAIL})
MOST_VARIANTS = 30
"""More can't be compared in a realistic budget of time, and Holm's correction grows with each."""
VariantGrid = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By axis and level: what it changes, like a variant."""
BASE = "base"
RESERVED_VARIANTS = {
    "again": "seatrial selfcheck gives this name to the base when it runs a second time",
    "stored": "seatrial compare --against gives this name to the stored base",
}
"""Names that Seatrial gives to variants itself, and when."""


def comparing_of(text: CompareText) -> Comparing:
    """Return the values of `compare`."""
    design = None if text.design == "auto" else Design(text.design)
    same = text.model_dump(include={"blocks", "base", "variants", "slices", "varies"})
    return Comparing(design=design, time_s=text.time, slice_s=text.slice, settle_s=text.settle, **same)


def load_of(text: LoadText, locustfile: Path, folder: Path) -> Load:
    """Return the values of `load`; a rate's file is in `folder`."""
    warmup = text.warmup
    same = text.model_dump(include={"user_classes", "users", "processes", "pinning", "parameters"})
    return Load(
        locustfile=locustfile,
        rate=_rate(text, folder),
        warmup_s=warmup.at_most if isinstance(warmup, StableText) else warmup,
        stable=isinstance(warmup, StableText),
        duration_s=text.duration,
        drain_s=text.drain,
        **same,
    )


def preflight_of(text: PreflightText | str | None) -> Preflight | None:
    """Return the values of `preflight`; None where nothing is asked."""
    if text is None:
        return None
    return Preflight(ranges=text.ranges) if isinstance(text, PreflightText) else Preflight()


def compare_problems(values: Mapping[str, Any], services: Sequence[str] | None) -> Iterator[Problem]:
    """Yield the problems of gate, budgets, stop rules, variants, grid and `compare`, as far as they can be read.

    `services` are those of the stack; None: unknown.
    """
    yield from _of_list(values, "gate", lambda text: _metric_text(metric.parse(text), services))
    yield from _of_list(values, "budgets", lambda text: _budget_text(text, services))
    yield from _of_list(values, "stop_when", lambda text: _stop_rule_text(text, services))
    yield from _of_origin(values)
    gate = values.get("gate")
    if isinstance(gate, list) and len(gate) > MOST_GATED:
        text = f"gate has {len(gate)} metrics: at most {MOST_GATED} can be distinguished from chance"
        yield Problem(("gate", MOST_GATED), text, "what is not gated is still shown")
    yield from _of_grid(values)
    yield from _of_compare(values)


def _of_origin(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what asks for bytes from the origin where no log is declared that tells them."""
    tiers = values.get("tiers")
    named = tiers.items() if isinstance(tiers, dict) else ()
    told = [str(name) for name, tier in named if isinstance(tier, dict) and "log" in tier]
    for key, read in (("gate", metric.parse), ("budgets", lambda text: budgets.parse(text).metric)):
        items = values.get(key)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            try:
                asked = read(item) if isinstance(item, str) else None
            except ValueError:
                continue
            if asked is None or asked.kind is not Kind.ORIGIN or (asked.of in told if asked.of else told):
                continue
            hint = "declare it: tiers: {nginx: {place: proxy, log: {file: access.log}}}"
            yield Problem((key, index), f"{key}: {asked.text}: no access log is declared that tells it", hint)


def load_problems(load: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    """Yield what is wrong between the keys of `load`, or with a rate's file, as far as its values can be read."""
    if "arrivals" in load and "rate" not in load:
        yield Problem(("load", "arrivals"), "load.arrivals is the spacing of a rate, but there is no load.rate")
    users, processes = load.get("users", POOL_USERS if "rate" in load else None), load.get("processes")
    if isinstance(users, int) and isinstance(processes, int) and 1 <= users < processes:
        text = f"load.processes is {processes}, but there are only {users} users: each process needs one"
        yield Problem(("load", "processes"), text, f"users: {processes}, or more")
    rate = load.get("rate")
    file = rate.get("file") if isinstance(rate, dict) else None
    if isinstance(file, str) and file:
        problem = _rate_file_problem(folder / file, file)
        if problem:
            yield Problem(("load", "rate", "file"), problem)


def _of_list(values: Mapping[str, Any], key: str, read: Callable[[str], str]) -> Iterator[Problem]:
    """Yield what is wrong with a list's items; `read` returns the canonical text of one, or raises ValueError."""
    texts: set[str] = set()
    items = values.get(key)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if not isinstance(item, str) or not item:
            continue
        try:
            canonical = read(item)
        except ValueError as error:
            yield Problem((key, index), f"{key}: {error}")
            continue
        if canonical in texts:
            yield Problem((key, index), f"{key}: {canonical} stands twice")
        texts.add(canonical)


def _budget_text(text: str, services: Sequence[str] | None) -> str:
    """Read a budget; a metric may have one of each kind: a limit, and a share of the base."""
    budget = budgets.parse(text)
    canonical = _metric_text(budget.metric, services)
    return canonical if budget.within is None else f"{canonical} within a share of base"


def _metric_text(parsed: Metric, services: Sequence[str] | None) -> str:
    if parsed.kind in _OF_SERVICE and parsed.of is not None:
        _check_service(parsed.of, services)
    return parsed.text


def _stop_rule_text(text: str, services: Sequence[str] | None) -> str:
    rule = stop_rules.parse(text)
    if rule.metric is not None and rule.metric.kind not in _LIVE:
        known = "latency, failures, details of flows and memory are"
        if rule.metric.kind in {Kind.MEMORY, Kind.PEAK}:
            known = f"memory of {rule.metric.of or 'NAME'} is"
        raise ValueError(
            f"{rule.text!r}: {rule.metric.text} is only known after the run; {known} known each second"
        )
    if rule.metric is None and rule.of is not None and rule.of != "host":
        _check_service(rule.of, services)
    return rule.text


def _check_service(service: str, services: Sequence[str] | None) -> None:
    if services is None or service in services:
        return
    hint = did_you_mean(service, services) or f"its services: {', '.join(services)}"
    raise ValueError(f"the stack has no service {service!r}; {hint}")


def combinations(grid: VariantGrid) -> dict[str, dict[str, Any]]:
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


def changes(level: Mapping[str, Any]) -> bool:
    """Return whether a level, or a variant, as it is written changes anything."""
    return any(changes(value) if isinstance(value, dict) else True for value in level.values())


def grid_problems(grid: VariantGrid) -> Iterator[Problem]:
    """Yield what is wrong: an axis without levels, too many combinations, or two axes that set the same value."""
    for name, axis in grid.items():
        if not axis:
            yield Problem(("grid", name), f"the axis {name!r} has no level, so the grid makes no variant")
    count = prod(map(len, grid.values()))
    if count > MOST_VARIANTS:
        yield Problem(("grid",), f"{count} combinations; at most {MOST_VARIANTS} can be compared")
    places = {
        axis: {place for level in levels.values() for place in _leaves(level)} for axis, levels in grid.items()
    }
    for first, second in itertools.combinations(places, 2):
        for place in sorted(places[first] & places[second]):
            yield Problem(("grid", second), f"the axes {first!r} and {second!r} both set {'.'.join(place)}")


def _merge(into: dict[str, Any], level: Mapping[str, Any]) -> None:
    for key, value in level.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _leaves(level: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in level.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*at, str(key)))
        else:
            yield (*at, str(key))


def _of_grid(values: Mapping[str, Any]) -> Iterator[Problem]:
    listed = values.get("variants")
    of_axes = list(grid_problems(_axes(values)))
    yield from of_axes
    taken = {BASE, *(listed if isinstance(listed, dict) else ())}
    combined = _combined(values)
    places: list[tuple[YamlPlace, str]] = [(("variants", str(name)), str(name)) for name in taken]
    for place, name in places + [(("grid",), name) for name in combined]:
        if name in RESERVED_VARIANTS:
            yield Problem(place, f"a variant can't be named {name!r}: {RESERVED_VARIANTS[name]}")
    for name in combined:
        if name in taken:
            yield Problem(("grid",), f"the grid makes a variant {name!r}, and there is one already")
    count = len(variant_names(values))
    if count > MOST_VARIANTS and not of_axes:
        place = ("variants",) if isinstance(listed, dict) else ("grid",)
        yield Problem(place, f"{count} variants with the base: at most {MOST_VARIANTS} can be compared")


def _axes(values: Mapping[str, Any]) -> VariantGrid:
    """Return the grid; empty where it can't be read."""
    axes: Any = values.get("grid")
    readable = isinstance(axes, dict) and all(
        isinstance(levels, dict)
        and all(isinstance(name, str) and isinstance(level, dict) for name, level in levels.items())
        for levels in axes.values()  # YAML 1.1 reads a bare `on` as `true`
    )
    return axes if readable else {}


def _combined(values: Mapping[str, Any]) -> list[str]:
    """Return the names of the combinations that change something; none where they are unreadable or too many."""
    axes = _axes(values)
    count = prod(map(len, axes.values()))
    return [] if count > MOST_VARIANTS else [name for name, level in combinations(axes).items() if changes(level)]


def _of_compare(values: Mapping[str, Any]) -> Iterator[Problem]:
    compare = values.get("compare")
    if not isinstance(compare, dict):
        return
    yield from _of_compared(compare.get("base"), compare.get("variants"), variant_names(values))
    try:
        slices = CompareText.model_validate({key: compare[key] for key in ("slice", "settle") if key in compare})
    except ValueError:
        return
    if slices.settle >= slices.slice:
        text = f"compare.settle ({slices.settle:g} s) leaves nothing of a slice of {slices.slice:g} s"
        yield Problem(("compare", "settle" if "settle" in compare else "slice"), text)


def _of_compared(base: object, names: Any, known: Sequence[str]) -> Iterator[Problem]:  # noqa: ANN401  (YAML values)
    there_are = f"there are: {', '.join(known)}"
    if isinstance(base, str) and base not in known:
        yield Problem(("compare", "base"), f"there is no variant {base!r}", did_you_mean(base, known) or there_are)
    if names == []:
        hint = f"{there_are}; without the key all are compared"
        yield Problem(("compare", "variants"), "compare.variants names none", hint)
    for index, name in enumerate(names if isinstance(names, list) else ()):
        place = ("compare", "variants", index)
        if isinstance(name, str) and name not in known:
            yield Problem(place, f"there is no variant {name!r}", did_you_mean(name, known) or there_are)
        elif name in names[:index]:
            yield Problem(place, f"compare.variants: {name} stands twice")


def variant_names(values: Mapping[str, Any]) -> list[str]:
    """Return the names of all variants that the raw values of a scenario make."""
    listed = values.get("variants")
    named = [str(name) for name in listed] if isinstance(listed, dict) else []
    return list(dict.fromkeys([BASE, *named, *_combined(values)]))


def _rate(text: LoadText, folder: Path) -> Rate | None:
    poisson = text.arrivals == "poisson"
    match text.rate:
        case None:
            return None
        case RateFile():
            return Rate(_file_stretches(folder / text.rate.file), poisson)
        case str():
            return Rate(rates.parse(text.rate), poisson)
        case _:
            return Rate(rates.parse(", ".join(text.rate)), poisson)


def _rate_file_problem(path: Path, name: str) -> str:
    try:
        _file_stretches(path)
    except FileNotFoundError:
        return f"there is no file {name!r} beside the scenario"
    except OSError as error:
        return f"{name!r} can't be read: {error.strerror}"
    except UnicodeDecodeError:
        return f"{name!r} is not text"
    except ValueError as error:
        return f"{name!r} is no schedule of rates: {error}"
    return ""


def _file_stretches(path: Path) -> tuple[Stretch, ...]:
    with path.open(encoding=rates.ENCODING, newline="") as lines:
        return rates.parse_lines(lines)

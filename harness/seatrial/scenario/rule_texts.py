"""What is wrong with the texts of `gate`, `budgets` and `stop_when`, each in its own language."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from seatrial.judge import budgets, metric, stopping
from seatrial.judge.metric import Kind, Metric
from seatrial.judge.pairing import MOST_GATED
from seatrial.judge.stopping import StopRule
from seatrial.scenario.problems import Problem

_OF_SERVICE = frozenset({Kind.CPU, Kind.MEMORY, Kind.PEAK})
_LIVE = frozenset({Kind.LATENCY, Kind.FAILURES, Kind.THROUGHPUT, Kind.DETAIL})


def problems(values: Mapping[str, Any], services: Sequence[str] | None) -> Iterator[Problem]:
    """Yield what is wrong, as far as the words can be read; `services` are those of the stack, None: not known."""
    yield from _of_list(values, "gate", lambda text: _gated(text, services))
    yield from _of_list(values, "budgets", lambda text: _limited(text, services))
    yield from _of_list(values, "stop_when", lambda text: _stops(text, services))
    gate = values.get("gate")
    if isinstance(gate, list) and len(gate) > MOST_GATED:
        text = f"gate has {len(gate)} metrics: at most {MOST_GATED} can be told apart from chance"
        yield Problem(("gate", MOST_GATED), text, "what is not gated is still shown")


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


def _limited(text: str, services: Sequence[str] | None) -> str:
    """Read a budget; one of each kind may stand for a metric: a limit, and a share of the base."""
    budget = budgets.parse(text)
    canonical = _served(budget.metric, services)
    return canonical if budget.within is None else f"{canonical} within a share of base"


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
        meant = "latency, failures, details of flows and memory are"
        if asked.kind in {Kind.MEMORY, Kind.PEAK}:
            meant = f"memory of {asked.of or 'NAME'} is"
        raise ValueError(f"{rule.text!r}: {asked.text} is told only after the run; {meant} told each second")


def _known(service: str, services: Sequence[str] | None) -> None:
    if services is None or service in services:
        return
    close = difflib.get_close_matches(service, services, n=1)
    hint = f"did you mean {close[0]}?" if close else f"its services: {', '.join(services)}"
    raise ValueError(f"the stack has no service {service!r}; {hint}")

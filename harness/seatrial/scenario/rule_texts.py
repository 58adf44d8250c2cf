"""Checks of `gate`, `budgets` and `stop_when`, each in its own language."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from seatrial.compare import budgets
from seatrial.compare.pairing import MOST_GATED
from seatrial.measure import metric
from seatrial.measure import stop_rules as stopping
from seatrial.measure.metric import Kind, Metric
from seatrial.scenario.problems import Problem

_OF_SERVICE = frozenset({Kind.CPU, Kind.MEMORY, Kind.PEAK})
_LIVE = frozenset({Kind.LATENCY, Kind.FAILURES, Kind.THROUGHPUT, Kind.DETAIL})


def rule_problems(values: Mapping[str, Any], services: Sequence[str] | None) -> Iterator[Problem]:
    """Yield what is wrong, as far as it can be read; `services` are those of the stack, None: unknown."""
    yield from _of_list(values, "gate", lambda text: _of_metric(metric.parse(text), services))
    yield from _of_list(values, "budgets", lambda text: _limited(text, services))
    yield from _of_list(values, "stop_when", lambda text: _stops(text, services))
    gate = values.get("gate")
    if isinstance(gate, list) and len(gate) > MOST_GATED:
        text = f"gate has {len(gate)} metrics: at most {MOST_GATED} can be distinguished from chance"
        yield Problem(("gate", MOST_GATED), text, "what is not gated is still shown")


def _of_list(values: Mapping[str, Any], key: str, read: Callable[[str], str]) -> Iterator[Problem]:
    """Yield what is wrong with the items of a list; `read` returns the canonical text of one, or ValueError."""
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


def _limited(text: str, services: Sequence[str] | None) -> str:
    """Read a budget; a metric may have one of each kind: a limit, and a share of the base."""
    budget = budgets.parse(text)
    canonical = _of_metric(budget.metric, services)
    return canonical if budget.within is None else f"{canonical} within a share of base"


def _of_metric(read: Metric, services: Sequence[str] | None) -> str:
    if read.kind in _OF_SERVICE and read.of is not None:
        _check_service(read.of, services)
    return read.text


def _stops(text: str, services: Sequence[str] | None) -> str:
    rule = stopping.parse(text)
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
    close = difflib.get_close_matches(service, services, n=1)
    hint = f"did you mean {close[0]}?" if close else f"its services: {', '.join(services)}"
    raise ValueError(f"the stack has no service {service!r}; {hint}")

"""The language of `stop_when`, and its evaluation second by second.

    failures > 20% for 10s
    p99 of "token" > 2s for 30s
    mean stalls_count of "play" > 3 for 10s
    memory of host > 90%
    swap of host > 1GiB

The metrics are those of `seatrial.measure.metric`, and `memory` and `swap` of the host or of a service: in bytes,
or as a share of what there is (of the service's limit). A rule is beyond its limit on the bad side only: `<` of
throughput, `>` of all else; of a detail of flows either may be the bad one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seatrial.measure import metric as metrics
from seatrial.measure.metric import Kind, Metric, Unit
from seatrial.units import seconds

EXAMPLE = "failures > 20% for 10s, or memory of host > 90%"
_FOR = re.compile(r"\A(?P<rest>.*\S)\s+for\s+(?P<span>\S+)\Z")
_MEMORY = re.compile(r"\A(?P<what>memory|swap)(?:\s+of\s+(?P<of>\S+))?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """One rule: ends the run once `signal` has been beyond `limit` for so many seconds.

    `signal` is the canonical text of a metric, or `memory of NAME` or `swap of NAME`, then `metric` is None and
    `of` the service or `host`. `unit` is that of `limit` and of the values to compare with it.
    """

    text: str
    signal: str
    unit: Unit
    op: str
    limit: float
    lasts_s: int
    of: str | None = None
    metric: Metric | None = None


@dataclass(frozen=True, slots=True)
class HoldingSince:
    """For how many seconds a rule's condition has held without one in which it did not, and the worst value."""

    seconds: int = 0
    worst: float | None = None


def parse(text: str) -> StopRule:
    """Read one rule; ValueError with what is expected."""
    text = " ".join(text.split())
    match = _FOR.match(text)
    rest, lasts_s = (match["rest"], _whole_seconds(match["span"], text)) if match else (text, 1)
    written, op, most = metrics.split_limit(rest, EXAMPLE)
    memory = _MEMORY.match(written)
    if memory is None:
        metric = metrics.parse_bare(written)
        signal, unit, of = metric.text, metric.unit, metric.of
    elif memory["of"] is None:
        raise ValueError(f"{text!r} does not say of what: {memory['what']} of host, or of a service, is expected")
    else:
        metric, of = None, memory["of"].strip('"')
        signal, unit = f"{memory['what']} of {of}", Unit.SHARE if most.endswith("%") else Unit.BYTES
        if memory["what"] == "swap" and unit is Unit.SHARE:
            raise ValueError(f"{text!r}: the size of swap is not known: an amount such as 1GiB is expected")
    bad = "<" if metric is not None and metric.worse == "lower" else ">"
    if not op.startswith(bad) and (metric is None or metric.kind is not Kind.DETAIL):
        span = f" for {match['span']}" if match else ""
        raise ValueError(f"{text!r} would end a run that is well: {signal} {bad} {most}{span} is expected")
    limit = metrics.parse_limit(most, unit)
    rule = StopRule(text=text, signal=signal, unit=unit, op=op, limit=limit, lasts_s=lasts_s, of=of, metric=metric)
    _refuse_certain(rule)
    return rule


def advance(rule: StopRule, so_far: HoldingSince, value: float | None) -> HoldingSince:
    """Add one more second; a second without a value neither counts nor ends the span."""
    if value is None:
        return so_far
    beyond = {
        "<": value < rule.limit,
        "<=": value <= rule.limit,
        ">": value > rule.limit,
        ">=": value >= rule.limit,
    }[rule.op]
    if not beyond:
        return HoldingSince()
    worst = min if rule.op.startswith("<") else max
    return HoldingSince(so_far.seconds + 1, value if so_far.worst is None else worst(so_far.worst, value))


def fired(rule: StopRule, holding: HoldingSince) -> str:
    """Return what was measured if the run has to end, else nothing."""
    if holding.seconds < rule.lasts_s or holding.worst is None:
        return ""
    span = "in one second" if holding.seconds == 1 else f"for {holding.seconds} s"
    return f"{rule.text}: {rule.signal} was at {metrics.limit_text(holding.worst, rule.unit)} {span}"


def _refuse_certain(rule: StopRule) -> None:
    """Raise ValueError for a rule that holds whatever is measured, or never.

    Of failures, details and swap there may be none; latency and memory in use are always above zero.
    """
    latency = rule.metric is not None and rule.metric.kind is Kind.LATENCY
    above_zero = latency or rule.signal.startswith("memory")
    if rule.limit == 0 and (rule.op == ">=" or (rule.op == ">" and above_zero)):
        raise ValueError(f"{rule.text!r} would end every run at once: more than 0 is expected")
    if (rule.op == "<" and rule.limit == 0) or (rule.op == ">" and rule.unit is Unit.SHARE and rule.limit >= 1):
        raise ValueError(f"{rule.text!r} can't come true: {rule.op}= is expected, or another limit")


def _whole_seconds(span: str, text: str) -> int:
    lasts_s = seconds(span)
    if lasts_s < 1 or lasts_s != int(lasts_s):
        raise ValueError(f"{text!r}: values come once a second, so whole seconds from 1s on are expected")
    return int(lasts_s)

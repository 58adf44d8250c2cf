"""The budget language, judged for one run or over blocks.

    p95 of "manifest by tag" < 150ms
    failures < 0.1%
    peak unreclaimable of auth < 200MiB
    throughput > 100/s
    p95 startup_s of "play" < 2s
    p99 of pull within 10% of base

The metrics are those of `seatrial.judge.metric`. A detail of flows may have a limit on either side (`mean
received_bytes of "play" > 1MiB`): what is good of it only its budget knows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from seatrial.compare import effects
from seatrial.compare.effects import Effect
from seatrial.measure import metric as metrics
from seatrial.measure import statistics
from seatrial.measure.metric import HIGHEST, Kind, Metric, Scale, Unit
from seatrial.measure.values import MetricEstimate

EXAMPLE = 'p95 of "manifest by tag" < 150ms, or p99 of pull within 10% of base'
ALPHA = 0.05
_NO_FAILURE = 3.0
"""No failure among n says: less than 3/n, with 95 % (Hanley and Lippman-Hand, JAMA 1983)."""
_RELATIVE = re.compile(r"\A(?P<metric>.*\S)\s+within\s+(?P<share>\S+?)\s*%\s+of\s+base\Z")


class BudgetWord(StrEnum):
    """What is said about a budget."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_DECIDED = "not decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One budget: the metric stays on the good side of `limit` (in its unit), or `within` a share of the base."""

    text: str
    metric: Metric
    op: str = "<"
    limit: float | None = None
    within: float | None = None

    def holds(self, value: float) -> bool:
        """Tell whether a value is on the good side of the limit; of none, every value is."""
        return self.limit is None or _holds(value, self.op, self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetResult:
    """What is said about one budget: figures in the metric's unit, or a change where it is `within` of the base.

    `low` and `high` enclose the value with 95 %, each None where that end can't be told.
    """

    budget: Budget
    word: BudgetWord
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @property
    def text(self) -> str:
        """The budget and what came of it, in one sentence."""
        return f"{self.budget.text}: {self.word}: {self.reason}"


def parse(text: str) -> Budget:
    """Read one budget; ValueError says what is expected."""
    text = " ".join(text.split())
    match = _RELATIVE.match(text)
    if match is not None:
        return Budget(
            text=text, metric=metrics.parse_bare(match["metric"]), within=metrics.share(match["share"], text)
        )
    if metrics.says_within(text) and not metrics.has_limit(text):
        raise ValueError(f"{text!r}: `within` and a share of the base such as `within 10% of base` is expected")
    parts = metrics.split_limit(text, EXAMPLE)
    meant = metrics.parse_bare(parts.metric)
    good = "<" if meant.worse == "higher" else ">"
    if meant.kind is not Kind.DETAIL and not parts.op.startswith(good):
        raise ValueError(
            f"{text!r} would be broken by a good result: {meant.text} {good} {parts.limit} is expected"
        )
    most = metrics.parse_limit(parts.limit, meant.unit)
    if most <= 0:
        raise ValueError(f"{text!r}: no measurement can show exactly 0; more than 0 is expected")
    return Budget(text=text, metric=meant, op=parts.op, limit=most)


def judge(budget: Budget, readings: Sequence[MetricEstimate]) -> BudgetResult:
    """Judge a budget with a limit by one run, or by several blocks of one variant.

    One run: its own interval. Several: Student's interval over the blocks, of logarithms where there is no zero;
    the share of failures can't be told better than 3 over all requests. A peak: the highest seen. What was never
    measured breaks its budget. ValueError for a budget that is relative to the base.
    """
    if budget.limit is None:
        raise ValueError(f"{budget.text!r} needs a comparison")
    told = [one for one in readings if one.value is not None]
    if not told:
        return _unmeasured(budget, readings)
    found = told[0] if len(readings) == 1 else _over_blocks(budget.metric, told)
    many = "one block" if len(told) == 1 else f"{len(told)} blocks"
    seen = "within this run" if len(readings) == 1 else f"over {many}"
    judged = _by_limit(budget, budget.limit, found, seen)
    if len(told) < len(readings) and judged.word is BudgetWord.KEPT:
        return BudgetResult(
            budget=budget,
            word=BudgetWord.NOT_DECIDED,
            value=found.value,
            low=found.low,
            high=found.high,
            reason=f"measured in only {len(told)} of {len(readings)} blocks",
        )
    return judged


def judge_within(budget: Budget, effect: Effect | None) -> BudgetResult:
    """Judge a budget relative to the base by the paired effect; being better than the base keeps it.

    ValueError for a budget with a limit. The effect is None where there is no base.
    """
    if budget.within is None:
        raise ValueError(f"{budget.text!r} has a limit of its own")
    span = effects.interval(effect, ALPHA) if effect is not None and effects.decidable(effect) else None
    if effect is None or not effect.blocks:
        reason = "there is no base to compare with"
        return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, reason=reason)
    value = effects.shown(effect.mean, effect.scale)
    if span is None:
        reason = f"{100 * value:+.3g} %, and so few blocks tell nothing about scatter"
        return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, value=value, reason=reason)
    most = effects.margin(budget.within, effect.scale)
    low, high = (span.low, span.high) if budget.metric.worse == "higher" else (-span.high, -span.low)
    word = BudgetWord.KEPT if high <= most else BudgetWord.BROKEN if low > most else BudgetWord.NOT_DECIDED
    ends = [effects.shown(end, effect.scale) for end in (span.low, span.high)]
    unit = "%" if effect.scale is Scale.RATIO else "points"
    reason = f"{100 * value:+.3g} {unit} against the base (95 %: {100 * ends[0]:+.3g} to {100 * ends[1]:+.3g})"
    return BudgetResult(budget=budget, word=word, value=value, low=ends[0], high=ends[1], reason=reason)


def judge_alone(budget: Budget) -> BudgetResult:
    """Say of a budget relative to the base that one run alone can't decide it."""
    reason = "one run alone has no base to compare with: seatrial compare judges it"
    return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, reason=reason)


def _unmeasured(budget: Budget, readings: Sequence[MetricEstimate]) -> BudgetResult:
    if all(one.never for one in readings):
        return BudgetResult(
            budget=budget, word=BudgetWord.BROKEN, reason=f"{budget.metric.text} was never measured"
        )
    count = sum(one.count for one in readings)
    nouns = ("flow", "flows") if budget.metric.kind is Kind.DETAIL else ("success", "successes")
    few = f"1 {nouns[0]} is" if count == 1 else f"{count} {nouns[1]} are"
    return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, reason=f"{few} too few to tell it")


def _over_blocks(asked: Metric, told: Sequence[MetricEstimate]) -> MetricEstimate:
    values = [one.value for one in told if one.value is not None]
    count = sum(one.count for one in told)
    if asked.kind is Kind.PEAK or (asked.kind is Kind.DETAIL and asked.percent == HIGHEST):
        return MetricEstimate(value=max(values), low=max(values), high=max(values), count=count)
    logs = asked.kind is not Kind.FAILURES and min(values) > 0
    floor = _NO_FAILURE / count if asked.kind is Kind.FAILURES and count else 0.0
    values = [math.log(value) for value in values] if logs else values
    span = statistics.mean_interval(values, ALPHA, floor=floor)
    back = math.exp if logs else float
    low, high = (None, None) if span is None else (back(span.low), back(span.high))
    if low is not None and asked.unit is Unit.SHARE:
        low = max(low, 0.0)
    return MetricEstimate(value=back(math.fsum(values) / len(values)), low=low, high=high, count=count)


def _by_limit(budget: Budget, most: float, found: MetricEstimate, seen: str) -> BudgetResult:
    unit = budget.metric.unit
    value, low, high = found.value, found.low, found.high
    good, bad = (high, low) if budget.op.startswith("<") else (low, high)
    if good is not None and _holds(good, budget.op, most):
        word = BudgetWord.KEPT
    elif bad is not None and not _holds(bad, budget.op, most):
        word = BudgetWord.BROKEN
    else:
        word = BudgetWord.NOT_DECIDED
    ends = ["?" if end is None else metrics.limit_text(end, unit) for end in (low, high)]
    measured = "" if value is None else metrics.limit_text(value, unit)
    reason = measured if low == high and low is not None else f"{measured} (95 % {seen}: {ends[0]} to {ends[1]})"
    return BudgetResult(budget=budget, word=word, value=value, low=low, high=high, reason=reason)


def _holds(value: float, op: str, most: float) -> bool:
    return {"<": value < most, "<=": value <= most, ">": value > most, ">=": value >= most}[op]

"""The budget language, and the verdict on a budget for one run or over blocks.

    p95 of "manifest by tag" < 150ms
    failures < 0.1%
    peak unreclaimable of auth < 200MiB
    throughput > 100/s
    p95 startup_s of "play" < 2s
    p99 of pull within 10% of base

The metrics are those of `seatrial.measure.metric`. A detail of flows may have a limit on either side (`mean
received_bytes of "play" > 1MiB`): which one is good depends on the detail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from seatrial.compare import effects
from seatrial.compare.effects import Effect
from seatrial.measure import metric as metrics
from seatrial.measure import statistics
from seatrial.measure.metric import HIGHEST, Kind, Metric, Scale, Unit
from seatrial.measure.values import MetricEstimate

EXAMPLE = 'p95 of "manifest by tag" < 150ms, or p99 of pull within 10% of base'
ALPHA = 0.05
_RELATIVE = re.compile(r"\A(?P<metric>.*\S)\s+within\s+(?P<share>\S+?)\s*%\s+of\s+base\Z")


class BudgetWord(StrEnum):
    """The verdict on a budget."""

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
        """Return whether a value is on the good side of the limit; without a limit every value is."""
        most = self.limit
        return (
            most is None
            or {"<": value < most, "<=": value <= most, ">": value > most, ">=": value >= most}[self.op]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetResult:
    """The verdict on one budget: figures in the metric's unit, or a change where it is `within` of the base.

    `low` and `high` enclose the value with 95 %, each None where that end is not known.
    """

    budget: Budget
    word: BudgetWord
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @property
    def text(self) -> str:
        """The budget and its verdict, in one sentence."""
        return f"{self.budget.text}: {self.word}: {self.reason}"


def parse(text: str) -> Budget:
    """Read one budget; ValueError with what is expected."""
    text = " ".join(text.split())
    match = _RELATIVE.match(text)
    if match is not None:
        return Budget(
            text=text, metric=metrics.parse_bare(match["metric"]), within=metrics.share(match["share"], text)
        )
    if metrics.says_within(text) and not metrics.has_limit(text):
        raise ValueError(f"{text!r}: `within` and a share of the base such as `within 10% of base` is expected")
    written, op, most = metrics.split_limit(text, EXAMPLE)
    metric = metrics.parse_bare(written)
    good = "<" if metric.worse == "higher" else ">"
    if metric.kind is not Kind.DETAIL and not op.startswith(good):
        raise ValueError(f"{text!r} would be broken by a good result: {metric.text} {good} {most} is expected")
    limit = metrics.parse_limit(most, metric.unit)
    if limit <= 0:
        raise ValueError(f"{text!r}: no measurement can show exactly 0; more than 0 is expected")
    return Budget(text=text, metric=metric, op=op, limit=limit)


def judge(budget: Budget, estimates: Sequence[MetricEstimate]) -> BudgetResult:
    """Judge a budget with a limit by one run, or by several blocks of one variant.

    One run: its own interval. Several: Student's interval over the blocks, of logarithms where there is no zero;
    the share of failures is known no better than 3 over all requests. A peak: the highest. A metric that was never
    measured breaks its budget. ValueError for a budget that is relative to the base.
    """
    if budget.limit is None:
        raise ValueError(f"{budget.text!r} needs a comparison")
    measured = [one for one in estimates if one.value is not None]
    if not measured:
        return _unmeasured(budget, estimates)
    alone = len(estimates) == 1
    estimate = measured[0] if alone else _over_blocks(budget.metric, measured)
    blocks = "one block" if len(measured) == 1 else f"{len(measured)} blocks"
    result = _by_limit(budget, estimate, "within this run" if alone else f"over {blocks}")
    if len(measured) < len(estimates) and result.word is BudgetWord.KEPT:
        reason = f"measured in only {len(measured)} of {len(estimates)} blocks"
        return replace(result, word=BudgetWord.NOT_DECIDED, reason=reason)
    return result


def _unmeasured(budget: Budget, estimates: Sequence[MetricEstimate]) -> BudgetResult:
    if all(one.never for one in estimates):
        reason = f"{budget.metric.text} was never measured"
        return BudgetResult(budget=budget, word=BudgetWord.BROKEN, reason=reason)
    count = sum(one.count for one in estimates)
    nouns = ("flow", "flows") if budget.metric.kind is Kind.DETAIL else ("success", "successes")
    few = f"1 {nouns[0]} is" if count == 1 else f"{count} {nouns[1]} are"
    return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, reason=f"{few} too few for it")


def _over_blocks(metric: Metric, measured: Sequence[MetricEstimate]) -> MetricEstimate:
    values = [one.value for one in measured if one.value is not None]
    count = sum(one.count for one in measured)
    if metric.kind is Kind.PEAK or (metric.kind is Kind.DETAIL and metric.percent == HIGHEST):
        return MetricEstimate(value=max(values), low=max(values), high=max(values), count=count)
    failures = metric.kind is Kind.FAILURES
    floor = statistics.NO_FAILURE / count if failures and count else 0.0
    value, low, high = statistics.mean_over_blocks(
        values, ALPHA, logs=not failures and min(values) > 0, floor=floor
    )
    if low is not None and metric.unit is Unit.SHARE:
        low = max(low, 0.0)
    return MetricEstimate(value=value, low=low, high=high, count=count)


def _by_limit(budget: Budget, estimate: MetricEstimate, where: str) -> BudgetResult:
    unit = budget.metric.unit
    value, low, high = estimate.value, estimate.low, estimate.high
    good, bad = (high, low) if budget.op.startswith("<") else (low, high)
    if good is not None and budget.holds(good):
        word = BudgetWord.KEPT
    elif bad is not None and not budget.holds(bad):
        word = BudgetWord.BROKEN
    else:
        word = BudgetWord.NOT_DECIDED
    ends = ["?" if end is None else metrics.limit_text(end, unit) for end in (low, high)]
    measured = "" if value is None else metrics.limit_text(value, unit)
    reason = measured if low == high and low is not None else f"{measured} (95 % {where}: {ends[0]} to {ends[1]})"
    return BudgetResult(budget=budget, word=word, value=value, low=low, high=high, reason=reason)


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
        reason = f"{100 * value:+.3g} %; too few blocks to know the scatter"
        return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, value=value, reason=reason)
    most = effects.margin(budget.within, effect.scale)
    low, high = (span.low, span.high) if budget.metric.worse == "higher" else (-span.high, -span.low)
    word = BudgetWord.KEPT if high <= most else BudgetWord.BROKEN if low > most else BudgetWord.NOT_DECIDED
    ends = [effects.shown(end, effect.scale) for end in (span.low, span.high)]
    unit = "%" if effect.scale is Scale.RATIO else "points"
    reason = f"{100 * value:+.3g} {unit} against the base (95 %: {100 * ends[0]:+.3g} to {100 * ends[1]:+.3g})"
    return BudgetResult(budget=budget, word=word, value=value, low=ends[0], high=ends[1], reason=reason)


def judge_alone(budget: Budget) -> BudgetResult:
    """Return that one run alone can't decide a budget relative to the base."""
    reason = "one run alone has no base to compare with: seatrial compare judges it"
    return BudgetResult(budget=budget, word=BudgetWord.NOT_DECIDED, reason=reason)

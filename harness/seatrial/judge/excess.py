"""How far a short trial was beyond its budgets: the share of requests that broke one, over the share that may.

`p95 of "x" < 150ms`   of x: successes slower than 150 ms, failures and arrivals that nobody served; 5 % may
`p99 of "x" < 1s`      the same; 1 % may
`failures < 0.1%`      failures and arrivals that nobody served, of all that was asked; 0.1 % may
`failures of "x" < 1%` the same of x
`p95 k_s of "x" < 2s`  of the flows x: those whose detail is beyond it, and arrivals that nobody served; 5 % may
`mean k_s of "x" < 2s` the mean, or the highest value, over the limit: it is no share of requests

One request among others may always break a budget: of the 500 of a trial one alone would be twice the 0.1 % that
may fail, and would decide by chance. What one more means, MLRsearch decides by the median of the trials
(`judge.capacity`). Where all of them break it, be it a single one, it is broken.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from seatrial.judge import limits
from seatrial.judge.budgets import Budget
from seatrial.judge.measured import in_bucket, over_buckets
from seatrial.judge.metric import HIGHEST, Kind, Metric
from seatrial.units import NS_PER_S
from seatrial.wire import buckets

_EXAMPLE = "budgets: ['p95 of \"NAME\" < 150ms', 'failures < 0.1%'], or --budget"
_OF_REQUESTS = frozenset({Kind.LATENCY, Kind.FAILURES})
_SEARCHED = _OF_REQUESTS | {Kind.DETAIL}
_JUST_BEYOND = math.nextafter(1.0, 2.0)
_NO_LATENCY_NS = NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that came of the arrivals of one trial.

    `lost` counts the arrivals that no user served, or that had not ended when the trial was closed; `failures` the
    requests that failed, by endpoint; `latency` the successes by endpoint and bucket (`wire.buckets`), from their
    intended start; `details` the numbers that flows reported, by flow, key and bucket; `flows` and `flows_failed`
    how many ended.
    """

    arrivals: int
    lost: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Mapping[int, int]]] = field(default_factory=dict)
    flows: int = 0
    flows_failed: int = 0

    @property
    def successes(self) -> int:
        """How many requests ended well."""
        return sum(sum(found.values()) for found in self.latency.values())

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(self.failures.values())

    def of(self, endpoint: str | None) -> dict[int, int]:
        """Return the successes of an endpoint, or of all, by bucket."""
        if endpoint is not None:
            return dict(self.latency.get(endpoint, {}))
        whole: Counter[int] = Counter()
        for found in self.latency.values():
            whole.update(found)
        return dict(whole)

    def detail(self, metric: Metric) -> Mapping[int, int]:
        """Return the numbers of a detail by bucket, of one flow or of all."""
        whole: Counter[int] = Counter()
        for flow, by_key in self.details.items():
            if metric.of in {None, flow}:
                whole.update(by_key.get(metric.key, {}))
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """The budget that was exceeded most: up to a `value` of 1.0 all are kept. `text` says it in words."""

    value: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """Budgets by where they can be judged: those that the search keeps, and all, for the validation."""

    searched: tuple[Budget, ...]
    validated: tuple[Budget, ...]

    @property
    def latency(self) -> Budget | None:
        """The first budget of a latency."""
        return next((one for one in self.searched if one.metric.kind is Kind.LATENCY), None)

    @property
    def strictest_ns(self) -> int:
        """The lowest latency that a budget asks for; a second where none does."""
        limits = [one.limit for one in self.searched if one.metric.kind is Kind.LATENCY and one.limit is not None]
        return round(min(limits, default=_NO_LATENCY_NS))

    @property
    def wait_s(self) -> float:
        """How much longer than usual the budgets of latency let a flow last: what they let each endpoint take."""
        limits: dict[str | None, float] = {}
        for one in self.searched:
            if one.metric.kind is Kind.LATENCY and one.limit is not None:
                limits[one.metric.of] = max(limits.get(one.metric.of, 0.0), one.limit)
        return sum(limits.values()) / NS_PER_S

    @property
    def share(self) -> float:
        """The smallest share of requests that may break a budget of latency; 5 % where there is none."""
        latencies = [one for one in self.searched if one.metric.kind is Kind.LATENCY]
        return min((allowed(one) for one in latencies), default=0.05)


def divided(budgets: Sequence[Budget]) -> Divided:
    """Divide the budgets; ValueError for one that a search can't keep, or if there is none that it could.

    Memory and processor time need longer than a trial: they are judged in the validation alone.
    """
    for one in budgets:
        if one.metric.kind is Kind.THROUGHPUT:
            raise ValueError(f"{one.text!r} can't be kept by a search: the rate is what it searches")
        if one.limit is None:
            raise ValueError(f"{one.text!r} needs a comparison: a search has no base beside it")
    searched = tuple(one for one in budgets if one.metric.kind in _SEARCHED)
    if not searched:
        what = "latency, failures or a detail of flows"
        raise ValueError(f"there is no budget of {what} that a rate could break: {_EXAMPLE}")
    return Divided(searched=searched, validated=tuple(budgets))


def unknown(budgets: Sequence[Budget], endpoints: Sequence[str]) -> list[str]:
    """Return the names in these budgets that are no endpoint."""
    named = [one.metric.of for one in budgets if one.metric.kind in _OF_REQUESTS and one.metric.of is not None]
    return [name for name in dict.fromkeys(named) if name not in endpoints]


def unreported(budgets: Sequence[Budget], seen: Observed) -> list[str]:
    """Return the details in these budgets that no flow reported."""
    asked = [one.metric for one in budgets if one.metric.kind is Kind.DETAIL]
    return list(dict.fromkeys(one.text for one in asked if not seen.detail(one)))


def allowed(budget: Budget) -> float:
    """Return the share of requests that may break the budget."""
    if budget.metric.kind in {Kind.LATENCY, Kind.DETAIL}:
        return (100 - (budget.metric.percent or 50)) / 100
    return budget.limit or 0.0


def excess(budgets: Sequence[Budget], seen: Observed) -> Excess:
    """Return the largest excess over the budgets; one request may always break one."""
    found = [_excess(one, seen) for one in budgets]
    return max(found, key=lambda one: one.value)


def _excess(budget: Budget, seen: Observed) -> Excess:
    if budget.metric.kind is Kind.DETAIL and budget.metric.percent in {None, HIGHEST}:
        return _of_detail(budget, budget.limit or 0.0, seen)
    broke, asked = _broke(budget, seen)
    may = allowed(budget) * asked if broke == asked else max(allowed(budget) * asked, 1.0)
    return Excess(
        value=broke / may if broke else 0.0, text=f"{budget.text}: {broke} of {asked} broke it, {may:.3g} may"
    )


def _broke(budget: Budget, seen: Observed) -> tuple[int, int]:
    """Return how many requests broke the budget, and how many there were."""
    if budget.metric.kind is Kind.DETAIL:
        numbers = seen.detail(budget.metric)
        bad = sum(count for number, count in numbers.items() if not budget.holds(in_bucket(budget.metric, number)))
        return bad + seen.lost, sum(numbers.values()) + seen.lost
    name = budget.metric.of
    if name is None and not seen.latency and not seen.failures:  # no request was made
        return seen.flows_failed + seen.lost, seen.flows + seen.lost
    took = seen.of(name)
    bad = (seen.failed if name is None else seen.failures.get(name, 0)) + seen.lost
    asked = sum(took.values()) + bad
    if budget.metric.kind is Kind.FAILURES:
        return bad, asked
    return bad + sum(_above(took, budget.limit or 0.0)), asked


def _of_detail(budget: Budget, limit: float, seen: Observed) -> Excess:
    """Set the mean, or the highest value, against its limit; without any, lost arrivals break it."""
    value = over_buckets(budget.metric, seen.detail(budget.metric))
    if value is None:
        return Excess(value=2.0 if seen.lost else 0.0, text=f"{budget.text}: never reported, {seen.lost} lost")
    ratio = value / limit if budget.op.startswith("<") else limit / value if value > 0 else math.inf
    beyond = min(ratio, 1.0) if budget.holds(value) else max(ratio, _JUST_BEYOND)
    return Excess(value=beyond, text=f"{budget.text}: {limits.written(value, budget.metric.unit)}")


def _above(took: Mapping[int, int], limit_ns: float) -> Iterator[int]:
    return (count for number, count in took.items() if buckets.middle_ns(number) > limit_ns)

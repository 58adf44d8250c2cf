"""The counts of one short capacity trial, how far they exceed the budgets, and its backlog.

A budget is exceeded by the share of requests that broke it, over the share that may:

`p95 of "x" < 150ms`   of x: successes slower than 150 ms, failures and arrivals that were not served; 5 % may
`p99 of "x" < 1s`      the same; 1 % may
`failures < 0.1%`      failures and arrivals that were not served, of all requests and those; 0.1 % may
`failures of "x" < 1%` the same of x
`p95 k_s of "x" < 2s`  of the flows x: those whose detail is beyond it, and arrivals that were not served; 5 % may
`mean k_s of "x" < 2s` the mean, or the highest value, over the limit: it is no share of requests

One request among others may always break a budget: of the 500 of a trial one alone would be twice the 0.1 % that
may fail, and would decide by chance. Whether a second one matters, MLRsearch decides by the median of the trials
(`seatrial.compare.capacity`). Where all of them break it, be it a single one, it is broken.

In a trial that is shorter than its flows hardly any of them end: all their requests may be in time, but on a
stack that is not loaded any more. So the backlog is how many arrivals are under way while the gate is still open.
A stack that keeps up has L = rate times time in flight of them (Little, Operations Research 9, 1961), and that
time is known from trials at low rates, where nothing queues. What is under way beyond it was not carried:
MLRsearch (draft-ietf-bmwg-mlrsearch) calls loss all that was offered in a trial and did not come out of it.
Little's law allows for requests in transit, as RFC 2544, section 23, does with its two seconds after the stream.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seatrial.compare.budgets import Budget
from seatrial.measure import metric as measure_metric
from seatrial.measure.metric import HIGHEST, Kind, Metric
from seatrial.measure.values import bucket_value, detail_from_buckets
from seatrial.model import LoadSecond
from seatrial.units import NS_PER_S
from seatrial.wire import histogram

_EXAMPLE = "budgets: ['p95 of \"NAME\" < 150ms', 'failures < 0.1%'], or --budget"
_OF_REQUESTS = frozenset({Kind.LATENCY, Kind.FAILURES})
_SEARCHED = _OF_REQUESTS | {Kind.DETAIL}
_JUST_BEYOND = math.nextafter(1.0, 2.0)
_NO_LATENCY_NS = NS_PER_S
_CURVE_PERCENT = 95


@dataclass(slots=True, kw_only=True)
class TrialCounts:
    """The counts of one trial at `rate_per_s`; its gate opens at `begin_ns` and shuts at `end_ns`.

    The seconds of the load do not begin with the trial. But the gate is open within trials only: the seconds from
    one moment in which nothing is under way to the next add up to exactly one trial.

    `under_way` is how many arrivals are neither completed nor dropped by now, those included that the trial before
    left under way (`carried`). `open_ns` is the end of the last second that ended with the gate open (0: none
    did), `open_under_way` how many were under way then. `unfinished`, once the trial is closed, is how many had
    not ended in time. `at_rest`: the gate has shut, and nothing is under way any more.
    """

    rate_per_s: float
    begin_ns: int
    end_ns: int
    carried: int = 0
    under_way: int = field(init=False)
    seconds: list[LoadSecond] = field(default_factory=list)
    at_rest: bool = False
    unfinished: int | None = None
    open_ns: int = 0
    open_under_way: int = 0

    def __post_init__(self) -> None:
        self.under_way = self.carried

    def take(self, second: LoadSecond) -> None:
        """Add a second of the load.

        One that ended before the gate opened, or comes after `close`, only changes the number under way.
        """
        self.under_way += second.arrivals - second.arrivals_completed - second.arrivals_dropped
        if second.t_ns > self.begin_ns and self.unfinished is None:
            self.seconds.append(second)
            if second.t_ns <= self.end_ns:
                self.open_ns, self.open_under_way = second.t_ns, max(self.under_way, 0)
        self.at_rest = second.t_least_ns >= self.end_ns and self.under_way <= 0 and not second.in_flight

    def close(self) -> None:
        """Count arrivals that are still under way as lost to the trial, whenever they end."""
        self.unfinished = max(self.under_way, 0)

    @property
    def arrivals(self) -> int:
        """How many arrivals were due."""
        return sum(second.arrivals for second in self.seconds)

    @property
    def open_arrivals(self) -> int:
        """How many were due by `open_ns`."""
        return sum(second.arrivals for second in self.seconds if second.t_ns <= self.open_ns)

    @property
    def open_s(self) -> float:
        """How long after the gate opened `open_ns` is; 0 where no second ended while it was open."""
        return max(self.open_ns - self.begin_ns, 0) / NS_PER_S

    @property
    def late(self) -> int:
        """How many arrivals found no idle user."""
        return sum(second.arrivals_late for second in self.seconds)

    @property
    def lost(self) -> int:
        """How many arrivals were dropped, or had not ended when the trial was closed."""
        unfinished = max(self.under_way, 0) if self.unfinished is None else self.unfinished
        return sum(second.arrivals_dropped for second in self.seconds) + unfinished

    @property
    def completed(self) -> int:
        """How many arrivals ended, well or not, before the trial was closed."""
        return sum(second.arrivals_completed for second in self.seconds)

    @property
    def took_ns(self) -> int:
        """How long those took together, from when they were due."""
        return sum(second.arrivals_took_ns for second in self.seconds)

    @property
    def flow_s(self) -> float | None:
        """How long a flow took on average; None if none ended."""
        return self.took_ns / self.completed / NS_PER_S if self.completed else None

    @property
    def completed_per_s(self) -> float:
        """The rate at which arrivals were completed up to the last second that ended while the gate was open.

        Where none did, over the whole trial.
        """
        within = [second for second in self.seconds if second.t_ns <= self.end_ns]
        until_ns = within[-1].t_ns if within else self.end_ns
        completed = sum(second.arrivals_completed for second in within or self.seconds)
        return completed * NS_PER_S / (until_ns - self.begin_ns)

    @property
    def failures(self) -> Mapping[str, int]:
        """How many requests failed, by endpoint."""
        failures: Counter[str] = Counter()
        for second in self.seconds:
            failures.update(second.failures)
        return failures

    @property
    def latency(self) -> Mapping[str, Mapping[int, int]]:
        """The successes by endpoint and bucket (`wire.histogram`), from their intended start.

        Where arrivals were carried, requests that took longer than the trial had lasted are left out: they began
        before it.
        """
        latency: dict[str, Counter[int]] = {}
        for second in self.seconds:
            since_ns = second.t_ns - self.begin_ns
            for endpoint, counts in second.by_endpoint.items():
                own = {
                    number: count
                    for number, count in counts.items()
                    if not self.carried or histogram.middle_ns(number) <= since_ns
                }
                latency.setdefault(endpoint, Counter()).update(own)
        return latency

    def latency_of(self, endpoint: str | None) -> Mapping[int, int]:
        """Return the successes of an endpoint, or of all (None), by bucket."""
        latency = self.latency
        if endpoint is not None:
            return latency.get(endpoint, {})
        total: Counter[int] = Counter()
        for counts in latency.values():
            total.update(counts)
        return total

    @property
    def ended_well(self) -> int:
        """How many requests ended well; where none was made, how many arrivals were completed."""
        return sum(self.latency_of(None).values()) or (0 if any(self.failures.values()) else self.completed)

    def detail_of(self, metric: Metric) -> Mapping[int, int]:
        """Return the numbers of a detail by bucket, of one flow or of all."""
        total: Counter[int] = Counter()
        for second in self.seconds:
            for flow, by_key in second.details.items():
                if metric.of in {None, flow}:
                    total.update(by_key.get(metric.key, {}))
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """The budget that was exceeded most, in words; up to a `value` of 1.0 all are kept."""

    value: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBudgets:
    """The budgets of a search: those that a trial can decide (`searched`), and all, for the validation."""

    searched: tuple[Budget, ...]
    validated: tuple[Budget, ...]

    @property
    def percentile(self) -> int:
        """The percentile of the curve: that of the first budget of a latency, else 95."""
        return next((budget.metric.percent or _CURVE_PERCENT for budget in self._latencies), _CURVE_PERCENT)

    @property
    def endpoint(self) -> str | None:
        """The endpoint of the curve: that of the first budget of a latency; None for all."""
        return next((budget.metric.of for budget in self._latencies), None)

    @property
    def strictest_ns(self) -> int:
        """The lowest latency that a budget requires; a second where none does."""
        return round(min((budget.limit or 0.0 for budget in self._latencies), default=_NO_LATENCY_NS))

    @property
    def wait_s(self) -> float:
        """How much longer than usual the budgets of latency let a flow last: what they let each endpoint take."""
        limits: dict[str | None, float] = {}
        for budget in self._latencies:
            limits[budget.metric.of] = max(limits.get(budget.metric.of, 0.0), budget.limit or 0.0)
        return sum(limits.values()) / NS_PER_S

    @property
    def share(self) -> float:
        """The smallest share of requests that may break a budget of latency; 5 % where there is none."""
        return min((_may_break(budget) for budget in self._latencies), default=0.05)

    @property
    def _latencies(self) -> list[Budget]:
        return [budget for budget in self.searched if budget.metric.kind is Kind.LATENCY]


def search_budgets(budgets: Sequence[Budget]) -> SearchBudgets:
    """Sort budgets by where they are judged; ValueError for one that a search can't keep, or if no trial can.

    Memory and processor time need longer than a trial: they are judged in the validation alone.
    """
    for budget in budgets:
        if budget.metric.kind is Kind.THROUGHPUT:
            raise ValueError(f"{budget.text!r} can't be kept by a search: the rate is what it searches")
        if budget.limit is None:
            raise ValueError(f"{budget.text!r} needs a comparison: a search has no base beside it")
    searched = tuple(budget for budget in budgets if budget.metric.kind in _SEARCHED)
    if not searched:
        what = "latency, failures or a detail of flows"
        raise ValueError(f"there is no budget of {what} that a rate could break: {_EXAMPLE}")
    return SearchBudgets(searched=searched, validated=tuple(budgets))


def unknown_endpoints(budgets: Sequence[Budget], endpoints: Sequence[str]) -> list[str]:
    """Return the names in these budgets that are no endpoint."""
    names = [budget.metric.of for budget in budgets if budget.metric.kind in _OF_REQUESTS]
    return [name for name in dict.fromkeys(names) if name is not None and name not in endpoints]


def unreported_details(budgets: Sequence[Budget], counts: TrialCounts) -> list[str]:
    """Return the details in these budgets that no flow reported."""
    metrics = [budget.metric for budget in budgets if budget.metric.kind is Kind.DETAIL]
    return list(dict.fromkeys(metric.text for metric in metrics if not counts.detail_of(metric)))


def budget_excess(budgets: Sequence[Budget], counts: TrialCounts) -> Excess:
    """Return the largest excess over the budgets."""
    return max((_excess(budget, counts) for budget in budgets), key=lambda excess: excess.value)


def _excess(budget: Budget, counts: TrialCounts) -> Excess:
    if budget.metric.kind is Kind.DETAIL and budget.metric.percent in {None, HIGHEST}:
        return _excess_of_detail(budget, counts)
    broke, total = _broken_count(budget, counts)
    may = _may_break(budget) * total
    may = may if broke == total else max(may, 1.0)
    text = f"{budget.text}: {broke} of {total} broke it, {may:.3g} may"
    return Excess(value=broke / may if broke else 0.0, text=text)


def _broken_count(budget: Budget, counts: TrialCounts) -> tuple[int, int]:
    """Return how many requests, or flows, broke the budget, and how many there were."""
    if budget.metric.kind is Kind.DETAIL:
        values = counts.detail_of(budget.metric)
        bad = sum(
            count for number, count in values.items() if not budget.holds(bucket_value(budget.metric, number))
        )
        return bad + counts.lost, sum(values.values()) + counts.lost
    endpoint, limit_ns = budget.metric.of, budget.limit or 0.0
    latency, failures = counts.latency_of(endpoint), counts.failures
    if endpoint is None and not latency and not failures:  # no request was made
        failed = sum(second.flows_failed for second in counts.seconds)
        return failed + counts.lost, sum(second.flows for second in counts.seconds) + counts.lost
    broke = counts.lost + (failures.get(endpoint, 0) if endpoint is not None else sum(failures.values()))
    total = sum(latency.values()) + broke
    if budget.metric.kind is Kind.LATENCY:
        broke += sum(count for number, count in latency.items() if histogram.middle_ns(number) > limit_ns)
    return broke, total


def _excess_of_detail(budget: Budget, counts: TrialCounts) -> Excess:
    """Compare the mean, or the highest value, with its limit; without any, lost arrivals break it."""
    value, limit = detail_from_buckets(budget.metric, counts.detail_of(budget.metric)), budget.limit or 0.0
    if value is None:
        return Excess(value=2.0 if counts.lost else 0.0, text=f"{budget.text}: never reported, {counts.lost} lost")
    ratio = value / limit if budget.op.startswith("<") else limit / value if value > 0 else math.inf
    excess = min(ratio, 1.0) if budget.holds(value) else max(ratio, _JUST_BEYOND)
    return Excess(value=excess, text=f"{budget.text}: {measure_metric.limit_text(value, budget.metric.unit)}")


def _may_break(budget: Budget) -> float:
    """Return the share of requests that may break the budget."""
    if budget.metric.kind in {Kind.LATENCY, Kind.DETAIL}:
        return (100 - (budget.metric.percent or 50)) / 100
    return budget.limit or 0.0


BACKLOG_SHARE = 0.05
"""The share of the arrivals that may be under way beyond that: about the width of the search."""
LEAST_FLOWS = 2.0
"""A trial that is shorter than so many flows shows nothing: half of what it offers can't end within it."""
GOOD_FLOWS = 5.0
"""From so many on, four fifths of a trial show whether flows end as fast as they begin."""
_CALM_PART = 0.25


def calm_flow_s(warmup: TrialCounts | None, kept: Sequence[TrialCounts], rate_per_s: float) -> float | None:
    """Return how long a flow takes where nothing queues, in seconds; None if none ended.

    It is the mean over the trials that kept the budgets at up to a quarter of the rate, or at the lowest that was
    tried; of the warm-up, whose first requests are slow, only where there is no such trial.
    """
    ended = [trial for trial in kept if trial.completed]
    limit = max(_CALM_PART * rate_per_s, min((trial.rate_per_s for trial in ended), default=0.0))
    low = [trial for trial in ended if trial.rate_per_s <= limit]
    if not low:
        return None if warmup is None else warmup.flow_s
    return sum(trial.took_ns for trial in low) / sum(trial.completed for trial in low) / NS_PER_S


def backlog_excess(counts: TrialCounts, flow_s: float | None, wait_s: float) -> Excess:
    """Return how far a trial was from keeping up: up to a `value` of 1.0 it did.

    `flow_s` is how long a flow takes where nothing queues (None: not known, and then there is no excess), `wait_s`
    how much longer a budget lets it wait. The number under way is about Poisson distributed (exactly so in
    M/G/inf: Takacs, Introduction to the Theory of Queues, 1962): one standard deviation of it is chance, and more
    is left to the median of the trials.
    """
    arrivals = counts.open_arrivals
    if flow_s is None or not arrivals:
        return Excess(value=0.0, text="")
    mean = counts.rate_per_s * min(flow_s + wait_s, counts.open_s)
    explained = mean + mean**0.5
    beyond, may = counts.open_under_way - explained, max(BACKLOG_SHARE * arrivals, 1.0)
    text = (
        f"{counts.open_under_way} of {arrivals} arrivals were under way after {counts.open_s:.1f} s, "
        f"of which flows of {flow_s:.2g} s explain {explained:.0f}; {may:.3g} more may"
    )
    return Excess(value=max(beyond, 0.0) / may, text=text)


def overestimate(rate_per_s: float, flow_s: float, wait_s: float, trial_s: float) -> float:
    """Return by which share a bound may be above what the stack carries, as far as flows show it; 0.1 is 10 %.

    A rate that is too high piles up what `backlog_excess` allows in the trial less the time of one flow. 0 where
    flows are shorter than their budgets allow: latency shows a queue sooner then.
    """
    if flow_s <= wait_s or flow_s >= trial_s:
        return 0.0
    chance_s = ((flow_s + wait_s) / rate_per_s) ** 0.5
    piled = (wait_s + chance_s + BACKLOG_SHARE * trial_s) / (trial_s - flow_s)
    return piled / (1.0 - piled) if piled < 1.0 else 1.0

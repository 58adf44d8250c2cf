"""The rules of `stop_when` while a run lasts: each second they are told what there is to tell."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from seatrial.judge import measured, stopping
from seatrial.judge.metric import Kind, Metric, Unit
from seatrial.judge.stopping import Held as HeldFor
from seatrial.judge.stopping import StopRule
from seatrial.load.seconds import Second
from seatrial.observe.glance import Held
from seatrial.wire import buckets

_SUCCESSES_FOR = {50: 2, 95: 20, 99: 100}
"""With fewer a percentile is the slowest one or two requests."""


class Stopwatch:
    """Reckons all rules of one run; `fired` says what was seen, once one of them holds."""

    def __init__(self, rules: Sequence[str]) -> None:
        self._rules = tuple(stopping.parse(text) for text in rules)
        self._held = [HeldFor()] * len(self._rules)
        self._told = [False] * len(self._rules)
        self._seconds: deque[Second] = deque(maxlen=max((one.lasts_s for one in self._rules), default=1))
        self._asked = False
        self.fired = ""

    @property
    def of_services(self) -> bool:
        """Whether a rule asks for what a service holds."""
        return any(rule.metric is None and rule.of != "host" for rule in self._rules)

    @property
    def untold(self) -> tuple[str, ...]:
        """The rules for which there never was a value."""
        return tuple(rule.text for rule, told in zip(self._rules, self._told, strict=True) if not told)

    def take(self, second: Second, held: Mapping[str, Held]) -> None:
        """Reckon one more second; the first rule that fires is kept."""
        self._seconds.append(second)
        self._asked = self._asked or bool(second.latency or second.failures)
        for index, rule in enumerate(self._rules):
            found = value(rule, tuple(self._seconds), held, by_flows=not self._asked)
            self._told[index] |= found is not None
            self._held[index] = stopping.advance(rule, self._held[index], found)
            self.fired = self.fired or stopping.fired(rule, self._held[index])


def value(
    rule: StopRule, seconds: Sequence[Second], held: Mapping[str, Held], *, by_flows: bool = False
) -> float | None:
    """Return what the rule is about, in its unit; None if the newest second can't tell.

    Shares and rates are those of the newest second, percentiles those of all successes of the rule's span, details
    those of all flows that ended in it. As long as no request was made, failures and throughput are those of flows
    (`by_flows`).
    """
    if rule.metric is None:
        return _held(rule, held)
    newest = seconds[-1]
    match rule.metric.kind:
        case Kind.DETAIL:
            return measured.over_buckets(rule.metric, _details(rule.metric, seconds[-rule.lasts_s :]))
        case Kind.LATENCY:
            return _percentile(rule, seconds[-rule.lasts_s :])
        case Kind.FAILURES:
            failed, good = _counts(newest, rule.of, by_flows=by_flows)
            return failed / (failed + good) if failed + good else None
        case Kind.THROUGHPUT:
            return float(_counts(newest, rule.of, by_flows=by_flows)[1])
        case _:
            return None


def _held(rule: StopRule, held: Mapping[str, Held]) -> float | None:
    found = held.get(rule.of or "")
    if found is None:
        return None
    used = found.swap_bytes if rule.signal.startswith("swap") else found.memory_bytes
    if used is None or rule.unit is not Unit.SHARE:
        return used
    return used / found.limit_bytes if found.limit_bytes else None


def _percentile(rule: StopRule, seconds: Sequence[Second]) -> float | None:
    counts: Counter[int] = Counter()
    for second in seconds:
        counts.update(second.by_endpoint.get(rule.of or "", {}))
    percent = (rule.metric and rule.metric.percent) or 50
    if counts.total() < _SUCCESSES_FOR[percent]:
        return None
    return buckets.percentile_ns(counts, percent)


def _details(metric: Metric, seconds: Sequence[Second]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for second in seconds:
        for flow, by_key in second.details.items():
            if metric.of in {None, flow}:
                counts.update(by_key.get(metric.key, {}))
    return counts


def _counts(second: Second, endpoint: str | None, *, by_flows: bool) -> tuple[int, int]:
    """Return how many failed and how many ended well, of one endpoint or of all, or of all flows."""
    if endpoint is None and by_flows:
        return second.flows_failed, second.flows - second.flows_failed
    if endpoint is None:
        return sum(second.failures.values()), sum(second.latency.values())
    return second.failures.get(endpoint, 0), sum(second.by_endpoint.get(endpoint, {}).values())

"""The monitor of a running load, once a second: sampler and actions, rules of `stop_when`, progress line."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from seatrial.errors import StoppedEarly
from seatrial.experiment.actions import ActionThread
from seatrial.experiment.run_record import RunRecord
from seatrial.load.driver import LoadObserver
from seatrial.measure import stop_rules, values
from seatrial.measure.metric import Kind, Unit
from seatrial.measure.stop_rules import HoldingSince, StopRule
from seatrial.model import LoadSecond, NoteKind, Phase, Span, Watch
from seatrial.progress import Progress, memory_line
from seatrial.sampler.live import HOST, LiveReading, LiveReadings
from seatrial.sampler.session import Observer
from seatrial.units import milliseconds
from seatrial.wire import histogram

_SUCCESSES_FOR = {50: 2, 95: 20, 99: 100}
"""How many successes a percentile needs: with fewer it is the slowest one or two requests."""


class StopRules:
    """The rules of `stop_when` of one run, evaluated each second; `fired` describes the first that fired."""

    def __init__(self, rules: Sequence[str]) -> None:
        self._rules = tuple(stop_rules.parse(text) for text in rules)
        self._holding = [HoldingSince()] * len(self._rules)
        self._had_value = [False] * len(self._rules)
        self._seconds: deque[LoadSecond] = deque(maxlen=max((rule.lasts_s for rule in self._rules), default=1))
        self._any_request = False
        self.fired = ""

    @property
    def of_services(self) -> bool:
        """Whether a rule is about the memory of a service."""
        return any(rule.metric is None and rule.of != "host" for rule in self._rules)

    @property
    def without_value(self) -> tuple[str, ...]:
        """The rules for which there never was a value."""
        return tuple(rule.text for rule, had in zip(self._rules, self._had_value, strict=True) if not had)

    def take(self, second: LoadSecond, memory: Mapping[str, LiveReading]) -> None:
        """Evaluate all rules for one more second."""
        self._seconds.append(second)
        self._any_request = self._any_request or bool(second.latency or second.failures)
        for index, rule in enumerate(self._rules):
            value = evaluate(rule, tuple(self._seconds), memory, by_flows=not self._any_request)
            self._had_value[index] |= value is not None
            self._holding[index] = stop_rules.advance(rule, self._holding[index], value)
            self.fired = self.fired or stop_rules.fired(rule, self._holding[index])


class RunMonitor(LoadObserver):
    """Observes a load: writes phases and warnings into run.json, shows its progress, stops it by the rules."""

    def __init__(
        self,
        record: RunRecord,
        rules: StopRules,
        *,
        observer: Observer,
        live: LiveReadings,
        progress: Progress,
        actions: ActionThread,
    ) -> None:
        self._record = record
        self._rules = rules
        self._observer = observer
        self._live = live
        self._progress = progress
        self._actions = actions

    def child_started(self, pid: int) -> None:
        """Let the sampler read the load generator, too."""
        self._observer.watch(Watch(service="generator", kind="tree", pid=pid))

    def phases_known(self, spans: tuple[Span, ...]) -> None:
        """Write the phases into run.json; the actions have their moments by the window."""
        self._record.change(spans=spans)
        for span in spans:
            if span.phase is Phase.WINDOW:
                self._actions.window_known(span.from_ns, span.until_ns)

    def second(self, phase: Phase, second: LoadSecond) -> None:
        """Evaluate the rules, unless the load drains, and show the second."""
        self._observer.check_alive()
        self._actions.check()
        self._live.renew(self._actions.renewed())
        memory = self._live.read()
        if phase in {Phase.WARMUP, Phase.WINDOW}:
            self._rules.take(second, memory)
        services = {name: service.memory_bytes for name, service in memory.items() if name != HOST}
        self._progress.live(f"{phase}: {second_text(second)}{memory_line(services)}")

    def note(self, kind: NoteKind, text: str) -> None:
        """Write a warning into run.json."""
        self._record.note(kind, text)

    def enough(self) -> bool:
        """Return whether a rule has fired."""
        return bool(self._rules.fired)


def raise_if_stopped(rules: StopRules, observer: LoadObserver) -> None:
    """Raise StoppedEarly if a rule has fired; else note the rules that never had a value."""
    if rules.fired:
        raise StoppedEarly(
            "the run was stopped early",
            where="stop_when",
            seen=rules.fired,
            hint="the data up to then is kept: seatrial show",
        )
    for text in rules.without_value:
        observer.note(NoteKind.RULE_WITHOUT_VALUE, f"stop_when: {text}: there was never a value to judge")


def second_text(second: LoadSecond) -> str:
    """Return the counts of a second in words, for a line that is replaced each second."""
    p95_ns = histogram.percentile_ns(second.latency, 95)
    by_flows = second.flows and not second.completed
    parts = (
        f"{second.flows} flows/s" if by_flows else f"{second.completed} requests/s",
        "" if p95_ns is None else f"p95 {milliseconds(p95_ns)}",
        f"{second.flows_failed if by_flows else second.failed} failed",
        "" if second.in_flight is None or by_flows else f"{second.in_flight} in flight",
        f"{second.arrivals_late} late" if second.arrivals_late else "",
        f"{second.arrivals_dropped} dropped" if second.arrivals_dropped else "",
    )
    return ", ".join(part for part in parts if part)


def evaluate(
    rule: StopRule, seconds: Sequence[LoadSecond], memory: Mapping[str, LiveReading], *, by_flows: bool = False
) -> float | None:
    """Return the value that a rule limits, in its unit; None if there is none.

    Failures and throughput are those of the newest second, and of flows while no request was made (`by_flows`);
    percentiles are over all successes of the rule's span, details over all flows that ended in it.
    """
    metric = rule.metric
    if metric is None:
        return _memory(rule, memory)
    span = seconds[-rule.lasts_s :]
    failed, good = _counts(seconds[-1], rule.of, by_flows=by_flows)
    match metric.kind:
        case Kind.DETAIL:
            flows = [item for second in span for item in second.details.items()]
            named = (by_key.get(metric.key, {}) for flow, by_key in flows if metric.of in {None, flow})
            return values.detail_from_buckets(metric, _added(named))
        case Kind.LATENCY:
            percent = metric.percent or 50
            counts = _added(second.by_endpoint.get(rule.of or "", {}) for second in span)
            return histogram.percentile_ns(counts, percent) if counts.total() >= _SUCCESSES_FOR[percent] else None
        case Kind.FAILURES:
            return failed / (failed + good) if failed + good else None
        case Kind.THROUGHPUT:
            return float(good)
        case _:
            return None


def _memory(rule: StopRule, memory: Mapping[str, LiveReading]) -> float | None:
    service = memory.get(rule.of or "")
    if service is None:
        return None
    used = service.swap_bytes if rule.signal.startswith("swap") else service.memory_bytes
    if used is None or rule.unit is not Unit.SHARE:
        return used
    return used / service.limit_bytes if service.limit_bytes else None


def _added(parts: Iterable[Mapping[int, int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for counts in parts:
        total.update(counts)
    return total


def _counts(second: LoadSecond, endpoint: str | None, *, by_flows: bool) -> tuple[int, int]:
    """Return how many requests of an endpoint (None: all requests, or flows) failed, and how many did not."""
    if endpoint is None and by_flows:
        return second.flows_failed, second.flows - second.flows_failed
    if endpoint is None:
        return sum(second.failures.values()), sum(second.latency.values())
    return second.failures.get(endpoint, 0), sum(second.by_endpoint.get(endpoint, {}).values())

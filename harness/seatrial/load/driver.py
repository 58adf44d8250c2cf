"""The load driver: steers a load process through ready, warm-up, window and drain, by its gate and rate."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from seatrial.errors import LoadFailed, UsageError
from seatrial.load import channel as channels
from seatrial.load import child
from seatrial.load.channel import Channel
from seatrial.load.child import Child, LoadSettings
from seatrial.load.workers import FROM_EVENTS, FROM_EVENTS_TEXT, WorkerMessages, Workers
from seatrial.model import LoadSecond, NoteKind, Phase, Span, Spawn
from seatrial.units import NS_PER_S, milliseconds
from seatrial.wire import histogram
from seatrial.wire.rates import Rate
from seatrial.wire.redaction import may_load

LEAD_NS = 200_000_000
"""How far ahead a change is sent: a busy event loop may be some tens of milliseconds late."""


class LoadCommands:
    """Sends gate, rate, shares and stop to the load processes.

    Moments are CLOCK_MONOTONIC nanoseconds; by default they are `LEAD_NS` from now.
    """

    def __init__(
        self, channel: Channel, workers: Workers, seed: int, *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._channel = channel
        self._workers = workers
        self._seed = seed
        self._clock = clock
        self._shares: dict[int, tuple[float, float]] = {}
        self._stopped = False

    def gate(self, open_ns: int, until_ns: int | None = None) -> None:
        """Let users begin flows from `open_ns` on, and none from `until_ns` on, if given."""
        self._channel.send("gate", open_ns=open_ns, until_ns=until_ns)

    def set_rate(self, rate: Rate, from_ns: int | None = None, *, seed: int | None = None) -> None:
        """Let arrivals follow `rate` from a moment on, at which its schedule begins.

        Another `seed` than that of the load gives other random arrivals.
        """
        begin_ns = self._clock() + LEAD_NS if from_ns is None else from_ns
        self._channel.send(
            "rate",
            from_ns=begin_ns,
            origin_ns=begin_ns,
            **rate.to_json(),
            seed=self._seed if seed is None else seed,
        )

    def share_out(self, from_ns: int | None = None) -> None:
        """Send each worker its share of the arrivals, if that has changed."""
        shares = self._workers.shares()
        if shares == self._shares or self._stopped:
            return
        begin_ns = self._clock() + LEAD_NS if from_ns is None else from_ns
        for connection, (low, high) in shares.items():
            if self._shares.get(connection) != (low, high):
                self._channel.send_to(connection, "share", from_ns=begin_ns, low=low, high=high)
        self._shares = shares

    def stop(self, drain_s: float) -> None:
        """Let no new flow begin; running flows may end within `drain_s`."""
        self._stopped = True
        self._channel.send("stop", drain_s=drain_s)


SPAN_S = 5
STABLE_WITHIN = 0.05
"""How far the later median may be from the earlier one; a bucket is 1.6 % wide (`wire.histogram`)."""


def medians_agree(medians_ns: list[int | None]) -> bool:
    """Return whether the last two medians are known, and differ by at most `STABLE_WITHIN` of the earlier one."""
    if len(medians_ns) < 2:  # noqa: PLR2004  (two spans are compared)
        return False
    earlier, later = medians_ns[-2:]
    return earlier is not None and later is not None and abs(later - earlier) <= STABLE_WITHIN * earlier


@dataclass(slots=True)
class WarmupSpans:
    """The median latency of the successes in each span of `SPAN_S` seconds from `begin_ns` on."""

    begin_ns: int
    medians_ns: list[int | None] = field(default_factory=list)
    _counts: Counter[int] = field(default_factory=Counter)

    def take(self, t_ns: int, latency: Mapping[int, int]) -> bool:
        """Add the counts of the second that ended at `t_ns` to its span; return whether latency is stable.

        A span without a success has no median.
        """
        before = len(self.medians_ns)
        while t_ns >= self.begin_ns + (len(self.medians_ns) + 1) * SPAN_S * NS_PER_S:
            self.medians_ns.append(histogram.percentile_ns(self._counts, 50))
            self._counts.clear()
        self._counts.update(latency)
        return len(self.medians_ns) > before and medians_agree(self.medians_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """The result of a warm-up until latency is stable; it lasted `after_s`."""

    stable: bool
    after_s: float
    medians_ns: tuple[int | None, ...]

    def text(self) -> str:
        """Return the text of the note that it did not become stable."""
        known = [milliseconds(median) for median in self.medians_ns[-2:] if median is not None]
        return (
            f"after {self.after_s:g} s the median latency still changed by more than {STABLE_WITHIN:.0%} "
            f"from one span of {SPAN_S} s to the next; the last ones: {' and '.join(known) or 'nothing'}"
        )


READY_WITHIN_S = 60.0
LEAVE_WITHIN_S = 10.0
_GATE_LEAD_NS = 50_000_000
_TICK_S = 0.25


class LoadObserver:
    """Receives what a running load reports, and may stop it; by default it does neither."""

    def child_started(self, pid: int) -> None:
        """Take the process id of Locust: of the only process, or of the master of several."""

    def phases_known(self, spans: tuple[Span, ...]) -> None:
        """Take the phases: planned ones as the load begins, the actual ones once it has ended."""

    def second(self, phase: Phase, second: LoadSecond) -> None:
        """Take the counts of one second."""

    def note(self, kind: NoteKind, text: str) -> None:
        """Take a warning."""

    def enough(self) -> bool:
        """Return whether the load is to drain now, whatever is left of warm-up and window."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The actual phases of a load, and how many exceptions its user model raised.

    `warmup` is set for a load that warms up until latency is stable.
    """

    spans: tuple[Span, ...]
    errors: int
    warmup: Warmup | None = None


def drive(
    settings: LoadSettings, observer: LoadObserver, spawn: Spawn, *, driver: DriverFactory | None = None
) -> LoadResult:
    """Start the load process and drive it to its end; raises the errors of `started` and of the driver's steps.

    `driver` is LoadDriver by default: warm-up, window and drain.
    """
    with started(settings, observer, spawn) as (control, process):
        return (driver or LoadDriver)(settings, observer, control, process).run()


@contextmanager
def started(settings: LoadSettings, observer: LoadObserver, spawn: Spawn) -> Iterator[tuple[Channel, Child]]:
    """Start the load process, which ends with the block; yield the harness's end of its control socket, and it.

    If the block raises, the process may first write what is in flight, unless it refused its options.
    """
    with channels.opened() as control, settings.log.open("wb") as log:
        process = child.start(settings, control, log, spawn)
        try:
            observer.child_started(process.pid)
            yield control, process
        except UsageError:
            process.terminate()
            raise
        except BaseException:
            process.abandon(control)
            raise
        finally:
            process.mask_log()


class LoadDriver:
    """Drives a started load through ready, warm-up, window and drain.

    Every step raises LoadFailed if the process ends too early, UsageError if it refuses its options,
    ResultsUnwritable if it can't write its records. If one of several processes is lost, that is noted, and the
    others are driven to the end.
    """

    def __init__(
        self,
        settings: LoadSettings,
        observer: LoadObserver,
        control: Channel,
        process: Child,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.load = settings.load
        self.seed = settings.seed
        self.observer = observer
        self.clock = clock
        self.phase = Phase.WARMUP
        self.messages = WorkerMessages(
            control,
            process,
            processes=settings.load.processes,
            second=self.take_second,
            note=observer.note,
            clock=clock,
        )
        self.commands = LoadCommands(control, self.messages.workers, settings.seed, clock=clock)
        self._process = process
        self._warmup: WarmupSpans | None = None
        self._stable = False

    def run(self) -> LoadResult:
        """Warm up, measure, drain."""
        self.await_ready()
        load = self.load
        opened_ns = self._open_gate()
        warmup = self._warm_up(opened_ns) if load.stable else None
        window_ns = opened_ns + round((warmup.after_s if warmup else load.warmup_s) * NS_PER_S)
        drain_ns = window_ns + round(load.duration_s * NS_PER_S)
        planned = spans_from(opened_ns, window_ns, drain_ns, drain_ns + round(load.drain_s * NS_PER_S))
        self.observer.phases_known(planned)
        if load.rate is not None:
            self.commands.set_rate(load.rate, window_ns)
        window_ns = self._run_phase(Phase.WARMUP, window_ns)
        drain_ns = max(window_ns, self._run_phase(Phase.WINDOW, drain_ns))
        self.drain()
        spans = spans_from(opened_ns, window_ns, drain_ns, self.clock())
        self.observer.phases_known(spans)
        return LoadResult(spans=spans, errors=self.messages.workers.errors, warmup=warmup)

    def take_second(self, second: LoadSecond) -> None:
        """Take the counts of one second of all processes."""
        self.observer.second(self.phase, second)
        if self._warmup is not None:
            self._stable = self._warmup.take(second.t_ns, second.latency) or self._stable

    def await_ready(self) -> None:
        """Wait until every process is ready to start its users; LoadFailed if that takes too long."""
        ready, deadline_ns = 0, self.clock() + round(READY_WITHIN_S * NS_PER_S)
        while self.clock() < deadline_ns:
            self.messages.check_child()
            self.messages.receive(_TICK_S)
            ready = self.messages.workers.ready
            if ready >= self.load.processes:
                return
        raise self._process.not_ready_error(ready, READY_WITHIN_S)

    def _open_gate(self) -> int:
        """Send the shares, then open the gate; return the moment at which it opens."""
        opened_ns = self.clock() + _GATE_LEAD_NS
        self.begin(opened_ns)
        self.set_first_rate(opened_ns)
        self.commands.gate(opened_ns)
        return opened_ns

    def set_first_rate(self, from_ns: int) -> None:
        """Let the arrivals of an open load come at its first rate."""
        if (rate := self.load.rate) is not None:
            self.commands.set_rate(Rate.steady(rate.first_per_s, poisson=rate.poisson), from_ns)

    def begin(self, opened_ns: int) -> None:
        """Send the shares of a load that begins then; UsageError for a rate that its users can't follow."""
        if any(worker.source == FROM_EVENTS for worker in self.messages.workers.connected.values()):
            if self.load.rate is not None:
                raise UsageError(
                    "the users of this locustfile can't follow a rate",
                    where=str(self.load.locustfile),
                    seen=f"rate: {self.load.rate.text()}, and users that are not built on seatrial.user.LeanUser",
                    hint="leave the rate out: they have their own waits; or build them on LeanUser",
                )
            self.observer.note(NoteKind.LOCUST_EVENTS, FROM_EVENTS_TEXT)
        self.messages.started_ns = opened_ns
        self.commands.share_out(opened_ns)

    def _warm_up(self, opened_ns: int) -> Warmup:
        """Wait until latency is stable, at most for the warm-up of the load; the window begins `LEAD_NS` later."""
        limit_ns = opened_ns + round(self.load.warmup_s * NS_PER_S)
        drain_ns = limit_ns + round(self.load.duration_s * NS_PER_S)
        self.observer.phases_known(spans_from(opened_ns, limit_ns, drain_ns, drain_ns))
        self._warmup = spans = WarmupSpans(opened_ns)
        while not self._stable and not self.observer.enough() and self.clock() < limit_ns - LEAD_NS:
            self.step(limit_ns - LEAD_NS)
        self._warmup = None
        after_s = (min(self.clock() + LEAD_NS, limit_ns) - opened_ns) / NS_PER_S
        return self.warmup_result(spans, after_s, stable=self._stable)

    def warmup_result(self, spans: WarmupSpans, after_s: float, *, stable: bool) -> Warmup:
        """Return how a warm-up until latency is stable went; note that it did not become stable."""
        warmup = Warmup(stable=stable, after_s=after_s, medians_ns=tuple(spans.medians_ns))
        if not stable:
            self.observer.note(NoteKind.WARMUP_UNSTABLE, warmup.text())
        return warmup

    def _run_phase(self, phase: Phase, until_ns: int) -> int:
        """Run a phase; return its end, which is now if the observer has had enough."""
        self.phase = phase
        while self.clock() < until_ns:
            if self.observer.enough():
                return self.clock()
            self.step(until_ns)
        return until_ns

    def step(self, until_ns: int) -> None:
        """Receive messages for a moment, and adapt the shares if workers or their users have changed."""
        self.messages.check_child()
        self.messages.receive(min((until_ns - self.clock()) / NS_PER_S, _TICK_S))
        self.commands.share_out()

    def drain(self) -> None:
        """Let no new flow begin, and wait until the process has ended.

        Flows may take `drain_s`, the process a few seconds more; LoadFailed if it stays, or records may be lost.
        """
        self.phase = Phase.DRAIN
        self.commands.stop(self.load.drain_s)
        deadline_ns = self.clock() + round((self.load.drain_s + LEAVE_WITHIN_S) * NS_PER_S)
        workers = self.messages.workers
        while workers.busy if self.messages.master_lost else self._process.code is None:
            self.messages.receive(_TICK_S)
            if workers.lost and workers.drained and not workers.connected:
                self._process.terminate()  # Locust's master would wait for the lost worker
                break
            if self.clock() >= deadline_ns:
                raise self._process.still_running_error(self.load.drain_s + LEAVE_WITHIN_S)
        self.messages.receive_rest()
        code = self._process.code
        if not workers.drained or (code and not workers.lost and not self.messages.master_lost):
            raise LoadFailed(
                f"the load generator ended in the drain with exit code {code}",
                where=str(self.load.locustfile),
                seen=self._process.last_output() or "no output",
                expected="its report that nothing is in flight, and exit code 0: records may be lost",
            )


DriverFactory = Callable[[LoadSettings, LoadObserver, Channel, Child], LoadDriver]


def spans_from(opened_ns: int, window_ns: int, drain_ns: int, end_ns: int) -> tuple[Span, ...]:
    """Return the phases of a run, without gaps."""
    return (
        Span(phase=Phase.WARMUP, from_ns=opened_ns, until_ns=window_ns),
        Span(phase=Phase.WINDOW, from_ns=window_ns, until_ns=drain_ns),
        Span(phase=Phase.DRAIN, from_ns=drain_ns, until_ns=max(end_ns, drain_ns)),
    )


def allowed_hosts(stack: Iterable[str], allowed: Iterable[str], confirmed: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts that load may go to besides loopback: the stack's, and those both allowed and confirmed.

    `allowed` is the scenario's `allow_hosts`, `confirmed` is from `--yes-load`: a copied scenario alone must not
    be able to send load to a production host.
    """
    return (*stack, *sorted(set(allowed) & set(confirmed)))


def check_target(url: str, permitted: Collection[str]) -> None:
    """Raise UsageError unless load may go to the URL's host."""
    host = urlsplit(url).hostname or ""
    if may_load(host, permitted):
        return
    raise UsageError(
        f"load is not sent to {host or url}",
        seen=url,
        expected="loopback, an address of the stack's own containers, or a host that is allowed and confirmed",
        hint=f"put {host} under allow_hosts in the scenario and add --yes-load {host}",
    )

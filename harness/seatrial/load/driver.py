"""The load of one trial from start to drain: started, let in, timed by phases, and asked to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from seatrial.errors import LoadFailed, UsageError
from seatrial.load import channel, child
from seatrial.load.channel import Channel
from seatrial.load.child import Child, LoadSettings
from seatrial.load.hearing import FROM_EVENTS_TEXT, Hearing
from seatrial.load.steering import LEAD_NS, LoadCommands
from seatrial.load.warmup import Spans, Warmup
from seatrial.model import LoadSecond, NoteKind, Phase, Span, Spawn
from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate

READY_WITHIN_S = 60.0
LEAVE_WITHIN_S = 10.0
_GATE_LEAD_NS = 50_000_000
_TICK_S = 0.25


class LoadObserver:
    """Follows a load while it runs; by default nothing is done with what is reported, and nothing stops it."""

    def child_started(self, pid: int) -> None:
        """Take the process id of Locust: the only process, or the master above several."""

    def phases_known(self, spans: tuple[Span, ...]) -> None:
        """Take the phases: as planned once the load begins, and as they were once it has ended."""

    def second(self, phase: Phase, second: LoadSecond) -> None:
        """Take the counts of one second."""

    def note(self, kind: NoteKind, text: str) -> None:
        """Take a warning."""

    def enough(self) -> bool:
        """Return whether warm-up and window are to end now; the load drains then."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """How a load ended: its phases as they were, and how many exceptions the user model raised.

    `warmup` is that of a load whose warm-up was to last until latency was stable.
    """

    spans: tuple[Span, ...]
    errors: int
    warmup: Warmup | None = None


def drive(
    settings: LoadSettings,
    observer: LoadObserver,
    *,
    spawn: Spawn,
    clock: Callable[[], int] = time.monotonic_ns,
) -> LoadResult:
    """Drive the load through warm-up, window and drain; raises what `started` and the steps of `LoadDriver` do."""
    with started(settings, observer, spawn) as (control, process):
        return LoadDriver(settings, observer, control, process, clock).run()


@contextmanager
def started(settings: LoadSettings, observer: LoadObserver, spawn: Spawn) -> Iterator[tuple[Channel, Child]]:
    """Start the load process; give the harness's end of its control socket, and the process, which ends with it.

    Where the block raises, the process may first write what is in flight, unless its options were refused.
    """
    with channel.opened() as control, settings.log.open("wb") as log:
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
    """The steps of a load that was started: ready, let in, warm-up, window, drain; `run` takes them in this order.

    Every step raises LoadFailed if the process ends before it was asked to, UsageError if it refuses its options,
    ResultsUnwritable if it can't write its records. Of several processes some may get lost: that is noted, and the
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
        self.hearing = Hearing(
            control,
            process,
            processes=settings.load.processes,
            second=self.take_second,
            noted=observer.note,
            clock=clock,
        )
        self.commands = LoadCommands(control, self.hearing.workers, settings.seed, clock=clock)
        self._process = process
        self._warmup: Spans | None = None
        self._stable = False

    def run(self) -> LoadResult:
        """Warm up, measure, drain."""
        self.await_ready()
        load = self.load
        opened_ns = self._let_in()
        warmed = self._warm_up(opened_ns) if load.stable else None
        window_ns = opened_ns + round((warmed.after_s if warmed else load.warmup_s) * NS_PER_S)
        drain_ns = window_ns + round(load.duration_s * NS_PER_S)
        planned = spans_from(opened_ns, window_ns, drain_ns, drain_ns + round(load.drain_s * NS_PER_S))
        self.observer.phases_known(planned)
        if load.rate is not None:
            self.commands.set_rate(load.rate, window_ns)
        window_ns = self._pass(Phase.WARMUP, window_ns)
        drain_ns = max(window_ns, self._pass(Phase.WINDOW, drain_ns))
        self.drain()
        spans = spans_from(opened_ns, window_ns, drain_ns, self.clock())
        self.observer.phases_known(spans)
        return LoadResult(spans=spans, errors=self.hearing.workers.errors, warmup=warmed)

    def take_second(self, second: LoadSecond) -> None:
        """Take the counts of one second of all processes."""
        self.observer.second(self.phase, second)
        if self._warmup is not None:
            self._stable = self._warmup.take(second.t_ns, second.latency) or self._stable

    def await_ready(self) -> None:
        """Wait until every process says that its users may be let in; LoadFailed if they never do."""
        deadline_ns = self.clock() + round(READY_WITHIN_S * NS_PER_S)
        while self.clock() < deadline_ns:
            self.hearing.refuse_end()
            self.hearing.hear(_TICK_S)
            if self.hearing.ready:
                return
        raise self._process.not_ready(self.hearing.workers.ready, READY_WITHIN_S)

    def _let_in(self) -> int:
        """Tell the workers their parts, then open the gate; return the moment at which it opens."""
        rate, opened_ns = self.load.rate, self.clock() + _GATE_LEAD_NS
        self.begin(opened_ns)
        if rate is not None:
            self.commands.set_rate(Rate.steady(rate.first_per_s, poisson=rate.poisson), opened_ns)
        self.commands.gate(opened_ns)
        return opened_ns

    def begin(self, opened_ns: int) -> None:
        """Tell the workers their parts of a load that begins then.

        UsageError if a rate is asked for, and the users are not ours: they would not follow it.
        """
        if self.hearing.workers.from_events:
            if self.load.rate is not None:
                raise UsageError(
                    "the users of this locustfile can't follow a rate",
                    where=str(self.load.locustfile),
                    seen=f"rate: {self.load.rate.text()}, and users that are not built on seatrial.user.LeanUser",
                    hint="leave the rate out: they have their own waits; or build them on LeanUser",
                )
            self.observer.note(NoteKind.LOCUST_EVENTS, FROM_EVENTS_TEXT)
        self.hearing.started_ns = opened_ns
        self.commands.share_out(opened_ns)

    def _warm_up(self, opened_ns: int) -> Warmup:
        """Wait until latency is stable, at most as long as the load says; the window begins soon after."""
        limit_ns = opened_ns + round(self.load.warmup_s * NS_PER_S)
        drain_ns = limit_ns + round(self.load.duration_s * NS_PER_S)
        self.observer.phases_known(spans_from(opened_ns, limit_ns, drain_ns, drain_ns))
        self._warmup = spans = Spans(opened_ns)
        while not self._stable and not self.observer.enough() and self.clock() < limit_ns - LEAD_NS:
            self.step(limit_ns - LEAD_NS)
        self._warmup = None
        after_s = (min(self.clock() + LEAD_NS, limit_ns) - opened_ns) / NS_PER_S
        warmed = Warmup(stable=self._stable, after_s=after_s, medians_ns=tuple(spans.medians_ns))
        if not warmed.stable:
            self.observer.note(NoteKind.WARMUP_UNSTABLE, warmed.text())
        return warmed

    def _pass(self, phase: Phase, until_ns: int) -> int:
        """Go through a phase; return its end, which is now where it is enough before that."""
        self.phase = phase
        while self.clock() < until_ns:
            if self.observer.enough():
                return self.clock()
            self.step(until_ns)
        return until_ns

    def step(self, until_ns: int) -> None:
        """Listen for a moment; a worker that came, went or has other users changes the shares of all."""
        self.hearing.refuse_end()
        self.hearing.hear(min((until_ns - self.clock()) / NS_PER_S, _TICK_S))
        self.commands.share_out()

    def drain(self) -> None:
        """Let no new flow begin, and wait for the end of the process.

        Its users may take `drain_s`, it itself a few seconds more. LoadFailed if it stays, or records may be lost.
        """
        self.phase = Phase.DRAIN
        self.commands.stop(self.load.drain_s)
        deadline_ns = self.clock() + round((self.load.drain_s + LEAVE_WITHIN_S) * NS_PER_S)
        while self._stays():
            self.hearing.hear(_TICK_S)
            if self._recorded_without_lost():
                self._process.terminate()  # Locust's master would wait for the lost worker
                break
            if self.clock() >= deadline_ns:
                raise self._process.stays(self.load.drain_s + LEAVE_WITHIN_S)
        self.hearing.last()
        workers, code = self.hearing.workers, self._process.code
        if not workers.drained or (code and not workers.lost and not self.hearing.master_lost):
            raise LoadFailed(
                f"the load generator ended in the drain with exit code {code}",
                where=str(self.load.locustfile),
                seen=self._process.last_words() or "no output",
                expected="that it says that nothing is in flight, and exit code 0: records may be lost",
            )

    def _stays(self) -> bool:
        if self.hearing.master_lost:
            return self.hearing.workers.busy
        return self._process.code is None

    def _recorded_without_lost(self) -> bool:
        """Return whether all that are left of the workers have said that nothing is in flight, and have ended."""
        workers = self.hearing.workers
        return workers.lost and bool(workers.drained) and not workers.connected


def spans_from(opened_ns: int, window_ns: int, drain_ns: int, end_ns: int) -> tuple[Span, ...]:
    """Return the phases of a run, each beginning where the one before ends."""
    return (
        Span(phase=Phase.WARMUP, from_ns=opened_ns, until_ns=window_ns),
        Span(phase=Phase.WINDOW, from_ns=window_ns, until_ns=drain_ns),
        Span(phase=Phase.DRAIN, from_ns=drain_ns, until_ns=max(end_ns, drain_ns)),
    )

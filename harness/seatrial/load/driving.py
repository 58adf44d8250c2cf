"""One trial's load from start to drain: the child is started, let in, timed by phases, and asked to end."""

from __future__ import annotations

import time
from collections.abc import Callable

from seatrial.errors import LoadFailed, UsageError
from seatrial.load import channel, child, command
from seatrial.load.channel import Channel
from seatrial.load.child import Child
from seatrial.load.hearing import FROM_EVENTS_TEXT, Hearing
from seatrial.load.orders import Driven, Hooks, Orders, spans_from
from seatrial.load.steering import LEAD_NS, Steering
from seatrial.load.warmup import Spans, Warmup
from seatrial.model import LoadSecond, NoteKind, Phase, Spawn
from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate

READY_WITHIN_S = 60.0
LEAVE_WITHIN_S = 10.0
_GATE_LEAD_NS = 50_000_000
_TICK_S = 0.25


def drive(
    orders: Orders,
    hooks: Hooks,
    *,
    spawn: Spawn,
    clock: Callable[[], int] = time.monotonic_ns,
    course: Callable[[Drive], Driven] | None = None,
) -> Driven:
    """Drive the load through warm-up, window and drain, or through another `course` of a drive's steps.

    Raises LoadFailed if the child ends before it was asked to, or never says that it is ready; UsageError if it
    refuses its options; ResultsUnwritable if it can't write its records. Of several processes some may get lost:
    that is noted, and the others are driven to the end.
    """
    command.check(orders.load)
    with channel.opened() as steering, orders.log.open("wb") as log:
        started = child.start(orders, steering, log, spawn)
        try:
            hooks.started(started.pid)
            going = Drive(orders, hooks, steering, started, clock)
            return going.through() if course is None else course(going)
        except UsageError:
            started.terminate()
            raise
        except BaseException:
            started.abandon(steering)
            raise
        finally:
            started.mask_log()


class Drive:
    """The steps of one drive; holds what each of them needs."""

    def __init__(
        self, orders: Orders, hooks: Hooks, channel: Channel, child: Child, clock: Callable[[], int]
    ) -> None:
        self._load = orders.load
        self._hooks = hooks
        self._child = child
        self._clock = clock
        self._phase = Phase.WARMUP
        self._warmup: Spans | None = None
        self._stable = False
        self.hearing = Hearing(
            channel, child, processes=orders.load.processes, second=self._second, noted=hooks.noted, clock=clock
        )
        self.steering = Steering(channel, self.hearing.workers, orders.seed, clock=clock)

    def through(self) -> Driven:
        """Warm up, measure, drain."""
        self.await_ready()
        load = self._load
        opened_ns = self._let_in()
        warmed = self._warm_up(opened_ns) if load.stable else None
        window_ns = opened_ns + round((warmed.after_s if warmed else load.warmup_s) * NS_PER_S)
        drain_ns = window_ns + round(load.duration_s * NS_PER_S)
        self._hooks.phases(spans_from(opened_ns, window_ns, drain_ns, drain_ns + round(load.drain_s * NS_PER_S)))
        if load.rate is not None:
            self.steering.set_rate(load.rate, window_ns)
        window_ns = self._pass(Phase.WARMUP, window_ns)
        drain_ns = max(window_ns, self._pass(Phase.WINDOW, drain_ns))
        self._phase = Phase.DRAIN
        self.steering.stop(load.drain_s)
        self.leave()
        spans = spans_from(opened_ns, window_ns, drain_ns, self._clock())
        self._hooks.phases(spans)
        return Driven(spans=spans, errors=self.hearing.workers.errors, warmup=warmed)

    def _second(self, second: LoadSecond) -> None:
        self._hooks.second(self._phase, second)
        if self._warmup is not None:
            self._stable = self._warmup.take(second.t_ns, second.latency) or self._stable

    def await_ready(self) -> None:
        """Wait until every process says that its users may be let in."""
        deadline_ns = self._clock() + round(READY_WITHIN_S * NS_PER_S)
        while self._clock() < deadline_ns:
            self.hearing.refuse_end()
            self.hearing.hear(_TICK_S)
            if self.hearing.ready:
                return
        raise self._child.not_ready(self.hearing.workers.ready, READY_WITHIN_S)

    def _let_in(self) -> int:
        """Tell the workers their parts, then open the gate; return the moment at which it opens."""
        load, steering = self._load, self.steering
        opened_ns = self._clock() + _GATE_LEAD_NS
        self.prepare(opened_ns)
        if load.rate is not None:
            steering.set_rate(Rate.steady(load.rate.first_per_s, poisson=load.rate.poisson), opened_ns)
        steering.gate(opened_ns)
        return opened_ns

    def prepare(self, opened_ns: int) -> None:
        """Tell the workers their parts of a load that begins then."""
        if self.hearing.workers.from_events:
            self._accept_events()
        self._hooks.steered(self.steering)
        self.hearing.started_ns = opened_ns
        self.steering.share_out(opened_ns)

    def _accept_events(self) -> None:
        """Note what is not known then; UsageError if a rate is asked for, which such users would not follow."""
        if self._load.rate is not None:
            raise UsageError(
                "the users of this locustfile can't follow a rate",
                where=str(self._load.locustfile),
                seen=f"rate: {self._load.rate.text()}, and users that are not built on seatrial.user.LeanUser",
                hint="leave the rate out: they have their own waits; or build them on LeanUser",
            )
        self._hooks.noted(NoteKind.LOCUST_EVENTS, FROM_EVENTS_TEXT)

    def _warm_up(self, opened_ns: int) -> Warmup:
        """Wait until latency is stable, at most as long as the load says; the window begins soon after."""
        limit_ns = opened_ns + round(self._load.warmup_s * NS_PER_S)
        drain_ns = limit_ns + round(self._load.duration_s * NS_PER_S)
        self._hooks.phases(spans_from(opened_ns, limit_ns, drain_ns, drain_ns))
        self._warmup = spans = Spans(opened_ns)
        while not self._stable and not self._hooks.enough() and self._clock() < limit_ns - LEAD_NS:
            self.step(limit_ns - LEAD_NS)
        self._warmup = None
        after_s = (min(self._clock() + LEAD_NS, limit_ns) - opened_ns) / NS_PER_S
        warmed = Warmup(stable=self._stable, after_s=after_s, medians_ns=tuple(spans.medians_ns))
        if not warmed.stable:
            self._hooks.noted(NoteKind.WARMUP_UNSTABLE, warmed.text())
        return warmed

    def _pass(self, phase: Phase, until_ns: int) -> int:
        """Go through a phase; return its end, which is now where it is enough before that."""
        self._phase = phase
        while self._clock() < until_ns:
            if self._hooks.enough():
                return self._clock()
            self.step(until_ns)
        return until_ns

    def step(self, until_ns: int) -> None:
        """Listen for a moment; a worker that came, went or has other users changes everybody's share."""
        self.hearing.refuse_end()
        self.hearing.hear(min((until_ns - self._clock()) / NS_PER_S, _TICK_S))
        self.steering.share_out()

    def leave(self) -> None:
        """Wait for the child's end; its users may take `drain_s`, it itself a few seconds more."""
        deadline_ns = self._clock() + round((self._load.drain_s + LEAVE_WITHIN_S) * NS_PER_S)
        while self._stays():
            self.hearing.hear(_TICK_S)
            if self._recorded_without_lost():
                self._child.terminate()  # Locust's master would wait for the lost worker
                break
            if self._clock() >= deadline_ns:
                raise self._child.stays(self._load.drain_s + LEAVE_WITHIN_S)
        self.hearing.last()
        workers, code = self.hearing.workers, self._child.code
        if not workers.drained or (code and not workers.lost and not self.hearing.master_lost):
            raise LoadFailed(
                f"the load generator ended in the drain with exit code {code}",
                where=str(self._load.locustfile),
                seen=self._child.last_words() or "no output",
                expected="that it says that nothing is in flight, and exit code 0: records may be lost",
            )

    def _stays(self) -> bool:
        if self.hearing.master_lost:
            return self.hearing.workers.busy
        return self._child.code is None

    def _recorded_without_lost(self) -> bool:
        """Return whether all that are left of the workers have said that nothing is in flight, and have ended."""
        workers = self.hearing.workers
        return workers.lost and bool(workers.drained) and not workers.connected

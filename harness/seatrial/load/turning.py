"""Drives the load of one variant through its turns, beside those of the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from seatrial.load import driving
from seatrial.load.driving import Drive
from seatrial.load.meeting import Meeting
from seatrial.load.orders import Driven, Hooks, Orders
from seatrial.load.turns import Turns, ended
from seatrial.load.warmup import Spans, Warmup
from seatrial.model import Load, LoadSecond, NoteKind, Phase, Spawn
from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate

_LISTEN_NS = 50_000_000


class CalledOff(Exception):
    """The block was ended from outside."""


def perform(
    orders: Orders,
    hooks: Hooks,
    *,
    spawn: Spawn,
    name: str,
    meeting: Meeting,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Driven:
    """Drive the load of one variant through its turns; raises what `driving.drive` does, and CalledOff.

    An open load keeps its first rate throughout; what would arrive between two turns does not exist. A warm-up
    that lasts until latency is stable looks at the variant's own turns, and ends for all at once.
    """
    turned = TurnedLoad(orders.load, hooks, name=name, meeting=meeting, clock=clock)
    observed = replace(hooks, second=turned.second)
    return driving.drive(orders, observed, spawn=spawn, clock=clock, course=turned.run)


class TurnedLoad:
    """One variant's load in a block of slices; `stable` says that its latency is stable."""

    def __init__(self, load: Load, hooks: Hooks, *, name: str, meeting: Meeting, clock: Callable[[], int]) -> None:
        self.stable = False
        self._load = load
        self._hooks = hooks
        self._name = name
        self._meeting = meeting
        self._clock = clock
        self._turns: Turns | None = None
        self._warmup = Spans(0)

    def run(self, drive: Drive) -> Driven:
        """Wait until all loads are ready, open the gate in each own turn, and drain."""
        load, meeting, steering = self._load, self._meeting, drive.steering
        drive.await_ready()
        meeting.arrive(self._name)
        while (start_ns := meeting.start_ns) is None:
            self._refuse_called_off()
            drive.step(self._clock() + _LISTEN_NS)
        drive.prepare(start_ns)
        self.follow()
        if load.rate is not None:
            steering.set_rate(Rate.steady(load.rate.first_per_s, poisson=load.rate.poisson), start_ns)
        drain_ns = self._pass(drive)
        warmup = self.warmup(drain_ns)
        steering.stop(load.drain_s)
        drive.leave()
        spans = ended(self.follow().spans(), drain_ns, self._clock())
        self._hooks.phases(spans)
        return Driven(spans=spans, errors=drive.hearing.workers.errors, warmup=warmup)

    def follow(self) -> Turns:
        """Return the turns as they are now; the hooks get the phases where they have changed."""
        turns = self._meeting.turns(self._name)
        if turns != self._turns:
            self._turns = turns
            self._hooks.phases(turns.spans())
        return turns

    def second(self, phase: Phase, second: LoadSecond) -> None:
        """Give a second of the load its phase, and look whether latency is stable.

        That is seen on a clock that stands still while others have their turn.
        """
        turns = self._turns
        if turns is not None:
            phase = turns.phase(second.t_ns - NS_PER_S, second.t_ns)
            warming = turns.warmed_ns(second.t_ns - NS_PER_S) < turns.warmed_ns(turns.end_ns)
            if self._load.stable and not self.stable and warming:
                self.stable = self._warmup.take(turns.warmed_ns(second.t_ns), second.latency)
                if self.stable:
                    self._meeting.warmed(self._name)
        self._hooks.second(phase, second)

    def warmup(self, drain_ns: int) -> Warmup | None:
        """Return how the warm-up went, if it was to last until latency is stable; a note says that it was not."""
        if not self._load.stable or self._turns is None:
            return None
        after_s = self._turns.warmed_ns(drain_ns) / NS_PER_S
        warmup = Warmup(stable=self.stable, after_s=after_s, medians_ns=tuple(self._warmup.medians_ns))
        if not warmup.stable:
            self._hooks.noted(NoteKind.WARMUP_UNSTABLE, warmup.text())
        return warmup

    def _pass(self, drive: Drive) -> int:
        """Send each turn ahead until all are over, or the hooks have seen enough; return when that was."""
        while self._clock() < (end_ns := self.follow().end_ns):
            self._refuse_called_off()
            if self._hooks.enough():
                return self._clock()
            for window in self._meeting.due(self._name):
                drive.steering.gate(*window)
            drive.step(end_ns)
        return end_ns

    def _refuse_called_off(self) -> None:
        if self._meeting.called_off:
            raise CalledOff

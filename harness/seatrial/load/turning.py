"""Drives the load of one variant through its turns, beside those of the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from seatrial.load import driving
from seatrial.load.driving import Drive
from seatrial.load.meeting import Meeting
from seatrial.load.orders import Driven, Hooks, Orders
from seatrial.load.steering import steady
from seatrial.load.turns import Turns, ended
from seatrial.load.warmup import Spans, Warmup
from seatrial.model import Load, LoadSecond, NoteKind, Phase, Spawn
from seatrial.units import NS_PER_S

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
    part = _Part(name=name, meeting=meeting, hooks=hooks, load=orders.load)
    course = partial(_course, part=part, clock=clock)
    return driving.drive(orders, replace(hooks, second=part.second), spawn=spawn, clock=clock, course=course)


@dataclass(slots=True, kw_only=True)
class _Part:
    """One variant's part of the block; `turns` are there once all loads are ready."""

    name: str
    meeting: Meeting
    hooks: Hooks
    load: Load
    turns: Turns | None = None
    stable: bool = False
    _spans: Spans = field(default_factory=lambda: Spans(0))

    def follow(self) -> Turns:
        """Return the turns as they are now; the phases are told where they have changed."""
        turns = self.meeting.turns(self.name)
        if turns != self.turns:
            self.turns = turns
            self.hooks.phases(turns.spans())
        return turns

    def second(self, phase: Phase, counts: LoadSecond) -> None:
        """Take in a second of the load."""
        if self.turns is not None:
            phase = self.turns.phase(counts.t_ns - NS_PER_S, counts.t_ns)
            self._warm(self.turns, counts)
        self.hooks.second(phase, counts)

    def warmup(self, drain_ns: int) -> Warmup | None:
        """Return how the warm-up went, if it was to last until latency is stable; a note says that it was not."""
        if not self.load.stable or self.turns is None:
            return None
        after_s = self.turns.warmed_ns(drain_ns) / NS_PER_S
        found = Warmup(stable=self.stable, after_s=after_s, medians_ns=tuple(self._spans.medians_ns))
        if not found.stable:
            self.hooks.noted(NoteKind.WARMUP_UNSTABLE, found.text())
        return found

    def _warm(self, turns: Turns, counts: LoadSecond) -> None:
        """Look whether latency is stable, on a clock that stands still while others have their turn."""
        begun = turns.warmed_ns(counts.t_ns - NS_PER_S) < turns.warmed_ns(turns.end_ns)
        if not self.load.stable or self.stable or not begun:
            return
        self.stable = self._spans.take(turns.warmed_ns(counts.t_ns), counts.latency)
        if self.stable:
            self.meeting.warmed(self.name)


def _course(drive: Drive, *, part: _Part, clock: Callable[[], int]) -> Driven:
    load = part.load
    drive.await_ready()
    start_ns = _start_ns(drive, part, clock)
    drive.prepare(start_ns)
    part.follow()
    if (rate := load.rate) is not None:
        drive.steering.set_rate(steady(rate.first_per_s, poisson=rate.poisson), start_ns)
    drain_ns = _pass(drive, part, clock)
    warmed = part.warmup(drain_ns)
    drive.steering.stop(load.drain_s)
    drive.leave()
    spans = ended(part.follow().spans(), drain_ns, clock())
    part.hooks.phases(spans)
    return Driven(spans=spans, errors=drive.hearing.workers.errors, warmup=warmed)


def _start_ns(drive: Drive, part: _Part, clock: Callable[[], int]) -> int:
    meeting = part.meeting
    meeting.arrive(part.name)
    while meeting.start_ns is None:
        _refuse_called_off(meeting)
        drive.hearing.refuse_end()
        drive.step(clock() + _LISTEN_NS)
    return meeting.start_ns


def _pass(drive: Drive, part: _Part, clock: Callable[[], int]) -> int:
    """Tell each turn ahead until all are over, or it is enough; return when that was."""
    while clock() < (end_ns := part.follow().end_ns):
        _refuse_called_off(part.meeting)
        if part.hooks.enough():
            return clock()
        for window in part.meeting.due(part.name):
            drive.steering.gate(*window)
        drive.step(end_ns)
    return end_ns


def _refuse_called_off(meeting: Meeting) -> None:
    if meeting.called_off:
        raise CalledOff

"""Drives the load of one variant through its turns, beside those of the others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from seatrial.load import driving
from seatrial.load.driving import Drive
from seatrial.load.meeting import Meeting
from seatrial.load.orders import Driven, Hooks, Orders
from seatrial.load.seconds import Second
from seatrial.load.steering import steady
from seatrial.load.turns import Turns, ended
from seatrial.model import Phase, Spawn
from seatrial.units import NS_PER_S

AHEAD_NS = 2 * NS_PER_S
"""How long before its beginning a turn is told: a harness that is held up must not shorten it."""

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

    An open load keeps its first rate throughout; what would arrive between two turns does not exist.
    """
    told: list[Turns] = []

    def second(phase: Phase, counts: Second) -> None:
        for one in told:
            phase = one.phase(counts.t_ns - NS_PER_S, counts.t_ns)
        hooks.second(phase, counts)

    def course(drive: Drive) -> Driven:
        return _course(drive, orders=orders, hooks=hooks, name=name, meeting=meeting, told=told, clock=clock)

    return driving.drive(orders, replace(hooks, second=second), spawn=spawn, clock=clock, course=course)


def _course(
    drive: Drive,
    *,
    orders: Orders,
    hooks: Hooks,
    name: str,
    meeting: Meeting,
    told: list[Turns],
    clock: Callable[[], int],
) -> Driven:
    drive.await_ready()
    turns = meeting.slicing.turns(name, _start_ns(drive, name, meeting, clock))
    drive.prepare(turns.start_ns)
    told.append(turns)
    hooks.phases(turns.spans())
    if (rate := orders.load.rate) is not None:
        drive.steering.set_rate(steady(rate.first_per_s, poisson=rate.poisson), turns.start_ns)
    drain_ns = _pass(drive, turns, meeting, hooks.enough, clock)
    drive.steering.stop(orders.load.drain_s)
    drive.leave()
    spans = ended(turns.spans(), drain_ns, clock())
    hooks.phases(spans)
    return Driven(spans=spans, errors=drive.hearing.workers.errors)


def _start_ns(drive: Drive, name: str, meeting: Meeting, clock: Callable[[], int]) -> int:
    meeting.arrive(name)
    while meeting.start_ns is None:
        _refuse_called_off(meeting)
        drive.hearing.refuse_end()
        drive.step(clock() + _LISTEN_NS)
    return meeting.start_ns


def _pass(
    drive: Drive, turns: Turns, meeting: Meeting, enough: Callable[[], bool], clock: Callable[[], int]
) -> int:
    """Tell each turn ahead until all are over, or it is enough; return when that was."""
    ahead = deque(turns.windows)
    while clock() < turns.end_ns:
        _refuse_called_off(meeting)
        if enough():
            return clock()
        while ahead and ahead[0][0] - clock() < AHEAD_NS:
            drive.steering.gate(*ahead.popleft())
        drive.step(turns.end_ns)
    return turns.end_ns


def _refuse_called_off(meeting: Meeting) -> None:
    if meeting.called_off:
        raise CalledOff

"""One trial's load from start to drain: the child is started, let in, timed by phases, and asked to end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from seatrial.errors import LoadFailed, ResultsUnwritable, UsageError
from seatrial.load import channel, command
from seatrial.load.channel import Channel
from seatrial.load.orders import Driven, Hooks, Orders, spans_from
from seatrial.model import Load, Phase, Spawn
from seatrial.units import NS_PER_S
from seatrial.wire.control import Plan

READY_WITHIN_S = 60.0
LEAVE_WITHIN_S = 10.0
ABANDON_WITHIN_S = 5.0
_LAST_LOOKS = 8
_GATE_LEAD_NS = 50_000_000
_TICK_S = 0.25


def check(load: Load) -> None:
    """Raise UsageError for a parameter that would override what the harness sets itself."""
    refused = command.refused_parameters(load)
    if refused:
        raise UsageError(
            "a load parameter is set by the harness itself",
            where="load.parameters",
            seen=", ".join(refused),
            hint="users and duration stand under load:, the host comes from the stack",
        )


def drive(orders: Orders, hooks: Hooks, *, spawn: Spawn, clock: Callable[[], int] = time.monotonic_ns) -> Driven:
    """Drive the load through warm-up, window and drain.

    Raises LoadFailed if the child ends before it was asked to, or never says that it is ready; UsageError if it
    refuses its options; ResultsUnwritable if it can't write its records.
    """
    check(orders.load)
    with channel.opened() as steering, orders.log.open("wb") as log:
        plan = Plan(records=str(orders.streams), control=str(steering.path), seed=orders.seed, hosts=orders.hosts)
        child = spawn(
            command.argv(orders.load, orders.target, orders.parameters),
            env=command.environment(os.environ, plan, orders.secrets, steering.path.parent),
            cwd=orders.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            hooks.started(child.pid)
            return _Drive(orders, hooks, steering, child, clock).through()
        except BaseException:
            _abandon(steering, child)
            raise


def _abandon(steering: Channel, child: subprocess.Popen[bytes]) -> None:
    """Let the child write what is in flight as `cut` before its process group is ended."""
    steering.send("stop", drain_s=0)
    with suppress(subprocess.TimeoutExpired):
        child.wait(ABANDON_WITHIN_S)


class _Drive:
    """The steps of one drive; holds what each of them needs."""

    def __init__(
        self,
        orders: Orders,
        hooks: Hooks,
        steering: Channel,
        child: subprocess.Popen[bytes],
        clock: Callable[[], int],
    ) -> None:
        self._orders = orders
        self._hooks = hooks
        self._steering = steering
        self._child = child
        self._clock = clock
        self._ready = False
        self._drained = False
        self._errors = 0

    def through(self) -> Driven:
        self._await_ready()
        load = self._orders.load
        opened_ns = self._clock() + _GATE_LEAD_NS
        self._steering.send("gate", open_ns=opened_ns)
        window_ns = opened_ns + round(load.warmup_s * NS_PER_S)
        drain_ns = window_ns + round(load.duration_s * NS_PER_S)
        end_ns = drain_ns + round(load.drain_s * NS_PER_S)
        self._hooks.phases(spans_from(opened_ns, window_ns, drain_ns, end_ns))
        self._pass(Phase.WARMUP, window_ns)
        self._pass(Phase.WINDOW, drain_ns)
        self._steering.send("stop", drain_s=load.drain_s)
        self._leave()
        spans = spans_from(opened_ns, window_ns, drain_ns, self._clock())
        self._hooks.phases(spans)
        return Driven(spans=spans, errors=self._errors)

    def _hear(self, phase: Phase, within_s: float) -> None:
        """Take in what the workers say; what they can't write ends the drive at once."""
        for message in self._steering.messages(within_s):
            self._errors = max(self._errors, message.get("errors", 0))
            match message["kind"]:
                case "ready":
                    self._ready = True
                case "drained":
                    self._drained = True
                case "second":
                    self._hooks.second(phase, message)
                case "error" if message.get("fatal"):
                    raise self._unwritable(message["what"])

    def _await_ready(self) -> None:
        deadline_ns = self._clock() + round(READY_WITHIN_S * NS_PER_S)
        while self._clock() < deadline_ns:
            self._refuse_early_end()
            self._hear(Phase.WARMUP, _TICK_S)
            if self._ready:
                return
        raise LoadFailed(
            f"the load generator was not ready within {READY_WITHIN_S:.0f} s",
            where=str(self._orders.load.locustfile),
            seen=self._last_words() or "no output",
            expected="at least one user class that builds on seatrial.user.LeanUser",
        )

    def _pass(self, phase: Phase, until_ns: int) -> None:
        while (left_ns := until_ns - self._clock()) > 0:
            self._refuse_early_end()
            self._hear(phase, min(left_ns / NS_PER_S, _TICK_S))

    def _leave(self) -> None:
        """Wait for the child's end; its users may take `drain_s`, it itself a few seconds more."""
        deadline_ns = self._clock() + round((self._orders.load.drain_s + LEAVE_WITHIN_S) * NS_PER_S)
        while self._child.poll() is None:
            self._hear(Phase.DRAIN, _TICK_S)
            if self._clock() >= deadline_ns:
                raise LoadFailed(
                    "the load generator did not end after it was asked to",
                    where=f"process {self._child.pid}",
                    expected=f"its end within {self._orders.load.drain_s + LEAVE_WITHIN_S:.0f} s",
                    seen=self._last_words(),
                )
        for _ in range(_LAST_LOOKS):  # what it said before its end may wait in several pieces
            self._hear(Phase.DRAIN, 0.0)
        if not self._drained or self._child.returncode:
            raise LoadFailed(
                f"the load generator ended in the drain with exit code {self._child.returncode}",
                where=str(self._orders.load.locustfile),
                seen=self._last_words() or "no output",
                expected="that it says that nothing is in flight, and exit code 0: records may be lost",
            )

    def _refuse_early_end(self) -> None:
        code = self._child.poll()
        if code == ResultsUnwritable.exit_code:
            raise self._unwritable(self._last_words())
        if code == UsageError.exit_code and not self._ready:
            raise UsageError(
                "the locustfile refuses its options",
                where=str(self._orders.load.locustfile),
                seen=self._last_words(),
                hint="options stand under load.parameters, or in --set load.parameters.NAME=VALUE",
            )
        if code is not None:
            raise LoadFailed(
                f"the load generator ended by itself with exit code {code}",
                where=str(self._orders.load.locustfile),
                seen=self._last_words() or "no output",
                hint=f"its log: {self._orders.log}",
            )

    def _unwritable(self, seen: str) -> ResultsUnwritable:
        return ResultsUnwritable(
            "the load generator can't write its records",
            where=str(self._orders.streams),
            seen=seen,
            hint="make room, or choose another folder: --results DIR",
        )

    def _last_words(self, lines: int = 15) -> str:
        text = self._orders.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.strip().splitlines()[-lines:])

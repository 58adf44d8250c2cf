"""Actions on the stack of a run: done at their moments by a thread beside the load, and recorded as events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seatrial.analysis.results import ACTION
from seatrial.errors import NotReady, UsageError
from seatrial.model import Action, EngineName, Probe, Scenario, Service, Stack, StackControl, Watch
from seatrial.sampler.session import Observer
from seatrial.stack.readiness import await_ready
from seatrial.units import NS_PER_S

_SETTLE_S = 0.5
"""Without a probe a service counts as up if it still runs then: one that crashes does so at its start."""


def refuse_actions(scenario: Scenario, engine: EngineName) -> None:
    """Raise UsageError for actions on a stack that belongs to others."""
    if scenario.actions and engine is EngineName.ATTACH:
        first = scenario.actions[0]
        raise UsageError(
            "a stack that is attached to is not acted upon: it belongs to its owner",
            where=str(scenario.path),
            seen=f"actions: {first.text} of {first.service} at {first.at_s:g} s",
            expected="a scenario, or a variant, without actions",
            hint="--engine compose or --engine local brings a stack up of its own",
        )


class _Stopped(Exception):
    """Ends the waiting once the load is over."""


class ActionThread:
    """The thread that does the actions of one run, one after the other, and what it has come to; thread-safe.

    An action that is due while an earlier one goes on, until its service answers again, begins after that, late.
    One whose turn comes after the window's end is not done.
    """

    def __init__(
        self,
        actions: Sequence[Action],
        stack: Stack,
        probes: tuple[Probe, ...],
        *,
        window_s: float,
        events: Path,
        observer: Observer,
        settle_s: float = _SETTLE_S,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        moments = ((at_s, action) for action in actions for at_s in action.moments_s(window_s))
        self._due = sorted(moments, key=lambda due: due[0])
        self._stack = stack
        self._probes = probes
        self._events = events
        self._observer = observer
        self._settle_s = settle_s
        self._clock = clock
        self._changed = threading.Condition()
        self._window: tuple[int, int] | None = None
        self._stopping = False
        self._renewed: list[Service] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="actions", daemon=True)

    def window_known(self, from_ns: int, until_ns: int) -> None:
        """Take the window as it is planned now."""
        with self._changed:
            self._window = (from_ns, until_ns)
            self._changed.notify()

    def check(self) -> None:
        """Raise the error of an action that failed: StackFailed, or a bug."""
        if self._error is not None:
            raise self._error

    def renewed(self) -> tuple[Service, ...]:
        """Return the services that were restarted since the last call, as they are now."""
        with self._changed:
            services, self._renewed = tuple(self._renewed), []
        return services

    def start(self) -> None:
        """Begin to wait for the window, if there is anything to do."""
        if self._due:
            self._thread.start()

    def stop(self) -> None:
        """End the thread; an action that has begun is brought to its end, which engines bound in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        control = self._stack.control
        try:
            for at_s, action in self._due:
                due_ns = self._await_moment(at_s)
                if due_ns is None or control is None:
                    return
                self._do(action, due_ns, control)
        except BaseException as error:  # noqa: BLE001  (raised by `check` in the thread of the load)
            self._error = error

    def _await_moment(self, at_s: float) -> int | None:
        """Wait until a moment of the window, and return it; None if the load or the window has ended before."""
        with self._changed:
            while not self._stopping:
                if self._window is None:
                    self._changed.wait()
                    continue
                from_ns, until_ns = self._window
                due_ns, now_ns = from_ns + round(at_s * NS_PER_S), self._clock()
                if now_ns >= until_ns:
                    return None
                if now_ns >= due_ns:
                    return due_ns
                self._changed.wait((due_ns - now_ns) / NS_PER_S)
        return None

    def _do(self, action: Action, due_ns: int, control: StackControl) -> None:
        """Do one action, wait until the service answers again, and write the event, also if it does not answer."""
        begun_ns, wall_ns = self._clock(), time.time_ns()
        if action.signal:
            control.signal(action.service, action.signal)
        else:
            self._renew(control.restart(action.service))
        done_ns, answered_ns = self._clock(), None
        try:
            self._await_answer(action, control)
            answered_ns = self._clock()
        except _Stopped:
            pass
        finally:
            detail = {
                "action": action.text,
                "late_ns": begun_ns - due_ns,
                "took_ns": done_ns - begun_ns,
                "answered_after_ns": None if answered_ns is None else answered_ns - begun_ns,
            }
            self._write(t_ns=begun_ns, wall_ns=wall_ns, service=action.service, detail=detail)

    def _renew(self, services: Sequence[Service]) -> None:
        """Let the sampler read new processes; restarted containers it finds by Docker's events."""
        for service in services:
            if service.pid:
                self._observer.watch(Watch(service=service.name, kind="tree", pid=service.pid))
        with self._changed:
            self._renewed += services

    def _await_answer(self, action: Action, control: StackControl) -> None:
        """Wait until every probe succeeds; NotReady if its time is over, ServiceExited if the service ended."""

        def watch() -> None:
            if self._stopping:
                raise _Stopped
            control.watch(action.service)

        try:
            await_ready(self._stack.url, self._probes, watch=watch, report=control.report)
        except NotReady as error:
            raise NotReady(
                f"the stack does not answer after the action on {action.service!r}: {action.text}",
                where=error.where,
                seen=error.seen,
                expected=error.expected,
                hint="raise `within`, or correct what the log reports; a proxy may have to look names up anew",
            ) from error
        if not self._probes:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, self._settle_s)
            watch()

    def _write(self, **values: object) -> None:
        line = {**values, "container": "", "event": ACTION}
        with self._events.open("ab", buffering=0) as stream:  # the sampler appends whole lines, too
            stream.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


@contextmanager
def acting(thread: ActionThread) -> Iterator[None]:
    """Let the actions be done while the block lasts; raises the error of one that failed in its last moments."""
    thread.start()
    try:
        yield
    finally:
        thread.stop()
    thread.check()

"""What all users of one process share: records, control, gate, counts; made by the first user, after any fork."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from locust import User
from locust.env import Environment

from seatrial.errors import SeatrialError
from seatrial.user.control import Message, Steering
from seatrial.user.flows import Flow
from seatrial.user.gate import Gate
from seatrial.user.ledger import UserLedger
from seatrial.user.mistakes import Mistakes
from seatrial.user.network import Network, Sockets
from seatrial.user.recorder import Recorder
from seatrial.user.seconds import Seconds
from seatrial.user.statistics import Statistics
from seatrial.wire.control import PLAN_VARIABLE, Plan

_NS = 1_000_000_000
_WORKER_SHIFT = 40
_log = logging.getLogger("seatrial.user")
_sessions: WeakKeyDictionary[Environment, Session] = WeakKeyDictionary()


class Session:
    """One process's part in a test. Without a plan nothing is recorded and the gate is open: plain Locust."""

    def __init__(self, environment: Environment, plan: Plan | None) -> None:
        runner: Any = environment.runner
        self.environment = environment
        self.worker = max(getattr(runner, "worker_index", 0), 0)
        self.seed = plan.seed if plan else 0
        self._hosts = plan.hosts if plan else None
        self.endpoints = tuple(dict.fromkeys(label for cls in environment.user_classes for label in _labels(cls)))
        self.gate = Gate(open_now=not (plan and plan.control))
        self.recorder = Recorder(Path(plan.records), self.worker, self.endpoints) if plan else None
        self._steering = Steering(plan.control) if plan and plan.control else None
        self._networks: dict[tuple[bool, str | None, Sockets], Network] = {}
        self._mistakes = Mistakes(self._tell_error)
        self._user_numbers = itertools.count(self.worker, _workers(environment))
        self._flow_ids = itertools.count(self.worker << _WORKER_SHIFT)
        self._seconds = Seconds()
        self._statistics = Statistics(environment)
        gevent.spawn(self._statistics.run)
        self._failed_write = ""
        self._closed = False
        self._drained = False
        if plan:
            self._begin()

    @staticmethod
    def of(environment: Environment) -> Session:
        """Return this environment's session; the first call makes it."""
        session = _sessions.get(environment)
        if session is None:
            text = os.environ.get(PLAN_VARIABLE)
            session = _sessions[environment] = Session(environment, Plan.decode(text) if text else None)
        return session

    def user_number(self) -> int:
        """Return the next user's number: without gaps over all workers when each runs equally many."""
        return next(self._user_numbers)

    def ledger(self, user: User, number: int) -> UserLedger:
        """Return where the requests of this user are entered."""
        return UserLedger(user, number, self._seconds.pulse, self.recorder, self._statistics)

    def network(self, *, verify: bool, ca_file: str | None, sockets: Sockets) -> Network:
        """Return how this process reaches hosts; users of the same kind share it."""
        key = (verify, ca_file, sockets)
        if key not in self._networks:
            self._networks[key] = Network(verify=verify, ca_file=ca_file, hosts=self._hosts, sockets=sockets)
        return self._networks[key]

    def flow_id(self) -> int:
        """Return an id that no other worker of this run gives."""
        return next(self._flow_ids)

    def flow_ended(self, flow: Flow) -> None:
        """Record a flow that ends now."""
        if self.recorder is not None and not self._closed:
            self.recorder.flow(flow.row(time.monotonic_ns()))

    def close(self) -> None:
        """Write everything out, say `drained` if that was not said, and close; a second time does nothing."""
        if self._closed or self.recorder is None:
            return
        self._closed = True
        self._finish()
        self.recorder.close()

    def _begin(self) -> None:
        events: Any = self.environment.events
        events.user_error.add_listener(self._mistakes.on_user_error)
        events.spawning_complete.add_listener(self._on_spawning_complete)
        atexit.register(self.close)
        gevent.spawn(self._seconds.lag.run)
        gevent.spawn(self._each_second)
        if self._steering is not None:
            gevent.spawn(self._steering.listen, self._heed, lambda: self._stop(0.0))

    def _heed(self, message: Message) -> None:
        if message["kind"] == "gate":
            self.gate.open_at(message["open_ns"])
        elif message["kind"] == "stop":
            gevent.spawn(self._stop, float(message["drain_s"]))

    def _stop(self, drain_s: float) -> None:
        """End the test: tasks that run may take `drain_s`, then what is in flight is cut.

        Locust's own `stop` does the waiting. `drained` is sent before `quit`, which lets the process end.
        """
        runner: Any = self.environment.runner
        if self.gate.shut:  # the harness went away while its `stop` was being carried out
            runner.user_greenlets.kill(block=True)
            return
        self.gate.shut = True
        self.environment.stop_timeout = drain_s
        runner.stop()
        self._finish()
        runner.quit()

    def _finish(self) -> None:
        """Count the last part of a second, and say `drained`, which is the last message."""
        if self._drained:
            return
        self._second()
        self._drained = True
        if self._steering is not None:
            self._steering.send("drained", worker=self.worker, errors=self._mistakes.count)

    def _on_spawning_complete(self, **_: object) -> None:
        if self._steering is not None:
            self._steering.send("ready", worker=self.worker, pid=os.getpid(), endpoints=list(self.endpoints))
            events: Any = self.environment.events
            events.spawning_complete.remove_listener(self._on_spawning_complete)

    def _tell_error(self, row: Mapping[str, Any]) -> None:
        if self.recorder is not None:
            self.recorder.error(row)
        if self._steering is not None:
            self._steering.send("error", worker=self.worker, **row)

    def _each_second(self) -> None:
        due_ns = time.monotonic_ns()
        while not self._drained:
            due_ns = max(due_ns + _NS, time.monotonic_ns())
            gevent.sleep(max(due_ns - time.monotonic_ns(), 0) / _NS)
            if not self._drained:
                self._second()

    def _second(self) -> None:
        counts, row = self._seconds.take(getattr(self.environment.runner, "user_count", 0))
        if self._steering is not None:
            self._steering.send("second", worker=self.worker, errors=self._mistakes.count, **counts)
        if self.recorder is None:
            return
        if row is not None:
            self.recorder.second(row)
        try:
            self.recorder.flush()
        except SeatrialError as error:
            self._on_unwritable(error, self.recorder)

    def _on_unwritable(self, error: SeatrialError, recorder: Recorder) -> None:
        """Tell the harness, which ends the run; where nobody does, end it before the memory is full."""
        if str(error) != self._failed_write:
            self._failed_write = what = str(error)
            _log.error("%s", error)
            if self._steering is not None:
                self._steering.send("error", worker=self.worker, t_ns=time.monotonic_ns(), what=what, fatal=True)
        if recorder.overflowing and not self.gate.shut:
            self.environment.process_exit_code = error.exit_code
            gevent.spawn(self._stop, 0.0)


def _labels(user_class: type[User]) -> tuple[str, ...]:
    return tuple(getattr(user_class, "endpoints", ()))


def _workers(environment: Environment) -> int:
    return max(getattr(environment.parsed_options, "expect_workers", 1) or 1, 1)

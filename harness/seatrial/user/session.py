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
from locust.runners import WorkerRunner

from seatrial.errors import SeatrialError
from seatrial.user import options, quota, recording
from seatrial.user.control import Message, Steering
from seatrial.user.flows import Flow, dropped_row
from seatrial.user.gate import Gate
from seatrial.user.ledger import UserLedger
from seatrial.user.mistakes import Mistakes
from seatrial.user.network import Network, Sockets
from seatrial.user.open_model import OpenModel
from seatrial.user.recorder import Recorder
from seatrial.user.response import Response
from seatrial.user.seconds import Seconds, health
from seatrial.user.sharing import Inbox
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
        self._hosts = plan.hosts if plan and plan.control else None
        self.source = "client"
        self.endpoints = tuple(dict.fromkeys(label for cls in environment.user_classes for label in _labels(cls)))
        self.gate = Gate(open_now=not (plan and plan.control))
        self._steering = Steering(plan.control) if plan and plan.control else None
        self.recorder = Recorder(Path(plan.records), self.worker, self.endpoints) if plan else None
        self._networks: dict[tuple[bool, str | None, Sockets], Network] = {}
        self._mistakes = Mistakes(self._tell_error)
        workers, place = _workers(environment), Inbox.of(environment).place
        self._user_numbers = itertools.count(self.worker if place is None else place, workers)
        self._flow_ids = itertools.count(self.worker << _WORKER_SHIFT)
        self._seconds = Seconds(allowed=quota.this_process(_siblings(environment)))
        self._statistics = Statistics(environment, buckets=self._steering is not None)
        gevent.spawn(self._statistics.run)
        self._failed_write = ""
        self._closed = False
        self._drained = False
        self.open_model = OpenModel(
            environment,
            self.gate,
            self._on_dropped,
            steered=self._steering is not None,
            workers=workers,
            seed=self.seed,
        )
        if plan:
            self._begin()

    @staticmethod
    def of(environment: Environment) -> Session:
        """Return this environment's session; the first call makes it."""
        session = _sessions.get(environment)
        if session is None:
            text = os.environ.get(PLAN_VARIABLE)
            plan = Plan.decode(text) if text else recording.plan_of(environment)
            session = _sessions[environment] = Session(environment, plan)
        return session

    def user_number(self) -> int:
        """Return the next user's number.

        The first users of a test have the numbers from 0 on without a gap, over all workers and however many there
        are; users that come later, where their number changes, have numbers that no other has.
        """
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

    def told(self, response: Response) -> None:
        """Count a request of which only its end is told."""
        self._statistics.note(response)
        pulse = self._seconds.pulse
        pulse.completed += 1
        pulse.failed += not response.ok

    def refuse(self, error: SeatrialError) -> None:
        """End the test, because the locustfile can't be recorded as it is."""
        _log.error("%s", error)
        if self._steering is None:
            recording.refuse(self.environment, error)
            return
        self._steering.send("refused", worker=self.worker, what=str(error), exit_code=error.exit_code)

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
        try:
            match message["kind"]:
                case "gate":
                    self.gate.open_between(message["open_ns"], message.get("until_ns"))
                case "rate":
                    self.open_model.rate(message)
                case "share":
                    self.open_model.share(message)
                case "stop":
                    gevent.spawn(self._stop, float(message["drain_s"]))
                case _:
                    _log.warning("the harness sent an unknown message: %s", message["kind"])
        except SeatrialError as error:
            refuse_options(self.environment, error)

    def tell_refused(self, error: SeatrialError) -> None:
        """Tell the harness that the locustfile refuses its options."""
        if self._steering is not None:
            self._steering.send("refused", worker=self.worker, what=str(error), exit_code=error.exit_code)

    def _on_dropped(self, due_ns: int, t_ns: int) -> None:
        if self.recorder is not None and not self._closed:
            self.recorder.flow(dropped_row(self.flow_id(), due_ns, t_ns))

    def _stop(self, drain_s: float) -> None:
        """End the test: tasks that run may take `drain_s`, then what is in flight is cut.

        Locust's own `stop` does the waiting. `drained` is sent before `quit`, which lets the process end.
        """
        runner: Any = self.environment.runner
        if self.gate.shut:  # the harness went away while its `stop` was being carried out
            runner.user_greenlets.kill(block=True)
            return
        self.open_model.arrivals.end()  # before the gate, behind which what is due does not exist
        self.gate.close()
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
            told = {"endpoints": list(self.endpoints), "source": self.source, "users": self._user_count()}
            self._steering.send("ready", worker=self.worker, pid=os.getpid(), **told)
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
        counts, row = self._seconds.take(self._user_count(), *self.open_model.arrivals.take())
        if self._steering is not None:
            told = {**counts, "errors": self._mistakes.count, "latency": self._statistics.latency()}
            told |= {"failures": self._statistics.failures(), **health(row)}
            self._steering.send("second", worker=self.worker, **told)
        if self.recorder is None:
            return
        if row is not None:
            begins_told = self.source == "client"
            self.recorder.second(row if begins_told else {**row, "in_flight": None, "offered": None})
        try:
            self.recorder.flush()
        except SeatrialError as error:
            self._on_unwritable(error, self.recorder)

    def _user_count(self) -> int:
        return int(getattr(self.environment.runner, "user_count", 0))

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


def _siblings(environment: Environment) -> int:
    """Return how many load processes of this machine share its cores."""
    return max(getattr(environment.parsed_options, "processes", 1) or 1, 1)


def refuse_options(environment: Environment, error: SeatrialError) -> None:
    """End the test of all processes, because the locustfile refuses its options; the harness is told."""
    session, plan = _sessions.get(environment), os.environ.get(PLAN_VARIABLE)
    if session is not None:
        session.tell_refused(error)
    elif plan and options.steered():  # the session itself could not be made
        worker = getattr(environment.runner, "worker_index", 0)
        told = {"worker": worker, "what": str(error), "exit_code": error.exit_code}
        Steering(Plan.decode(plan).control).send("refused", **told)
    if options.steered() or isinstance(environment.runner, WorkerRunner):
        _log.error("%s", error)
        recording.refuse(environment, error)

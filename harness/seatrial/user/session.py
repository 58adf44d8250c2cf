"""What all users of one process share: records, control, gate, counts; made by the first user, after any fork."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import time
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from locust import User
from locust.env import Environment
from locust.runners import WorkerRunner

from seatrial.errors import SeatrialError
from seatrial.http.network import Network, Sockets
from seatrial.http.response import Response
from seatrial.user import options
from seatrial.user import standalone as recording
from seatrial.user.account import Account
from seatrial.user.control import Message, Steering
from seatrial.user.flows import Flow, dropped_row
from seatrial.user.gate import Gate
from seatrial.user.ledger import UserLedger
from seatrial.user.numbering import UserNumbers
from seatrial.user.pacing import OpenModel
from seatrial.user.recorder import Recorder
from seatrial.wire.control import PLAN_VARIABLE, Plan

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
        self.endpoints = tuple(dict.fromkeys(label for cls in environment.user_classes for label in _labels(cls)))
        self.gate = Gate(open_now=not (plan and plan.control))
        self._steering = Steering(plan.control) if plan and plan.control else None
        self.recorder = Recorder(Path(plan.records), self.worker, self.endpoints) if plan else None
        self._networks: dict[tuple[bool, str | None, Sockets], Network] = {}
        self._user_numbers = UserNumbers.of(environment)
        self._flow_ids = itertools.count(self.worker << _WORKER_SHIFT)
        self._closed = False
        self.open_model = OpenModel(
            environment,
            self.gate,
            self._on_dropped,
            steered=self._steering is not None,
            seed=self.seed,
        )
        self.account = Account(
            environment,
            self.worker,
            self.open_model.arrivals,
            recorder=self.recorder,
            steering=self._steering,
            full=self._on_full,
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

        The first users have the numbers from 0 on without a gap, over all workers and however many there are.
        Users that come later, where the number of users or of workers changes, have numbers that no other has.
        """
        return self._user_numbers.next()

    def ledger(self, user: User, number: int) -> UserLedger:
        """Return where the requests of this user are entered."""
        return self.account.ledger(user, number)

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
            self.account.flow_ended(flow)

    def told(self, response: Response) -> None:
        """Count a request of which only its end is told."""
        self.account.told(response)

    def refuse(self, error: SeatrialError) -> None:
        """End the test, because the locustfile can't be recorded as it is."""
        _log.error("%s", error)
        if self._steering is None:
            recording.refuse(self.environment, error)
        else:
            self.account.refused(error)

    def close(self) -> None:
        """Write everything out, say `drained` if that was not said, and close; a second time does nothing."""
        if self._closed or self.recorder is None:
            return
        self._closed = True
        self.account.finish()
        self.recorder.end()

    def _begin(self) -> None:
        self.account.begin(self.endpoints)
        atexit.register(self.close)
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
        self.account.finish()
        runner.quit()

    def _on_full(self, error: SeatrialError) -> None:
        if not self.gate.shut:
            self.environment.process_exit_code = error.exit_code
            gevent.spawn(self._stop, 0.0)


def _labels(user_class: type[User]) -> tuple[str, ...]:
    return tuple(getattr(user_class, "endpoints", ()))


def refuse_options(environment: Environment, error: SeatrialError) -> None:
    """End the test of all processes, because the locustfile refuses its options; the harness is told."""
    session, plan = _sessions.get(environment), os.environ.get(PLAN_VARIABLE)
    if session is not None:
        session.account.refused(error)
    elif plan and options.steered():  # the session itself could not be made
        worker = getattr(environment.runner, "worker_index", 0)
        told = {"worker": worker, "what": str(error), "exit_code": error.exit_code}
        Steering(Plan.decode(plan).control).send("refused", **told)
    if options.steered() or isinstance(environment.runner, WorkerRunner):
        _log.error("%s", error)
        recording.refuse(environment, error)

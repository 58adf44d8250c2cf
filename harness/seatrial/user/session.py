"""The state of one load process: control socket, counts each second, errors, stop."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from gevent import socket
from locust import User
from locust.env import Environment
from locust.runners import WorkerRunner

from seatrial.errors import LoadFailed, SeatrialError
from seatrial.http.messages import Response
from seatrial.http.network import Dialer, Sockets
from seatrial.units import NS_PER_S
from seatrial.user import health as healths
from seatrial.user import options, standalone
from seatrial.user.accounting import RequestAccounting, Statistics
from seatrial.user.arrivals import Arrivals
from seatrial.user.distributed import UserNumbers
from seatrial.user.flows import Flow, dropped_row
from seatrial.user.gate import Gate
from seatrial.user.health import LEAST_NS, Seconds, TaskErrors, health
from seatrial.user.pacing import OpenModel
from seatrial.user.recorder import Recorder
from seatrial.wire import control, histogram
from seatrial.wire.control import PLAN_VARIABLE, Plan
from seatrial.wire.streams import MOST_DETAILS, NOT_FAILURES, detail_ending, detail_numbers

Message = Mapping[str, Any]
OUTGOING_LIMIT_BYTES = 1 << 20
_INCOMING_LIMIT_BYTES = 1 << 20
_log = logging.getLogger("seatrial.user")


class ControlSocket:
    """A connection to the harness. A harness that does not read never makes the load wait."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(path)
        except OSError as error:
            raise LoadFailed(
                "the harness's control socket does not answer", where=path, seen=str(error)
            ) from error
        self._socket.settimeout(0.0)
        self._outgoing = bytearray()

    def send(self, kind: str, **fields: Any) -> None:  # noqa: ANN401  (a message's fields are JSON values)
        """Send one message, now or with a later one."""
        if len(self._outgoing) < OUTGOING_LIMIT_BYTES:
            self._outgoing += control.encode(kind, **fields)
        while self._outgoing:
            try:
                count = self._socket.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:  # the harness is gone: `listen` hears of it, too
                self._outgoing.clear()
                return
            del self._outgoing[:count]

    def listen(self, heed: Callable[[Message], None], gone: Callable[[], None]) -> None:
        """Pass on each message until the harness closes the connection, then call `gone`."""
        held = b""
        while True:
            data = self._receive()
            if not data or len(held) > _INCOMING_LIMIT_BYTES:
                gone()
                return
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                try:
                    message = control.decode(line)
                except ValueError:
                    _log.error("the harness sent a line that is not a message: %.200r", line)
                    continue
                heed(message)

    def _receive(self) -> bytes:
        try:
            socket.wait_read(self._socket.fileno())
            return bytes(self._socket.recv(65_536))
        except OSError:
            return b""

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class DetailCounts:
    """Counts the numbers in flows' details by bucket; the first MOST_DETAILS pairs of flow and key are kept."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()
        self._counts: dict[str, dict[str, Counter[int]]] = {}

    def add(self, flow: str, detail: Mapping[str, object]) -> None:
        """Count the details of one flow."""
        for key, value in detail_numbers(detail).items():
            if (flow, key) not in self._known:
                if len(self._known) >= MOST_DETAILS:
                    continue
                self._known.add((flow, key))
            number = histogram.of_detail(detail_ending(key) or "", value)
            self._counts.setdefault(flow, {}).setdefault(key, Counter())[number] += 1

    def take(self) -> dict[str, dict[str, Counter[int]]]:
        """Return the counts since the last call: by flow, key and bucket."""
        counts, self._counts = self._counts, {}
        return counts


class ProcessReporter:
    """Keeps the counts of process `worker`, and tells them once a second from `begin` until `finish`.

    `full` is called when more waits to be written than may be held in memory, with the reason. `source` says who
    tells of requests: our own client, or Locust's events, which are silent about a request's begin.
    """

    def __init__(
        self,
        environment: Environment,
        worker: int,
        arrivals: Arrivals,
        *,
        recorder: Recorder | None,
        steering: ControlSocket | None,
        full: Callable[[SeatrialError], object],
    ) -> None:
        self.source = "client"
        self._environment = environment
        self._worker = worker
        self._arrivals = arrivals
        self._recorder = recorder
        self._steering = steering
        self._full = full
        self._endpoints: Sequence[str] = ()
        self._mistakes = TaskErrors(self._tell_mistake)
        self._seconds = Seconds(allowed=healths.this_process(_siblings(environment)))
        self._statistics = Statistics(environment, buckets=steering is not None)
        self._details = DetailCounts()
        self._flows: Counter[str] = Counter()
        gevent.spawn(self._statistics.run)
        self._failed_write = ""
        self._finished = False

    def begin(self, endpoints: Sequence[str]) -> None:
        """Begin to tell; `endpoints` are the labels that are known from the beginning."""
        self._endpoints = endpoints
        events: Any = self._environment.events
        events.user_error.add_listener(self._mistakes.on_user_error)
        events.spawning_complete.add_listener(self._on_spawning_complete)
        gevent.spawn(self._seconds.lag.run)
        gevent.spawn(self._each_second)

    def ledger(self, user: User, number: int) -> RequestAccounting:
        """Return where the requests of this user are entered."""
        return RequestAccounting(user, number, self._seconds.pulse, self._recorder, self._statistics)

    def told(self, response: Response) -> None:
        """Count a request of which only its end is told."""
        self._statistics.note(response)
        pulse = self._seconds.pulse
        pulse.completed += 1
        pulse.failed += response.outcome not in NOT_FAILURES

    def flow_ended(self, flow: Flow) -> None:
        """Count a flow that ended, and what it reports of itself, where the harness listens."""
        if self._steering is not None:
            self._flows["flows"] += 1
            self._flows["flows_failed"] += flow.outcome not in NOT_FAILURES
            self._details.add(flow.name, flow.detail)

    def refused(self, error: SeatrialError) -> None:
        """Tell the harness that the load can't be run as it was asked for."""
        self._send("refused", what=str(error), exit_code=error.exit_code)

    def finish(self) -> None:
        """Count the last part of a second, and say `drained`, which is the last message; again does nothing."""
        if self._finished:
            return
        self._second()
        self._finished = True
        self._send("drained", errors=self._mistakes.count)

    def _send(self, kind: str, **fields: Any) -> None:  # noqa: ANN401  (a message's fields are JSON values)
        if self._steering is not None:
            self._steering.send(kind, worker=self._worker, **fields)

    def _on_spawning_complete(self, **_: object) -> None:
        self._send(
            "ready", pid=os.getpid(), endpoints=list(self._endpoints), source=self.source, users=self._users()
        )
        events: Any = self._environment.events
        events.spawning_complete.remove_listener(self._on_spawning_complete)

    def _tell_mistake(self, row: Mapping[str, Any]) -> None:
        if self._recorder is not None:
            self._recorder.error(row)
        self._send("error", **row)

    def _each_second(self) -> None:
        due_ns = time.monotonic_ns()
        while not self._finished:
            # after a blocked loop, too, a second and no mere rest
            due_ns = max(due_ns + NS_PER_S, time.monotonic_ns() + LEAST_NS)
            gevent.sleep(max(due_ns - time.monotonic_ns(), 0) / NS_PER_S)
            if not self._finished:
                self._second()

    def _second(self) -> None:
        counts, row = self._seconds.take(self._users(), *self._arrivals.take())
        if self._steering is not None:
            told = {"latency": self._statistics.latency(), "failures": self._statistics.failures(), **health(row)}
            flows, self._flows = self._flows, Counter()
            told |= {"details": self._details.take(), **flows}
            self._send("second", **counts, **told, errors=self._mistakes.count)
        if self._recorder is None:
            return
        begins_told = self.source == "client"
        self._recorder.second(row if begins_told else {**row, "in_flight": None, "offered": None})
        try:
            self._recorder.flush()
        except SeatrialError as error:
            self._on_unwritable(error, self._recorder)

    def _users(self) -> int:
        return int(getattr(self._environment.runner, "user_count", 0))

    def _on_unwritable(self, error: SeatrialError, recorder: Recorder) -> None:
        """Tell the harness, which ends the run; where nobody does, end it before the memory is full."""
        if str(error) != self._failed_write:
            self._failed_write = str(error)
            _log.error("%s", error)
            self._send("error", t_ns=time.monotonic_ns(), what=self._failed_write, fatal=True)
        if recorder.overflowing:
            self._full(error)


def _siblings(environment: Environment) -> int:
    """Return how many load processes of this machine share its cores."""
    return max(getattr(environment.parsed_options, "processes", 1) or 1, 1)


_WORKER_SHIFT = 40
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
        self._steering = ControlSocket(plan.control) if plan and plan.control else None
        self.recorder = Recorder(Path(plan.records), self.worker, self.endpoints) if plan else None
        self._networks: dict[tuple[bool, str | None, Sockets], Dialer] = {}
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
        self.account = ProcessReporter(
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
            plan = Plan.decode(text) if text else standalone.plan_of(environment)
            session = _sessions[environment] = Session(environment, plan)
        return session

    def user_number(self) -> int:
        """Return the next user's number.

        The first users have the numbers from 0 on without a gap, over all workers and however many there are.
        Users that come later, where the number of users or of workers changes, have numbers that no other has.
        """
        return self._user_numbers.next()

    def ledger(self, user: User, number: int) -> RequestAccounting:
        """Return where the requests of this user are entered."""
        return self.account.ledger(user, number)

    def network(self, *, verify: bool, ca_file: str | None, sockets: Sockets) -> Dialer:
        """Return how this process reaches hosts; users of the same kind share it."""
        key = (verify, ca_file, sockets)
        if key not in self._networks:
            self._networks[key] = Dialer(verify=verify, ca_file=ca_file, hosts=self._hosts, sockets=sockets)
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
            standalone.refuse(self.environment, error)
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
        ControlSocket(Plan.decode(plan).control).send("refused", **told)
    if options.steered() or isinstance(environment.runner, WorkerRunner):
        _log.error("%s", error)
        standalone.refuse(environment, error)

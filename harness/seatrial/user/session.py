"""The session of one load process: control socket, reports to the harness each second, the end of the test."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
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
from seatrial.user import options, standalone
from seatrial.user.accounting import DetailCounts, RequestAccounting, Statistics
from seatrial.user.arrivals import Arrivals
from seatrial.user.distributed import UserNumbers
from seatrial.user.flows import Flow, dropped_row
from seatrial.user.gate import Gate
from seatrial.user.health import HEALTH, LEAST_NS, Seconds, TaskErrors, allowed_cores, quota_cores
from seatrial.user.pacing import OpenModel
from seatrial.user.recorder import Recorder
from seatrial.wire import control
from seatrial.wire.control import PLAN_VARIABLE, Message, Plan
from seatrial.wire.streams import NOT_FAILURES

OUTGOING_LIMIT_BYTES = _INCOMING_LIMIT_BYTES = 1 << 20
_WORKER_SHIFT = 40
_log = logging.getLogger("seatrial.user")
_sessions: WeakKeyDictionary[Environment, Session] = WeakKeyDictionary()


class ControlSocket:
    """The connection to the harness; the load never waits for a harness that does not read."""

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
            except OSError:  # the harness is gone: `listen` notices it, too
                self._outgoing.clear()
                return
            del self._outgoing[:count]

    def listen(self, handle: Callable[[Message], None], gone: Callable[[], None]) -> None:
        """Pass on each message until the harness closes the connection, then call `gone`."""
        rest = b""
        while True:
            try:
                socket.wait_read(self._socket.fileno())
                data = bytes(self._socket.recv(65_536))
            except OSError:
                data = b""
            if not data or len(rest) > _INCOMING_LIMIT_BYTES:
                gone()
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                try:
                    message = control.decode(line)
                except ValueError:
                    _log.error("the harness sent a line that is not a message: %.200r", line)
                    continue
                handle(message)


class ProcessReporter:
    """Keeps the counts of process `worker`, and reports them once a second from `begin` until `finish`.

    `full` is called with the reason when more waits to be written than may be held in memory. `source` is what
    requests are recorded from: our own client, or Locust's events, which have no begin of a request.
    """

    def __init__(
        self,
        environment: Environment,
        worker: int,
        arrivals: Arrivals,
        *,
        recorder: Recorder | None,
        control_socket: ControlSocket | None,
        full: Callable[[SeatrialError], object],
    ) -> None:
        self.source = "client"
        self._environment = environment
        self._worker = worker
        self._arrivals = arrivals
        self._recorder = recorder
        self._control = control_socket
        self._full = full
        self._task_errors = TaskErrors(self._report_task_error)
        processes = getattr(environment.parsed_options, "processes", 1) or 1  # which share this machine's cores
        affinity = len(os.sched_getaffinity(0))
        self._seconds = Seconds(allowed=allowed_cores(quota_cores(), affinity, processes))
        self._statistics = Statistics(environment, buckets=control_socket is not None)
        self._details = DetailCounts()
        self._flows: Counter[str] = Counter()
        gevent.spawn(self._statistics.run)
        self._failed_write = ""
        self._finished = False

    def begin(self, endpoints: Sequence[str]) -> None:
        """Begin to report; `endpoints` are the labels that are known from the beginning."""
        events: Any = self._environment.events

        def on_spawning_complete(**_: object) -> None:
            users = self._users()
            self._send("ready", pid=os.getpid(), endpoints=list(endpoints), source=self.source, users=users)
            events.spawning_complete.remove_listener(on_spawning_complete)

        events.user_error.add_listener(self._task_errors.on_user_error)
        events.spawning_complete.add_listener(on_spawning_complete)
        gevent.spawn(self._seconds.lag.run)
        gevent.spawn(self._each_second)

    def accounting(self, user: User, number: int) -> RequestAccounting:
        """Return where the requests of this user are entered."""
        return RequestAccounting(user, number, self._seconds.requests, self._recorder, self._statistics)

    def count_event(self, response: Response) -> None:
        """Count a request that is known by its end only."""
        self._statistics.note(response)
        counts = self._seconds.requests
        counts.completed += 1
        counts.failed += response.outcome not in NOT_FAILURES

    def flow_ended(self, flow: Flow) -> None:
        """Count a flow and its details, for the harness."""
        if self._control is not None:
            self._flows["flows"] += 1
            self._flows["flows_failed"] += flow.outcome not in NOT_FAILURES
            self._details.add(flow.name, flow.detail)

    def refused(self, error: SeatrialError) -> None:
        """Report to the harness that the load can't be run as requested."""
        self._send("refused", what=str(error), exit_code=error.exit_code)

    def finish(self) -> None:
        """Count the last part of a second, and send `drained`, the last message; a second call does nothing."""
        if self._finished:
            return
        self._second()
        self._finished = True
        self._send("drained", errors=self._task_errors.count)

    def _send(self, kind: str, **fields: Any) -> None:  # noqa: ANN401  (a message's fields are JSON values)
        if self._control is not None:
            self._control.send(kind, worker=self._worker, **fields)

    def _report_task_error(self, row: Message) -> None:
        if self._recorder is not None:
            self._recorder.error(row)
        self._send("error", **row)

    def _each_second(self) -> None:
        due_ns = time.monotonic_ns()
        while not self._finished:
            # also after a blocked loop long enough to be a second, and not only a rest
            due_ns = max(due_ns + NS_PER_S, time.monotonic_ns() + LEAST_NS)
            gevent.sleep(max(due_ns - time.monotonic_ns(), 0) / NS_PER_S)
            if not self._finished:
                self._second()

    def _second(self) -> None:
        counts, row = self._seconds.take(self._users(), *self._arrivals.take())
        if self._control is not None:
            flows, self._flows = self._flows, Counter()
            fields = {
                "latency": self._statistics.latency(),
                "failures": self._statistics.failures(),
                **{name: row[name] for name in HEALTH},
                "details": self._details.take(),
                **flows,
            }
            self._send("second", **counts, **fields, errors=self._task_errors.count)
        if self._recorder is None:
            return
        self._recorder.second(row if self.source == "client" else {**row, "in_flight": None, "offered": None})
        try:
            self._recorder.flush()
        except SeatrialError as error:
            self._on_unwritable(error, self._recorder)

    def _users(self) -> int:
        return int(getattr(self._environment.runner, "user_count", 0))

    def _on_unwritable(self, error: SeatrialError, recorder: Recorder) -> None:
        """Report it to the harness, which ends the run; without one, end the run before the memory is full."""
        if str(error) != self._failed_write:
            self._failed_write = str(error)
            _log.error("%s", error)
            self._send("error", t_ns=time.monotonic_ns(), what=self._failed_write, fatal=True)
        if recorder.overflowing:
            self._full(error)


class Session:
    """One process's part in a test. Without a plan nothing is recorded and the gate is open: plain Locust."""

    def __init__(self, environment: Environment, plan: Plan | None) -> None:
        runner: Any = environment.runner
        self.environment = environment
        self.worker = max(getattr(runner, "worker_index", 0), 0)
        self.seed = plan.seed if plan else 0
        endpoints = (label for cls in environment.user_classes for label in getattr(cls, "endpoints", ()))
        self.endpoints = tuple(dict.fromkeys(endpoints))
        steered = bool(plan and plan.control)
        self.gate = Gate(open_now=not steered)
        self._control = ControlSocket(plan.control) if plan and steered else None
        self.recorder = Recorder(Path(plan.records), self.worker, self.endpoints) if plan else None
        self._hosts = plan.hosts if plan and steered else None
        self._networks: dict[tuple[bool, str | None, Sockets], Dialer] = {}
        self._user_numbers = UserNumbers.of(environment)
        self._flow_ids = itertools.count(self.worker << _WORKER_SHIFT)
        self._closed = False
        self.open_model = OpenModel(environment, self.gate, self._on_dropped, steered=steered, seed=self.seed)
        self.reporter = ProcessReporter(
            environment,
            self.worker,
            self.open_model.arrivals,
            recorder=self.recorder,
            control_socket=self._control,
            full=self._on_full,
        )
        if plan:
            self.reporter.begin(self.endpoints)
            atexit.register(self.close)
        if self._control is not None:
            gevent.spawn(self._control.listen, self._handle, lambda: self._stop(0.0))

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

    def network(self, *, verify: bool, ca_file: str | None, sockets: Sockets) -> Dialer:
        """Return how this process reaches hosts; users of the same kind share it."""
        key = (verify, ca_file, sockets)
        if key not in self._networks:
            self._networks[key] = Dialer(verify=verify, ca_file=ca_file, hosts=self._hosts, sockets=sockets)
        return self._networks[key]

    def flow_id(self) -> int:
        """Return an id that is unique among all workers of this run."""
        return next(self._flow_ids)

    def flow_ended(self, flow: Flow) -> None:
        """Record a flow that ends now."""
        if self.recorder is not None and not self._closed:
            self.recorder.flow(flow.row(time.monotonic_ns()))
            self.reporter.flow_ended(flow)

    def refuse(self, error: SeatrialError) -> None:
        """End the test, because the locustfile can't be recorded as it is."""
        _log.error("%s", error)
        if self._control is None:
            standalone.refuse(self.environment, error)
        else:
            self.reporter.refused(error)

    def close(self) -> None:
        """Write all records, send `drained` if that was not sent, and close; a second call does nothing."""
        if self._closed or self.recorder is None:
            return
        self._closed = True
        self.reporter.finish()
        self.recorder.end()

    def _handle(self, message: Message) -> None:
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
        """End the test: running tasks may take `drain_s`, then requests in flight are cut.

        Locust's own `stop` does the waiting. `drained` is sent before `quit`, which lets the process end.
        """
        runner: Any = self.environment.runner
        if self.gate.shut:  # the harness went away while its `stop` was being carried out
            runner.user_greenlets.kill(block=True)
            return
        self.open_model.arrivals.end()  # before the gate shuts: behind it no arrival is due
        self.gate.close()
        self.environment.stop_timeout = drain_s
        runner.stop()
        self.reporter.finish()
        runner.quit()

    def _on_full(self, error: SeatrialError) -> None:
        if not self.gate.shut:
            self.environment.process_exit_code = error.exit_code
            gevent.spawn(self._stop, 0.0)


def refuse_options(environment: Environment, error: SeatrialError) -> None:
    """End the test of all processes, because the locustfile refuses its options; the harness gets `refused`."""
    session, plan = _sessions.get(environment), os.environ.get(PLAN_VARIABLE)
    if session is not None:
        session.reporter.refused(error)
    elif plan and options.steered():  # the session itself could not be made
        worker = getattr(environment.runner, "worker_index", 0)
        fields = {"worker": worker, "what": str(error), "exit_code": error.exit_code}
        ControlSocket(Plan.decode(plan).control).send("refused", **fields)
    if options.steered() or isinstance(environment.runner, WorkerRunner):
        _log.error("%s", error)
        standalone.refuse(environment, error)

"""The state of the load processes, from their messages: their shares, and their seconds summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from seatrial.errors import LoadFailed
from seatrial.load.channel import GONE, Channel, Message
from seatrial.load.child import Child
from seatrial.model import LoadSecond, NoteKind
from seatrial.units import NS_PER_S
from seatrial.wire.rates import shares

_WORST = ("cpu_fraction", "loop_lag_p50_ns", "loop_lag_p99_ns", "slip_p99_ns")
_SUMMED = (
    "users offered completed failed flows flows_failed "
    "arrivals arrivals_completed arrivals_late arrivals_dropped arrivals_took_ns"
).split()


class SecondAggregator:
    """Sums up the processes' reports of about the same second: their seconds begin at different moments."""

    def __init__(self) -> None:
        self._reports: dict[int, Message] = {}

    def take(self, connection: int, report: Message, living: Collection[int]) -> LoadSecond | None:
        """Take one process's report; return the sum once all living ones have reported, or one does so again."""
        again = connection in self._reports
        if not again:
            self._reports[connection] = report
            if not set(living) <= self._reports.keys():
                return None
        second = _summed(list(self._reports.values()))
        self._reports = {connection: report} if again else {}
        return second


def _summed(reports: Sequence[Message]) -> LoadSecond:
    latency: Counter[int] = Counter()
    by_endpoint: dict[str, Counter[int]] = {}
    failures: Counter[str] = Counter()
    details: dict[str, dict[str, Counter[int]]] = {}
    for report in reports:
        failures.update(report.get("failures") or {})
        for flow, by_key in (report.get("details") or {}).items():
            for key, counts in by_key.items():
                values = details.setdefault(flow, {}).setdefault(key, Counter())
                values.update({int(bucket): count for bucket, count in counts.items()})
        for endpoint, counts in (report.get("latency") or {}).items():
            numbers = {int(bucket): count for bucket, count in counts.items()}
            latency.update(numbers)
            by_endpoint.setdefault(endpoint, Counter()).update(numbers)
    stamps = [report.get("t_ns", 0) for report in reports]
    in_flight = [report["in_flight"] for report in reports if report.get("in_flight") is not None]
    worst: dict[str, Any] = {
        name: max((report[name] for report in reports if report.get(name) is not None), default=None)
        for name in _WORST
    }
    return LoadSecond(
        t_ns=max(stamps),
        t_least_ns=min(stamps),
        in_flight=sum(in_flight) if in_flight else None,
        latency=dict(latency),
        by_endpoint={endpoint: dict(counts) for endpoint, counts in by_endpoint.items()},
        failures=dict(failures),
        details=details,
        **{name: sum(report.get(name) or 0 for report in reports) for name in _SUMMED},
        **worst,
    )


FROM_EVENTS = "locust events"
"""The `source` in a worker's `ready` message if its records are made from Locust's own events."""


@dataclass(slots=True)
class Worker:
    """The state of one load process; `worker` is its number in the tables."""

    worker: int
    pid: int = 0
    users: int = 0
    source: str = ""
    ready: bool = False
    drained: bool = False
    errors: int = 0


class Workers:
    """All load processes: `connected` by connection, and those that are `gone`."""

    def __init__(self) -> None:
        self.connected: dict[int, Worker] = {}
        self.gone: list[Worker] = []

    @property
    def ready(self) -> int:
        """How many processes are ready to start their users."""
        return sum(worker.ready for worker in self.connected.values())

    @property
    def drained(self) -> int:
        """How many processes, gone or not, have reported that nothing is in flight any more."""
        return sum(worker.drained for worker in (*self.connected.values(), *self.gone))

    @property
    def lost(self) -> bool:
        """Whether one is gone that had not drained."""
        return any(not worker.drained for worker in self.gone)

    @property
    def busy(self) -> bool:
        """Whether a connected one may still have something in flight."""
        return any(not worker.drained for worker in self.connected.values())

    @property
    def errors(self) -> int:
        """How many exceptions their tasks raised in all."""
        return sum(worker.errors for worker in (*self.connected.values(), *self.gone))

    def take(self, connection: int, message: Message) -> None:
        """Update a worker's state from its message; the first message adds the worker."""
        worker = self.connected.setdefault(connection, Worker(message.get("worker", connection)))
        worker.errors = max(worker.errors, message.get("errors", 0))
        worker.users = message.get("users", worker.users)
        worker.pid = message.get("pid", worker.pid)
        worker.source = message.get("source", worker.source)
        worker.ready |= message["kind"] == "ready"
        worker.drained |= message["kind"] == "drained"

    def remove(self, connection: int) -> Worker | None:
        """Move a worker whose connection was closed to `gone`; return it, None if it never sent a message."""
        worker = self.connected.pop(connection, None)
        if worker is not None:
            self.gone.append(worker)
        return worker

    def shares(self) -> dict[int, tuple[float, float]]:
        """Return each connection's share of the unit interval, by its users."""
        living = sorted(self.connected.items(), key=lambda item: item[1].worker)
        return shares(
            {connection: worker.users for connection, worker in living if worker.ready and not worker.drained}
        )


_END_WITHIN_S = 2.0
_LAST_LOOKS = 8
FROM_EVENTS_TEXT = (
    "the requests were recorded from Locust's own events: first byte, bytes sent and connection are not "
    "known, the bytes received are those of the body alone, and a request in flight at the end is missing"
)


class WorkerMessages:
    """Receives the workers' messages; calls `second` with each summed second, and `note` with each warning.

    `started_ns` is when the load began, None before.
    """

    def __init__(
        self,
        channel: Channel,
        child: Child,
        *,
        processes: int,
        second: Callable[[LoadSecond], None],
        note: Callable[[NoteKind, str], None],
        clock: Callable[[], int],
    ) -> None:
        self.workers = Workers()
        self.started_ns: int | None = None
        self.master_lost = False
        self._channel = channel
        self._child = child
        self._processes = processes
        self._second = second
        self._note = note
        self._clock = clock
        self._aggregator = SecondAggregator()

    def receive(self, within_s: float) -> None:
        """Receive messages for a moment; UsageError or ResultsUnwritable if a worker reports such an error."""
        for connection, message in self._channel.receive(within_s):
            if message["kind"] == GONE:
                self._gone(connection)
                continue
            self.workers.take(connection, message)
            match message["kind"]:
                case "second":
                    total = self._aggregator.take(connection, message, self.workers.connected)
                    if total is not None:
                        self._second(total)
                case "refused":
                    raise self._child.refused_error(message["what"])
                case "error" if message.get("fatal"):
                    raise self._child.unwritable_error(message["what"])

    def receive_rest(self) -> None:
        """Receive what processes that have ended sent before; it may arrive in several pieces."""
        for _ in range(_LAST_LOOKS * self._processes):
            self.receive(0.0)

    def check_child(self) -> None:
        """Raise an error if the child has ended; of several processes a lost one is only noted."""
        code = self._child.code
        if code is None and self.workers.gone and (self.started_ns is None or not self.workers.connected):
            code = self._child.wait(_END_WITHIN_S)
            if code is None:
                raise self._gone_error()
        if code is None or self.master_lost:
            return
        self.receive_rest()
        if self._processes == 1 or self.started_ns is None or not self.workers.connected:
            raise self._child.exit_error(code, ready=self.workers.ready > 0)
        self.master_lost = True
        self._note(NoteKind.WORKER_LOST, f"Locust's master ended with exit code {code}{self._since_start()}")

    def _gone(self, connection: int) -> None:
        worker = self.workers.remove(connection)
        if worker is not None and not worker.drained and self._processes > 1 and self.started_ns is not None:
            self._note(NoteKind.WORKER_LOST, f"load process {_named(worker)} was gone{self._since_start()}")

    def _since_start(self) -> str:
        """Return how long after the start of the load this is, and how many processes are left."""
        begun_s = max(self._clock() - (self.started_ns or 0), 0) / NS_PER_S
        return f" {begun_s:.1f} s after the load began; {len(self.workers.connected)} of {self._processes} went on"

    def _gone_error(self) -> LoadFailed:
        gone = ", ".join(_named(worker) for worker in self.workers.gone)
        return LoadFailed(
            "the load generator's processes are gone" if self.started_ns else "a load process ended at its start",
            where=f"process {self._child.pid}",
            seen=f"gone: {gone}\n{self._child.last_output()}",
            hint="its log: logs/locust.log",
        )


def _named(worker: Worker) -> str:
    return f"{worker.worker} (pid {worker.pid})"

"""The messages of the load processes, and what it means when one of them is gone."""

from __future__ import annotations

from collections.abc import Callable

from seatrial.errors import LoadFailed
from seatrial.load.channel import GONE, Channel
from seatrial.load.child import Child
from seatrial.load.workers import SecondAggregator
from seatrial.load.workers_ import Worker, Workers
from seatrial.model import LoadSecond, NoteKind
from seatrial.units import NS_PER_S

_END_WITHIN_S = 2.0
_LAST_LOOKS = 8
FROM_EVENTS_TEXT = (
    "the requests were recorded from Locust's own events: first byte, bytes sent and connection are not "
    "known, the bytes received are those of the body alone, and a request in flight at the end is missing"
)


class Hearing:
    """Receives the messages of the channel; `started_ns` is when the load began, None before.

    `second` is called with the sum of each second, `noted` with each warning.
    """

    def __init__(
        self,
        channel: Channel,
        child: Child,
        *,
        processes: int,
        second: Callable[[LoadSecond], None],
        noted: Callable[[NoteKind, str], None],
        clock: Callable[[], int],
    ) -> None:
        self.workers = Workers()
        self.started_ns: int | None = None
        self.master_lost = False
        self._channel = channel
        self._child = child
        self._processes = processes
        self._second = second
        self._noted = noted
        self._clock = clock
        self._aggregator = SecondAggregator()

    @property
    def ready(self) -> bool:
        """Whether every process is ready."""
        return self.workers.ready >= self._processes

    def hear(self, within_s: float) -> None:
        """Receive what comes within a time; UsageError or ResultsUnwritable if a worker reports such an error."""
        for connection, message in self._channel.heard(within_s):
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
                    raise self._child.refused(message["what"])
                case "error" if message.get("fatal"):
                    raise self._child.unwritable(message["what"])

    def last(self) -> None:
        """Receive what was sent before an end, which may wait in several pieces."""
        for _ in range(_LAST_LOOKS * self._processes):
            self.hear(0.0)

    def refuse_end(self) -> None:
        """Raise what the end of the child means; a lost worker or master is noted, and the others go on."""
        code = self._child.code
        if code is None and (self.workers.all_gone or (self.workers.gone and self.started_ns is None)):
            code = self._child.wait(_END_WITHIN_S)
            if code is None:
                raise self._silent()
        if code is None or self.master_lost:
            return
        self.last()
        if self._processes == 1 or self.started_ns is None or not self.workers.connected:
            raise self._child.ended(code, ready=self.workers.ready > 0)
        self.master_lost = True
        self._noted(NoteKind.WORKER_LOST, f"Locust's master ended with exit code {code}{self._when()}")

    def _gone(self, connection: int) -> None:
        worker = self.workers.remove(connection)
        if worker is not None and not worker.drained and self._processes > 1 and self.started_ns is not None:
            self._noted(NoteKind.WORKER_LOST, f"load process {_named(worker)} was gone{self._when()}")

    def _when(self) -> str:
        begun_s = max(self._clock() - (self.started_ns or 0), 0) / NS_PER_S
        return f" {begun_s:.1f} s after the load began; {len(self.workers.connected)} of {self._processes} went on"

    def _silent(self) -> LoadFailed:
        gone = ", ".join(_named(worker) for worker in self.workers.gone)
        return LoadFailed(
            "the load generator's processes are gone" if self.started_ns else "a load process ended at its start",
            where=f"process {self._child.pid}",
            seen=f"gone: {gone}\n{self._child.last_words()}",
            hint="its log: logs/locust.log",
        )


def _named(worker: Worker) -> str:
    return f"{worker.worker} (pid {worker.pid})"

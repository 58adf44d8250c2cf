"""Where each request is entered: counts of the second, its flow, its record, and Locust's own statistics."""

from __future__ import annotations

import time
from dataclasses import dataclass

from locust import User

from seatrial.http.response import Response
from seatrial.user.accounting import Statistics
from seatrial.user.flows import current_flow
from seatrial.user.recorder import Recorder
from seatrial.wire.streams import NULL
from seatrial.wire.tables import NOT_FAILURES, Outcome


@dataclass(slots=True)
class Pulse:
    """Requests of one process: in flight now, and counts since the last second."""

    in_flight: int = 0
    offered: int = 0
    completed: int = 0
    failed: int = 0

    def take(self) -> dict[str, int]:
        """Return the counts, and begin a new second."""
        counts = {
            "in_flight": self.in_flight,
            "offered": self.offered,
            "completed": self.completed,
            "failed": self.failed,
        }
        self.offered = self.completed = self.failed = 0
        return counts


class UserLedger:
    """Enters the requests of one user; the first one that a task begins takes the moment of the task's arrival."""

    __slots__ = (
        "_due_ns",
        "_first_by_ns",
        "_first_due_ns",
        "_number",
        "_pulse",
        "_recorder",
        "_statistics",
        "_user",
    )

    def __init__(
        self, user: User, number: int, pulse: Pulse, recorder: Recorder | None, statistics: Statistics
    ) -> None:
        self._user = user
        self._number = number
        self._statistics = statistics
        self._pulse = pulse
        self._recorder = recorder
        self._due_ns: int | None = None
        self._first_due_ns: int | None = None
        self._first_by_ns = 0

    def intend(self, due_ns: int | None) -> None:
        """Say for when the next request was intended; None: for no moment."""
        self._due_ns = due_ns
        self._first_due_ns = None

    def begun(self) -> None:
        """Count a request that is on its way."""
        self._pulse.in_flight += 1
        self._pulse.offered += 1
        if self._due_ns is not None:
            self._first_due_ns, self._due_ns = self._due_ns, None
            self._first_by_ns = time.monotonic_ns()

    def ended(self, response: Response) -> None:
        """Enter what became of it."""
        pulse = self._pulse
        pulse.in_flight -= 1
        pulse.completed += 1
        pulse.failed += response.outcome not in NOT_FAILURES
        flow = current_flow.get()
        if flow is not None:
            flow.ended(response)
        due_ns = NULL if self._first_due_ns is None else self._intended_ns(response)
        if self._recorder is not None:
            self._recorder.request(response, NULL if flow is None else flow.flow_id, self._number, due_ns)
        if response.outcome is not Outcome.CUT:  # Locust drops what is cut at the end of a test
            self._statistics.enter(response, self._user.context, due_ns)

    def _intended_ns(self, response: Response) -> int:
        """Return the arrival's moment if this is the task's first request, which others may have overtaken."""
        due_ns = self._first_due_ns
        if due_ns is None or response.t_start_ns > self._first_by_ns:
            return NULL
        self._first_due_ns = None
        return due_ns

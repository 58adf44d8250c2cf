"""Where each request is entered: counts of the second, its flow, its record, and Locust's own statistics."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from locust import User

from seatrial.user.flows import current_flow
from seatrial.user.recorder import Recorder
from seatrial.user.response import Response
from seatrial.wire.streams import NULL
from seatrial.wire.tables import Outcome

_NS_PER_MS = 1_000_000
_WALL_MINUS_MONOTONIC_S = time.time() - time.monotonic()


class RequestFailed(Exception):
    """What Locust's statistics and web UI show of a failed request."""


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
    """Enters the requests of one user."""

    __slots__ = ("_fire", "_number", "_pulse", "_recorder", "_user")

    def __init__(self, user: User, number: int, pulse: Pulse, recorder: Recorder | None) -> None:
        self._user = user
        self._number = number
        self._pulse = pulse
        self._recorder = recorder
        self._fire: Any = user.environment.events.request.fire

    def begun(self) -> None:
        """Count a request that is on its way."""
        self._pulse.in_flight += 1
        self._pulse.offered += 1

    def ended(self, response: Response) -> None:
        """Enter what became of it."""
        self._pulse.in_flight -= 1
        self._pulse.completed += 1
        self._pulse.failed += response.outcome is not Outcome.OK
        flow = current_flow.get()
        if flow is not None:
            flow.ended(response)
        if self._recorder is not None:
            self._recorder.request(response, NULL if flow is None else flow.flow_id, self._number)
        if response.outcome is not Outcome.CUT:
            self._tell_locust(response)

    def _tell_locust(self, response: Response) -> None:
        """Locust drops what is cut at the end of a test; a row of it stands only in our own records."""
        self._fire(
            request_type=response.method,
            name=response.endpoint,
            response_time=(response.t_end_ns - response.t_start_ns) / _NS_PER_MS,
            response_length=response.bytes_received,
            exception=None if response.ok else RequestFailed(f"{response.outcome}: {response.reason}"),
            context=self._user.context(),
            start_time=response.t_start_ns / 1e9 + _WALL_MINUS_MONOTONIC_S,
            response=response,
        )

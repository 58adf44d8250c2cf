"""Docker's events of the watched containers, written as JSON lines on the run's clock.

The daemon stamps with the wall clock; one pair of both clocks, taken at the start, turns that into monotonic time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seatrial.errors import ResultsUnwritable

EVENTS = ("oom", "die", "restart", "start", "health_status", "kill", "destroy")
_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_ONE_OFF = "com.docker.compose.oneoff"
_DETAILS = {"exitCode": "exit_code", "signal": "signal", "image": "image"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Both clocks at one moment."""

    wall_ns: int
    monotonic_ns: int

    @staticmethod
    def now() -> Clocks:
        """Read the wall clock between two readings of the other, and take their middle."""
        before = time.monotonic_ns()
        wall = time.time_ns()
        return Clocks(wall_ns=wall, monotonic_ns=(before + time.monotonic_ns()) // 2)

    def monotonic_of(self, wall_ns: int) -> int:
        """Convert a wall-clock stamp."""
        return wall_ns - self.wall_ns + self.monotonic_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of `events.jsonl`."""

    t_ns: int
    wall_ns: int
    service: str
    container: str
    event: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """Return the event as a JSON line."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"


class Interest:
    """Which containers' events count: the watched ones, and those of the project, unless they are one-off runs."""

    def __init__(self, project: str, clocks: Clocks) -> None:
        self._project = project
        self._clocks = clocks
        self._services: dict[str, str] = {}

    @property
    def label(self) -> str:
        """What the daemon can be asked for: the label of the project's containers; empty without a project."""
        return f"{_PROJECT}={self._project}" if self._project else ""

    def add(self, container: str, service: str) -> None:
        """Watch a container, by its full id."""
        self._services[container] = service

    def service_of(self, container: str, labels: Mapping[str, str]) -> str | None:
        """Return the service that a container, one of its replicas, counts for; None if it is not ours."""
        if container in self._services:
            return self._services[container]
        if self._project and labels.get(_PROJECT) == self._project and labels.get(_ONE_OFF) != "True":
            return labels.get(_SERVICE)
        return None

    def event(self, message: Mapping[str, Any]) -> Event | None:
        """Turn a message of the daemon into an event; None if it is not ours."""
        actor = message.get("Actor", {})
        labels = actor.get("Attributes", {})
        container = actor.get("ID", "")
        service = self.service_of(container, labels)
        if service is None:
            return None
        name, _, health = message.get("Action", "").partition(": ")
        detail: dict[str, Any] = {ours: labels[theirs] for theirs, ours in _DETAILS.items() if theirs in labels}
        if "exit_code" in detail:
            detail["exit_code"] = int(detail["exit_code"])
        if health:
            detail["health"] = health
        wall_ns = message["timeNano"]
        return Event(
            t_ns=self._clocks.monotonic_of(wall_ns),
            wall_ns=wall_ns,
            service=service,
            container=container,
            event=name,
            detail=detail,
        )


def create(path: Path) -> None:
    """Make the file, so that a run without events has an empty one; ResultsUnwritable if that can't be."""
    try:
        path.touch()
    except OSError as error:
        raise ResultsUnwritable("Docker's events can't be written", where=str(path), seen=str(error)) from error


def append(path: Path, event: Event) -> None:
    """Write one line at once, so that it survives the sampler's end."""
    with path.open("ab", buffering=0) as stream:
        stream.write(event.line())

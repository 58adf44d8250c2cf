"""The state of the load processes: which are ready, which are gone, and which share of the load each has."""

from __future__ import annotations

from dataclasses import dataclass

from seatrial.load.channel import Message
from seatrial.wire.rates import shares

FROM_EVENTS = "locust events"
"""The `source` in a worker's `ready` message if its records are made from Locust's own events."""


@dataclass(slots=True)
class Worker:
    """One process by its own messages; `worker` is its number in the tables."""

    worker: int
    pid: int = 0
    users: int = 0
    source: str = ""
    ready: bool = False
    drained: bool = False
    errors: int = 0


class Workers:
    """All load processes: `connected` by their connection, and those that are `gone`."""

    def __init__(self) -> None:
        self.connected: dict[int, Worker] = {}
        self.gone: list[Worker] = []

    @property
    def ready(self) -> int:
        """How many processes are ready to let their users in."""
        return sum(worker.ready for worker in self.connected.values())

    @property
    def drained(self) -> int:
        """How many processes, gone since or not, have reported that nothing is in flight any more."""
        return sum(worker.drained for worker in (*self.connected.values(), *self.gone))

    @property
    def lost(self) -> bool:
        """Whether one went away before it had reported that nothing is in flight."""
        return any(not worker.drained for worker in self.gone)

    @property
    def busy(self) -> bool:
        """Whether one that is there may still have something in flight."""
        return any(not worker.drained for worker in self.connected.values())

    @property
    def all_gone(self) -> bool:
        """Whether all that were connected are gone."""
        return bool(self.gone) and not self.connected

    @property
    def errors(self) -> int:
        """How many exceptions their tasks raised, in all."""
        return sum(worker.errors for worker in (*self.connected.values(), *self.gone))

    @property
    def from_events(self) -> bool:
        """Whether one of them records from Locust's own events."""
        return any(worker.source == FROM_EVENTS for worker in self.connected.values())

    def take(self, connection: int, message: Message) -> None:
        """Update a worker's state from its message; a first message adds it."""
        worker = self.connected.setdefault(connection, Worker(message.get("worker", connection)))
        worker.errors = max(worker.errors, message.get("errors", 0))
        worker.users = message.get("users", worker.users)
        worker.pid = message.get("pid", worker.pid)
        worker.source = message.get("source", worker.source)
        worker.ready |= message["kind"] == "ready"
        worker.drained |= message["kind"] == "drained"

    def remove(self, connection: int) -> Worker | None:
        """Move a worker whose connection was closed to `gone`, and return it; None if it never sent a message."""
        worker = self.connected.pop(connection, None)
        if worker is not None:
            self.gone.append(worker)
        return worker

    def shares(self) -> dict[int, tuple[float, float]]:
        """Return each connection's part of the unit interval, by its users."""
        living = sorted(self.connected.items(), key=lambda item: item[1].worker)
        return shares({connection: one.users for connection, one in living if one.ready and not one.drained})

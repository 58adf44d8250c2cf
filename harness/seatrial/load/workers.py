"""Who the load generator's processes are: which are ready, which are gone, and which part of the load is whose."""

from __future__ import annotations

from dataclasses import dataclass

from seatrial.load.channel import Message
from seatrial.wire.rates import shares

FROM_EVENTS = "locust events"
"""What a worker's `ready` says of its records if they are made from Locust's own events."""


@dataclass(slots=True)
class Worker:
    """One process as it described itself; `worker` is its number in the tables."""

    worker: int
    pid: int = 0
    users: int = 0
    source: str = ""
    ready: bool = False
    drained: bool = False
    errors: int = 0


class Workers:
    """All of them: `connected` by their connection, and those that are `gone`."""

    def __init__(self) -> None:
        self.connected: dict[int, Worker] = {}
        self.gone: list[Worker] = []

    @property
    def ready(self) -> int:
        """How many processes said that their users may be let in."""
        return sum(one.ready for one in self.connected.values())

    @property
    def drained(self) -> int:
        """How many processes, gone since or not, said that nothing is in flight any more."""
        return sum(one.drained for one in (*self.connected.values(), *self.gone))

    @property
    def lost(self) -> bool:
        """Whether one went away before it had said that nothing is in flight."""
        return any(not one.drained for one in self.gone)

    @property
    def busy(self) -> bool:
        """Whether one that is there may still have something in flight."""
        return any(not one.drained for one in self.connected.values())

    @property
    def all_gone(self) -> bool:
        """Whether there were some, and none is left."""
        return bool(self.gone) and not self.connected

    @property
    def errors(self) -> int:
        """How many exceptions their tasks raised, in all."""
        return sum(one.errors for one in (*self.connected.values(), *self.gone))

    @property
    def from_events(self) -> bool:
        """Whether one of them records no more than Locust's own events tell."""
        return any(one.source == FROM_EVENTS for one in self.connected.values())

    def take(self, connection: int, message: Message) -> Worker:
        """Take in what a worker says of itself; a first message makes it known."""
        known = self.connected.get(connection)
        one = known or self.connected.setdefault(connection, Worker(message.get("worker", connection)))
        one.errors = max(one.errors, message.get("errors", 0))
        one.users = message.get("users", one.users)
        one.pid = message.get("pid", one.pid)
        one.source = message.get("source", one.source)
        one.ready |= message["kind"] == "ready"
        one.drained |= message["kind"] == "drained"
        return one

    def remove(self, connection: int) -> Worker | None:
        """Forget a worker whose connection was closed, and return it if it had said anything."""
        one = self.connected.pop(connection, None)
        if one is not None:
            self.gone.append(one)
        return one

    def shares(self) -> dict[int, tuple[float, float]]:
        """Return each connection's part of the unit interval, by its users."""
        living = sorted(self.connected.items(), key=lambda item: item[1].worker)
        return shares({connection: one.users for connection, one in living if one.ready and not one.drained})

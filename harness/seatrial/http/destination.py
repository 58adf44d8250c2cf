"""Where a response's body goes: nowhere, or past a consumer; bodies that are hashed have a module of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from seatrial.http.buffers import BUFFERS
from seatrial.http.connection import BUFFER_BYTES


class Destination(Protocol):
    """What becomes of a body: `write` lets no other greenlet run unless there is a `buffer` to be read into."""

    buffer: memoryview | None

    def write(self, view: memoryview) -> object:
        """Take the next bytes; `view` is only valid during the call."""

    def settle(self) -> None:
        """Work off what was written, between two reads."""

    def finish(self) -> tuple[bytes, bool]:
        """Return the bytes that were to be kept, and whether the body is what its digest says."""

    def release(self) -> None:
        """Give back what was borrowed, however the request ended."""


class Counted:
    """The body is only counted."""

    buffer: memoryview | None = None

    def write(self, view: memoryview) -> None:
        """Take nothing."""

    def settle(self) -> None:
        """Do nothing."""

    def finish(self) -> tuple[bytes, bool]:
        """Return no bytes."""
        return b"", True

    def release(self) -> None:
        """Hold nothing."""


class Dropped(Counted):
    """The body is not looked at, so it need not even be read."""


class Passed:
    """The body is shown to `into`, which may wait, and goes on from there."""

    def __init__(self, into: Callable[[memoryview], object], goal: Destination) -> None:
        self._into = into
        self._goal = goal
        self._held: bytearray | None = BUFFERS.borrow()
        self.buffer: memoryview | None = memoryview(self._held)[:BUFFER_BYTES]

    def write(self, view: memoryview) -> None:
        """Show the bytes, and pass them on."""
        self._into(view)
        self._goal.write(view)
        self._goal.settle()

    def settle(self) -> None:
        """Leave nothing for later."""

    def finish(self) -> tuple[bytes, bool]:
        """Return what the goal beyond says."""
        return self._goal.finish()

    def release(self) -> None:
        """Give back the buffer, and what the goal beyond has borrowed."""
        self._goal.release()
        if self._held is not None:
            BUFFERS.give_back(self._held)
        self._held = self.buffer = None

"""The destinations of a response body: dropped, kept, hashed, streamed; shared buffers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import gevent

from seatrial.http.connection import BUFFER_BYTES

LARGE_BYTES = 6 * BUFFER_BYTES
SMALL_BYTES = 2 * BUFFER_BYTES
LARGE_LIMIT = 8
"""So many large ones at most, lent or spare: 12 MiB. A peak makes do with small ones, which do not stay."""
SHARED = bytearray(BUFFER_BYTES)
"""One for the whole process: used between a read and the next switch to another greenlet, never across one."""
SHARED_VIEW = memoryview(SHARED)


class Buffers:
    """Lends buffers that are longer than a read by at least one read."""

    def __init__(self) -> None:
        self.spare: list[bytearray] = []
        self._large = 0

    def borrow(self) -> bytearray:
        """Return a buffer with anything in it."""
        if self.spare:
            return self.spare.pop()
        if self._large == LARGE_LIMIT:
            return bytearray(SMALL_BYTES)
        self._large += 1
        return bytearray(LARGE_BYTES)

    def give_back(self, buffer: bytearray) -> None:
        """Take a buffer back, once for each time that it was lent."""
        if len(buffer) == LARGE_BYTES:
            self.spare.append(buffer)


BUFFERS = Buffers()


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


class CountedBody:
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


class DiscardedBody(CountedBody):
    """The body is not looked at, so it need not even be read."""


class StreamedBody:
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


if TYPE_CHECKING:
    from hashlib import _Hash
INLINE_BYTES = 64 * 1024
"""Up to this size hashing on the loop costs others at most 0.1 ms, less than handing it to a thread."""
_ALGORITHMS = frozenset({"sha256", "sha512"})


class KeptBody(CountedBody):
    """The body is kept in memory, and checked against `digest` at its end."""

    def __init__(self, digest: str | None) -> None:
        self._bytes = bytearray()
        self._expected = _split(digest) if digest else None

    def write(self, view: memoryview) -> None:
        """Keep a copy."""
        self._bytes += view

    def finish(self) -> tuple[bytes, bool]:
        """Return the body."""
        body = bytes(self._bytes)
        if self._expected is None:
            return body, True
        algorithm, expected = self._expected
        state = hashlib.new(algorithm)
        _update(state, memoryview(body))
        return body, state.hexdigest() == expected


class BodyHash(CountedBody):
    """A short body goes through a hash at once."""

    def __init__(self, digest: str) -> None:
        algorithm, self._expected = _split(digest)
        self._state = hashlib.new(algorithm)

    def write(self, view: memoryview) -> None:
        """Hash it."""
        self._state.update(view)

    def finish(self) -> tuple[bytes, bool]:
        """Compare; no bytes are kept."""
        return b"", self._state.hexdigest() == self._expected


class HashedBody(BodyHash):
    """A long body is gathered, and hashed in large pieces in gevent's thread pool, where the GIL is released.

    A piece costs a hand-over between threads of 25 us and some of the caches: 20 % of a hash in pieces of 256 KiB,
    7 % in those of 1 MiB.
    """

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self._held: bytearray | None = None
        self._fill = 0

    def write(self, view: memoryview) -> None:
        """Gather; a piece is at most one buffer long, and `settle` was called before."""
        self._room()[: len(view)] = view
        self._fill += len(view)

    def room(self, most: int) -> memoryview:
        """Return where up to `most` bytes may be read to; `filled` says how many were."""
        return self._room()[:most]

    def filled(self, count: int) -> None:
        """Take note of bytes that were read into `room`."""
        self._fill += count

    def settle(self) -> None:
        """Hash what was gathered, once it is worth a thread."""
        if self._held is not None and self._fill >= len(self._held) - BUFFER_BYTES:
            self._flush()

    def finish(self) -> tuple[bytes, bool]:
        """Hash the rest, and compare."""
        self._flush()
        return super().finish()

    def release(self) -> None:
        """Lend the buffer to the next request."""
        if self._held is not None:
            BUFFERS.give_back(self._held)
        self._held = None

    def _room(self) -> memoryview:
        if self._held is None:
            self._held = BUFFERS.borrow()
        return memoryview(self._held)[self._fill :]

    def _flush(self) -> None:
        if self._held is not None and self._fill:
            _update(self._state, memoryview(self._held)[: self._fill])
            self._fill = 0


def _split(digest: str) -> tuple[str, str]:
    algorithm, _, expected = digest.partition(":")
    if algorithm not in _ALGORITHMS or len(expected) != 2 * hashlib.new(algorithm).digest_size:
        raise ValueError(f"not a sha256 or sha512 digest: {digest!r}")
    return algorithm, expected


def _update(state: _Hash, view: memoryview) -> None:
    if len(view) <= INLINE_BYTES:
        state.update(view)
    else:
        gevent.get_hub().threadpool.apply(state.update, (view,))

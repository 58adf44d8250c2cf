"""Response body sinks: a body is discarded, counted, kept, hashed or streamed; large read buffers are shared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import gevent

from seatrial.http.connection import BUFFER_BYTES

if TYPE_CHECKING:
    from hashlib import _Hash

LARGE_BYTES = 6 * BUFFER_BYTES
SMALL_BYTES = 2 * BUFFER_BYTES
LARGE_LIMIT = 8
"""The most large buffers at a time, lent or spare: 12 MiB. Beyond that small ones are made, and not kept."""
SHARED = bytearray(BUFFER_BYTES)
"""One for the whole process: used between a read and the next switch to another greenlet, never across one."""
SHARED_VIEW = memoryview(SHARED)
INLINE_BYTES = 64 * 1024
"""Up to this size hashing on the loop costs others at most 0.1 ms, less than handing it to a thread."""
_ALGORITHMS = frozenset({"sha256", "sha512"})


class Buffers:
    """Lends buffers that hold at least one read more than a single read."""

    def __init__(self) -> None:
        self.spare: list[bytearray] = []
        self._large = 0

    def borrow(self) -> bytearray:
        """Return a buffer; its content is arbitrary."""
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


class CountedBody:
    """Drops a body, of which only the length counts, so that it need not even be read; the base of all sinks.

    `write` lets no other greenlet run unless the sink has a `buffer` of its own for reads.
    """

    buffer: memoryview | None = None

    def write(self, view: memoryview) -> None:
        """Take the next bytes; `view` is only valid during the call."""

    def settle(self) -> None:
        """Process what was written; called between two reads."""

    def finish(self) -> tuple[bytes, bool]:
        """Return the bytes that were kept, and whether the body has its digest."""
        return b"", True

    def release(self) -> None:
        """Give back what was borrowed, however the request ended."""


class StreamedBody(CountedBody):
    """Passes the body to the callback `into`, which may wait, and then to another sink."""

    def __init__(self, into: Callable[[memoryview], object], sink: CountedBody) -> None:
        self._into = into
        self._sink = sink
        self._borrowed: bytearray | None = BUFFERS.borrow()
        self.buffer = memoryview(self._borrowed)[:BUFFER_BYTES]

    def write(self, view: memoryview) -> None:
        """Call back, then pass the bytes on."""
        self._into(view)
        self._sink.write(view)
        self._sink.settle()

    def finish(self) -> tuple[bytes, bool]:
        """Return the result of the other sink."""
        return self._sink.finish()

    def release(self) -> None:
        """Give back the buffers of both sinks."""
        self._sink.release()
        if self._borrowed is not None:
            BUFFERS.give_back(self._borrowed)
        self._borrowed = self.buffer = None


class KeptBody(CountedBody):
    """Keeps the body in memory, and checks it against `digest` at its end."""

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


class InlineHashedBody(CountedBody):
    """Hashes a short body as it arrives."""

    def __init__(self, digest: str) -> None:
        algorithm, self._expected = _split(digest)
        self._state = hashlib.new(algorithm)

    def write(self, view: memoryview) -> None:
        """Hash it."""
        self._state.update(view)

    def finish(self) -> tuple[bytes, bool]:
        """Compare; no bytes are kept."""
        return b"", self._state.hexdigest() == self._expected


class HashedBody(InlineHashedBody):
    """Gathers a long body, and hashes it in large pieces in gevent's thread pool, where the GIL is released.

    A piece costs a hand-over between threads of 25 us and some of the caches: 20 % of a hash in pieces of 256 KiB,
    7 % in those of 1 MiB.
    """

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self._borrowed: bytearray | None = None
        self._fill = 0

    def write(self, view: memoryview) -> None:
        """Gather; a piece is at most one buffer long, and `settle` was called before."""
        self.free_space(len(view))[:] = view
        self._fill += len(view)

    def free_space(self, limit: int) -> memoryview:
        """Return where up to `limit` bytes may be read to; `filled` is called with how many were."""
        if self._borrowed is None:
            self._borrowed = BUFFERS.borrow()
        return memoryview(self._borrowed)[self._fill : self._fill + limit]

    def filled(self, count: int) -> None:
        """Account for bytes that were read into `free_space`."""
        self._fill += count

    def settle(self) -> None:
        """Hash what was gathered, once it is worth a thread."""
        if self._borrowed is not None and self._fill >= len(self._borrowed) - BUFFER_BYTES:
            self._flush()

    def finish(self) -> tuple[bytes, bool]:
        """Hash the rest, and compare."""
        self._flush()
        return super().finish()

    def release(self) -> None:
        """Give back the buffer."""
        if self._borrowed is not None:
            BUFFERS.give_back(self._borrowed)
        self._borrowed = None

    def _flush(self) -> None:
        if self._borrowed is not None and self._fill:
            _update(self._state, memoryview(self._borrowed)[: self._fill])
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

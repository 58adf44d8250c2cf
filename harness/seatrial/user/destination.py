"""Where a response's body goes: nowhere, into memory, or through a hash that does not stall other users."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

import gevent

from seatrial.user.connection import BUFFER_BYTES

if TYPE_CHECKING:
    from hashlib import _Hash

INLINE_BYTES = 64 * 1024
"""Up to this size hashing on the loop costs others at most 0.1 ms, less than handing it to a thread."""
_ALGORITHMS = frozenset({"sha256", "sha512"})
SPARE_LIMIT = 8
"""How many buffers (512 KiB each) outlive the request that held them: a peak must not stay in memory."""
_spare: list[bytearray] = []


class Destination(Protocol):
    """What becomes of a body: `write` never lets another greenlet run, `settle` may."""

    def write(self, view: memoryview) -> object:
        """Take the next bytes; `view` is only valid during the call."""

    def settle(self) -> None:
        """Work off what was written, between two reads."""

    def finish(self) -> tuple[bytes, bool]:
        """Return the bytes that were to be kept, and whether the body is what its digest says."""

    def release(self) -> None:
        """Give back what was borrowed, however the request ended."""


class Dropped:
    """The body is only counted."""

    def write(self, view: memoryview) -> None:
        """Take nothing."""

    def settle(self) -> None:
        """Do nothing."""

    def finish(self) -> tuple[bytes, bool]:
        """Return no bytes."""
        return b"", True

    def release(self) -> None:
        """Hold nothing."""


class Kept(Dropped):
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


class Hashed(Dropped):
    """The body goes through a hash; large pieces are hashed in gevent's thread pool, where the GIL is released."""

    def __init__(self, digest: str, length: int | None) -> None:
        algorithm, self._expected = _split(digest)
        self._state = hashlib.new(algorithm)
        self._inline = length is not None and length <= INLINE_BYTES
        self._held: bytearray | None = None
        self._fill = 0

    def write(self, view: memoryview) -> None:
        """Hash a short body now; gather a long one."""
        if self._inline:
            self._state.update(view)
            return
        if self._held is None:
            # A read brings at most one buffer, and less than one is held when it comes.
            self._held = _spare.pop() if _spare else bytearray(2 * BUFFER_BYTES)
        self._held[self._fill : self._fill + len(view)] = view
        self._fill += len(view)

    def settle(self) -> None:
        """Hash what was gathered, once it is worth a thread."""
        if self._fill >= BUFFER_BYTES:
            self._flush()

    def finish(self) -> tuple[bytes, bool]:
        """Compare; no bytes are kept."""
        self._flush()
        return b"", self._state.hexdigest() == self._expected

    def release(self) -> None:
        """Lend the buffer to the next request, unless enough lie ready."""
        if self._held is not None and len(_spare) < SPARE_LIMIT:
            _spare.append(self._held)
        self._held = None

    def _flush(self) -> None:
        if self._held is not None and self._fill:
            _update(self._state, memoryview(self._held)[: self._fill])
            self._fill = 0


def destination(*, keep: bool, digest: str | None, length: int | None) -> Destination:
    """Return where a body of `length` bytes (None: not known) goes."""
    if keep:
        return Kept(digest)
    return Hashed(digest, length) if digest else Dropped()


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

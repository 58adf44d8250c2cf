"""Buffers that outlive the request that held them, so that a body costs no memory of its own."""

from __future__ import annotations

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

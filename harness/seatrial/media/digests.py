"""Digest lists of real files: SHA-256 of each block, so that parts of a file can be checked without it.

A list is a JSON object: `algorithm` ("sha256"), `block_bytes`, `size` (of the file in bytes) and `blocks`, one
hexadecimal digest a block; the last block may be shorter. 10 GiB in blocks of 256 KiB are 40 960 digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, BinaryIO

from seatrial.errors import UsageError

BLOCK_BYTES = 256 << 10
_LEAST_BLOCK, _MOST_BLOCK = 4 << 10, 64 << 20
_DIGEST_BYTES = hashlib.sha256().digest_size


def make(file: BinaryIO, block_bytes: int = BLOCK_BYTES) -> dict[str, Any]:
    """Return the digest list of a file that is read from its beginning, in constant memory but for the list."""
    if not _LEAST_BLOCK <= block_bytes <= _MOST_BLOCK:
        expected = f"{_LEAST_BLOCK} to {_MOST_BLOCK} bytes"
        raise UsageError("the block size is out of range", seen=f"{block_bytes} bytes", expected=expected)
    file.seek(0)
    blocks, size = [], 0
    while block := _read_block(file, block_bytes):
        size += len(block)
        blocks.append(hashlib.sha256(block).hexdigest())
    return {"algorithm": "sha256", "block_bytes": block_bytes, "size": size, "blocks": blocks}


def _read_block(file: BinaryIO, block_bytes: int) -> bytes:
    """Return a whole block; less only at the end of the file."""
    block = file.read(block_bytes)
    while 0 < len(block) < block_bytes and (more := file.read(block_bytes - len(block))):
        block += more
    return block


class Digests:
    """A digest list that was read and found well-formed; UsageError if it is not."""

    def __init__(self, listed: Mapping[str, Any]) -> None:
        try:
            self.size, self.block_bytes = int(listed["size"]), int(listed["block_bytes"])
            blocks = [bytes.fromhex(one) for one in listed["blocks"]]
            algorithm = listed["algorithm"]
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError("this is not a digest list", seen=f"{type(error).__name__}: {error}") from error
        if algorithm != "sha256" or not _LEAST_BLOCK <= self.block_bytes <= _MOST_BLOCK or self.size < 0:
            seen = f"{algorithm}, blocks of {self.block_bytes} bytes, {self.size} bytes"
            raise UsageError("this is no digest list of a kind that is known", seen=seen)
        if len(blocks) != -(-self.size // self.block_bytes) or any(len(one) != _DIGEST_BYTES for one in blocks):
            seen = f"{len(blocks)} digests for {self.size} bytes"
            raise UsageError("a digest list does not fit its file's size", seen=seen)
        self._blocks = b"".join(blocks)

    def block(self, number: int) -> bytes:
        """Return the digest of a block."""
        return self._blocks[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES]


class Checker:
    """Checks one range as it comes, a piece at a time: each block that lies in it wholly.

    The parts of a block at the beginning and the end of a range can't be checked; `unchecked_bytes` counts them,
    and `checked_bytes` the others. A piece that does not continue the one before begins a new range. Kept is the
    state of one hash.
    """

    def __init__(self, digests: Digests) -> None:
        self._digests = digests
        self._at = -1  # where the next piece continues
        self._hash = hashlib.sha256()
        self._pending = 0  # bytes of the block that were hashed
        self.checked_bytes = 0
        self._fed_bytes = 0

    @property
    def unchecked_bytes(self) -> int:
        """Bytes whose block is not complete."""
        return self._fed_bytes - self.checked_bytes

    def feed(self, offset: int, view: memoryview | bytes) -> int:
        """Take bytes that begin at an offset; return the offset of the first block that is wrong, or -1.

        Bytes after the end of the file are wrong: then its size is returned.
        """
        rest, size, block_bytes = memoryview(view), self._digests.size, self._digests.block_bytes
        if offset != self._at:
            self._hash, self._pending = hashlib.sha256(), 0
        self._at = offset + len(rest)
        self._fed_bytes += len(rest)
        if self._at > size:
            return size
        if not self._pending:  # up to the next boundary of blocks there is nothing to compare with
            skipped = -offset % block_bytes
            rest, offset = rest[skipped:], offset + skipped
        while rest:
            number = offset // block_bytes
            end = min((number + 1) * block_bytes, size)
            part = rest[: end - offset]
            self._hash.update(part)
            self._pending += len(part)
            rest, offset = rest[len(part) :], offset + len(part)
            if offset == end:
                seen, length = self._hash.digest(), self._pending
                self._hash, self._pending = hashlib.sha256(), 0
                if seen != self._digests.block(number):
                    return number * block_bytes
                self.checked_bytes += length
        return -1

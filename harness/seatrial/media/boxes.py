"""Boxes of an MP4 file as they are read: headers, children, checked fields, tables (ISO/IEC 14496-12:2022, 4.2).

Everything that is read here comes from a server or a file that may be damaged: a field outside of its box, a size
that can't be, a table that ends early are an Mp4Error which names the byte, never another exception.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from seatrial.errors import Mp4Error

Integers = npt.NDArray[np.int64]

SHORT_HEADER, LONG_HEADER = 8, 16
"""Bytes of a header with a size of 32 bits, and of one with 64 bits."""

_TO_THE_END, _LONG = 0, 1
"""Values of a 32-bit size: the box extends to the end of the file; a 64-bit size follows the type."""

_PRINTABLE = (*range(0x20, 0x7F), 0xA9)
"""The characters of a box type; 0xA9 begins those of QuickTime's user data."""


def wrong(what: str, at: int, *, seen: str = "", expected: str = "") -> NoReturn:
    """Raise an Mp4Error about the byte at an offset of the file."""
    raise Mp4Error(what, where=f"byte {at}", seen=seen, expected=expected)


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a box: its type, offset and size in the file, the size of the header itself.

    `size` is None for a box that extends to the end of a file whose length is not known.
    """

    kind: str
    at: int
    size: int | None
    header_bytes: int

    @property
    def body_at(self) -> int:
        """Where the content begins."""
        return self.at + self.header_bytes

    @property
    def end(self) -> int | None:
        """The offset after the box."""
        return None if self.size is None else self.at + self.size


def header(data: bytes | bytearray | memoryview, at: int, end: int | None) -> Header | None:
    """Read the header at the beginning of the data, which stands at an offset of a file or box that ends at `end`.

    None: more than these bytes are needed.
    """
    if len(data) < SHORT_HEADER:
        return None
    size, kind = struct.unpack_from(">I4s", data)
    if not all(character in _PRINTABLE for character in kind):
        wrong(
            "no box of an MP4 file stands here", at, seen=repr(bytes(data[:SHORT_HEADER])), expected="a box type"
        )
    header_bytes = SHORT_HEADER
    if size == _LONG:
        if len(data) < LONG_HEADER:
            return None
        size = struct.unpack_from(">Q", data, SHORT_HEADER)[0]
        header_bytes = LONG_HEADER
    elif size == _TO_THE_END:
        size = None if end is None else end - at
    found = Header(kind.decode("latin-1"), at, size, header_bytes)
    if size is not None and size < header_bytes:
        wrong(f"the box {found.kind!r} is smaller than its header", at, seen=f"{size} bytes")
    if end is not None and found.end is not None and found.end > end:
        wrong(f"the box {found.kind!r} is cut off", at, seen=f"{end - at} bytes", expected=f"{size} bytes")
    return found


@dataclass(frozen=True, slots=True)
class Body:
    """The content of a box in memory, and where it stands in the file."""

    kind: str
    data: memoryview
    at: int

    def children(self, skipped: int = 0) -> Iterator[Body]:
        """Yield the boxes inside, after so many bytes of fields."""
        position, end = skipped, len(self.data)
        while position < end:
            found = header(self.data[position : position + LONG_HEADER], self.at + position, self.at + end)
            if found is None or found.size is None:
                wrong(f"the box {self.kind!r} ends within the header of another one", self.at + position)
            yield Body(found.kind, self.data[position + found.header_bytes : position + found.size], found.body_at)
            position += found.size

    def child(self, kind: str) -> Body:
        """Return the first box of that type; Mp4Error if there is none."""
        found = self.optional(kind)
        if found is None:
            wrong(f"the box {self.kind!r} has no {kind!r}", self.at)
        return found

    def optional(self, kind: str) -> Body | None:
        """Return the first box of that type, or None."""
        return next((one for one in self.children() if one.kind == kind), None)

    def numbers(self, form: str, at: int = 0) -> tuple[int, ...]:
        """Unpack fields (the format of `struct`, big-endian)."""
        if at + struct.calcsize(">" + form) > len(self.data):
            wrong(f"the box {self.kind!r} ends early", self.at, seen=f"{len(self.data)} bytes")
        return struct.unpack_from(">" + form, self.data, at)

    def version(self) -> tuple[int, int]:
        """Return version and flags of a full box."""
        (word,) = self.numbers("I")
        return word >> 24, word & 0xFFFFFF

    def text(self, at: int) -> str:
        """Return a code of four characters."""
        self.numbers("4s", at)
        return bytes(self.data[at : at + 4]).decode("latin-1")

    def table(self, at: int, entries: int, width: int = 4, columns: int = 1) -> npt.NDArray[np.unsignedinteger]:
        """Return a table of big-endian unsigned numbers as it lies in the data: rows of so many columns."""
        size = entries * width * columns
        if at + size > len(self.data):
            seen = f"{max(len(self.data) - at, 0)} bytes"
            wrong(f"the table of {self.kind!r} ends early", self.at, seen=seen, expected=f"{size} bytes")
        found: npt.NDArray[np.unsignedinteger] = np.frombuffer(
            self.data, f">u{width}", count=entries * columns, offset=at
        )
        return found.reshape(entries, columns) if columns > 1 else found

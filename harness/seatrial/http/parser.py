"""Where the body of an HTTP/1.1 response ends: by length, by chunks, or by the peer's close (RFC 9112 6, 7)."""

from __future__ import annotations

import re
from collections.abc import Callable

from seatrial.http.http1 import BODILESS, DECIMAL, Fault, Head, bad
from seatrial.wire.tables import Outcome

CHUNK_LINE_LIMIT_BYTES = 4_096
TRAILER_LIMIT_BYTES = 16_384

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")

Sink = Callable[[memoryview], object]
_Step = Callable[[memoryview, Sink], int]


class LengthBody:
    """A body of a known number of bytes; `done` when all have come."""

    reusable = True

    def __init__(self, length: int) -> None:
        self.length: int | None = length
        self.left = length
        self.done = length == 0

    def feed(self, view: memoryview, sink: Sink) -> int:
        """Pass payload to `sink`; return how many bytes of `view` belonged to this message."""
        taken = min(len(view), self.left)
        sink(view[:taken])
        self.left -= taken
        self.done = self.left == 0
        return taken

    def passed(self, count: int) -> None:
        """Take note of payload that took another way, never more than `left`."""
        self.left -= count
        self.done = self.left == 0

    def end(self) -> None:
        """Take the peer's close."""
        raise Fault(Outcome.TRUNCATED, "body ended before its length")


class CloseBody:
    """A body that lasts until the peer closes (RFC 9112 6.3, last rule)."""

    reusable = False

    def __init__(self) -> None:
        self.length: int | None = None
        self.done = False

    def feed(self, view: memoryview, sink: Sink) -> int:
        """Pass everything to `sink`."""
        sink(view)
        return len(view)

    def end(self) -> None:
        """Take the peer's close, which ends this body."""
        self.done = True


class ChunkedBody:
    """A chunked body (RFC 9112 7.1), fed in pieces of any size; chunk extensions and trailers are dropped."""

    reusable = True

    def __init__(self) -> None:
        self.length: int | None = None
        self.done = False
        self._left = 0
        self._line = bytearray()
        self._trailer_bytes = 0
        self._take: _Step = self._size

    def feed(self, view: memoryview, sink: Sink) -> int:
        """Pass payload to `sink`; return how many bytes of `view` belonged to this message."""
        position = 0
        while position < len(view) and not self.done:
            position += self._take(view[position:], sink)
        return position

    def end(self) -> None:
        """Take the peer's close."""
        raise Fault(Outcome.TRUNCATED, "chunked body ended before its last chunk")

    def _read_line(self, view: memoryview) -> tuple[int, bytes | None]:
        """Return how much was taken, and the line without CRLF once it is whole."""
        piece = bytes(view[: CHUNK_LINE_LIMIT_BYTES + 2])
        newline = piece.find(b"\n")
        taken = newline + 1 or len(piece)
        self._line += piece[:taken]
        if len(self._line) > CHUNK_LINE_LIMIT_BYTES:
            raise bad("chunk line too long")
        if newline < 0:
            return taken, None
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n"):
            raise bad("bare LF in chunked framing")
        return taken, line[:-2]

    def _size(self, view: memoryview, _sink: Sink) -> int:
        taken, line = self._read_line(view)
        if line is not None:
            match = _CHUNK_SIZE.fullmatch(line)
            if match is None:
                raise bad("malformed chunk size")
            self._left = int(match[1], 16)
            self._take = self._data if self._left else self._trailer
        return taken

    def _data(self, view: memoryview, sink: Sink) -> int:
        taken = min(len(view), self._left)
        sink(view[:taken])
        self._left -= taken
        if self._left == 0:
            self._take = self._data_end
        return taken

    def _data_end(self, view: memoryview, _sink: Sink) -> int:
        taken, line = self._read_line(view)
        if line:
            raise bad("chunk longer than its size")
        if line is not None:
            self._take = self._size
        return taken

    def _trailer(self, view: memoryview, _sink: Sink) -> int:
        taken, line = self._read_line(view)
        self._trailer_bytes += taken
        if self._trailer_bytes > TRAILER_LIMIT_BYTES:
            raise bad("trailer too large")
        self.done = line == b""
        return taken


Body = LengthBody | CloseBody | ChunkedBody


def body_of(method: str, head: Head) -> Body:
    """Return how the body of this response is framed (RFC 9112 6.3)."""
    if method == "HEAD" or head.status in BODILESS:
        return LengthBody(0)
    coding = head.fields.get("transfer-encoding")
    length = head.fields.get("content-length")
    if coding is not None:
        if length is not None:
            raise bad("Content-Length beside Transfer-Encoding")
        if not head.minor:
            raise bad("Transfer-Encoding in HTTP/1.0")
        codings = [name.strip().lower() for name in coding.split(",")]
        if "chunked" in codings[:-1]:
            raise bad("chunked is not the last transfer coding")
        return ChunkedBody() if codings[-1] == "chunked" else CloseBody()
    return CloseBody() if length is None else LengthBody(_length(length))


def _length(value: str) -> int:
    """Read Content-Length; a list of equal numbers counts as one (RFC 9112 6.3, rule 5)."""
    values = {item.strip() for item in value.split(",")}
    if len(values) != 1:
        raise bad("conflicting Content-Length")
    number = values.pop()
    if DECIMAL.fullmatch(number) is None:
        raise bad("malformed Content-Length")
    return int(number)

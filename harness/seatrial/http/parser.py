"""Parsing of response heads and body framing (RFC 9112).

A peer is not trusted: everything has a limit, and what can't be framed is a Fault, never a traceback.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from seatrial.wire.streams import Outcome

HEAD_LIMIT_BYTES = 65_536
HEADER_LIMIT = 256
INTERIM_LIMIT = 8
_FIRST_BYTE = ord("H")
BODILESS = frozenset({204, 304})
DECIMAL = re.compile(r"[0-9]{1,18}")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class RequestError(Exception):
    """A request that did not end well: its outcome, and a reason in words that do not vary with ids or counts.

    `hung_up` tells that the peer closed the connection.
    """

    def __init__(self, outcome: Outcome, reason: str, *, hung_up: bool = False) -> None:
        super().__init__(f"{outcome}: {reason}")
        self.outcome = outcome
        self.reason = reason
        self.hung_up = hung_up


def protocol_error(reason: str) -> RequestError:
    """Return the Fault of a message that breaks the protocol."""
    return RequestError(Outcome.PROTOCOL, reason)


@dataclass(frozen=True, slots=True)
class Head:
    """A response's status line and header; names in lower case, repeated fields joined by `, ` (RFC 9110 5.3)."""

    minor: int
    status: int
    fields: Mapping[str, str]
    persistent: bool
    """Whether the connection may be kept after this response (RFC 9112 9.3)."""
    length: int
    """The length of the body where one plain Content-Length states it; else -1."""


def head_end(data: bytes | bytearray, end: int) -> int:
    """Return the index after the blank line that ends a head in `data[:end]`, or -1 if it is not there yet."""
    found = data.find(b"\r\n\r\n", 0, end)
    if found >= 0:
        if found + 4 > HEAD_LIMIT_BYTES:
            raise protocol_error("head too large")
        return found + 4
    if end > HEAD_LIMIT_BYTES:
        raise protocol_error("head too large")
    if data.find(b"\n\n", 0, end) >= 0 or (end and data[0] != _FIRST_BYTE):
        raise protocol_error("not an HTTP/1 response")
    return -1


@lru_cache(maxsize=128)  # a server repeats its heads for as long as the Date stands: a second
def parse_head(block: bytes) -> Head:
    """Parse a head that ends with its blank line.

    A bare LF or CR is refused (RFC 9112 2.2 allows either), folded lines are joined (5.2), white space before the
    colon is refused (5.1).
    """
    lines = block.decode("latin-1")[:-4].split("\r\n")
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise protocol_error("malformed status line")
    if len(lines) > HEADER_LIMIT:
        raise protocol_error("too many header fields")
    minor, status, fields = int(match[1]), int(match[2]), _fields(lines)
    options = [option.strip().lower() for option in fields.get("connection", "").split(",")]
    persistent = "close" not in options if minor else "keep-alive" in options
    length = fields.get("content-length", "")
    plain = status not in BODILESS and "transfer-encoding" not in fields and DECIMAL.fullmatch(length) is not None
    # The head is held for every response that is the same: what a locustfile does to one may not reach another.
    return Head(minor, status, MappingProxyType(fields), persistent, int(length) if plain else -1)


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in lines[1:]:
        if "\n" in line or "\r" in line or "\0" in line:
            raise protocol_error("control character in the header")
        if line[:1] in {" ", "\t"}:
            if not last:
                raise protocol_error("folded line without a field")
            fields[last] += " " + line.strip(" \t")
            continue
        name, colon, value = line.partition(":")
        if not colon or _TOKEN.fullmatch(name) is None:
            raise protocol_error("malformed header field")
        last = name.lower()
        value = value.strip(" \t")
        fields[last] = f"{fields[last]}, {value}" if last in fields else value
    return fields


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
        raise RequestError(Outcome.TRUNCATED, "body ended before its length")


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
        raise RequestError(Outcome.TRUNCATED, "chunked body ended before its last chunk")

    def _read_line(self, view: memoryview) -> tuple[int, bytes | None]:
        """Return how much was taken, and the line without CRLF once it is whole."""
        piece = bytes(view[: CHUNK_LINE_LIMIT_BYTES + 2])
        newline = piece.find(b"\n")
        taken = newline + 1 or len(piece)
        self._line += piece[:taken]
        if len(self._line) > CHUNK_LINE_LIMIT_BYTES:
            raise protocol_error("chunk line too long")
        if newline < 0:
            return taken, None
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n"):
            raise protocol_error("bare LF in chunked framing")
        return taken, line[:-2]

    def _size(self, view: memoryview, _sink: Sink) -> int:
        taken, line = self._read_line(view)
        if line is not None:
            match = _CHUNK_SIZE.fullmatch(line)
            if match is None:
                raise protocol_error("malformed chunk size")
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
            raise protocol_error("chunk longer than its size")
        if line is not None:
            self._take = self._size
        return taken

    def _trailer(self, view: memoryview, _sink: Sink) -> int:
        taken, line = self._read_line(view)
        self._trailer_bytes += taken
        if self._trailer_bytes > TRAILER_LIMIT_BYTES:
            raise protocol_error("trailer too large")
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
            raise protocol_error("Content-Length beside Transfer-Encoding")
        if not head.minor:
            raise protocol_error("Transfer-Encoding in HTTP/1.0")
        codings = [name.strip().lower() for name in coding.split(",")]
        if "chunked" in codings[:-1]:
            raise protocol_error("chunked is not the last transfer coding")
        return ChunkedBody() if codings[-1] == "chunked" else CloseBody()
    return CloseBody() if length is None else LengthBody(_length(length))


def _length(value: str) -> int:
    """Read Content-Length; a list of equal numbers counts as one (RFC 9112 6.3, rule 5)."""
    values = {item.strip() for item in value.split(",")}
    if len(values) != 1:
        raise protocol_error("conflicting Content-Length")
    number = values.pop()
    if DECIMAL.fullmatch(number) is None:
        raise protocol_error("malformed Content-Length")
    return int(number)

"""HTTP/1.1 response parser: heads, body framing (RFC 9112) and byte ranges (RFC 9110 14).

A peer is not trusted: everything has a limit, and what can't be framed is a RequestError, never a traceback.
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
CHUNK_LINE_LIMIT_BYTES = 4_096
TRAILER_LIMIT_BYTES = 16_384
ANOTHER_LENGTH = "a body of another length than its range"
_FIRST_BYTE = ord("H")
BODILESS = frozenset({204, 304})
DECIMAL = re.compile(r"[0-9]{1,18}")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
Sink = Callable[[memoryview], object]
_Step = Callable[[memoryview, Sink], int]
ByteRange = tuple[int, int | None]
"""The first and the last byte; (first, None): from there to the end; (-count, None): so many at the end."""


class RequestError(Exception):
    """A failed request: its outcome, and a reason whose text does not vary with ids or counts.

    `hung_up` is True where the peer closed the connection.
    """

    def __init__(self, outcome: Outcome, reason: str, *, hung_up: bool = False) -> None:
        super().__init__(f"{outcome}: {reason}")
        self.outcome = outcome
        self.reason = reason
        self.hung_up = hung_up


def protocol_error(reason: str) -> RequestError:
    """Return the RequestError of a message that breaks the protocol."""
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
    at = data.find(b"\r\n\r\n", 0, end)
    if at >= 0:
        if at + 4 > HEAD_LIMIT_BYTES:
            raise protocol_error("head too large")
        return at + 4
    if end > HEAD_LIMIT_BYTES:
        raise protocol_error("head too large")
    if data.find(b"\n\n", 0, end) >= 0 or (end and data[0] != _FIRST_BYTE):
        raise protocol_error("not an HTTP/1 response")
    return -1


@lru_cache(maxsize=128)  # a server repeats a head until its Date changes: for a second
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
    # The head is shared by all responses with these bytes: a locustfile may not change it.
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

    def consumed(self, count: int) -> None:
        """Account for payload that was read past `feed`, never more than `left`."""
        self.left -= count
        self.done = self.left == 0

    def end(self) -> None:
        """Fail: the peer closed too early."""
        raise RequestError(Outcome.TRUNCATED, "body ended before its length")


class CloseBody:
    """A body that lasts until the peer closes (RFC 9112 6.3, last rule)."""

    reusable = False
    length: int | None = None
    done = False

    def feed(self, view: memoryview, sink: Sink) -> int:
        """Pass everything to `sink`."""
        sink(view)
        return len(view)

    def end(self) -> None:
        """End: the peer closed."""
        self.done = True


class ChunkedBody:
    """A chunked body (RFC 9112 7.1), fed in pieces of any size; chunk extensions and trailers are dropped."""

    reusable = True
    length: int | None = None
    done = False

    def __init__(self) -> None:
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
        """Fail: the peer closed too early."""
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
    if length is None:
        return CloseBody()
    lengths = {item.strip() for item in length.split(",")}
    if len(lengths) != 1:  # a list of equal numbers counts as one (rule 5)
        raise protocol_error("conflicting Content-Length")
    number = lengths.pop()
    if DECIMAL.fullmatch(number) is None:
        raise protocol_error("malformed Content-Length")
    return LengthBody(int(number))


@dataclass(frozen=True, slots=True)
class ContentRange:
    """The bytes that an answer has: `first` to `last`, both included, of `total` (None: not known)."""

    first: int
    last: int
    total: int | None

    @property
    def length(self) -> int:
        """The number of bytes."""
        return self.last - self.first + 1


def parse_content_range(text: str) -> ContentRange | None:
    """Parse a Content-Range field; None for one that is invalid or names no bytes (RFC 9110 14.4)."""
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        return None
    first, last, total = int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])
    if last < first or (total is not None and total <= last):
        return None
    return ContentRange(first, last, total)


def verified_length(
    byte_range: ByteRange, fields: Mapping[str, str], length: int | None, *, shorter: bool = False
) -> int:
    """Return how many bytes the answer to a range has, by the fields of a 206; RequestError if it is another.

    `length` is that of the body, None where it is not known before its end. A server may send fewer bytes than it
    could (RFC 9110 15.3.7): that is another range, too, unless `shorter` permits it where the range has no last
    byte. Where the total is not known (`*`), a range that is cut short can't be distinguished from one that ends
    with the whole: it is accepted.
    """
    if fields.get("content-type", "").partition(";")[0].strip().lower() == "multipart/byteranges":
        raise RequestError(Outcome.RANGE, "several parts where one range was asked for")
    part = parse_content_range(fields.get("content-range", ""))
    if part is None:
        raise RequestError(Outcome.RANGE, "no valid Content-Range")
    (first, last), end = byte_range, None if part.total is None else part.total - 1
    if first < 0:
        fits = part.length <= -first if end is None else (part.first, part.last) == (max(end + 1 + first, 0), end)
    elif last is None:
        fits = part.first == first and (shorter or end in {None, part.last})
    else:
        fits = part.first == first and (part.last <= last if end is None else part.last == min(last, end))
    if not fits:
        raise RequestError(Outcome.RANGE, "another range than was asked for")
    if length is not None and length != part.length:
        raise RequestError(Outcome.RANGE, ANOTHER_LENGTH)
    return part.length

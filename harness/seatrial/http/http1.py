"""The head of an HTTP/1.1 response, as bytes and values (RFC 9112). No sockets, no clock.

A peer is not trusted: everything has a limit, and what can't be framed is a Fault, never a traceback.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from seatrial.wire.tables import Outcome

HEAD_LIMIT_BYTES = 65_536
HEADER_LIMIT = 256
INTERIM_LIMIT = 8
_FIRST_BYTE = ord("H")

BODILESS = frozenset({204, 304})
DECIMAL = re.compile(r"[0-9]{1,18}")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Fault(Exception):
    """A request that did not end well: its outcome, and a reason in words that do not vary with ids or counts.

    `hung_up` tells that the peer closed the connection.
    """

    def __init__(self, outcome: Outcome, reason: str, *, hung_up: bool = False) -> None:
        super().__init__(f"{outcome}: {reason}")
        self.outcome = outcome
        self.reason = reason
        self.hung_up = hung_up


def bad(reason: str) -> Fault:
    """Return the Fault of a message that breaks the protocol."""
    return Fault(Outcome.PROTOCOL, reason)


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
            raise bad("head too large")
        return found + 4
    if end > HEAD_LIMIT_BYTES:
        raise bad("head too large")
    if data.find(b"\n\n", 0, end) >= 0 or (end and data[0] != _FIRST_BYTE):
        raise bad("not an HTTP/1 response")
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
        raise bad("malformed status line")
    if len(lines) > HEADER_LIMIT:
        raise bad("too many header fields")
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
            raise bad("control character in the header")
        if line[:1] in {" ", "\t"}:
            if not last:
                raise bad("folded line without a field")
            fields[last] += " " + line.strip(" \t")
            continue
        name, colon, value = line.partition(":")
        if not colon or _TOKEN.fullmatch(name) is None:
            raise bad("malformed header field")
        last = name.lower()
        value = value.strip(" \t")
        fields[last] = f"{fields[last]}, {value}" if last in fields else value
    return fields

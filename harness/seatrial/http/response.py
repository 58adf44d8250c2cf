"""What a request became: filled in while the exchange goes on, so that a cut request still has its counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from seatrial.wire.streams import NULL
from seatrial.wire.tables import Outcome

_NO_FIELDS: Mapping[str, str] = MappingProxyType({})
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Which bytes an answer has: `first` to `last`, both included, of `total`; None where that is not known."""

    first: int
    last: int
    total: int | None

    @property
    def length(self) -> int:
        """How many bytes these are."""
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


class Response:
    """One request's result; a failed request is a Response too, with `ok` False and `outcome` saying why.

    `status` is 0 and `headers` empty if no head arrived; `headers` has lower-case names; `body` is empty unless it
    was asked for with `keep=True`. Byte counts are those of the application's bytes: under TLS, before encryption.
    `bytes_sent` counts what went out: two messages where `connection` (a word of `wire.tables.CONNECTIONS`) is
    `replaced`. Stamps are CLOCK_MONOTONIC nanoseconds, NULL where it did not happen.
    """

    __slots__ = (
        "body",
        "bytes_received",
        "bytes_sent",
        "connection",
        "endpoint",
        "headers",
        "method",
        "outcome",
        "reason",
        "status",
        "t_end_ns",
        "t_first_byte_ns",
        "t_start_ns",
    )

    def __init__(self, method: str, endpoint: str, t_start_ns: int) -> None:
        self.method = method
        self.endpoint = endpoint
        self.t_start_ns = t_start_ns
        self.t_first_byte_ns = NULL
        self.t_end_ns = NULL
        self.status = 0
        self.headers = _NO_FIELDS
        self.body = b""
        self.outcome = Outcome.OK
        self.reason = ""
        self.connection = "new"
        self.bytes_received = 0
        self.bytes_sent = 0

    @property
    def ok(self) -> bool:
        """Whether the request did what was expected of it."""
        return self.outcome is Outcome.OK

    @property
    def location(self) -> str | None:
        """Where a redirect points to, as the server wrote it; the client never follows one by itself."""
        return self.headers.get("location")

    @property
    def content_range(self) -> ContentRange | None:
        """The bytes that a 206 says it has; None where it says nothing that is valid."""
        return parse_content_range(self.headers.get("content-range", ""))

    def header(self, name: str, default: str = "") -> str:
        """Return a header field's value, its name in any case; `default` if there is none."""
        return self.headers.get(name.lower(), default)

    def fail(self, outcome: Outcome, reason: str) -> None:
        """Note how the request failed; the first failure stands."""
        if self.outcome is Outcome.OK:
            self.outcome = outcome
            self.reason = reason

    def __repr__(self) -> str:
        return f"<Response {self.method} {self.endpoint!r} {self.status} {self.outcome}>"

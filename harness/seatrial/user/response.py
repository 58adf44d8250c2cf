"""What a request became: filled in while the exchange goes on, so that a cut request still has its counts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from seatrial.wire.streams import NULL
from seatrial.wire.tables import Outcome

_NO_FIELDS: Mapping[str, str] = MappingProxyType({})


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

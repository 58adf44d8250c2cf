"""What a request asks for, and its message as bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from seatrial.user.connection import Timeouts
from seatrial.user.origin import Origin
from seatrial.wire.tables import METHODS

KEEP_LIMIT_BYTES = 16 * 1024 * 1024
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
_OPENING_SPACES = 3


class Asked(TypedDict, total=False):
    """What a request may ask for.

    `headers`: sent as they are, to this target only. `body`: sent with its Content-Length. `expect`: the statuses
    that count as success (200). `also`: further ones, each recorded under the endpoint label that it maps to.
    `digest`: `sha256:...` or `sha512:...` of the body, verified when the status is one of `expect`.
    `keep`: whether `Response.body` is wanted. `limit_bytes`: the largest body taken (16 MiB when kept; else any).
    `timeouts`: instead of the user's.
    """

    headers: Mapping[str, str]
    body: bytes | None
    expect: Collection[int]
    also: Mapping[int, str]
    digest: str | None
    keep: bool
    limit_bytes: int | None
    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class Wanted:
    """The same, with every default filled in."""

    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    expect: Collection[int] = (200,)
    also: Mapping[int, str] = field(default_factory=dict)
    digest: str | None = None
    keep: bool = False
    limit_bytes: int | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def limit(self) -> int | None:
        """The largest body that is taken; None: any."""
        return KEEP_LIMIT_BYTES if self.keep and self.limit_bytes is None else self.limit_bytes


class Manners:
    """How a client behaves on every request: the User-Agent, kept connections or not, its timeouts."""

    def __init__(self, user_agent: str, *, keep_alive: bool, timeouts: Timeouts) -> None:
        closing = "" if keep_alive else "Connection: close\r\n"
        self.keep_alive = keep_alive
        self.timeouts = timeouts
        self.lines = f"User-Agent: {user_agent}\r\n{closing}"
        self.own_lines = 3 if keep_alive else 4


def render(method: str, origin: Origin, path: str, wanted: Wanted, manners: Manners) -> bytes:
    """Return the whole message; ValueError for what can't be written down without changing its meaning.

    A CR, LF or NUL is refused wherever it stands (RFC 9110 5.5); so is a space in the target.
    """
    if method not in METHODS:
        raise ValueError(f"not a method that can be recorded: {method!r}")
    opening = f"{method} {path} HTTP/1.1\r\nHost: {origin.authority}\r\n"
    lines = "".join([f"{name}: {value}\r\n" for name, value in wanted.headers.items()])
    text = f"{opening}{manners.lines}{lines}"
    lines_due = manners.own_lines + len(wanted.headers)
    split = text.count("\n") != lines_due or text.count("\r") != lines_due or "\0" in text
    if split or opening.count(" ") != _OPENING_SPACES:
        raise ValueError(f"a line break, NUL or space in the target or a header of: {method} {path!r}")
    if wanted.body is None and method not in _WITH_LENGTH:
        return f"{text}\r\n".encode("latin-1")
    payload = wanted.body or b""
    return f"{text}Content-Length: {len(payload)}\r\n\r\n".encode("latin-1") + payload

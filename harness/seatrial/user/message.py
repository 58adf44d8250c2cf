"""What a request asks for, and its message as bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TypedDict

from seatrial.user.connection import Timeouts
from seatrial.user.origin import Origin, shown
from seatrial.wire.tables import METHODS

KEEP_LIMIT_BYTES = 16 * 1024 * 1024
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
_OPENING_SPACES = 3
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_STATUS: Mapping[int, str] = MappingProxyType({})
_PATIENT = Timeouts()


Body = bytes | Iterable[bytes] | None


class Asked(TypedDict, total=False):
    """What a request may ask for.

    `headers`: sent as they are, to this target only. `body`: bytes, sent with their Content-Length, or pieces of
    them, sent chunked or, where `body_length` says how many bytes they have in all, with that length.
    `ask_first`: send the body only once the server says `100 Continue`, or nothing for a second.
    `expect`: the statuses that count as success (200).
    `also`: further ones, each recorded under the endpoint label that it maps to.
    `digest`: `sha256:...` or `sha512:...` of the body, verified when the status is one of `expect`.
    `keep`: whether `Response.body` is wanted. `limit_bytes`: the largest body taken (16 MiB when kept; else any).
    `into`: is called with each piece of the body when the status is one of `expect`; the piece is valid during the
    call, which may wait (a slow reader): the server feels that once the socket's buffer is full.
    `timeouts`: instead of the user's.
    """

    headers: Mapping[str, str]
    body: Body
    body_length: int | None
    ask_first: bool
    into: Callable[[memoryview], object] | None
    expect: Collection[int]
    also: Mapping[int, str]
    digest: str | None
    keep: bool
    limit_bytes: int | None
    timeouts: Timeouts


class Wanted:
    """The same, with every default filled in; `limit` is the largest body that is taken, None: any.

    `unseen` tells that a body only has to be counted.
    """

    __slots__ = (
        "also",
        "ask_first",
        "body",
        "body_length",
        "digest",
        "expect",
        "headers",
        "into",
        "keep",
        "limit",
        "timeouts",
        "unseen",
    )

    def __init__(  # noqa: PLR0913  (the fields of Asked, taken apart by Python itself: 1 us less a request)
        self,
        *,
        headers: Mapping[str, str] = _NOTHING,
        body: Body = None,
        body_length: int | None = None,
        ask_first: bool = False,
        into: Callable[[memoryview], object] | None = None,
        expect: Collection[int] = (200,),
        also: Mapping[int, str] = _NO_STATUS,
        digest: str | None = None,
        keep: bool = False,
        limit_bytes: int | None = None,
        timeouts: Timeouts = _PATIENT,
    ) -> None:
        self.headers = headers
        self.body = body
        self.body_length = body_length
        self.ask_first = ask_first
        self.into = into
        self.expect = expect
        self.also = also
        self.digest = digest
        self.keep = keep
        self.limit = KEEP_LIMIT_BYTES if keep and limit_bytes is None else limit_bytes
        self.timeouts = timeouts
        self.unseen = not keep and digest is None and into is None and limit_bytes is None


class Manners:
    """How a client behaves on every request: the User-Agent, kept connections or not, its timeouts."""

    def __init__(self, user_agent: str, *, keep_alive: bool, timeouts: Timeouts) -> None:
        closing = "" if keep_alive else "Connection: close\r\n"
        self.keep_alive = keep_alive
        self.timeouts = timeouts
        self.lines = f"User-Agent: {user_agent}\r\n{closing}"
        self.own_lines = 3 if keep_alive else 4


def render(method: str, origin: Origin, path: str, wanted: Wanted, manners: Manners) -> bytes:
    """Return the message, without its body if that comes in pieces or has to be asked for.

    ValueError for what can't be written down without changing its meaning.

    A CR, LF or NUL is refused wherever it stands (RFC 9110 5.5); so is a space in the target.
    """
    check_method(method)
    opening = f"{method} {path} HTTP/1.1\r\nHost: {origin.authority}\r\n"
    lines = "".join([f"{name}: {value}\r\n" for name, value in wanted.headers.items()])
    text = f"{opening}{manners.lines}{lines}"
    lines_due = manners.own_lines + len(wanted.headers)
    split = text.count("\n") != lines_due or text.count("\r") != lines_due or "\0" in text
    if split or opening.count(" ") != _OPENING_SPACES:
        raise ValueError(f"a line break, NUL or space in the target or a header of: {method} {shown(path)}")
    return f"{text}{_framing(method, wanted)}\r\n".encode("latin-1") + prompt_body(wanted)


def check_method(method: str) -> None:
    """Raise ValueError for a method that has no code in the tables."""
    if method not in METHODS:
        raise ValueError(f"not a method that can be recorded: {method!r}")


def prompt_body(wanted: Wanted) -> bytes:
    """Return what of the body goes out with the head."""
    return wanted.body if isinstance(wanted.body, bytes) and not wanted.ask_first else b""


def _framing(method: str, wanted: Wanted) -> str:
    """Return the fields that say where the body ends (RFC 9112 6), and whether the server is asked first."""
    body, length = wanted.body, wanted.body_length
    if body is None:
        return "Content-Length: 0\r\n" if method in _WITH_LENGTH else ""
    asking = "Expect: 100-continue\r\n" if wanted.ask_first else ""
    if isinstance(body, bytes):
        length = len(body)
    return asking + ("Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n")

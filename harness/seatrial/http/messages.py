"""What a request asks for, and its message as bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypedDict

from seatrial.http.connection import Timeouts
from seatrial.http.http1 import Fault
from seatrial.http.origin import Origin, shown
from seatrial.http.response import Response, parse_content_range
from seatrial.wire.tables import METHODS, Outcome

KEEP_LIMIT_BYTES = 16 * 1024 * 1024
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
_OPENING_SPACES = 3
ANOTHER_LENGTH = "a body of another length than its range"
_OK = (200,)
_PARTIAL = (206,)
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_STATUS: Mapping[int, str] = MappingProxyType({})
_PATIENT = Timeouts()


Body = bytes | Iterable[bytes] | None
ByteRange = tuple[int, int | None]
"""The first and the last byte; (first, None): from there to the end; (-count, None): so many at the end."""
Check = Callable[[Response], str | None]
"""Returns a word of `Outcome` for a response that fails by the user model's own rules, else None."""


class Asked(TypedDict, total=False):
    """What a request may ask for.

    `headers`: sent as they are, to this target only. `body`: bytes, sent with their Content-Length, or pieces of
    them, sent chunked or, where `body_length` says how many bytes they have in all, with that length.
    `range`: (first, last) byte of the target, sent as Range header; the answer has to be exactly those.
    `expect`: the statuses that count as success (200; with `range` 206).
    `also`: further ones, each recorded under the endpoint label that it maps to.
    `digest`: `sha256:...` or `sha512:...` of the body, verified when the status is one of `expect`.
    `keep`: whether `Response.body` is wanted. `limit_bytes`: the largest body taken (16 MiB when kept; else any).
    `into`: is called with each piece of the body when the status is one of `expect`; the piece is valid during the
    call, which may wait (a slow reader): the server feels that once the socket's buffer is full.
    `check`: is called with the complete response, before it is recorded, where the status is one of `expect` and
    nothing else has failed; the word of `Outcome` that it returns is the request's outcome. The request counts as
    in flight meanwhile.
    `timeouts`: instead of the user's.
    """

    headers: Mapping[str, str]
    body: Body
    body_length: int | None
    into: Callable[[memoryview], object] | None
    range: ByteRange | None
    expect: Collection[int]
    also: Mapping[int, str]
    digest: str | None
    check: Check | None
    keep: bool
    limit_bytes: int | None
    timeouts: Timeouts


class Wanted:
    """The same, with every default filled in; `limit` is the largest body that is taken, None: any.

    `unseen` is True where a body only has to be counted.
    """

    __slots__ = (
        "also",
        "body",
        "body_length",
        "check",
        "digest",
        "expect",
        "headers",
        "into",
        "keep",
        "limit",
        "range",
        "timeouts",
        "unseen",
    )

    def __init__(  # noqa: PLR0913  (the fields of Asked, taken apart by Python itself: 1 us less a request)
        self,
        *,
        headers: Mapping[str, str] = _NOTHING,
        body: Body = None,
        body_length: int | None = None,
        into: Callable[[memoryview], object] | None = None,
        range: ByteRange | None = None,  # noqa: A002  (the option's name)
        expect: Collection[int] = _OK,
        also: Mapping[int, str] = _NO_STATUS,
        digest: str | None = None,
        check: Check | None = None,
        keep: bool = False,
        limit_bytes: int | None = None,
        timeouts: Timeouts = _PATIENT,
    ) -> None:
        self.headers = headers
        self.body = body
        self.body_length = body_length
        self.into = into
        self.expect = expect
        self.also = also
        self.digest = digest
        self.check = check
        self.keep = keep
        self.limit = KEEP_LIMIT_BYTES if keep and limit_bytes is None else limit_bytes
        self.timeouts = timeouts
        self.unseen = not keep and digest is None and into is None and limit_bytes is None
        self.range = range
        if range is not None:
            if any(name.lower() == "range" for name in headers):
                raise ValueError("both a Range header and `range`: give one of them")
            self.headers = {**headers, "Range": _range_header(*range)}
            self.unseen = False
            if expect is _OK:
                self.expect = _PARTIAL


class Manners:
    """How a client behaves on every request: the User-Agent, kept connections or not, its timeouts."""

    def __init__(self, user_agent: str, *, keep_alive: bool, timeouts: Timeouts) -> None:
        closing = "" if keep_alive else "Connection: close\r\n"
        self.keep_alive = keep_alive
        self.timeouts = timeouts
        self.lines = f"User-Agent: {user_agent}\r\n{closing}"
        self.own_lines = 3 if keep_alive else 4


def render(method: str, origin: Origin, path: str, wanted: Wanted, manners: Manners) -> bytes:
    """Return the message, without its body if that comes in pieces.

    ValueError for what can't be written down without changing its meaning.

    A CR, LF or NUL is refused wherever it stands (RFC 9110 5.5); so is a space in the target.
    """
    check_method(method)
    if wanted.range is not None and method != "GET":  # for others a server has to ignore it (RFC 9110 14.2)
        raise ValueError(f"a range can only be asked for with GET: {method} {shown(path)}")
    opening = f"{method} {path} HTTP/1.1\r\nHost: {origin.authority}\r\n"
    lines = "".join([f"{name}: {value}\r\n" for name, value in wanted.headers.items()])
    text = f"{opening}{manners.lines}{lines}"
    lines_due = manners.own_lines + len(wanted.headers)
    split = text.count("\n") != lines_due or text.count("\r") != lines_due or "\0" in text
    if split or opening.count(" ") != _OPENING_SPACES:
        raise ValueError(f"a line break, NUL or space in the target or a header of: {method} {shown(path)}")
    body = wanted.body if isinstance(wanted.body, bytes) else b""
    return f"{text}{_framing(method, wanted)}\r\n".encode("latin-1") + body


def check_method(method: str) -> None:
    """Raise ValueError for a method that has no code in the tables."""
    if method not in METHODS:
        raise ValueError(f"not a method that can be recorded: {method!r}")


def _range_header(first: int, last: int | None) -> str:
    """Return the Range field of one range of bytes (RFC 9110 14.1.2)."""
    if last is None:
        return f"bytes={first}-" if first >= 0 else f"bytes={first}"
    if not 0 <= first <= last:
        raise ValueError(f"not a range of bytes: ({first}, {last})")
    return f"bytes={first}-{last}"


def _framing(method: str, wanted: Wanted) -> str:
    """Return the field that says where the body ends (RFC 9112 6)."""
    body, length = wanted.body, wanted.body_length
    if body is None:
        return "Content-Length: 0\r\n" if method in _WITH_LENGTH else ""
    if isinstance(body, bytes):
        length = len(body)
    return "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"


def body_pieces(wanted: Wanted) -> Iterator[bytes]:
    """Yield what is sent after `render`'s message: the pieces of a body that comes as an iterable.

    ValueError where an iterable of a known length gives another one: the message is not whole then, so its
    connection can't be used any more.
    """
    if wanted.body is None or isinstance(wanted.body, bytes):
        return
    if wanted.body_length is None:
        for piece in wanted.body:
            if piece:  # an empty chunk would be the last one (RFC 9112 7.1)
                yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"
        return
    left = wanted.body_length
    for piece in wanted.body:
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise ValueError(f"the pieces of a body do not add up to its length: {wanted.body_length}")


def verified_length(asked: ByteRange, head: Mapping[str, str], length: int | None) -> int:
    """Return how many bytes the answer to a range has, by the fields of a 206; Fault where it is not that range.

    `length` is that of the body, None where it is not known before its end. A server may send fewer bytes than it
    could (RFC 9110 15.3.7), which is not what was asked for. Where the total is not known (`*`), a range that is
    cut short can't be told from one that ends with the whole: it is taken.
    """
    if head.get("content-type", "").partition(";")[0].strip().lower() == "multipart/byteranges":
        raise Fault(Outcome.RANGE, "several parts where one range was asked for")
    part = parse_content_range(head.get("content-range", ""))
    if part is None:
        raise Fault(Outcome.RANGE, "no valid Content-Range")
    (first, last), end = asked, None if part.total is None else part.total - 1
    if first < 0:
        fits = part.length <= -first if end is None else (part.first, part.last) == (max(end + 1 + first, 0), end)
    elif last is None:
        fits = part.first == first and end in {None, part.last}
    else:
        fits = part.first == first and (part.last <= last if end is None else part.last == min(last, end))
    if not fits:
        raise Fault(Outcome.RANGE, "another range than was asked for")
    if length is not None and length != part.length:
        raise Fault(Outcome.RANGE, ANOTHER_LENGTH)
    return part.length

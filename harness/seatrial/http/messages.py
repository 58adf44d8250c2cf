"""Request options, response, origin and timeouts of the HTTP client."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypedDict
from urllib.parse import unquote, urlsplit

from gevent import GreenletExit

from seatrial.http.parser import RequestError, protocol_error
from seatrial.units import NS_PER_S
from seatrial.wire.streams import METHODS, NULL, Outcome

_END = (GreenletExit, KeyboardInterrupt, SystemExit)
"""How the end of a run reaches a greenlet; gevent raises Ctrl-C in whichever one happens to be running."""


class Abandoned(GreenletExit):
    """Ends work that one user runs side by side when it is given up: the run itself goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a request may take: to connect, to the first byte, between two reads, and in all."""

    connect_s: float = 10.0
    first_byte_s: float = 60.0
    idle_s: float = 30.0
    total_s: float = 600.0
    first_byte_ns: int = field(init=False, repr=False, compare=False)
    total_ns: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Count in nanoseconds what each request asks for."""
        object.__setattr__(self, "first_byte_ns", int(self.first_byte_s * NS_PER_S))
        object.__setattr__(self, "total_ns", int(self.total_s * NS_PER_S))


_LATEST_URLS = 1_024
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_UNWRITABLE = re.compile(r"[^\x21-\x7e\x80-\xff]")
_BEYOND_PATH = re.compile(r"[?#;\s\0]")
_DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, host and port: what a pool of connections belongs to (RFC 9110 4.3.1).

    `path` is that of a Unix socket, and empty for any other.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def split_url(url: str) -> tuple[Origin, str]:
    """Return the origin and the target (path and query) of an absolute URL; else ValueError.

    Schemes are http and https, and http+unix, whose host is the percent-encoded path of a socket.
    """
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError:  # Python's own words show a part of the URL, which may be a password
        raise ValueError("not a URL: its host or port can't be read") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http+unix" and parts.netloc:
        return Origin("http", "localhost", _DEFAULT_PORTS["http"], unquote(parts.netloc)), target
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    if parts.username is not None:
        raise ValueError("credentials in a URL are not supported: give an Authorization header")
    return Origin(parts.scheme, parts.hostname, _DEFAULT_PORTS[parts.scheme] if port is None else port), target


class OriginCache:
    """What the targets of one user's requests mean; `home` is the user's own host."""

    def __init__(self, host: str) -> None:
        self.home, prefix = split_url(host)
        self._prefix = prefix.rstrip("/")
        self._urls: dict[str, tuple[Origin, str]] = {}

    def where(self, target: str) -> tuple[Origin, str]:
        """Return the origin, and the path to ask it for.

        Fault for an absolute URL that can't be asked for: mostly a server named it, in a Location. ValueError for
        what is neither a path nor an absolute URL.
        """
        if target.startswith("/"):
            return self.home, self._prefix + target
        known = self._urls.get(target)
        if known is None:
            if len(self._urls) >= _LATEST_URLS:
                self._urls.clear()
            known = self._urls[target] = self._elsewhere(target)
        return known

    def _elsewhere(self, target: str) -> tuple[Origin, str]:
        if _ABSOLUTE.match(target) is None:
            raise ValueError(f"neither a path nor an absolute URL: {shown(target)}")
        if _UNWRITABLE.search(target):
            raise protocol_error("a line break, space or the like in a URL")
        try:
            origin, path = split_url(target)
        except ValueError as error:
            raise protocol_error(str(error)) from None
        if origin.path and origin != self.home:  # a redirect could reach the container engine's socket
            raise protocol_error("a Unix socket can only be the user's own host")
        return origin, path


def shown(target: str) -> str:
    """Return a target for an error message, up to its query or what can't be part of it: secrets stand there."""
    return repr(_BEYOND_PATH.split(target, maxsplit=1)[0].rpartition("@")[2])


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


KEEP_LIMIT_BYTES = 16 * 1024 * 1024
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
_OPENING_SPACES = 3
ANOTHER_LENGTH = "a body of another length than its range"
_OK = (200,)
_PARTIAL = (206,)
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_STATUS: Mapping[int, str] = MappingProxyType({})
_PATIENT = Timeouts()
UploadBody = bytes | Iterable[bytes] | None
ByteRange = tuple[int, int | None]
"""The first and the last byte; (first, None): from there to the end; (-count, None): so many at the end."""
Check = Callable[[Response], str | None]
"""Returns a word of `Outcome` for a response that fails by the user model's own rules, else None."""


class RequestKeywords(TypedDict, total=False):
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
    body: UploadBody
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


class RequestOptions:
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
        body: UploadBody = None,
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


class ClientOptions:
    """How a client behaves on every request: the User-Agent, kept connections or not, its timeouts."""

    def __init__(self, user_agent: str, *, keep_alive: bool, timeouts: Timeouts) -> None:
        closing = "" if keep_alive else "Connection: close\r\n"
        self.keep_alive = keep_alive
        self.timeouts = timeouts
        self.lines = f"User-Agent: {user_agent}\r\n{closing}"
        self.own_lines = 3 if keep_alive else 4


def render(method: str, origin: Origin, path: str, wanted: RequestOptions, manners: ClientOptions) -> bytes:
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


def _framing(method: str, wanted: RequestOptions) -> str:
    """Return the field that says where the body ends (RFC 9112 6)."""
    body, length = wanted.body, wanted.body_length
    if body is None:
        return "Content-Length: 0\r\n" if method in _WITH_LENGTH else ""
    if isinstance(body, bytes):
        length = len(body)
    return "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"


def body_pieces(wanted: RequestOptions) -> Iterator[bytes]:
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
        raise RequestError(Outcome.RANGE, "several parts where one range was asked for")
    part = parse_content_range(head.get("content-range", ""))
    if part is None:
        raise RequestError(Outcome.RANGE, "no valid Content-Range")
    (first, last), end = asked, None if part.total is None else part.total - 1
    if first < 0:
        fits = part.length <= -first if end is None else (part.first, part.last) == (max(end + 1 + first, 0), end)
    elif last is None:
        fits = part.first == first and end in {None, part.last}
    else:
        fits = part.first == first and (part.last <= last if end is None else part.last == min(last, end))
    if not fits:
        raise RequestError(Outcome.RANGE, "another range than was asked for")
    if length is not None and length != part.length:
        raise RequestError(Outcome.RANGE, ANOTHER_LENGTH)
    return part.length


def outcome_of_exception(error: BaseException) -> Outcome:
    """Return what an exception makes of a request or flow: `cut` by the end of the run, else `aborted`."""
    return Outcome.CUT if isinstance(error, _END) and not isinstance(error, Abandoned) else Outcome.ABORTED

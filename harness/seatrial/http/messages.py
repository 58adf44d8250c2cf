"""HTTP requests and responses as the client's callers see them: options, URLs, rendering, results."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypedDict
from urllib.parse import unquote, urlsplit

from gevent import GreenletExit

from seatrial.http.parser import ByteRange, ContentRange, parse_content_range, protocol_error
from seatrial.units import NS_PER_S
from seatrial.wire.streams import METHODS, NULL, Outcome

KEEP_LIMIT_BYTES = 16 * 1024 * 1024
_CACHED_URLS = 1_024
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_UNWRITABLE = re.compile(r"[^\x21-\x7e\x80-\xff]")
_BEYOND_PATH = re.compile(r"[?#;\s\0]")
_DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
_OPENING_SPACES = 3
_OK = (200,)
_PARTIAL = (206,)
_NO_FIELDS: Mapping[str, str] = MappingProxyType({})
_NO_STATUS: Mapping[int, str] = MappingProxyType({})
_RUN_ENDS = (GreenletExit, KeyboardInterrupt, SystemExit)
"""How the end of a run reaches a greenlet; gevent raises Ctrl-C in whichever one happens to be running."""


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
        """Convert once what each request needs in nanoseconds."""
        object.__setattr__(self, "first_byte_ns", int(self.first_byte_s * NS_PER_S))
        object.__setattr__(self, "total_ns", int(self.total_s * NS_PER_S))


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, host and port, each with its own pool of connections (RFC 9110 4.3.1).

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
    except ValueError:  # Python's own message shows a part of the URL, which may be a password
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
    """Resolves the targets of one user's requests; `home` is the origin of the user's own host."""

    def __init__(self, host: str) -> None:
        self.home, prefix = split_url(host)
        self._prefix = prefix.rstrip("/")
        self._urls: dict[str, tuple[Origin, str]] = {}

    def resolve(self, target: str) -> tuple[Origin, str]:
        """Return the origin of a target, and the path to request from it.

        RequestError for an absolute URL that can't be requested: mostly it came from a server, in a Location.
        ValueError for what is neither a path nor an absolute URL.
        """
        if target.startswith("/"):
            return self.home, self._prefix + target
        resolved = self._urls.get(target)
        if resolved is None:
            if len(self._urls) >= _CACHED_URLS:
                self._urls.clear()
            if _ABSOLUTE.match(target) is None:
                raise ValueError(f"neither a path nor an absolute URL: {shown(target)}")
            if _UNWRITABLE.search(target):
                raise protocol_error("a line break, space or the like in a URL")
            try:
                resolved = split_url(target)
            except ValueError as error:
                raise protocol_error(str(error)) from None
            if resolved[0].path and resolved[0] != self.home:  # a redirect could reach the engine's socket
                raise protocol_error("a Unix socket can only be the user's own host")
            self._urls[target] = resolved
        return resolved


def shown(target: str) -> str:
    """Return a target for an error message, cut before its query or an invalid part, which may hold secrets."""
    return repr(_BEYOND_PATH.split(target, maxsplit=1)[0].rpartition("@")[2])


class Response:
    """The result of one request; a failed one is a Response too, with `ok` False and the cause in `outcome`.

    `status` is 0 and `headers` empty if no head arrived; `headers` has lower-case names; `body` is empty without
    `keep=True`. Byte counts are those of the application's bytes: under TLS, before encryption.
    `bytes_sent` counts what went out: two messages where `connection` (a word of `wire.streams.CONNECTIONS`) is
    `replaced`. Stamps are CLOCK_MONOTONIC nanoseconds, NULL where the event did not happen.
    """

    __slots__ = tuple(
        """
        body bytes_received bytes_sent connection endpoint headers method outcome reason status
        t_end_ns t_first_byte_ns t_start_ns
        """.split()
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
        """Whether the request succeeded."""
        return self.outcome is Outcome.OK

    @property
    def location(self) -> str | None:
        """The target of a redirect as the server wrote it; the client never follows one by itself."""
        return self.headers.get("location")

    @property
    def content_range(self) -> ContentRange | None:
        """The bytes that a 206 has by its Content-Range; None where that is missing or invalid."""
        return parse_content_range(self.headers.get("content-range", ""))

    def header(self, name: str, default: str = "") -> str:
        """Return a header field's value, its name in any case; `default` if there is none."""
        return self.headers.get(name.lower(), default)

    def fail(self, outcome: Outcome, reason: str) -> None:
        """Record how the request failed; the first failure stands."""
        if self.outcome is Outcome.OK:
            self.outcome = outcome
            self.reason = reason

    def __repr__(self) -> str:
        return f"<Response {self.method} {self.endpoint!r} {self.status} {self.outcome}>"


UploadBody = bytes | Iterable[bytes] | None
Check = Callable[[Response], str | None]
"""Returns a word of `Outcome` for a response that fails by the user model's own rules, else None."""
_DEFAULT_TIMEOUTS = Timeouts()


class StreamKeywords(TypedDict, total=False):
    """The keyword arguments of a stream.

    `headers`: sent as they are, to this target only.
    `range`: (first, last) byte of the target, sent as Range header; the answer has to be exactly those.
    `expect`: the statuses that count as success (200; with `range` 206).
    `also`: further ones, each recorded under the endpoint label that it maps to.
    `timeouts`: instead of the user's.
    """

    headers: Mapping[str, str]
    range: ByteRange | None
    expect: Collection[int]
    also: Mapping[int, str]
    timeouts: Timeouts


class RequestKeywords(StreamKeywords, total=False):
    """The keyword arguments of a request, beside those of a stream.

    `body`: bytes, sent with their Content-Length, or pieces of them, sent chunked or, where `body_length` says how
    many bytes they have in all, with that length.
    `digest`: `sha256:...` or `sha512:...` of the body, verified when the status is one of `expect`.
    `keep`: whether `Response.body` gets the body. `limit_bytes`: the largest one taken (16 MiB if kept; else any).
    `into`: is called with each piece of the body when the status is one of `expect`; the piece is valid during the
    call, which may wait (a slow reader): the server notices once the socket's buffer is full.
    `check`: is called with the complete response, before it is recorded, where the status is one of `expect` and
    nothing else has failed; the word of `Outcome` that it returns is the request's outcome. The request counts as
    in flight meanwhile.
    """

    body: UploadBody
    body_length: int | None
    into: Callable[[memoryview], object] | None
    digest: str | None
    check: Check | None
    keep: bool
    limit_bytes: int | None


class RequestOptions:
    """RequestKeywords with every default filled in; `limit` is the largest body that is taken, None: any.

    `unseen` is True where a body only has to be counted.
    """

    __slots__ = tuple(
        "also body body_length check digest expect headers into keep limit range timeouts unseen".split()
    )

    def __init__(  # noqa: PLR0913  (the keywords, taken apart by Python itself: 1 us less a request)
        self,
        *,
        headers: Mapping[str, str] = _NO_FIELDS,
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
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
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
            first, last = range
            if last is not None and not 0 <= first <= last:
                raise ValueError(f"not a range of bytes: ({first}, {last})")
            end = "" if first < 0 else f"-{'' if last is None else last}"
            self.headers = {**headers, "Range": f"bytes={first}{end}"}  # RFC 9110 14.1.2
            self.unseen = False
            if expect is _OK:
                self.expect = _PARTIAL


class ClientOptions:
    """The settings of a client for all its requests: User-Agent, kept connections or not, timeouts."""

    def __init__(self, user_agent: str, *, keep_alive: bool, timeouts: Timeouts) -> None:
        closing = "" if keep_alive else "Connection: close\r\n"
        self.keep_alive = keep_alive
        self.timeouts = timeouts
        self.lines = f"User-Agent: {user_agent}\r\n{closing}"
        self.own_lines = 3 if keep_alive else 4


def render(
    method: str, origin: Origin, path: str, options: RequestOptions, client_options: ClientOptions
) -> bytes:
    """Return the message, without its body if that comes in pieces.

    ValueError for what can't be written down without changing its meaning: a CR, LF or NUL is refused wherever it
    stands (RFC 9110 5.5); so is a space in the target.
    """
    check_method(method)
    if options.range is not None and method != "GET":  # for others a server has to ignore it (RFC 9110 14.2)
        raise ValueError(f"a range can only be asked for with GET: {method} {shown(path)}")
    opening = f"{method} {path} HTTP/1.1\r\nHost: {origin.authority}\r\n"
    lines = "".join([f"{name}: {value}\r\n" for name, value in options.headers.items()])
    text = f"{opening}{client_options.lines}{lines}"
    expected_lines = client_options.own_lines + len(options.headers)
    split = text.count("\n") != expected_lines or text.count("\r") != expected_lines or "\0" in text
    if split or opening.count(" ") != _OPENING_SPACES:
        raise ValueError(f"a line break, NUL or space in the target or a header of: {method} {shown(path)}")
    body, length = options.body, options.body_length
    if isinstance(body, bytes):
        length = len(body)
    if body is None:
        framing = "Content-Length: 0\r\n" if method in _WITH_LENGTH else ""
    else:
        framing = "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"
    return f"{text}{framing}\r\n".encode("latin-1") + (body if isinstance(body, bytes) else b"")


def check_method(method: str) -> None:
    """Raise ValueError for a method that has no code in the tables."""
    if method not in METHODS:
        raise ValueError(f"not a method that can be recorded: {method!r}")


def body_pieces(options: RequestOptions) -> Iterator[bytes]:
    """Yield the bytes to send after the rendered message: the pieces of a body that comes as an iterable.

    ValueError where an iterable of a known length has another one: the message is not whole then, so its
    connection can't be used any more.
    """
    if options.body is None or isinstance(options.body, bytes):
        return
    if options.body_length is None:
        for piece in options.body:
            if piece:  # an empty chunk would be the last one (RFC 9112 7.1)
                yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"
        return
    left = options.body_length
    for piece in options.body:
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise ValueError(f"the pieces of a body do not add up to its length: {options.body_length}")


class Abandoned(GreenletExit):
    """Ends work that runs beside a user's other work when it is given up, while the run goes on."""


def outcome_of_exception(error: BaseException) -> Outcome:
    """Return the outcome of a request or flow that an exception ended: `cut` by the run's end, else `aborted`."""
    return Outcome.CUT if isinstance(error, _RUN_ENDS) and not isinstance(error, Abandoned) else Outcome.ABORTED

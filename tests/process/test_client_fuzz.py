"""The client against responses that are broken at random: each is an outcome, in time, and leaves nothing.

A mutant is named by its seed and its number: `mutant(seed, number)` makes it again.
"""

from __future__ import annotations

import random
import socket
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.server import StreamServer
from process.scripted_server import Book, client_of

from seatrial.http.client import Client
from seatrial.http.messages import Response, Timeouts
from seatrial.wire.streams import Outcome

USERS = 40
TIMEOUTS = Timeouts(connect_s=2.0, first_byte_s=0.1, idle_s=0.1, total_s=0.3)
PATIENT = Timeouts(first_byte_s=5.0, idle_s=5.0, total_s=10.0)
SLACK_S = 2.0
"""A busy machine's share of the bound of a request."""
ATTEMPTS = 20
"""As often a mutant is asked for where a busy machine takes all of `total_s` for the connection."""

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ZIPPED = zlib.compress(b"seatrial" * 20)
VALID = (
    OK + b"Content-Length: 5\r\n\r\nhello",
    OK + b"Content-Length: 0\r\n\r\n",
    OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    OK + b"Server: nginx/1.22.1\r\nContent-Type: text/plain\r\nContent-Length: 300\r\n\r\n" + b"x" * 300,
    OK + b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nhi",
    OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi",
    OK + b"X-Long: one\r\n  two\r\n\tthree\r\nContent-Length: 2\r\n\r\nhi",
    OK + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED,
    OK + b"Content-Length: 100000\r\n\r\n" + bytes(range(250)) * 400,
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b'2;a=b;c="d"\r\nhe\r\n3\r\nllo\r\n000\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n',
    CHUNKED + b"1000\r\n" + b"y" * 4096 + b"\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(ZIPPED), ZIPPED),
    OK + b"\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\n\r\nold",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 204 No Content\r\nETag: a\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
    b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 401 Who\r\nWWW-Authenticate: Bearer realm="x"\r\nwww-authenticate: b\r\nContent-Length: 0\r\n\r\n',
    b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-1/*\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
)
WORDS = (
    *(bytes([byte]) for byte in b"\r\n\0 \t:;,0-9F\x7f\xff"),
    *(b"\r\n", b"\r\n\r\n", b"\n\n", b"chunked", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(
        b"0\r\n\r\n",
        b"ffffffffffffffff",
        b"99999999999999999999",
        b"HTTP/1.1 200 OK\r\n",
        b"Connection: close\r\n",
    ),
)
CONDUCTS: tuple[Mapping[str, Any], ...] = (
    {},
    {"keep": True},
    {"into": len},
    {"digest": "sha256:" + "0" * 64},
    {"limit_bytes": 250},
    {"range": (0, 1)},
    {"reads": 7},
    {"reads": 300, "range": (0, None)},
    {"expect": range(100, 600), "timeouts": TIMEOUTS},
)
ENDINGS = ("keep", "keep", "keep", "keep", "close", "close", "reset")
POSSIBLE = frozenset(
    {
        *(Outcome.OK, Outcome.STATUS, Outcome.TIMEOUT, Outcome.RESET),
        *(Outcome.TRUNCATED, Outcome.DIGEST, Outcome.RANGE, Outcome.PROTOCOL, Outcome.TOO_LARGE),
        Outcome.WHOLE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """What the server sends, cut in pieces, its ending, and the request."""

    data: bytes
    cuts: tuple[int, ...]
    ending: str
    method: str
    conduct: Mapping[str, Any]

    @property
    def pieces(self) -> Iterator[bytes]:
        """The bytes, as they are sent."""
        edges = (0, *self.cuts, len(self.data))
        return (self.data[start:end] for start, end in pairwise(edges) if end > start)


def _changed(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    end = min(start + chance.choice((1, 1, 2, 8, 40)), len(data))
    before, here, after = data[:start], data[start:end], data[end:]
    changes = (
        lambda: before + bytes([byte ^ (1 << chance.randrange(8)) for byte in here]) + after,
        lambda: before + chance.randbytes(chance.randrange(1, 40)) + here + after,
        lambda: before + chance.choice(WORDS) + here + after,
        lambda: before + chance.choice(WORDS) + after,
        lambda: before + after,
        lambda: before + here + here + after,
        lambda: before,
        lambda: _line_again(data, chance),
    )
    return chance.choice(changes)()


def _line_again(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\r\n")
    at = chance.randrange(len(lines))
    return b"\r\n".join([*lines[: at + 1], *lines[at:]])


def mutant(seed: int, number: int) -> Mutant:
    """Return one mutant; one of twenty is not changed at all."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311  (no secret)
    data = chance.choice(VALID)
    for _ in range(chance.choice((0, *[1] * 12, *[2] * 5, 4, 4))):
        data = _changed(data, chance)
    near_head = min(len(data), 200)
    conduct = chance.choice(CONDUCTS)
    return Mutant(
        data=data,
        cuts=tuple(sorted(chance.randrange(near_head + 1) for _ in range(chance.choice((0, 0, 1, 2, 5))))),
        ending=chance.choice(ENDINGS),
        method="GET"
        if {"range", "reads"} & conduct.keys()
        else chance.choice(("GET", "GET", "GET", "PUT", "HEAD")),
        conduct=conduct,
    )


class Mutants:
    """A server that answers `/number` by that mutant, and `/own/number` by its own path."""

    def __init__(self, mutants: list[Mutant]) -> None:
        self.sent = [Event() for _ in mutants]
        self._mutants = mutants

    def serve(self, sock: socket.socket, _address: object) -> None:
        """Answer until the client closes, or a mutant's ending is no other request."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(TIMEOUTS.total_s + SLACK_S)
        try:
            while path := _path_of(sock):
                if path.startswith(b"/own/"):
                    sock.sendall(OK + b"Content-Length: %d\r\n\r\n%b" % (len(path), path))
                elif self._play(sock, int(path[1:])) != "keep":
                    return
        except OSError:  # the client closed first
            pass
        finally:
            sock.close()

    def _play(self, sock: socket.socket, number: int) -> str:
        one = self._mutants[number]
        try:
            for at, piece in enumerate(one.pieces):
                if at:
                    gevent.sleep(0.001)
                sock.sendall(piece)
            if one.ending == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if one.ending != "keep":
                sock.close()
        finally:
            self.sent[number].set()
        return one.ending


def _path_of(sock: socket.socket) -> bytes:
    """Read a request; return its path, or nothing at the end."""
    data = b""
    while b"\r\n\r\n" not in data or (data.startswith(b"PUT") and not data.endswith(b"\r\n\r\nabc")):
        more = sock.recv(4096)
        if not more:
            return b""
        data += more
    return data.split(b" ")[1]


def _request(client: Client, server: Mutants, one: Mutant, number: int) -> tuple[Response, Response]:
    """Request a mutant, and once all of it is sent, a path of this user alone."""
    for _ in range(ATTEMPTS):
        got = _asked(client, one, number)
        if not _is_unsent(got):
            break
    assert server.sent[number].wait(TIMEOUTS.total_s + SLACK_S)
    return got, client.get(f"/own/{number}", endpoint="other", keep=True, timeouts=PATIENT)


def _asked(client: Client, one: Mutant, number: int) -> Response:
    body: dict[str, Any] = {"body": b"abc"} if one.method == "PUT" else {}
    if "reads" in one.conduct:
        return _streamed(client, f"/{number}", **one.conduct)
    return client.request(one.method, f"/{number}", endpoint="page", **body, **one.conduct)


def _is_unsent(row: Response) -> bool:
    """Return whether the time was over before the server was asked: that says nothing about its answer."""
    return row.outcome == Outcome.TIMEOUT and not row.bytes_sent


def _streamed(client: Client, path: str, *, reads: int, **keywords: Any) -> Response:  # noqa: ANN401  (as requests take them)
    """Read a response in reads of this size."""
    with client.stream(path, endpoint="page", **keywords) as stream:
        while view := stream.read(reads):
            assert len(view) <= reads
        assert view is not None
        assert stream.complete or not stream.ok
    return stream.response


def _judge(one: Mutant, number: int, got: Response, own: Response) -> list[str]:
    """Return the errors in a mutant's rows."""
    lasted_s = (got.t_end_ns - got.t_start_ns) / 1e9
    errors = []
    if got.outcome not in POSSIBLE:
        errors.append(f"outcome {got.outcome}")
    if not 0 <= lasted_s < TIMEOUTS.total_s + SLACK_S:
        errors.append(f"{lasted_s} s")
    if got.ok and not got.status:
        errors.append("ok without a status")
    if (own.outcome, own.body) != ("ok", b"/own/%d" % number):
        errors.append(f"then {own!r} {own.reason} {own.body!r}")
    return [f"{number}: {error}: {one}, {got!r} {got.reason}" for error in errors]


def _run(url: str, server: Mutants, mutants: list[Mutant]) -> tuple[list[str], list[Response]]:
    """Request every mutant; return the errors, and every row. Each user has connections of its own."""
    errors: list[str] = []
    books: list[Book] = []
    numbers = iter(range(len(mutants)))

    def user() -> None:
        with client_of(url, timeouts=TIMEOUTS) as (client, book):
            books.append(book)
            for number in numbers:
                errors.extend(_judge(mutants[number], number, *_request(client, server, mutants[number], number)))

    users = [gevent.spawn(user) for _ in range(USERS)]
    gevent.joinall(users, raise_error=True, timeout=60)
    assert all(one.dead for one in users), "a request hangs"
    assert sum(book.open for book in books) == 0
    return errors, [row for book in books for row in book.rows]


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _left_open(before: int) -> int:
    """Return how many descriptors there are more than before, once the loop has closed those of the server."""
    due = time.monotonic() + SLACK_S
    while _descriptors() > before and time.monotonic() < due:
        gevent.sleep(0.01)
    return _descriptors() - before


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 500), *(pytest.param(seed, 1_000, marks=pytest.mark.long) for seed in range(1, 11))]
)
def test_a_broken_response_is_an_outcome(seed: int, count: int, capfd: pytest.CaptureFixture[str]) -> None:
    """In time, without a traceback, a descriptor left, or another request's answer."""
    gevent.get_hub().threadpool.apply(len, ("",))  # its descriptors stay
    mutants = [mutant(seed, number) for number in range(count)]
    before = _descriptors()
    mutants_server = Mutants(mutants)
    server = StreamServer(("127.0.0.1", 0), mutants_server.serve)
    server.start()
    try:
        errors, rows = _run(f"http://127.0.0.1:{server.server_port}", mutants_server, mutants)
    finally:
        server.stop()
    assert errors == []
    assert len([row for row in rows if not _is_unsent(row)]) == 2 * count
    assert {row.outcome for row in rows} == POSSIBLE, "the mutants do not reach every outcome"
    assert {row.connection for row in rows} >= {"new", "reused"}
    assert _left_open(before) == 0
    assert capfd.readouterr() == ("", "")

"""Streams: a body that the user model reads itself, piece by piece, or leaves, and what the row of it says."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from process.scripted_server import BIG, HI, Book, Peer, answers, client_of, served, tls_keywords, with_length
from process.small_nginx import nginx
from process.test_client_wire import BROKEN, WHOLE

from seatrial.http.client import Client
from seatrial.http.messages import Timeouts
from seatrial.http.stream import Stream

OK = b"HTTP/1.1 200 OK\r\n"
FILE = BIG[:1_000_000]
PAUSE_S = 0.2


def part(first: int, last: int, total: int = len(FILE), more: bytes = b"") -> bytes:
    """Return the whole answer to a range of FILE."""
    head = b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n%b\r\n"
    return head % (first, last, total, last - first + 1, more) + FILE[first : last + 1]


def chunked(head: bytes, body: bytes, size: int = 10_000) -> bytes:
    """Return an answer in chunks of this size."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def all_of(stream: Stream, limit: int = 65_536) -> bytes:
    """Read a stream to its end."""
    body = bytearray()
    while view := stream.read(limit):
        assert len(view) <= limit
        body += view
    return bytes(body)


@contextmanager
def streamed(*messages: bytes, **keywords: Any) -> Iterator[tuple[Stream, Client, Book]]:  # noqa: ANN401
    """Open a stream that is answered by the first of these messages; the others answer later requests."""
    with served(answers(*messages), answers(HI)) as (_, client, book):
        with client.stream("/", endpoint="page", **keywords) as stream:
            yield stream, client, book
        assert (len(book.rows), book.open) == (1, 0)


def test_a_body_is_read_in_pieces_and_leaves_its_connection() -> None:
    """Every byte once, the row when the block has ended, and the next request over the same connection."""
    with served(answers(with_length(FILE), HI)) as (_, client, book):
        with client.stream("/", endpoint="page") as stream:
            assert (stream.ok, stream.position, stream.total, stream.left) == (True, 0, len(FILE), len(FILE))
            first = bytes(stream.read(10) or b"")
            assert (first, stream.position, stream.left) == (FILE[:10], 10, len(FILE) - 10)
            assert (book.rows, book.open) == ([], 1)
            assert first + all_of(stream) == FILE
            assert (stream.left, stream.position) == (0, len(FILE))
        client.get("/", endpoint="page")
    row = book.rows[0]
    assert row is stream.response
    assert (row.outcome, row.status, row.bytes_received) == ("ok", 200, len(with_length(FILE)))
    assert row.t_start_ns < row.t_first_byte_ns < row.t_end_ns < book.rows[1].t_start_ns
    assert book.rows[1].connection == "reused"


@pytest.mark.parametrize("limit", [1, 100_000])
@pytest.mark.parametrize("case", WHOLE)
def test_each_framing_gives_the_body(case: str, limit: int) -> None:
    """As `get` reads it."""
    raw, body = WHOLE[case]
    with served(answers(raw)) as (_, client, book), client.stream("/", endpoint="page") as stream:
        assert all_of(stream, limit) == body
        assert (stream.position, stream.left) == (len(body), 0)
    assert [row.outcome for row in book.rows] == ["ok"]


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_answer_has_the_outcome_of_a_get(case: str) -> None:
    """Found in the head or at a read, and never raised."""
    raw, outcome = BROKEN[case]
    with served(answers(raw)) as (_, client, book), client.stream("/", endpoint="page") as stream:
        all_of(stream)
        assert not stream.ok
        assert all_of(stream) == b""
    assert [row.outcome for row in book.rows] == [outcome]


@pytest.mark.parametrize("limit", [1_000, 65_536, 10_000_000])
@pytest.mark.parametrize(
    "answer", [with_length(FILE), chunked(OK, FILE), chunked(OK, FILE, 700), OK + b"\r\n" + FILE, HI]
)
def test_a_large_body_in_any_framing(answer: bytes, limit: int) -> None:
    """Chunks are joined without the lines between them, however the reads cut them."""
    with streamed(answer) as (stream, _, book):
        body = all_of(stream, limit)
    assert body == (b"hi" if answer is HI else FILE)
    assert [row.outcome for row in book.rows] == ["ok"]


def test_a_stream_that_is_left_is_no_failure() -> None:
    """The outcome is `aborted`, the connection is closed, and what was read is counted."""
    with served(answers(part(0, len(FILE) - 1)), answers(HI)) as (_, client, book):
        with client.stream("/", endpoint="page", range=(0, None)) as stream:
            stream.read(1_000)
            assert stream.ok
        client.get("/", endpoint="page")
    row = book.rows[0]
    assert (row.outcome, row.status) == ("aborted", 206)
    assert 1_000 < row.bytes_received < 10_000
    assert row.t_first_byte_ns < row.t_end_ns
    assert book.rows[1].connection == "new"


def test_a_server_is_held_back_by_a_stream_that_is_not_read() -> None:
    """It can't send the rest until it is read, and the time in between is of no deadline."""
    pause_s = 4 * PAUSE_S
    short = Timeouts(first_byte_s=2.0, idle_s=pause_s - 0.1, total_s=pause_s - 0.1)  # a busy machine reads 0.5 s
    large = with_length(BIG * 4)
    with served(answers(large), timeouts=short) as (server, client, book):
        with client.stream("/", endpoint="page") as stream:
            stream.read(1)
            gevent.sleep(pause_s)
            assert not server.sent_all.is_set()
            all_of(stream, 262_144)
        assert server.sent_all.wait(5)
    assert [(row.outcome, row.bytes_received) for row in book.rows] == [("ok", len(large))]


@pytest.mark.parametrize(
    ("byte_range", "answer", "seen"),
    [
        ((5, None), part(5, len(FILE) - 1), (5, len(FILE), len(FILE) - 5)),
        ((5, None), part(5, 104), (5, len(FILE), 100)),
        ((5, 14), part(5, 14), (5, len(FILE), 10)),
        ((-10, None), part(len(FILE) - 10, len(FILE) - 1), (len(FILE) - 10, len(FILE), 10)),
        (
            (5, 14),
            chunked(b"HTTP/1.1 206 Part\r\nContent-Range: bytes 5-14/*\r\n", FILE[5:15], 3),
            (5, None, 10),
        ),
    ],
)
def test_a_range_begins_where_it_says(
    byte_range: tuple[int, int | None], answer: bytes, seen: tuple[int, int | None, int]
) -> None:
    """An open-ended one may be shorter than it could be (RFC 9110 15.3.7): `left` tells."""
    with streamed(answer, range=byte_range) as (stream, _, book):
        assert (stream.ok, (stream.position, stream.total, stream.left)) == (True, seen)
        first, count = seen[0], seen[2]
        assert all_of(stream, 999) == FILE[first : first + count]
        assert (stream.position, stream.left) == (first + count, 0)
    assert [(row.outcome, row.status) for row in book.rows] == [("ok", 206)]


PLAIN_PART = b"HTTP/1.1 206 Part\r\nContent-Range: bytes 5-14/*\r\n"


@pytest.mark.parametrize(
    ("byte_range", "answer", "outcome"),
    [
        ((5, None), part(6, 104), "range"),
        ((5, 14), part(5, 13), "range"),
        ((-10, None), part(len(FILE) - 10, len(FILE) - 2), "range"),
        ((5, None), with_length(FILE), "whole"),
        ((5, 14), part(5, 14, more=b"Content-Encoding: gzip\r\n"), "protocol"),
        ((5, 14), chunked(PLAIN_PART, FILE[5:14]), "range"),
        ((5, 14), chunked(PLAIN_PART, FILE[5:16]), "range"),
        ((5, 14), PLAIN_PART + b"\r\n" + FILE[5:14], "range"),
        ((5, 14), part(5, 14)[:-1], "truncated"),
        ((5, 14), b"HTTP/1.1 416 No\r\nContent-Length: 2\r\n\r\nno", "status"),
    ],
)
def test_another_answer_than_the_range(byte_range: tuple[int, int | None], answer: bytes, outcome: str) -> None:
    """Each has its outcome; the head's are known at once, a length without an announcement at its end."""
    with streamed(answer, range=byte_range) as (stream, _, book):
        body = all_of(stream)
        assert (stream.ok, len(body) < 10) == (False, True)
    assert [row.outcome for row in book.rows] == [outcome]


def test_the_whole_is_taken_where_it_is_expected() -> None:
    """After `If-Range` a server may send it: it begins at 0, under a label of its own."""
    with streamed(with_length(FILE), range=(5, None), also={200: "other"}) as (stream, _, book):
        assert (stream.ok, stream.position, stream.total) == (True, 0, len(FILE))
        assert all_of(stream) == FILE
    assert [(row.outcome, row.endpoint) for row in book.rows] == [("ok", "other")]


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize(("more", "outcome"), [({}, "status"), ({"also": {302: "other"}}, "ok")])
def test_the_body_of_another_status(more: dict[str, Any], outcome: str, *, reads: bool) -> None:
    """It can be read, and where it is not the connection goes, but nothing was aborted."""
    moved = b"HTTP/1.1 302 Go\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nno"
    with served(answers(moved, HI), answers(HI)) as (_, client, book):
        with client.stream("/", endpoint="page", **more) as stream:
            assert (stream.ok, stream.response.location, stream.total) == (outcome == "ok", "/x", None)
            assert all_of(stream) == b"no" if reads else True
        client.get("/", endpoint="page")
    assert [row.outcome for row in book.rows] == [outcome, "ok"]
    assert book.rows[1].connection == ("reused" if reads else "new")


def test_a_failure_that_the_user_model_finds() -> None:
    """A wrong byte is the outcome, whether the rest is read or not; no other word is taken."""
    with streamed(with_length(FILE)) as (stream, _, book):
        with pytest.raises(ValueError, match="sad"):
            stream.fail("sad", "no such outcome")
        stream.fail("digest", "the byte at 7")
        assert not stream.ok
    assert [(row.outcome, row.reason) for row in book.rows] == [("digest", "the byte at 7")]


@pytest.mark.parametrize("complete", [True, False])
def test_a_mistake_in_the_block_goes_on(*, complete: bool) -> None:
    """The request is aborted where its body was not at its end; the exception is the task's."""

    def mistaken(client: Client) -> None:
        with client.stream("/", endpoint="page") as stream:
            if complete:
                all_of(stream)
            _ = 1 // 0

    with served(answers(with_length(FILE), HI), answers(HI)) as (_, client, book):
        with pytest.raises(ZeroDivisionError):
            mistaken(client)
        client.get("/", endpoint="page")
    assert book.rows[0].outcome == ("ok" if complete else "aborted")
    assert book.rows[1].connection == ("reused" if complete else "new")


def test_a_user_that_ends_within_a_read_is_cut() -> None:
    """The row is entered once, and the connection is closed."""

    def script(peer: Peer) -> None:
        peer.answer(part(0, 9)[:-5])
        closed.append(peer.gone())

    def read() -> None:
        with client.stream("/", endpoint="page", range=(0, None)) as stream:
            reads.append(bytes(stream.read(100) or b""))
            reads.append(bytes(stream.read(100) or b""))

    closed: list[bool] = []
    reads: list[bytes] = []
    with served(script) as (_, client, book):
        user = gevent.spawn(read)
        with gevent.Timeout(5):
            while not reads:
                gevent.sleep(0.01)
        user.kill()
    assert ([row.outcome for row in book.rows], reads, closed) == (["cut"], [FILE[:5]], [True])


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give the keywords of `served` for TLS."""
    return tls_keywords(tmp_path_factory.mktemp("tls"))


def test_a_stream_through_tls(trusted: dict[str, Any]) -> None:
    """Reads smaller than a TLS record find the rest of it, where no poll shows it; the connection stays."""
    with served(answers(part(5, 400_004), HI), **trusted) as (_, client, book):
        with client.stream("/", endpoint="page", range=(5, None)) as stream:
            assert (stream.ok, stream.position, stream.total) == (True, 5, len(FILE))
            body, at_once = bytearray(), 0
            while view := stream.read(1_000):
                body += view
                while later := stream.read(997, 0):  # without a wait
                    body += later
                    at_once += len(later)
            assert (bytes(body), stream.complete) == (FILE[5:400_005], True)
        client.get("/", endpoint="page")
    assert at_once > 300_000
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("ok", "reused")]
    assert book.rows[0].bytes_received == len(part(5, 400_004))


def test_a_stream_through_tls_that_is_left_or_cut(trusted: dict[str, Any]) -> None:
    """As without TLS: the connection goes, and what was cut is found by the read that comes to it."""
    left, cut = part(0, 400_000), part(0, 400_000)[:-1]
    with served(answers(left), answers(cut), answers(HI), **trusted) as (_, client, book):
        with client.stream("/", endpoint="page", range=(0, None)) as stream:
            assert bytes(stream.read(10) or b"") == FILE[:10]
        with client.stream("/", endpoint="page", range=(0, None)) as stream:
            assert all_of(stream, 1_000) == FILE[:400_000]
        client.get("/", endpoint="page")
    outcomes = [("aborted", "new"), ("truncated", "new"), ("ok", "new")]
    assert [(row.outcome, row.connection) for row in book.rows] == outcomes


def _closes(peer: Peer) -> None:
    peer.answer(with_length(FILE)[:1_000])


def _resets(peer: Peer) -> None:
    peer.answer(with_length(FILE)[:1_000])
    peer.reset()


@pytest.mark.parametrize(("script", "outcome"), [(_closes, "truncated"), (_resets, "reset")])
def test_a_close_while_nothing_reads_is_found_at_a_read(script: Callable[[Peer], object], outcome: str) -> None:
    """What came before a close is read first."""
    with served(script) as (server, client, book), client.stream("/", endpoint="page") as stream:
        assert server.sent_all.wait(5)
        gevent.sleep(0.05)
        assert stream.ok
        all_of(stream)
        assert not stream.ok
    assert [row.outcome for row in book.rows] == [outcome]


@pytest.mark.parametrize("looks", [True, False])
def test_a_server_that_goes_silent(*, looks: bool) -> None:
    """`idle_s` is the time that reads wait, also where each of them waits for a shorter one."""

    def script(peer: Peer) -> None:
        peer.answer(with_length(FILE)[:1_000])
        peer.hold()

    timeouts = Timeouts(first_byte_s=1.0, idle_s=0.2, total_s=10.0)
    with served(script, timeouts=timeouts) as (_, client, book):
        with client.stream("/", endpoint="page") as stream:
            while view := stream.read(65_536):
                pass
            began_ns = time.monotonic_ns()
            while view is None or (looks and stream.ok):
                view = stream.read(1, time.monotonic_ns() + 20_000_000)
        lasted_s = (time.monotonic_ns() - began_ns) / 1e9
    assert [(row.outcome, row.reason) for row in book.rows] == [("timeout", "while receiving")]
    assert lasted_s < 2.0


def test_a_read_waits_until_its_moment() -> None:
    """None then; a moment that is past takes what is there, and waits for nothing."""

    def script(peer: Peer) -> None:
        peer.answer(with_length(b"abcd")[:-2])
        peer.hold()
        peer.send(b"cd")

    with served(script) as (server, client, book), client.stream("/", endpoint="page") as stream:
        assert bytes(stream.read(10, 0) or b"") == b"ab"
        assert stream.read(10, 0) is None
        began_ns = time.monotonic_ns()
        assert stream.read(10, began_ns + 50_000_000) is None
        assert 50_000_000 <= time.monotonic_ns() - began_ns < 1_000_000_000
        assert (stream.ok, stream.position, stream.left) == (True, 2, 2)
        server.released.set()
        assert bytes(stream.read(10, time.monotonic_ns() + 2_000_000_000) or b"") == b"cd"
    assert [row.outcome for row in book.rows] == ["ok"]


def test_a_fresh_stream_takes_no_kept_connection() -> None:
    """A seek of a player that opens a connection of its own; the kept one is still there for the next."""
    with served(answers(HI, HI), answers(HI, HI)) as (server, client, book):
        client.get("/", endpoint="page")
        for fresh in (True, False):
            with client.stream("/", endpoint="page", fresh=fresh) as stream:
                assert all_of(stream) == b"hi"
    assert [row.connection for row in book.rows] == ["new", "new", "reused"]
    assert server.accepted == 2


def test_a_kept_connection_that_closed_is_replaced_once() -> None:
    """As for any GET: no byte of an answer had come."""

    def closes(peer: Peer) -> None:
        peer.answer(HI)
        peer.head()

    with served(closes, answers(HI)) as (_, client, book):
        client.get("/", endpoint="page")
        with client.stream("/", endpoint="page") as stream:
            assert all_of(stream) == b"hi"
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("ok", "replaced")]


@pytest.mark.parametrize(
    "message", [HI.replace(b"\r\n", b"\r\nConnection: close\r\n", 1), HI + b"more"], ids=["close", "surplus"]
)
def test_a_connection_that_can_not_be_kept(message: bytes) -> None:
    """Where the server closes it, or has sent more than the body."""
    with streamed(message) as (stream, client, book):
        assert all_of(stream) == b"hi"
    assert client.get("/", endpoint="page").connection == "new"
    assert book.rows[0].outcome == "ok"


def test_a_client_that_keeps_no_connection() -> None:
    """Nor does its stream."""
    with served(answers(HI), answers(HI), keep_alive=False) as (_, client, book):
        for _ in range(2):
            with client.stream("/", endpoint="page") as stream:
                assert all_of(stream) == b"hi"
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new")] * 2


def test_requests_that_never_reach_a_server() -> None:
    """The block runs all the same, with a stream that has failed."""
    with client_of("http://127.0.0.1:1") as (client, book):
        for target in ("/", "http://host:99999/"):
            with client.stream(target, endpoint="page") as stream:
                assert (stream.ok, stream.left, all_of(stream)) == (False, None, b"")
    assert [row.outcome for row in book.rows] == ["refused", "protocol"]


@pytest.mark.parametrize("keywords", [{"body": b"x"}, {"keep": True}, {"digest": "x"}])
def test_an_option_of_other_requests_is_a_mistake(keywords: dict[str, Any]) -> None:
    """It would be ignored; nothing is sent."""
    with (
        client_of("http://127.0.0.1:1") as (client, book),
        pytest.raises(TypeError, match=next(iter(keywords))),
        client.stream("/", endpoint="page", **keywords),
    ):
        pass
    assert book.rows == []


def test_a_stream_gives_way_to_other_users() -> None:
    """A server that is always faster does not keep them waiting: they run once a MiB."""
    turns = 0

    def other() -> None:
        nonlocal turns
        while True:
            gevent.sleep(0)
            turns += 1

    size = 32 * len(BIG)

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(32):
            peer.send(BIG)

    with served(script) as (_, client, _), client.stream("/", endpoint="page") as stream:
        beside = gevent.spawn(other)
        while stream.read(65_536):
            pass
        beside.kill()
        assert stream.ok
    assert turns >= size // 1_048_576 // 2


@pytest.mark.servers
def test_streams_side_by_side_from_nginx(tmp_path: Path) -> None:
    """Each reads its own bytes out of the one buffer, also where they take turns at every read."""
    with nginx(tmp_path) as server, client_of(server.url) as (client, book):
        (tmp_path / "files" / "clip").write_bytes(FILE)

        def view(first: int) -> None:
            with client.stream("/clip", endpoint="page", range=(first, None), fresh=first % 2 == 0) as stream:
                assert (stream.position, stream.total) == (first, len(FILE))
                while piece := stream.read(4_000 + first):
                    at = stream.position
                    assert bytes(piece) == FILE[at - len(piece) : at]
                    gevent.sleep(0)
                    if at > len(FILE) * 3 // 4 and first % 3 == 0:
                        break

        gevent.joinall([gevent.spawn(view, first) for first in range(30)], raise_error=True, timeout=20)
    assert {row.outcome for row in book.rows} == {"ok", "aborted"}
    assert (len(book.rows), book.open) == (30, 0)


@pytest.mark.servers
def test_a_stream_has_no_buffer_of_its_own(tmp_path: Path) -> None:
    """200 that wait to be read hold their heads and connections: 16 KiB each at most, where a read takes 256."""
    with nginx(tmp_path) as server, client_of(server.url) as (client, _), ExitStack() as viewers:
        (tmp_path / "files" / "clip").write_bytes(BIG)
        tracemalloc.start()
        viewers.callback(tracemalloc.stop)
        for first in range(200):
            stream = viewers.enter_context(client.stream("/clip", endpoint="page", range=(first, None)))
            assert bytes(stream.read(1) or b"") == BIG[first : first + 1]
        assert tracemalloc.get_traced_memory()[0] < 200 * 16_384

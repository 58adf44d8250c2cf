"""Bodies both ways: dropped, streamed, hashed, sent in pieces; byte ranges and checks of answers."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import gevent
import pytest
from process.scripted_server import (
    BIG,
    HI,
    Peer,
    Script,
    answers,
    ask,
    client_of,
    scripted,
    served,
    with_length,
)

from seatrial.http.messages import Response
from seatrial.http.parser import ContentRange


def test_a_body_that_is_dropped_is_counted_to_the_byte() -> None:
    """What the kernel drops unseen counts, and the next response on the connection is read from its first byte."""
    with served(answers(with_length(BIG), HI)) as (_, client, book):
        client.get("/", endpoint="page")
        assert client.get("/", endpoint="page", keep=True).body == b"hi"
    assert book.rows[0].bytes_received == len(with_length(BIG))
    assert book.rows[1].connection == "reused"


def test_a_dropped_body_that_ends_early_is_truncated() -> None:
    """A close within it is an outcome as for any other body, with the bytes that came."""
    row = ask(with_length(BIG)[:-1])
    assert (row.outcome, row.bytes_received) == ("truncated", len(with_length(BIG)) - 1)


def test_a_consumer_sees_the_body_in_order() -> None:
    """`into` gets every byte once, and may wait while others use the process's own buffer."""
    streamed = bytearray()

    def into(view: memoryview) -> None:
        nested = client.get("/", endpoint="other")
        streamed.extend(view)
        assert nested.ok

    with served(answers(with_length(BIG[:300_000])), answers(*[HI] * 300)) as (_, client, _):
        row = client.get("/", endpoint="page", into=into)
    assert (row.outcome, row.body) == ("ok", b"")
    assert bytes(streamed) == BIG[:300_000]


def test_a_consumer_and_a_digest() -> None:
    """The digest is verified of the bytes that the consumer got."""
    digest = "sha256:" + hashlib.sha256(BIG).hexdigest()
    sizes: list[int] = []
    with served(answers(with_length(BIG), with_length(b"x" + BIG[1:]))) as (_, client, _):
        right = client.get("/", endpoint="page", digest=digest, into=lambda view: sizes.append(len(view)))
        wrong = client.get("/", endpoint="page", digest=digest, into=lambda view: sizes.append(len(view)))
    assert (right.outcome, wrong.outcome, sum(sizes)) == ("ok", "digest", 2 * len(BIG))


def test_an_errors_body_is_not_shown() -> None:
    """A consumer gets the requested body, not an error's page."""
    pieces: list[bytes] = []
    answer = b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"
    row = ask(answer, into=lambda view: pieces.append(bytes(view)))
    assert (row.outcome, pieces) == ("status", [])


def test_a_consumers_mistake_closes_the_connection() -> None:
    """An exception of `into` is the locustfile's: it goes on, and the rest of the body is no other response."""
    with served(answers(with_length(BIG)), answers(HI)) as (_, client, book):
        with pytest.raises(ZeroDivisionError):
            client.get("/", endpoint="page", into=lambda _: 1 // 0)
        client.get("/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("aborted", "new"), ("ok", "new")]


@pytest.mark.parametrize(
    ("keywords", "framing", "sent"),
    [
        ({}, b"Transfer-Encoding: chunked", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        ({"body_length": 3}, b"Content-Length: 3", b"abc"),
    ],
)
def test_a_body_in_pieces(keywords: dict[str, Any], framing: bytes, sent: bytes) -> None:
    """Without a length it is chunked, an empty piece being none (RFC 9112 7.1); every byte of it is counted."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.exactly(len(sent))
        peer.send(HI)

    with served(script) as (server, client, _):
        row = client.post("/", endpoint="page", body=iter([b"ab", b"", b"c"]), **keywords)
    head, body = server.requests
    assert (row.outcome, framing in head, body) == ("ok", True, sent)
    assert row.bytes_sent == len(head) + len(sent)


@pytest.mark.parametrize("pieces", [[b"ab"], [b"abcd"]])
def test_pieces_of_another_length_are_a_mistake(pieces: Iterable[bytes]) -> None:
    """A body of another length than `body_length` can't be sent: the request is aborted, its connection closed."""

    def script(peer: Peer) -> None:
        peer.head()
        while not peer.gone():
            pass

    with (
        scripted(script) as server,
        client_of(server.url) as (client, book),
        pytest.raises(ValueError, match="do not add up"),
    ):
        client.post("/", endpoint="page", body=pieces, body_length=3)
    assert book.rows[0].outcome == "aborted"


def test_a_body_in_pieces_is_not_sent_again() -> None:
    """An iterator is used up: a close on the way is a reset, although PUT may be repeated."""

    def closes(peer: Peer) -> None:
        peer.answer(HI)
        peer.head()

    with served(closes, answers(HI)) as (_, client, book):
        client.get("/", endpoint="page")
        client.put("/", endpoint="page", body=iter([b"a"]))
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("reset", "reused")]


REFUSAL = b"HTTP/1.1 413 Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
VAST = BIG * 8  # 32 MiB: more than the sockets between two processes ever hold


def _parts(body: bytes) -> Iterator[bytes]:
    return (body[start : start + 8_192] for start in range(0, len(body), 8_192))


def _closes(peer: Peer) -> None:
    peer.head()
    peer.send(REFUSAL)


def _holds(peer: Peer) -> None:
    _closes(peer)
    peer.hold()


def _reads_on(peer: Peer) -> None:
    _closes(peer)
    peer._socket.shutdown(socket.SHUT_WR)
    while True:  # until the client closes, or this server gives up
        peer.exactly(65_536)


@pytest.mark.parametrize("script", [_holds, _closes, _reads_on])
@pytest.mark.parametrize("framing", ["bytes", "length", "chunked"])
def test_a_refusal_of_a_body_on_its_way(script: Script, framing: str) -> None:
    """A 413 after the head is the answer, whether the server reads no further, resets, or lets the rest run out.

    The client stops, and its connection ends with it (RFC 9112 9.5).
    """
    keywords: dict[str, Any] = {"body": VAST if framing == "bytes" else _parts(VAST)}
    if framing == "length":
        keywords["body_length"] = len(VAST)
    with served(script, answers(HI)) as (_, client, book):
        row = client.put("/", endpoint="page", keep=True, **keywords)
        client.get("/", endpoint="page")
    assert (row.outcome, row.status, row.body) == ("status", 413, b"no")
    assert row.bytes_sent < len(VAST)
    assert [each.connection for each in book.rows] == ["new", "new"]


def test_a_refusal_that_was_reset() -> None:
    """A close with bytes unread is a reset (RFC 9112 9.6): what came before it can be read all the same."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.exactly(1)
        peer.send(REFUSAL)
        peer.reset()

    def parts() -> Iterator[bytes]:
        yield b"a" * 100
        assert server.sent_all.wait(5)
        gevent.sleep(0.05)  # the RST follows the script's end
        yield b"b" * 100

    with served(script) as (server, client, _):
        row = client.put("/", endpoint="page", body=parts(), body_length=200, expect=(413,), keep=True)
    assert (row.outcome, row.body) == ("ok", b"no")


def test_a_reset_without_an_answer() -> None:
    """A server that only closes has reset the request, with the bytes that it took counted."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.reset()

    with served(script) as (_, client, _):
        row = client.put("/", endpoint="page", body=_parts(VAST))
    assert (row.outcome, row.status, row.bytes_received) == ("reset", 0, 0)
    assert 0 < row.bytes_sent < len(VAST)


def test_an_answer_that_does_not_refuse() -> None:
    """A server that answers 200, or an interim response, and reads on gets all of the body."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 103 Early\r\n\r\n")
        peer.exactly(1)
        peer.send(HI)
        peer.exactly(len(BIG) - len(server.requests[1]))

    with served(script) as (server, client, _):
        row = client.put("/", endpoint="page", body=BIG, keep=True)
        assert server.sent_all.wait(5)
    assert (row.outcome, row.body, row.bytes_sent) == ("ok", b"hi", len(server.requests[0]) + len(BIG))
    assert len(server.requests[1]) + len(server.requests[2]) == len(BIG)


DATA = bytes(range(256)) * 1_024  # 256 KiB


def _part(first: int, last: int, body: bytes | None = None) -> bytes:
    body = DATA[first : last + 1] if body is None else body
    head = b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n"
    return head % (first, last, len(DATA), len(body)) + body


def _chunked(first: int, last: int, body: bytes) -> bytes:
    head = b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/*\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head % (first, last) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def _until_close(first: int, last: int, body: bytes) -> bytes:
    return b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/*\r\n\r\n%b" % (first, last, body)


@pytest.mark.parametrize(
    "answer",
    [
        _part(10, 99_999),
        _chunked(10, 99_999, DATA[10:100_000]),
        _until_close(10, 99_999, DATA[10:100_000]),
    ],
)
def test_the_bytes_of_a_range(answer: bytes) -> None:
    """They are requested, verified, streamed, hashed and kept; the response has their Content-Range."""
    digest = "sha256:" + hashlib.sha256(DATA[10:100_000]).hexdigest()
    streamed = bytearray()
    with served(answers(answer)) as (server, client, _):
        row = client.get("/", endpoint="page", range=(10, 99_999), into=streamed.extend, digest=digest, keep=True)
    assert b"\r\nRange: bytes=10-99999\r\n" in server.requests[0]
    assert (row.outcome, row.status, row.body, bytes(streamed)) == ("ok", 206, DATA[10:100_000], DATA[10:100_000])
    assert row.content_range in {ContentRange(10, 99_999, len(DATA)), ContentRange(10, 99_999, None)}


def test_each_range_has_its_own_message() -> None:
    """The same target with another range, and without one, over one kept connection."""
    with served(answers(_part(0, 9), _part(10, 19), HI, _part(len(DATA) - 5, len(DATA) - 1))) as (
        server,
        client,
        book,
    ):
        for byte_range in ((0, 9), (10, 19), None, (-5, None)):
            client.get("/", endpoint="page", range=byte_range)
    assert [(row.outcome, row.status) for row in book.rows] == [("ok", 206)] * 2 + [("ok", 200), ("ok", 206)]
    assert [b"Range: bytes=10-19\r\n" in request for request in server.requests] == [False, True, False, False]
    assert b"Range" not in server.requests[2]


def test_the_whole_where_a_range_was_asked_for() -> None:
    """A server that ignores the field would send everything: nothing of it is read on, or streamed."""
    sizes: list[int] = []
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1_000 * len(DATA)) + DATA
    with served(answers(whole), answers(_part(0, 9))) as (_, client, book):
        row = client.get("/", endpoint="page", range=(0, 9), into=lambda view: sizes.append(len(view)))
        client.get("/", endpoint="page", range=(0, 9))
    assert (row.outcome, row.status, row.reason) == ("whole", 200, "the whole where a range was asked for")
    assert (sizes, row.bytes_received < len(whole)) == ([], True)
    assert [(each.outcome, each.connection) for each in book.rows] == [("whole", "new"), ("ok", "new")]


@pytest.mark.parametrize(
    "answer",
    [
        _part(1, 10),
        _part(0, 8),
        _part(0, 9, b"x" * 9),
        _part(0, 9, b"x" * 11),
        _part(0, 9).replace(b"Content-Range", b"X-Range"),
        _part(0, 9).replace(b"/%d" % len(DATA), b"/9"),
        _part(0, 9).replace(
            b"Content-Length", b"Content-Type: multipart/byteranges; boundary=x\r\nContent-Length"
        ),
    ],
)
def test_an_answer_that_is_not_the_range(answer: bytes) -> None:
    """The request fails as `range`, also without `into` or `keep`."""
    with served(answers(answer)) as (_, client, book):
        row = client.get("/", endpoint="page", range=(0, 9))
    assert (row.outcome, row.status, book.rows) == ("range", 206, [row])


@pytest.mark.parametrize("answer", [_chunked, _until_close])
@pytest.mark.parametrize("count", [0, 9, 11, 100_000])
def test_a_body_without_a_length_has_that_of_its_range(answer: Any, count: int) -> None:  # noqa: ANN401
    """Counted while it comes: `into` sees no more than what was asked for."""
    streamed = bytearray()
    row = ask(answer(0, 9, DATA[:count]), range=(0, 9), into=streamed.extend)
    assert (row.outcome, row.reason) == ("range", "a body of another length than its range")
    assert len(streamed) < 10


def test_a_range_that_ends_early_is_truncated() -> None:
    """A close within the announced length is what it is for any other body."""
    assert ask(_part(0, 999)[:-1], range=(0, 999)).outcome == "truncated"


UNSATISFIED = b"HTTP/1.1 416 No\r\nContent-Range: bytes */9\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.parametrize(
    ("answer", "more", "outcome", "endpoint"),
    [
        (UNSATISFIED, {}, "status", "page"),
        (UNSATISFIED, {"expect": (206, 416)}, "ok", "page"),
        (UNSATISFIED, {"also": {416: "other"}}, "ok", "other"),
        (HI, {"expect": (200, 206)}, "ok", "page"),
        (HI, {"also": {200: "other"}}, "ok", "other"),
        (_part(0, 9), {"expect": (200,)}, "status", "page"),
        (_part(1, 9), {"expect": (200, 206)}, "range", "page"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", {}, "status", "page"),
    ],
)
def test_other_statuses_of_a_range(answer: bytes, more: Mapping[str, Any], outcome: str, endpoint: str) -> None:
    """`expect` and `also` say what is a success, a 200 with the whole included; a 206 has to be the range."""
    row = ask(answer, range=(0, 9), keep=True, **more)
    assert (row.outcome, row.endpoint) == (outcome, endpoint)


def test_a_check_makes_the_outcome() -> None:
    """It sees the complete response before the row is entered; None leaves a success."""
    entered: list[int] = []

    def check(response: Response) -> str | None:
        entered.append(len(book.rows))
        return None if response.body == b"hi" else "rejected"

    other = HI.replace(b"hi", b"no")
    with served(answers(HI, other, HI)) as (_, client, book):
        for _ in range(3):
            client.get("/", endpoint="page", keep=True, check=check)
    assert [(row.outcome, row.connection) for row in book.rows] == [
        ("ok", "new"),
        ("rejected", "reused"),
        ("ok", "reused"),
    ]
    assert (entered, book.rows[1].reason, book.open) == ([0, 1, 2], "refused by the user model's check", 0)


def test_a_checks_time_is_not_the_servers() -> None:
    """The request ended when its last byte came."""

    def slow(response: Response) -> str | None:
        ends.append(response.t_end_ns)
        gevent.sleep(0.05)
        return "rejected" if len(ends) == 2 else None

    ends: list[int] = []
    with served(answers(HI, HI)) as (_, client, book):
        for _ in range(2):
            client.get("/", endpoint="page", check=slow)
    assert [row.t_end_ns for row in book.rows] == ends
    assert [row.outcome for row in book.rows] == ["ok", "rejected"]


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", {}),
        (b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n", {"also": {401: "other"}}),
        (HI, {"digest": "sha256:" + "0" * 64}),
        (HI[:-1], {}),
        (HI, {"range": (0, 1)}),
    ],
)
def test_a_check_is_not_called_for_other_answers(answer: bytes, more: Mapping[str, Any]) -> None:
    """It is for the answer that is expected, and in which nothing else is wrong."""
    checked: list[Response] = []
    with served(answers(answer)) as (_, client, book):
        client.get("/", endpoint="page", check=checked.append, **more)
    assert (len(book.rows), checked) == (1, [])


@pytest.mark.parametrize(
    ("check", "error"), [(lambda _: 1 // 0, ZeroDivisionError), (lambda _: "sad", ValueError)]
)
def test_a_checks_mistake_is_the_user_models(check: Any, error: type[Exception]) -> None:  # noqa: ANN401
    """The exception goes on into the task; the row is entered once, as aborted; the connection is kept."""
    with served(answers(HI, HI)) as (_, client, book):
        with pytest.raises(error):
            client.get("/", endpoint="page", check=check)
        client.get("/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("aborted", "new"), ("ok", "reused")]
    assert book.open == 0


def test_a_user_that_ends_in_its_check_is_cut() -> None:
    """As anywhere else in a request."""
    with served(answers(HI)) as (server, client, book):
        user = gevent.spawn(client.get, "/", endpoint="page", check=lambda _: gevent.sleep(60))
        with gevent.Timeout(5):
            while not server.sent_all.is_set():
                gevent.sleep(0.01)
            gevent.sleep(0.05)
        user.kill()
    assert [row.outcome for row in book.rows] == ["cut"]

"""Bodies both ways: dropped unseen, shown to a consumer, hashed beside other users, sent in pieces."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import gevent
import pytest
from process.scripted_server import Peer, Script, client_of, scripted

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BIG = bytes(range(256)) * 16_384  # 4 MiB


def _long(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _answers(*answers: bytes) -> Script:
    def script(peer: Peer) -> None:
        for answer in answers:
            peer.answer(answer)

    return script


def test_a_body_that_is_dropped_is_counted_to_the_byte() -> None:
    """What the kernel drops unseen counts, and the next response on the connection is read from its first byte."""
    with scripted(_answers(_long(BIG), HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        assert client.get("/", endpoint="page", keep=True).body == b"hi"
    assert book.rows[0].bytes_received == len(_long(BIG))
    assert book.rows[1].connection == "reused"


def test_a_dropped_body_that_ends_early_is_truncated() -> None:
    """A close within it is an outcome as for any other body, with the bytes that came."""
    with scripted(_answers(_long(BIG)[:-1])) as server, client_of(server.url) as (client, _):
        row = client.get("/", endpoint="page")
    assert (row.outcome, row.bytes_received) == ("truncated", len(_long(BIG)) - 1)


def test_a_consumer_sees_the_body_in_order() -> None:
    """`into` is shown every byte once, and may wait while others use the process's own buffer."""
    seen = bytearray()

    def into(view: memoryview) -> None:
        nested = client.get("/", endpoint="other")
        seen.extend(view)
        assert nested.ok

    with (
        scripted(_answers(_long(BIG[:300_000])), _answers(*[HI] * 300)) as server,
        client_of(server.url) as (client, _),
    ):
        row = client.get("/", endpoint="page", into=into)
    assert (row.outcome, row.body) == ("ok", b"")
    assert bytes(seen) == BIG[:300_000]


def test_a_consumer_and_a_digest() -> None:
    """The digest is verified of what the consumer was shown."""
    digest = "sha256:" + hashlib.sha256(BIG).hexdigest()
    sizes: list[int] = []
    with scripted(_answers(_long(BIG), _long(b"x" + BIG[1:]))) as server, client_of(server.url) as (client, _):
        right = client.get("/", endpoint="page", digest=digest, into=lambda view: sizes.append(len(view)))
        wrong = client.get("/", endpoint="page", digest=digest, into=lambda view: sizes.append(len(view)))
    assert (right.outcome, wrong.outcome, sum(sizes)) == ("ok", "digest", 2 * len(BIG))


def test_an_errors_body_is_not_shown() -> None:
    """A consumer gets what it asked for, not a page that says why there is none."""
    seen: list[bytes] = []
    answer = b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"
    with scripted(_answers(answer)) as server, client_of(server.url) as (client, _):
        row = client.get("/", endpoint="page", into=lambda view: seen.append(bytes(view)))
    assert (row.outcome, seen) == ("status", [])


def test_a_consumers_mistake_closes_the_connection() -> None:
    """An exception of `into` is the locustfile's: it goes on, and the rest of the body is nobody's response."""
    with scripted(_answers(_long(BIG)), _answers(HI)) as server, client_of(server.url) as (client, book):
        with pytest.raises(ZeroDivisionError):
            client.get("/", endpoint="page", into=lambda _: 1 // 0)
        client.get("/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("aborted", "new"), ("ok", "new")]


@pytest.mark.parametrize(
    ("asked", "framing", "sent"),
    [
        ({}, b"Transfer-Encoding: chunked", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        ({"body_length": 3}, b"Content-Length: 3", b"abc"),
    ],
)
def test_a_body_in_pieces(asked: dict[str, Any], framing: bytes, sent: bytes) -> None:
    """Without a length it is chunked, an empty piece being none (RFC 9112 7.1); every byte of it is counted."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.exactly(len(sent))
        peer.send(HI)

    with scripted(script) as server, client_of(server.url) as (client, _):
        row = client.post("/", endpoint="page", body=iter([b"ab", b"", b"c"]), **asked)
    head, body = server.requests
    assert (row.outcome, framing in head, body) == ("ok", True, sent)
    assert row.bytes_sent == len(head) + len(sent)


@pytest.mark.parametrize("pieces", [[b"ab"], [b"abcd"]])
def test_pieces_of_another_length_are_a_mistake(pieces: Iterable[bytes]) -> None:
    """A body that is not as long as was said can't be sent: the request is given up, the connection closed."""

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

    with scripted(closes, _answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        client.put("/", endpoint="page", body=iter([b"a"]))
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("reset", "reused")]


REFUSAL = b"HTTP/1.1 413 Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
VAST = BIG * 8  # 32 MiB: more than the sockets between two processes ever hold


def _parts(body: bytes) -> Iterator[bytes]:
    return (body[start : start + 8_192] for start in range(0, len(body), 8_192))


def _holds(peer: Peer) -> None:
    peer.head()
    peer.send(REFUSAL)
    peer.hold()


def _closes(peer: Peer) -> None:
    peer.head()
    peer.send(REFUSAL)


def _reads_on(peer: Peer) -> None:
    peer.head()
    peer.send(REFUSAL)
    peer._socket.shutdown(socket.SHUT_WR)
    while True:  # until the client closes, or this server gives up
        peer.exactly(65_536)


@pytest.mark.parametrize("script", [_holds, _closes, _reads_on])
@pytest.mark.parametrize("framing", ["bytes", "length", "chunked"])
def test_a_refusal_of_a_body_on_its_way(script: Script, framing: str) -> None:
    """A 413 after the head is the answer, whether the server reads no further, resets, or lets the rest run out.

    The client stops, and its connection ends with it (RFC 9112 9.5).
    """
    asked: dict[str, Any] = {"body": VAST if framing == "bytes" else _parts(VAST)}
    if framing == "length":
        asked["body_length"] = len(VAST)
    with scripted(script, _answers(HI)) as server, client_of(server.url) as (client, book):
        row = client.put("/", endpoint="page", keep=True, **asked)
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

    with scripted(script) as server, client_of(server.url) as (client, _):
        row = client.put("/", endpoint="page", body=parts(), body_length=200, expect=(413,), keep=True)
    assert (row.outcome, row.body) == ("ok", b"no")


def test_a_reset_without_a_word() -> None:
    """A server that only closes has reset the request, with what it took of it counted."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.reset()

    with scripted(script) as server, client_of(server.url) as (client, _):
        row = client.put("/", endpoint="page", body=_parts(VAST))
    assert (row.outcome, row.status, row.bytes_received) == ("reset", 0, 0)
    assert 0 < row.bytes_sent < len(VAST)


def test_an_answer_that_does_not_refuse() -> None:
    """A server that answers 200, or an interim word, and reads on gets all of the body."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 103 Early\r\n\r\n")
        peer.exactly(1)
        peer.send(HI)
        peer.exactly(len(BIG) - len(server.requests[1]))

    with scripted(script) as server, client_of(server.url) as (client, _):
        row = client.put("/", endpoint="page", body=BIG, keep=True)
        assert server.sent_all.wait(5)
    assert (row.outcome, row.body, row.bytes_sent) == ("ok", b"hi", len(server.requests[0]) + len(BIG))
    assert len(server.requests[1]) + len(server.requests[2]) == len(BIG)

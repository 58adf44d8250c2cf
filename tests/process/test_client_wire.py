"""The client against single responses, byte for byte."""

from __future__ import annotations

import pytest
from process.scripted_server import Peer, client_of, scripted

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

WHOLE = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "length zero": (OK + b"Content-Length: 0\r\n\r\n", b""),
    "equal lengths twice": (OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    "equal lengths in a list": (OK + b"Content-Length: 2, 2\r\n\r\nhi", b"hi"),
    "one chunk": (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two chunks": (CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "chunk extension": (CHUNKED + b'2;a=b;c="d"\r\nhi\r\n0\r\n\r\n', b"hi"),
    "hexadecimal chunk size": (CHUNKED + b"000A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "trailer": (CHUNKED + b"2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", b"hi"),
    "no chunk at all": (CHUNKED + b"0\r\n\r\n", b""),
    "a coding before chunked": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi"),
    "until close": (OK + b"\r\nhello", b"hello"),
    "until close by an unknown coding": (OK + b"Transfer-Encoding: gzip\r\n\r\nhello", b"hello"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
    "no reason phrase": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    "folded field": (OK + b"X-Long: one\r\n  two\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    "names in any case": (OK + b"CONTENT-length:2\r\n\r\nhi", b"hi"),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
    "103 with fields first": (
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
        b"hi",
    ),
    "bytes beyond the length": (OK + b"Content-Length: 2\r\n\r\nhi there", b"hi"),
}

BROKEN = {
    "nothing": (b"", "reset"),
    "half a status line": (b"HTTP/1.1 20", "truncated"),
    "half a head": (OK + b"Content-Le", "truncated"),
    "body shorter than its length": (OK + b"Content-Length: 9\r\n\r\nhello", "truncated"),
    "chunk cut off": (CHUNKED + b"5\r\nhel", "truncated"),
    "last chunk missing": (CHUNKED + b"5\r\nhello\r\n", "truncated"),
    "trailer not ended": (CHUNKED + b"0\r\nX: y\r\n", "truncated"),
    "not HTTP": (b"SSH-2.0-OpenSSH\r\n", "protocol"),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\n\r\n", "protocol"),
    "status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", "protocol"),
    "status of zero": (b"HTTP/1.1 000 OK\r\n\r\n", "protocol"),
    "lower-case protocol": (b"http/1.1 200 OK\r\n\r\n", "protocol"),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "protocol"),
    "bare LF in the header": (OK + b"A: b\nContent-Length: 0\r\n\r\n", "protocol"),
    "bare CR in a value": (OK + b"A: b\rc\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "NUL in a value": (OK + b"A: b\0c\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "field without a colon": (OK + b"Nonsense\r\n\r\n", "protocol"),
    "field without a name": (OK + b": value\r\n\r\n", "protocol"),
    "white space before the colon": (OK + b"Content-Length : 0\r\n\r\n", "protocol"),
    "fold before any field": (OK + b" folded\r\n\r\n", "protocol"),
    "different lengths": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "protocol"),
    "negative length": (OK + b"Content-Length: -1\r\n\r\n", "protocol"),
    "signed length": (OK + b"Content-Length: +2\r\n\r\nhi", "protocol"),
    "length in words": (OK + b"Content-Length: two\r\n\r\nhi", "protocol"),
    "length of twenty digits": (OK + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n", "protocol"),
    "length beside chunked": (CHUNKED[:-2] + b"Content-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "protocol"),
    "chunked before another coding": (OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n", "protocol"),
    "chunked in HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "protocol"),
    "chunk size not a number": (CHUNKED + b"xyz\r\n", "protocol"),
    "chunk size empty": (CHUNKED + b"\r\n", "protocol"),
    "chunk size negative": (CHUNKED + b"-1\r\n", "protocol"),
    "chunk size enormous": (CHUNKED + b"F" * 17 + b"\r\n", "protocol"),
    "chunk longer than its size": (CHUNKED + b"2\r\nhithere\r\n0\r\n\r\n", "protocol"),
    "bare LF after a chunk size": (CHUNKED + b"2\nhi\r\n0\r\n\r\n", "protocol"),
    "chunk line without end": (CHUNKED + b"1;" + b"x" * 5_000, "protocol"),
    "trailer without end": (CHUNKED + b"0\r\n" + b"X: y\r\n" * 4_000, "protocol"),
    "head without end": (OK + b"X: y\r\n" * 12_000, "protocol"),
    "too many fields": (OK + b"X: y\r\n" * 300 + b"\r\n", "protocol"),
    "101": (b"HTTP/1.1 101 Switching\r\n\r\n", "protocol"),
    "interim without end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "protocol"),
}


def _one(raw: bytes) -> tuple[bytes, str]:
    def script(peer: Peer) -> None:
        peer.answer(raw)

    with scripted(script) as server, client_of(server.url) as (client, book):
        response = client.get("/", endpoint="page", keep=True)
    assert (len(book.rows), book.open) == (1, 0)
    return response.body, response.outcome


@pytest.mark.parametrize("case", WHOLE)
def test_a_valid_response_is_read_to_its_end(case: str) -> None:
    """Each legal way of framing gives exactly the body."""
    raw, body = WHOLE[case]
    assert _one(raw) == (body, "ok")


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_response_is_an_outcome(case: str) -> None:
    """What breaks the protocol, or ends early, is a row with its outcome, never an exception."""
    raw, outcome = BROKEN[case]
    assert _one(raw)[1] == outcome


@pytest.mark.parametrize("case", [name for name in WHOLE if not name.startswith("bytes beyond")])
def test_the_cut_between_two_reads_does_not_matter(case: str) -> None:
    """A response that comes in single bytes reads as one that comes at once, and every byte is counted."""
    raw, body = WHOLE[case]

    def script(peer: Peer) -> None:
        peer.request()
        for position in range(len(raw)):
            peer.send(raw[position : position + 1])

    with scripted(script) as server, client_of(server.url) as (client, _):
        response = client.get("/", endpoint="page", keep=True)
    assert (response.body, response.outcome, response.bytes_received) == (body, "ok", len(raw))


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("HEAD", OK + b"Content-Length: 500\r\n\r\n"),
        ("HEAD", CHUNKED),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
    ],
)
def test_a_response_without_body_leaves_the_connection_usable(method: str, raw: bytes) -> None:
    """HEAD, 204 and 304 have no body, whatever their header says (RFC 9112 6.3)."""

    def script(peer: Peer) -> None:
        peer.answer(raw)
        peer.answer(OK + b"Content-Length: 2\r\n\r\nhi")

    with scripted(script) as server, client_of(server.url) as (client, book):
        client.request(method, "/", endpoint="page", expect=(200, 204, 304))
        client.get("/", endpoint="page")
    rows = [(row.outcome, row.connection, row.body) for row in book.rows]
    assert rows == [("ok", "new", b""), ("ok", "reused", b"")]

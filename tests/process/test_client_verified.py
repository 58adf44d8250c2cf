"""Answers that are verified before they are recorded: byte ranges, and the user model's own checks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import gevent
import pytest
from process.scripted_server import Peer, Script, client_of, scripted

from seatrial.http.messages import Response
from seatrial.http.parser import ContentRange

DATA = bytes(range(256)) * 1_024  # 256 KiB
HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def _part(first: int, last: int, body: bytes | None = None) -> bytes:
    body = DATA[first : last + 1] if body is None else body
    head = b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n"
    return head % (first, last, len(DATA), len(body)) + body


def _chunked(first: int, last: int, body: bytes) -> bytes:
    head = b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/*\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head % (first, last) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def _until_close(first: int, last: int, body: bytes) -> bytes:
    return b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/*\r\n\r\n%b" % (first, last, body)


def _answers(*answers: bytes) -> Script:
    def script(peer: Peer) -> None:
        for answer in answers:
            peer.answer(answer)

    return script


@pytest.mark.parametrize(
    "answer",
    [
        _part(10, 99_999),
        _chunked(10, 99_999, DATA[10:100_000]),
        _until_close(10, 99_999, DATA[10:100_000]),
    ],
)
def test_the_bytes_of_a_range(answer: bytes) -> None:
    """They are asked for, verified, shown, hashed and kept; which they are can be read from the response."""
    digest = "sha256:" + hashlib.sha256(DATA[10:100_000]).hexdigest()
    shown = bytearray()
    with scripted(_answers(answer)) as server, client_of(server.url) as (client, _):
        row = client.get("/", endpoint="page", range=(10, 99_999), into=shown.extend, digest=digest, keep=True)
    assert b"\r\nRange: bytes=10-99999\r\n" in server.requests[0]
    assert (row.outcome, row.status, row.body, bytes(shown)) == ("ok", 206, DATA[10:100_000], DATA[10:100_000])
    assert row.content_range in {ContentRange(10, 99_999, len(DATA)), ContentRange(10, 99_999, None)}


def test_each_range_has_its_own_message() -> None:
    """The same target with another range, and without one, over one kept connection."""
    with (
        scripted(_answers(_part(0, 9), _part(10, 19), HI, _part(len(DATA) - 5, len(DATA) - 1))) as server,
        client_of(server.url) as (client, book),
    ):
        for asked in ((0, 9), (10, 19), None, (-5, None)):
            client.get("/", endpoint="page", range=asked)
    assert [(row.outcome, row.status) for row in book.rows] == [("ok", 206)] * 2 + [("ok", 200), ("ok", 206)]
    assert [b"Range: bytes=10-19\r\n" in request for request in server.requests] == [False, True, False, False]
    assert b"Range" not in server.requests[2]


def test_the_whole_where_a_range_was_asked_for() -> None:
    """A server that ignores the field would send everything: nothing of it is read on, or shown."""
    shown: list[int] = []
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1_000 * len(DATA)) + DATA
    with scripted(_answers(whole), _answers(_part(0, 9))) as server, client_of(server.url) as (client, book):
        row = client.get("/", endpoint="page", range=(0, 9), into=lambda view: shown.append(len(view)))
        client.get("/", endpoint="page", range=(0, 9))
    assert (row.outcome, row.status, row.reason) == ("range", 200, "the whole where a range was asked for")
    assert (shown, row.bytes_received < len(whole)) == ([], True)
    assert [(each.outcome, each.connection) for each in book.rows] == [("range", "new"), ("ok", "new")]


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
    with scripted(_answers(answer)) as server, client_of(server.url) as (client, book):
        row = client.get("/", endpoint="page", range=(0, 9))
    assert (row.outcome, row.status, book.rows) == ("range", 206, [row])


@pytest.mark.parametrize("answer", [_chunked, _until_close])
@pytest.mark.parametrize("count", [0, 9, 11, 100_000])
def test_a_body_without_a_length_has_that_of_its_range(answer: Any, count: int) -> None:  # noqa: ANN401
    """Counted while it comes: `into` sees no more than what was asked for."""
    shown = bytearray()
    with scripted(_answers(answer(0, 9, DATA[:count]))) as server, client_of(server.url) as (client, _):
        row = client.get("/", endpoint="page", range=(0, 9), into=shown.extend)
    assert (row.outcome, row.reason) == ("range", "a body of another length than its range")
    assert len(shown) < 10


def test_a_range_that_ends_early_is_truncated() -> None:
    """A close within the announced length is what it is for any other body."""
    with scripted(_answers(_part(0, 999)[:-1])) as server, client_of(server.url) as (client, _):
        assert client.get("/", endpoint="page", range=(0, 999)).outcome == "truncated"


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
    with scripted(_answers(answer)) as server, client_of(server.url) as (client, _):
        row = client.get("/", endpoint="page", range=(0, 9), keep=True, **more)
    assert (row.outcome, row.endpoint) == (outcome, endpoint)


def test_a_check_makes_the_outcome() -> None:
    """It sees the complete response before the row is entered; None leaves a success."""
    entered: list[int] = []

    def check(response: Response) -> str | None:
        entered.append(len(book.rows))
        return None if response.body == b"hi" else "rejected"

    other = HI.replace(b"hi", b"no")
    with scripted(_answers(HI, other, HI)) as server, client_of(server.url) as (client, book):
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
    with scripted(_answers(HI, HI)) as server, client_of(server.url) as (client, book):
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
def test_a_check_has_nothing_to_say_of_other_answers(answer: bytes, more: Mapping[str, Any]) -> None:
    """It is for the answer that is expected, and in which nothing else is wrong."""
    seen: list[Response] = []
    with scripted(_answers(answer)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page", check=seen.append, **more)
    assert (len(book.rows), seen) == (1, [])


@pytest.mark.parametrize(
    ("check", "error"), [(lambda _: 1 // 0, ZeroDivisionError), (lambda _: "sad", ValueError)]
)
def test_a_checks_mistake_is_the_user_models(check: Any, error: type[Exception]) -> None:  # noqa: ANN401
    """The exception goes on into the task; the row is entered once, as aborted; the connection is kept."""
    with scripted(_answers(HI, HI)) as server, client_of(server.url) as (client, book):
        with pytest.raises(error):
            client.get("/", endpoint="page", check=check)
        client.get("/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("aborted", "new"), ("ok", "reused")]
    assert book.open == 0


def test_a_user_that_ends_in_its_check_is_cut() -> None:
    """As anywhere else in a request."""
    with scripted(_answers(HI)) as server, client_of(server.url) as (client, book):
        user = gevent.spawn(client.get, "/", endpoint="page", check=lambda _: gevent.sleep(60))
        with gevent.Timeout(5):
            while not server.sent_all.is_set():
                gevent.sleep(0.01)
            gevent.sleep(0.05)
        user.kill()
    assert [row.outcome for row in book.rows] == ["cut"]

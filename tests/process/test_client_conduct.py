"""The client over several requests: reused connections, repeated requests, timeouts, verified answers."""

from __future__ import annotations

import socket
import time
from typing import cast

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
    sha256,
    with_length,
)

from seatrial.errors import UsageError
from seatrial.http.connection import Connection
from seatrial.http.exchange import Exchange
from seatrial.http.messages import RequestOptions, Response, Timeouts
from seatrial.wire.streams import NULL


def test_the_message_is_exactly_this() -> None:
    """Host, User-Agent, the given headers, nothing else; `bytes_sent` is its length."""
    with served(answers(HI)) as (server, client, book):
        client.get("/a?b=c", endpoint="page", headers={"Accept": "x/y"})
        host = server.url.removeprefix("http://")
    expected = f"GET /a?b=c HTTP/1.1\r\nHost: {host}\r\nUser-Agent: test/1\r\nAccept: x/y\r\n\r\n".encode()
    assert server.requests == [expected]
    assert (book.rows[0].bytes_sent, book.rows[0].bytes_received) == (len(expected), len(HI))


def test_a_body_is_sent_with_its_length() -> None:
    """POST carries Content-Length, also for an empty body (RFC 9110 8.6)."""
    with served(answers(HI, HI)) as (server, client, _):
        client.post("/", endpoint="page", body=b"{}")
        client.post("/", endpoint="page")
    assert server.requests[0].endswith(b"Content-Length: 2\r\n\r\n{}")
    assert server.requests[1].endswith(b"Content-Length: 0\r\n\r\n")


def test_a_large_body_is_sent_whole() -> None:
    """A body beyond the socket's buffer arrives complete."""
    with served(answers(HI)) as (server, client, _):
        assert client.put("/", endpoint="page", body=BIG).ok
    assert server.requests[0].endswith(BIG)


_CLOSING = HI.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("scripts", "keep_alive", "second"),
    [
        ((answers(HI, HI),), True, "reused"),
        ((answers(_CLOSING), answers(HI)), True, "new"),
        ((answers(HI + b"surplus"), answers(HI)), True, "new"),
        ((answers(HI), answers(HI)), False, "new"),
    ],
)
def test_a_connection_is_kept_if_it_can_be(scripts: tuple[Script, ...], second: str, *, keep_alive: bool) -> None:
    """Not after `Connection: close` of either side, nor after bytes beyond the answer."""
    with served(*scripts, keep_alive=keep_alive) as (server, client, book):
        client.get("/", endpoint="page")
        client.get("/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("ok", second)]
    assert (server.accepted, b"\r\nConnection: close\r\n" in server.requests[0]) == (len(scripts), not keep_alive)


def _times_out(peer: Peer) -> None:
    peer.answer(HI)
    peer.send(b"HTTP/1.1 408 Idle\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("script", [answers(HI), _times_out])
def test_a_connection_that_was_closed_while_idle_is_not_used(method: str, script: Script) -> None:
    """A close, or an unrequested 408 (RFC 9112 9.2), before anything is sent costs a new connection, no more."""
    with served(script, answers(HI)) as (server, client, book):
        client.get("/", endpoint="page")
        assert server.sent_all.wait(5)
        gevent.sleep(0.05)  # loopback, and the FIN, follow the script's end
        client.request(method, "/", endpoint="page")
    assert [(row.status, row.outcome, row.connection) for row in book.rows] == [(200, "ok", "new")] * 2
    assert server.accepted == 2


def _closes_the_second(peer: Peer) -> None:
    peer.answer(HI)
    peer.request()


def _begins_the_second(peer: Peer) -> None:
    peer.answer(HI)
    peer.answer(b"H")


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_close_on_the_way_is_made_good_once(method: str) -> None:
    """The server closes a kept connection when the request is sent: once more, `replaced`, both sends counted."""
    with served(_closes_the_second, answers(HI)) as (server, client, book):
        client.get("/", endpoint="page")
        row = client.request(method, "/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("ok", "replaced")]
    assert (row.bytes_sent, server.accepted) == (2 * len(server.requests[2]), 2)


@pytest.mark.parametrize(
    ("scripts", "method", "outcome", "connection", "accepted"),
    [
        # the new connection is closed, too
        ((_closes_the_second, Peer.request), "GET", "reset", "replaced", 2),
        # the server may have acted on a POST (RFC 9110 9.2.2)
        ((_closes_the_second,), "POST", "reset", "reused", 1),
        # a byte of the response has come
        ((_begins_the_second,), "GET", "truncated", "reused", 1),
    ],
)
def test_nothing_else_is_repeated(
    scripts: tuple[Script, ...], method: str, outcome: str, connection: str, accepted: int
) -> None:
    """A request is sent twice at most, and only if it has certainly not been acted on."""
    with served(*scripts, answers(HI)) as (server, client, book):
        client.get("/", endpoint="page")
        client.request(method, "/", endpoint="page")
    assert (book.rows[1].outcome, book.rows[1].connection, server.accepted) == (outcome, connection, accepted)


def test_a_get_on_a_new_connection_is_not_repeated() -> None:
    """Nothing but a stale kept connection is ever replaced."""
    with served(Peer.request, answers(HI)) as (server, client, book):
        client.get("/", endpoint="page")
    assert (book.rows[0].outcome, server.accepted, len(server.requests)) == ("reset", 1, 1)


def test_a_reset_in_the_body_is_a_reset() -> None:
    """RST is distinguished from an early FIN."""

    def resets(peer: Peer) -> None:
        peer.answer(with_length(BIG)[:1_000])
        gevent.sleep(0.05)  # RST would overtake what was sent
        peer.reset()

    with served(resets) as (_, client, _):
        response = client.get("/", endpoint="page")
    assert (response.outcome, response.status, response.bytes_received) == ("reset", 200, 1_000)


def test_a_server_that_can_not_be_reached() -> None:
    """A refused connection has no status, first byte or bytes; `.invalid` never resolves (RFC 6761 6.4)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for host in (url, "http://seatrial.invalid"):
        with client_of(host) as (client, _):
            row = client.get("/", endpoint="page")
        assert (row.outcome, row.status, row.t_first_byte_ns, row.bytes_sent) == ("refused", 0, NULL, 0)
        assert row.t_end_ns >= row.t_start_ns


@pytest.mark.parametrize(
    ("timeouts", "sent"),
    [
        (Timeouts(first_byte_s=0.1), b""),
        (Timeouts(idle_s=0.1), b"HTTP/1.1 200 OK\r\n"),
        (Timeouts(idle_s=0.1), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"),
        (Timeouts(total_s=0.1), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"),
    ],
)
def test_each_wait_has_its_end(timeouts: Timeouts, sent: bytes) -> None:
    """First byte, idle and total time are limits of their own."""

    def stalls(peer: Peer) -> None:
        peer.answer(sent)
        peer.hold()

    with served(stalls, timeouts=timeouts) as (_, client, _):
        row = client.get("/", endpoint="page")
    assert (row.outcome, row.bytes_received) == ("timeout", len(sent))
    assert 0.09e9 < row.t_end_ns - row.t_start_ns < 1e9


def test_a_drip_is_ended_by_the_total_time() -> None:
    """A server that sends a byte now and then never runs into the idle limit."""

    def drips(peer: Peer) -> None:
        peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not peer._released.wait(0.02):
            peer.send(b".")

    timeouts = Timeouts(idle_s=1, total_s=0.3)
    with served(drips, timeouts=timeouts) as (_, client, _):
        assert client.get("/", endpoint="page").outcome == "timeout"


def test_a_status_that_was_not_expected() -> None:
    """The body is read all the same, and the connection kept."""
    answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno"
    with served(answers(answer, HI)) as (_, client, book):
        first = client.get("/", endpoint="page", keep=True)
        client.get("/", endpoint="page")
    assert (first.outcome, first.ok, first.status, first.body) == ("status", False, 503, b"no")
    assert book.rows[1].connection == "reused"


def test_a_status_with_a_label_of_its_own() -> None:
    """A status named in `also` is no failure, and is recorded under its label."""
    answer = b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\nWWW-Authenticate: a\r\nwww-authenticate: b\r\n\r\n"
    row = ask(answer, also={401: "other"})
    assert (row.outcome, row.endpoint, row.headers["www-authenticate"]) == ("ok", "other", "a, b")


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("body", [b"", b"hi", BIG])
def test_a_digest_is_verified(body: bytes, *, keep: bool) -> None:
    """Small and large bodies, kept or not, hash to their digest; another digest is the outcome `digest`."""
    with served(answers(with_length(body), with_length(body))) as (_, client, _):
        right = client.get("/", endpoint="page", digest=sha256(body), keep=keep)
        wrong = client.get("/", endpoint="page", digest=sha256(b"else"), keep=keep)
    assert (right.outcome, wrong.outcome, wrong.connection) == ("ok", "digest", "reused")
    assert right.body == (body if keep else b"")


def test_a_chunked_body_is_hashed_in_pieces() -> None:
    """A body of unknown length hashes right across pieces and threads."""
    chunks = b"".join(b"%x\r\n" % 70_000 + BIG[:70_000] + b"\r\n" for _ in range(20))
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    row = ask(answer, digest=sha256(BIG[:70_000] * 20))
    assert (row.outcome, row.bytes_received) == ("ok", len(answer))


@pytest.mark.parametrize("answer", [with_length(BIG), b"HTTP/1.1 200 OK\r\n\r\n" + BIG])
def test_a_body_beyond_its_limit(answer: bytes) -> None:
    """By its length or while it is read: a body that is too large is not read on."""
    row = ask(answer, limit_bytes=1_000)
    assert row.outcome == "too_large"
    assert row.bytes_received < len(answer)


def test_a_redirect_is_data() -> None:
    """Nothing is followed; the caller sees where it points."""
    answer = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n"
    with served(answers(answer)) as (server, client, book):
        row = client.get("/", endpoint="page", expect=(307,), headers={"Authorization": "Bearer t"})
    assert (row.location, len(book.rows), server.accepted) == ("http://127.0.0.1:1/x", 1, 1)
    assert (row.header("LOCATION"), row.header("Server"), row.header("Server", "?")) == (row.location, "", "?")


def test_another_host_has_its_own_connections_and_no_credentials() -> None:
    """Headers are those of one request: what one host was sent never reaches another."""
    with (
        scripted(answers(HI, HI)) as home,
        scripted(answers(HI)) as other,
        client_of(home.url) as (client, book),
    ):
        client.get("/", endpoint="page", headers={"Authorization": "Bearer t"})
        client.get(f"{other.url}/there", endpoint="page")
        client.get(f"{home.url}/again", endpoint="page")
    assert [row.connection for row in book.rows] == ["new", "new", "reused"]
    assert b"Authorization" not in other.requests[0]


def test_a_user_that_ends_in_the_middle_is_cut() -> None:
    """A killed greenlet leaves a row `cut` with what had come, and its connection is closed."""
    closed = []

    def stalls(peer: Peer) -> None:
        peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        closed.append(peer.gone())

    with served(stalls) as (server, client, book):
        user = gevent.spawn(client.get, "/", endpoint="page")
        with gevent.Timeout(5):
            while not server.requests:
                gevent.sleep(0.01)
            gevent.sleep(0.05)
        user.kill()
        with gevent.Timeout(5):
            while not closed:
                gevent.sleep(0.01)
    assert (book.rows[0].outcome, book.rows[0].status, book.open) == ("cut", 200, 0)
    assert (book.rows[0].bytes_received, closed) == (43, [True])


def test_an_undeclared_label_is_a_mistake_of_the_locustfile() -> None:
    """Labels are a closed list; the error names them, and no request is made."""
    with client_of("http://127.0.0.1:1") as (client, book), pytest.raises(UsageError, match="'nope'"):
        client.get("/", endpoint="nope")
    assert book.rows == []


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a b", {}),
        ("/a\r\nX: y", {}),
        ("/a\rb", {}),
        ("/a\0b", {}),
        ("/", {"X": "a\r\nY: b"}),
        ("/", {"X": "a\rb"}),
        ("/", {"X": "a\0b"}),
        ("/", {"X\n": "a"}),
        ("page", {}),
    ],
)
def test_a_request_can_not_be_split(target: str, headers: dict[str, str]) -> None:
    """What would change the message's meaning is refused before anything is sent."""
    with (
        client_of("http://127.0.0.1:1") as (client, book),
        pytest.raises(ValueError, match=r"line break|neither a path"),
    ):
        client.get(target, endpoint="page", headers=headers)
    assert book.rows == []


class _Flood:
    """A connection on which there is always more to read, so that reading never waits."""

    def __init__(self, body: bytes) -> None:
        self._left = memoryview(with_length(body))

    plain = False

    def send(self, data: bytes, _wait_s: float, _deadline_ns: int) -> int:
        return len(data)

    def receive_answer(self, buffer: bytearray, due_ns: int) -> int:
        return self.receive(buffer, due_ns)

    def skip(self, size: int, _due_ns: int) -> int:
        count = min(size, 256 * 1024, len(self._left))
        self._left = self._left[count:]
        return count

    def give_way(self, _due_ns: int) -> None:
        gevent.sleep(0)

    def receive(self, buffer: bytearray, _due_ns: int) -> int:
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


@pytest.mark.parametrize(("digest", "pause_s"), [(None, 0), (sha256(BIG * 2), 0.001)])
def test_a_fast_server_does_not_keep_other_users_from_running(digest: str | None, pause_s: float) -> None:
    """While 8 MiB are read that are always there, others run at least once in each 2 MiB.

    Beside the hashing thread the other one pauses: a loop that never waits keeps the GIL from it.
    """
    turns = [0]

    def other() -> None:
        while True:
            turns[0] += 1
            gevent.sleep(pause_s)

    beside = gevent.spawn(other)
    response = Response("GET", "page", time.monotonic_ns())
    Exchange(response, RequestOptions(digest=digest)).perform(cast("Connection", _Flood(BIG * 2)), b"")
    beside.kill()
    assert response.ok
    assert turns[0] >= 4

"""The client over several requests: what is kept, what is repeated, what ends in time, what is checked."""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import cast

import gevent
import pytest
from process.scripted_server import Peer, Script, client_of, scripted

from seatrial.errors import UsageError
from seatrial.http.connection import Connection
from seatrial.http.exchange import Exchange
from seatrial.http.messages import RequestOptions, Response, Timeouts
from seatrial.http.network import Dialer
from seatrial.wire.streams import NULL

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BIG = bytes(range(256)) * 8_192  # 2 MiB


def _long(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _sha256(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _answers(*answers: bytes) -> Script:
    def script(peer: Peer) -> None:
        for answer in answers:
            peer.answer(answer)

    return script


def test_the_message_is_exactly_this() -> None:
    """Host, User-Agent, the given headers, nothing else; `bytes_sent` is its length."""
    with scripted(_answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/a?b=c", endpoint="page", headers={"Accept": "x/y"})
        host = server.url.removeprefix("http://")
    expected = f"GET /a?b=c HTTP/1.1\r\nHost: {host}\r\nUser-Agent: test/1\r\nAccept: x/y\r\n\r\n".encode()
    assert server.requests == [expected]
    assert (book.rows[0].bytes_sent, book.rows[0].bytes_received) == (len(expected), len(HI))


def test_a_body_is_sent_with_its_length() -> None:
    """POST carries Content-Length, also for an empty body (RFC 9110 8.6)."""
    with scripted(_answers(HI, HI)) as server, client_of(server.url) as (client, _):
        client.post("/", endpoint="page", body=b"{}")
        client.post("/", endpoint="page")
    assert server.requests[0].endswith(b"Content-Length: 2\r\n\r\n{}")
    assert server.requests[1].endswith(b"Content-Length: 0\r\n\r\n")


def test_a_large_body_is_sent_whole() -> None:
    """A body beyond the socket's buffer arrives complete."""
    with scripted(_answers(HI)) as server, client_of(server.url) as (client, _):
        assert client.put("/", endpoint="page", body=BIG).ok
    assert server.requests[0].endswith(BIG)


def test_a_connection_is_kept() -> None:
    """The second request goes over the first one's connection, and says so."""
    with scripted(_answers(HI, HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        client.get("/", endpoint="page")
    assert ([row.connection for row in book.rows], server.accepted) == (["new", "reused"], 1)


@pytest.mark.parametrize("answer", [HI.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), HI + b"surplus"])
def test_a_connection_that_can_not_be_kept_is_not(answer: bytes) -> None:
    """After `Connection: close`, or bytes that nobody asked for, the next request opens a new connection."""
    with scripted(_answers(answer), _answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        client.get("/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("ok", "new")]


def test_without_keep_alive_each_request_connects() -> None:
    """`keep_alive` False announces the close and opens a connection for each request."""
    with (
        scripted(_answers(HI), _answers(HI)) as server,
        client_of(server.url, keep_alive=False) as (client, book),
    ):
        client.get("/", endpoint="page")
        client.get("/", endpoint="page")
    assert [row.connection for row in book.rows] == ["new", "new"]
    assert b"\r\nConnection: close\r\n" in server.requests[0]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_was_closed_while_idle_is_not_used(method: str) -> None:
    """A close that is seen before anything is sent costs a new connection; the row says so, and no more."""
    with scripted(_answers(HI), _answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        assert server.sent_all.wait(5)
        gevent.sleep(0.05)  # the FIN follows the script's end
        client.request(method, "/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("ok", "new")]
    assert server.accepted == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_that_nobody_asked_for_is_not_taken(method: str) -> None:
    """A server that times an idle connection out by 408 has not answered the next request (RFC 9112 9.2)."""

    def times_out(peer: Peer) -> None:
        peer.answer(HI)
        peer.send(b"HTTP/1.1 408 Idle\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with scripted(times_out, _answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        assert server.sent_all.wait(5)
        gevent.sleep(0.05)  # loopback, and the FIN after it
        client.request(method, "/", endpoint="page")
    assert [(row.status, row.outcome, row.connection) for row in book.rows] == [(200, "ok", "new")] * 2


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_close_on_the_way_is_made_good_once(method: str) -> None:
    """The server closes a kept connection when the request is sent: once more, `replaced`, both sends counted."""

    def takes(peer: Peer) -> None:
        peer.answer(HI)
        peer.request()

    with scripted(takes, _answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        row = client.request(method, "/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("ok", "replaced")]
    assert (row.bytes_sent, server.accepted) == (2 * len(server.requests[2]), 2)


def test_a_close_is_not_made_good_twice() -> None:
    """A server that closes the new connection too has reset the request."""

    def takes(peer: Peer) -> None:
        peer.answer(HI)
        peer.request()

    with scripted(takes, Peer.request, _answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        client.get("/", endpoint="page")
    assert (book.rows[1].outcome, book.rows[1].connection, server.accepted) == ("reset", "replaced", 2)


def test_a_post_that_was_sent_is_not_repeated() -> None:
    """A server that takes a POST on a kept connection and closes may have acted on it (RFC 9110 9.2.2)."""

    def takes(peer: Peer) -> None:
        peer.answer(HI)
        peer.request()

    with scripted(takes, _answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        client.post("/", endpoint="page", body=b"x")
    assert (book.rows[1].outcome, book.rows[1].connection, server.accepted) == ("reset", "reused", 1)


def test_a_get_on_a_new_connection_is_not_repeated() -> None:
    """Nothing but a stale kept connection is ever replaced."""

    def takes(peer: Peer) -> None:
        peer.request()

    with scripted(takes, _answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
    assert (book.rows[0].outcome, server.accepted, len(server.requests)) == ("reset", 1, 1)


def test_an_answer_that_began_is_not_repeated() -> None:
    """One byte of a response on a kept connection, and the request has been heard."""

    def begins(peer: Peer) -> None:
        peer.answer(HI)
        peer.answer(b"H")

    with scripted(begins, _answers(HI)) as server, client_of(server.url) as (client, book):
        client.get("/", endpoint="page")
        client.get("/", endpoint="page")
    assert (book.rows[1].outcome, server.accepted) == ("truncated", 1)


def test_a_reset_in_the_body_is_a_reset() -> None:
    """RST is told apart from an early FIN."""

    def resets(peer: Peer) -> None:
        peer.answer(_long(BIG)[:1_000])
        gevent.sleep(0.05)  # RST would overtake what was sent
        peer.reset()

    with scripted(resets) as server, client_of(server.url) as (client, _):
        response = client.get("/", endpoint="page")
    assert (response.outcome, response.status, response.bytes_received) == ("reset", 200, 1_000)


def test_nobody_listens() -> None:
    """A refused connection has no status, no first byte and no bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with client_of(url) as (client, _):
        row = client.get("/", endpoint="page")
    assert (row.outcome, row.status, row.t_first_byte_ns, row.bytes_sent) == ("refused", 0, NULL, 0)
    assert row.t_end_ns >= row.t_start_ns


def test_a_name_that_does_not_resolve_is_refused() -> None:
    """`.invalid` never resolves (RFC 6761 6.4)."""
    with client_of("http://seatrial.invalid") as (client, _):
        assert client.get("/", endpoint="page").outcome == "refused"


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

    with scripted(stalls) as server, client_of(server.url, timeouts=timeouts) as (client, _):
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
    with scripted(drips) as server, client_of(server.url, timeouts=timeouts) as (client, _):
        assert client.get("/", endpoint="page").outcome == "timeout"


def test_a_status_that_was_not_expected() -> None:
    """The body is read all the same, and the connection kept."""
    answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno"
    with scripted(_answers(answer, HI)) as server, client_of(server.url) as (client, book):
        first = client.get("/", endpoint="page", keep=True)
        client.get("/", endpoint="page")
    assert (first.outcome, first.ok, first.status, first.body) == ("status", False, 503, b"no")
    assert book.rows[1].connection == "reused"


def test_a_status_with_a_label_of_its_own() -> None:
    """A status named in `also` is no failure, and is recorded under its label."""
    answer = b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\nWWW-Authenticate: a\r\nwww-authenticate: b\r\n\r\n"
    with scripted(_answers(answer)) as server, client_of(server.url) as (client, _):
        row = client.get("/", endpoint="page", also={401: "other"})
    assert (row.outcome, row.endpoint, row.headers["www-authenticate"]) == ("ok", "other", "a, b")


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("body", [b"", b"hi", BIG])
def test_a_digest_is_verified(body: bytes, *, keep: bool) -> None:
    """Small and large bodies, kept or not, hash to their digest; another digest is the outcome `digest`."""
    with scripted(_answers(_long(body), _long(body))) as server, client_of(server.url) as (client, _):
        right = client.get("/", endpoint="page", digest=_sha256(body), keep=keep)
        wrong = client.get("/", endpoint="page", digest=_sha256(b"else"), keep=keep)
    assert (right.outcome, wrong.outcome, wrong.connection) == ("ok", "digest", "reused")
    assert right.body == (body if keep else b"")


def test_a_chunked_body_is_hashed_in_pieces() -> None:
    """A body of unknown length hashes right across pieces and threads."""
    chunks = b"".join(b"%x\r\n" % 70_000 + BIG[:70_000] + b"\r\n" for _ in range(20))
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    with scripted(_answers(answer)) as server, client_of(server.url) as (client, _):
        row = client.get("/", endpoint="page", digest=_sha256(BIG[:70_000] * 20))
    assert (row.outcome, row.bytes_received) == ("ok", len(answer))


@pytest.mark.parametrize("answer", [_long(BIG), b"HTTP/1.1 200 OK\r\n\r\n" + BIG])
def test_a_body_beyond_its_limit(answer: bytes) -> None:
    """Told by its length or found while reading, a body that is too large is not read on."""
    with scripted(_answers(answer)) as server, client_of(server.url) as (client, _):
        row = client.get("/", endpoint="page", limit_bytes=1_000)
    assert row.outcome == "too_large"
    assert row.bytes_received < len(answer)


def test_a_redirect_is_data() -> None:
    """Nothing is followed; the caller sees where it points."""
    answer = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n"
    with scripted(_answers(answer)) as server, client_of(server.url) as (client, book):
        row = client.get("/", endpoint="page", expect=(307,), headers={"Authorization": "Bearer t"})
    assert (row.location, len(book.rows), server.accepted) == ("http://127.0.0.1:1/x", 1, 1)
    assert (row.header("LOCATION"), row.header("Server"), row.header("Server", "?")) == (row.location, "", "?")


def test_another_host_has_its_own_connections_and_no_credentials() -> None:
    """Headers are those of one request: what one host was sent never reaches another."""
    with (
        scripted(_answers(HI, HI)) as home,
        scripted(_answers(HI)) as other,
        client_of(home.url) as (client, book),
    ):
        client.get("/", endpoint="page", headers={"Authorization": "Bearer t"})
        client.get(f"{other.url}/there", endpoint="page")
        client.get(f"{home.url}/again", endpoint="page")
    assert [row.connection for row in book.rows] == ["new", "new", "reused"]
    assert b"Authorization" not in other.requests[0]


def test_a_user_that_ends_in_the_middle_is_cut() -> None:
    """A killed greenlet leaves a row `cut` with what had come, and its connection is closed."""
    seen = []

    def stalls(peer: Peer) -> None:
        peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        seen.append(peer.gone())

    with scripted(stalls) as server, client_of(server.url) as (client, book):
        user = gevent.spawn(client.get, "/", endpoint="page")
        with gevent.Timeout(5):
            while not server.requests:
                gevent.sleep(0.01)
            gevent.sleep(0.05)
        user.kill()
        with gevent.Timeout(5):
            while not seen:
                gevent.sleep(0.01)
    assert (book.rows[0].outcome, book.rows[0].status, book.open) == ("cut", 200, 0)
    assert (book.rows[0].bytes_received, seen) == (43, [True])


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
        self._left = memoryview(_long(body))

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


@pytest.mark.parametrize(("digest", "pause_s"), [(None, 0), (_sha256(BIG * 4), 0.001)])
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
    Exchange(response, RequestOptions(digest=digest)).perform(cast("Connection", _Flood(BIG * 4)), b"")
    beside.kill()
    assert response.ok
    assert turns[0] >= 4


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a key and a certificate for 127.0.0.1 in one file."""
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    subprocess.run([*made, "-keyout", f"{path}.key", "-out", path], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.key").read_text())
    return path


def test_a_server_can_not_send_the_load_elsewhere() -> None:
    """A token realm or a redirect may name any host; nothing is sent to one that the run does not permit."""
    with (
        scripted(_answers(HI)) as server,
        client_of(server.url, network=Dialer(hosts=("172.18.0.9",))) as (client, book),
    ):
        assert client.get("/", endpoint="page").ok
        with pytest.raises(UsageError, match=r"another host: 203\.0\.113\.7"):
            client.get("http://203.0.113.7/", endpoint="page")
    assert [(row.outcome, row.bytes_sent > 0) for row in book.rows] == [("ok", True), ("aborted", False)]


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_https_with_an_authority_that_is_trusted(certificate: Path) -> None:
    """A CA file makes its servers trusted; the connection is kept as any other."""
    network = Dialer(ca_file=str(certificate))
    with (
        scripted(_answers(HI, _long(BIG), _long(BIG)), tls=_tls(certificate)) as server,
        client_of(server.url, network=network) as (client, book),
    ):
        client.get("/", endpoint="page")
        client.get("/", endpoint="page", digest=_sha256(BIG))
        client.get("/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), *[("ok", "reused")] * 2]
    assert book.rows[2].bytes_received == len(_long(BIG))


def test_surplus_through_tls(certificate: Path) -> None:
    """Bytes that nobody asked for may lie within TLS, where no poll sees them: they are no answer either."""
    surplus = _long(b"x" * 100_000) + HI
    network = Dialer(ca_file=str(certificate))
    with (
        scripted(_answers(surplus), _answers(_long(b"own")), tls=_tls(certificate)) as server,
        client_of(server.url, network=network) as (client, book),
    ):
        client.get("/", endpoint="page")
        own = client.get("/", endpoint="page", keep=True)
    assert ([row.connection for row in book.rows], own.body) == (["new", "new"], b"own")


@pytest.mark.parametrize("goodbye", [True, False])
def test_a_close_within_a_body_through_tls(certificate: Path, *, goodbye: bool) -> None:
    """With or without TLS's own goodbye the body is truncated; one without a length ends there."""
    cut = _long(BIG)[:-1]
    network = Dialer(ca_file=str(certificate))

    def closes(answer: bytes) -> Script:
        def script(peer: Peer) -> None:
            peer.answer(answer)
            if goodbye:
                cast("ssl.SSLSocket", peer._socket).unwrap()

        return script

    with (
        scripted(closes(cut), closes(b"HTTP/1.1 200 OK\r\n\r\nall"), tls=_tls(certificate)) as server,
        client_of(server.url, network=network) as (client, _),
    ):
        row = client.get("/", endpoint="page")
        whole = client.get("/", endpoint="page", keep=True)
    assert (row.outcome, row.bytes_received) == ("truncated", len(cut))
    assert (whole.outcome, whole.body) == ("ok", b"all")


def test_a_refusal_through_tls(certificate: Path) -> None:
    """Nobody listens while a body goes out through TLS; a server that takes no more of it has said why."""
    answer = b"HTTP/1.1 413 Much\r\nContent-Length: 2\r\n\r\nno"
    network = Dialer(ca_file=str(certificate))

    def refuses(peer: Peer) -> None:
        peer.head()
        peer.send(answer)
        peer.hold()

    with (
        scripted(refuses, tls=_tls(certificate)) as server,
        client_of(server.url, network=network) as (client, _),
    ):
        row = client.put("/", endpoint="page", body=BIG * 16, keep=True, timeouts=Timeouts(idle_s=0.5))
    assert (row.outcome, row.status, row.body) == ("status", 413, b"no")


def test_a_large_body_is_sent_whole_through_tls(certificate: Path) -> None:
    """A body beyond the socket's buffer, which the server takes late: OpenSSL has to be asked the same again."""
    body = BIG * 8
    network = Dialer(ca_file=str(certificate))

    def takes_late(peer: Peer) -> None:
        peer.head()
        gevent.sleep(0.1)  # so that the sender runs into the full buffer
        digest, left = hashlib.sha256(), len(body)
        while left:
            piece = peer._received()
            digest.update(piece)
            left -= len(piece)
        peer.send(_long(digest.hexdigest().encode()))

    with (
        scripted(takes_late, tls=_tls(certificate)) as server,
        client_of(server.url, network=network) as (client, _),
    ):
        row = client.put("/", endpoint="page", body=body, keep=True)
    assert (row.outcome, row.body.decode()) == ("ok", _sha256(body).removeprefix("sha256:"))


@pytest.mark.parametrize(("verify", "outcome"), [(True, "protocol"), (False, "ok")])
def test_https_verifies_unless_told_not_to(certificate: Path, outcome: str, *, verify: bool) -> None:
    """An unknown authority is an outcome, by default."""
    with (
        scripted(_answers(HI), tls=_tls(certificate)) as server,
        client_of(server.url, network=Dialer(verify=verify)) as (client, _),
    ):
        assert client.get("/", endpoint="page").outcome == outcome


def test_a_handshake_with_something_else() -> None:
    """Plain HTTP on an https port is an outcome."""

    def speaks_plainly(peer: Peer) -> None:
        peer.send(HI)
        peer.gone()

    with scripted(speaks_plainly) as server, client_of(server.url.replace("http:", "https:")) as (client, _):
        assert client.get("/", endpoint="page").outcome == "protocol"

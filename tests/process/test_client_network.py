"""How the client reaches a server: names, sockets, TLS, and the deadlines of each wait."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import gevent
import pytest
from process.scripted_server import (
    BIG,
    HI,
    Peer,
    Script,
    answers,
    client_of,
    scripted,
    served,
    sha256,
    tls_keywords,
    with_length,
)

from seatrial.errors import UsageError
from seatrial.http.connection import Waiting
from seatrial.http.messages import Response, Timeouts
from seatrial.http.network import Dialer, Sockets
from seatrial.http.parser import RequestError


class _Lookup:
    """A name server that knows every name but `nobody.test`, and takes `pause_s` (3 s for `silent.test`)."""

    def __init__(self, pause_s: float = 0.01) -> None:
        self.names: list[str] = []
        self._pause_s = pause_s

    def __call__(self, host: str, port: int, **_: object) -> list[Any]:
        self.names.append(host)
        gevent.sleep(3.0 if host == "silent.test" else self._pause_s)
        if host == "nobody.test":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@contextmanager
def _unix_server(path: Path, requests: list[bytes]) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(10)

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                requests.append(peer.recv(65_536))
                peer.sendall(HI)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http+unix://{quote(str(path), safe='')}"
        thread.join(10)


def test_a_unix_socket_is_a_host(tmp_path: Path) -> None:
    """The socket's path is the host, percent-encoded; the message says localhost."""
    requests: list[bytes] = []
    with _unix_server(tmp_path / "s", requests) as url, client_of(url) as (client, book):
        row = client.get("/v1/x", endpoint="page", keep=True)
    assert (row.body, book.rows[0].outcome) == (b"hi", "ok")
    assert requests[0].startswith(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n")


def test_a_unix_socket_without_a_server(tmp_path: Path) -> None:
    """A path that does not exist refuses."""
    with client_of(f"http+unix://{quote(str(tmp_path / 'none'), safe='')}") as (client, _):
        assert client.get("/", endpoint="page").outcome == "refused"


def test_a_redirect_does_not_reach_a_unix_socket() -> None:
    """A server that names one, such as the container engine's, is not followed there."""
    with client_of("http://127.0.0.1:1") as (client, book):
        row = client.get("http+unix://%2Frun%2Fdocker.sock/containers/json", endpoint="page")
    assert (row.outcome, row.bytes_sent, book.rows) == ("protocol", 0, [row])
    assert "own host" in row.reason


@pytest.mark.parametrize(
    ("location", "outcome"),
    [
        ("http://a..b/", "refused"),
        (f"http://{'a' * 64}/", "refused"),
        ("http://127.0.0.1:0/", "refused"),
        ("http://[::1", "protocol"),
        ("http://127.0.0.1:99999/", "protocol"),
    ],
)
def test_a_location_that_leads_nowhere_is_an_outcome(location: str, outcome: str) -> None:
    """It is recorded as what it is: the server's doing, not a mistake of the locustfile."""
    moved = b"HTTP/1.1 307 There\r\nContent-Length: 0\r\nLocation: " + location.encode() + b"\r\n\r\n"
    with served(answers(moved)) as (_, client, book):
        there = client.get("/", endpoint="page", expect=(307,)).location
        row = client.get(there or "", endpoint="other")
    assert (row.outcome, row.status, row.endpoint, len(book.rows), book.open) == (outcome, 0, "other", 2, 0)
    assert row.t_end_ns >= row.t_start_ns


def test_a_method_without_a_code_is_a_mistake_wherever_it_goes() -> None:
    """The row of a target that can't be requested could not be written."""
    with client_of("http://127.0.0.1:1") as (client, book), pytest.raises(ValueError, match="method"):
        client.request("BREW", "http://[::1", endpoint="page")
    assert book.rows == []


def test_a_source_address_and_a_small_buffer() -> None:
    """The server sees the address; the kernel doubles the buffer's size for its own use (socket(7))."""
    addresses: list[str] = []

    def script(peer: Peer) -> None:
        addresses.append(peer.address)
        peer.answer(HI)

    network = Dialer(sockets=Sockets(source="127.0.0.9", receive_buffer_bytes=8_192))
    with served(script, network=network) as (_, client, _):
        row = client.get("/", endpoint="page")
        connection = client._idle[client._origins.home][0]
        size = socket.socket(fileno=os.dup(connection._stream.fileno()))
    with size:
        assert size.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 16_384
    assert (row.outcome, addresses) == ("ok", ["127.0.0.9"])


def test_a_name_is_looked_up_once() -> None:
    """Two users that begin at once make one look-up, and a later connection takes its answer."""
    lookup = _Lookup()
    network = Dialer(lookup=lookup)
    with scripted(*[answers(HI)] * 3) as server:
        url = server.url.replace("127.0.0.1", "shop.test")
        with client_of(url, network=network) as (one, _), client_of(url, network=network) as (two, _):
            gevent.joinall([gevent.spawn(user.get, "/", endpoint="page") for user in (one, two)])
            assert lookup.names == ["shop.test"]
            two.close()
            assert two.get("/", endpoint="other").ok
    assert lookup.names == ["shop.test"]


def test_more_than_1024_descriptors() -> None:
    """A connection whose descriptor is beyond select()'s limit works, and is looked at before it is used again."""
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        with served(answers(HI, HI)) as (_, client, book):
            client.get("/", endpoint="page")
            assert client._idle[client._origins.home][0]._stream.fileno() > 1_024
            client.get("/", endpoint="page")
    finally:
        for descriptor in taken:
            os.close(descriptor)
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("ok", "reused")]


HASTY = Timeouts(connect_s=0.3, first_byte_s=5.0, idle_s=5.0, total_s=5.0)
_DRIPS = 40
_DRIP_S = 0.05


def _took_s(row: Response) -> float:
    return (row.t_end_ns - row.t_start_ns) / 1e9


def test_a_handshake_that_drips_is_given_up() -> None:
    """A byte of a TLS record every 50 ms, for 2 s: each wait is short, and all of them have 0.3 s."""

    def drips(peer: Peer) -> None:
        peer.send(b"\x16\x03\x03\x40\x00")
        for _ in range(_DRIPS):
            if peer._released.wait(_DRIP_S):
                return
            peer.send(b"\x00")

    with scripted(drips) as server:
        url = server.url.replace("http:", "https:")
        with client_of(url, timeouts=HASTY, network=Dialer(verify=False)) as (client, _):
            row = client.get("/", endpoint="page")
    assert (row.outcome, row.reason) == ("timeout", "handshake")
    assert 0.3 <= _took_s(row) < 1.5


def test_a_silent_name_server_delays_no_other_name() -> None:
    """Its users time out, and those of another name don't wait for it."""
    network = Dialer(lookup=_Lookup())
    with (
        scripted(answers(HI)) as server,
        client_of("http://silent.test", timeouts=HASTY, network=network) as (lost, book),
        client_of(server.url.replace("127.0.0.1", "shop.test"), network=network) as (other, _),
    ):
        waiting = [gevent.spawn(lost.get, "/", endpoint="page") for _ in range(3)]
        gevent.sleep(0)
        row = other.get("/", endpoint="page")
        gevent.joinall(waiting)
    assert row.ok
    assert _took_s(row) < 0.3
    assert [(one.outcome, _took_s(one) < 1.0) for one in book.rows] == [("timeout", True)] * 3


def test_a_failed_look_up_is_shared_by_its_waiters() -> None:
    """Five users, one look-up; a later request makes another."""
    lookup = _Lookup()
    with client_of("http://nobody.test", network=Dialer(lookup=lookup)) as (client, book):
        gevent.joinall([gevent.spawn(client.get, "/", endpoint="page") for _ in range(5)])
        assert len(lookup.names) == 1
        client.get("/", endpoint="page")
    assert len(lookup.names) == 2
    assert {row.outcome for row in book.rows} == {"refused"}


def test_a_look_up_outlives_a_waiter() -> None:
    """One user is ended while it waits; the other gets the answer of the same look-up."""
    lookup = _Lookup(0.05)
    with scripted(answers(HI)) as server:
        url = server.url.replace("127.0.0.1", "shop.test")
        with client_of(url, network=Dialer(lookup=lookup)) as (client, book):
            ended, other = (gevent.spawn(client.get, "/", endpoint="page") for _ in range(2))
            gevent.sleep(0.01)
            ended.kill()
            other.join()
    assert ([row.outcome for row in book.rows], len(lookup.names)) == (["cut", "ok"], 1)


_MS = 1_000_000


@pytest.fixture
def ends() -> Iterator[tuple[Waiting, socket.socket]]:
    """Give a Waiting on one end of a pair of sockets, and the other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        waiting = Waiting(ours.fileno())
        yield waiting, theirs
        waiting.stop_watching()


def _lasted_ms(waiting: Waiting, wait_ms: int) -> float:
    begun_ns = time.monotonic_ns()
    with pytest.raises(RequestError, match="timeout"):
        waiting.wait_readable(begun_ns + wait_ms * _MS)
    return (time.monotonic_ns() - begun_ns) / _MS


def _drain(waiting: Waiting) -> None:
    with socket.socket(fileno=os.dup(waiting._descriptor)) as ours:
        assert ours.recv(10) == b"x"


@pytest.mark.parametrize("waits_ms", [(20, 80), (80, 20), (40, 40)])
def test_each_wait_lasts_as_long_as_it_may(ends: tuple[Waiting, socket.socket], waits_ms: tuple[int, int]) -> None:
    """A longer wait after a shorter one is not cut by the timer that was set, nor the other way round."""
    waiting, _ = ends
    for wait_ms in waits_ms:
        assert wait_ms <= _lasted_ms(waiting, wait_ms) < wait_ms + 500


def test_a_wait_after_one_that_ended_early(ends: tuple[Waiting, socket.socket]) -> None:
    """Where the timer of the first has 50 ms left the second goes on; where it has 60 s, the second ends."""
    waiting, theirs = ends
    for wait_ms in (60_000, 50):
        theirs.send(b"x")
        waiting.wait_readable(time.monotonic_ns() + wait_ms * _MS)
        _drain(waiting)
        assert 80 <= _lasted_ms(waiting, 80) < 580


def test_a_killed_wait_leaves_no_waiter(ends: tuple[Waiting, socket.socket]) -> None:
    """The timer of a killed greenlet switches to no other, and the next wait is whole."""
    waiting, _ = ends
    user = gevent.spawn(waiting.wait_readable, time.monotonic_ns() + 20 * _MS)
    gevent.sleep(0)
    user.kill()
    assert 60 <= _lasted_ms(waiting, 60) < 560


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give the keywords of `served` for TLS."""
    return tls_keywords(tmp_path_factory.mktemp("tls"))


def test_a_server_can_not_send_the_load_elsewhere() -> None:
    """A token realm or a redirect may name any host; nothing is sent to one that the run does not permit."""
    with served(answers(HI), network=Dialer(hosts=("172.18.0.9",))) as (_, client, book):
        assert client.get("/", endpoint="page").ok
        with pytest.raises(UsageError, match=r"another host: 203\.0\.113\.7"):
            client.get("http://203.0.113.7/", endpoint="page")
    assert [(row.outcome, row.bytes_sent > 0) for row in book.rows] == [("ok", True), ("aborted", False)]


def test_https_with_an_authority_that_is_trusted(trusted: dict[str, Any]) -> None:
    """A CA file makes its servers trusted; the connection is kept as any other."""
    with served(answers(HI, with_length(BIG), with_length(BIG)), **trusted) as (_, client, book):
        client.get("/", endpoint="page")
        client.get("/", endpoint="page", digest=sha256(BIG))
        client.get("/", endpoint="page")
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), *[("ok", "reused")] * 2]
    assert book.rows[2].bytes_received == len(with_length(BIG))


def test_surplus_through_tls(trusted: dict[str, Any]) -> None:
    """Bytes beyond an answer may lie within TLS, where no poll shows them: they are no answer either."""
    surplus = with_length(b"x" * 100_000) + HI
    with served(answers(surplus), answers(with_length(b"own")), **trusted) as (_, client, book):
        client.get("/", endpoint="page")
        own = client.get("/", endpoint="page", keep=True)
    assert ([row.connection for row in book.rows], own.body) == (["new", "new"], b"own")


@pytest.mark.parametrize("close_notify", [True, False])
def test_a_close_within_a_body_through_tls(trusted: dict[str, Any], *, close_notify: bool) -> None:
    """With or without TLS's close_notify the body is truncated; one without a length ends there."""
    cut = with_length(BIG)[:-1]

    def closes(answer: bytes) -> Script:
        def script(peer: Peer) -> None:
            peer.answer(answer)
            if close_notify:
                cast("ssl.SSLSocket", peer._socket).unwrap()

        return script

    with served(closes(cut), closes(b"HTTP/1.1 200 OK\r\n\r\nall"), **trusted) as (_, client, _):
        row = client.get("/", endpoint="page")
        whole = client.get("/", endpoint="page", keep=True)
    assert (row.outcome, row.bytes_received) == ("truncated", len(cut))
    assert (whole.outcome, whole.body) == ("ok", b"all")


def test_a_refusal_through_tls(trusted: dict[str, Any]) -> None:
    """A body that goes out through TLS is not watched for answers; once it stalls the 413 is read."""
    answer = b"HTTP/1.1 413 Much\r\nContent-Length: 2\r\n\r\nno"

    def refuses(peer: Peer) -> None:
        peer.head()
        peer.send(answer)
        peer.hold()

    with served(refuses, **trusted) as (_, client, _):
        row = client.put("/", endpoint="page", body=BIG * 8, keep=True, timeouts=Timeouts(idle_s=0.5))
    assert (row.outcome, row.status, row.body) == ("status", 413, b"no")


def test_a_large_body_is_sent_whole_through_tls(trusted: dict[str, Any]) -> None:
    """A body beyond the socket's buffer, which the server takes late: OpenSSL has to get the same piece again."""
    body = BIG * 4

    def takes_late(peer: Peer) -> None:
        peer.head()
        gevent.sleep(0.1)  # so that the sender runs into the full buffer
        digest, left = hashlib.sha256(), len(body)
        while left:
            piece = peer._received()
            digest.update(piece)
            left -= len(piece)
        peer.send(with_length(digest.hexdigest().encode()))

    with served(takes_late, **trusted) as (_, client, _):
        row = client.put("/", endpoint="page", body=body, keep=True)
    assert (row.outcome, row.body.decode()) == ("ok", sha256(body).removeprefix("sha256:"))


@pytest.mark.parametrize(("verify", "outcome"), [(True, "protocol"), (False, "ok")])
def test_https_verifies_by_default(trusted: dict[str, Any], outcome: str, *, verify: bool) -> None:
    """An unknown authority is an outcome, unless `verify` is False."""
    with served(answers(HI), tls=trusted["tls"], network=Dialer(verify=verify)) as (_, client, _):
        assert client.get("/", endpoint="page").outcome == outcome


def test_a_handshake_with_something_else() -> None:
    """Plain HTTP on an https port is an outcome."""

    def plain(peer: Peer) -> None:
        peer.send(HI)
        peer.gone()

    with scripted(plain) as server, client_of(server.url.replace("http:", "https:")) as (client, _):
        assert client.get("/", endpoint="page").outcome == "protocol"

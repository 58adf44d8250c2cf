"""How the client reaches a server: names, Unix sockets, source addresses, small buffers, many descriptors."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gevent
import pytest
from process.scripted_server import Peer, client_of, scripted

from seatrial.http.network import Dialer, Sockets

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def _answers_once(peer: Peer) -> None:
    peer.answer(HI)


def _answers_twice(peer: Peer) -> None:
    peer.answer(HI)
    peer.answer(HI)


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


def test_a_unix_socket_where_nobody_listens(tmp_path: Path) -> None:
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
    with scripted(lambda peer: peer.answer(moved)) as server, client_of(server.url) as (client, book):
        there = client.get("/", endpoint="page", expect=(307,)).location
        row = client.get(there or "", endpoint="other")
    assert (row.outcome, row.status, row.endpoint, len(book.rows), book.open) == (outcome, 0, "other", 2, 0)
    assert row.t_end_ns >= row.t_start_ns


def test_a_method_without_a_code_is_a_mistake_wherever_it_goes() -> None:
    """The row of a target that can't be asked for could not be written."""
    with client_of("http://127.0.0.1:1") as (client, book), pytest.raises(ValueError, match="method"):
        client.request("BREW", "http://[::1", endpoint="page")
    assert book.rows == []


def test_a_source_address_and_a_small_buffer() -> None:
    """The server sees the address; the kernel doubles the buffer's size for its own use (socket(7))."""
    seen: list[str] = []

    def script(peer: Peer) -> None:
        seen.append(peer.address)
        peer.answer(HI)

    network = Dialer(sockets=Sockets(source="127.0.0.9", receive_buffer_bytes=8_192))
    with scripted(script) as server, client_of(server.url, network=network) as (client, _):
        row = client.get("/", endpoint="page")
        connection = client._idle[client._origins.home][0]
        size = socket.socket(fileno=os.dup(connection._stream.fileno()))
    with size:
        assert size.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 16_384
    assert (row.outcome, seen) == ("ok", ["127.0.0.9"])


def test_a_name_is_asked_for_once() -> None:
    """Two users that begin at once ask one time, and a later connection takes the same answer."""
    asked: list[str] = []

    def lookup(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        gevent.sleep(0.01)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    network = Dialer(lookup=lookup)
    with scripted(*[_answers_once] * 3) as server:
        url = server.url.replace("127.0.0.1", "shop.test")
        with client_of(url, network=network) as (one, _), client_of(url, network=network) as (two, _):
            gevent.joinall([gevent.spawn(user.get, "/", endpoint="page") for user in (one, two)])
            assert asked == ["shop.test"]
            two.close()
            assert two.get("/", endpoint="other").ok
    assert asked == ["shop.test"]


def test_more_than_1024_descriptors() -> None:
    """A connection whose descriptor is beyond select()'s limit works, and is looked at before it is used again."""
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        with scripted(_answers_twice) as server, client_of(server.url) as (client, book):
            client.get("/", endpoint="page")
            assert client._idle[client._origins.home][0]._stream.fileno() > 1_024
            client.get("/", endpoint="page")
    finally:
        for descriptor in taken:
            os.close(descriptor)
    assert [(row.outcome, row.connection) for row in book.rows] == [("ok", "new"), ("ok", "reused")]

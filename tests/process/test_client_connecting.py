"""How long a connection may take to be opened: the name's look-up, and TLS."""

from __future__ import annotations

import socket
from typing import Any

import gevent
from process.scripted_server import Peer, client_of, scripted

from seatrial.http.messages import Response, Timeouts
from seatrial.http.network import Dialer

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
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


def test_a_name_that_nobody_knows_holds_nobody_up() -> None:
    """Its look-up hangs: its users give up in time, and those of another name don't wait for it."""

    def lookup(host: str, port: int, **_: object) -> list[Any]:
        if host == "silent.test":
            gevent.sleep(3.0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    network = Dialer(lookup=lookup)
    with (
        scripted(lambda peer: peer.answer(HI)) as server,
        client_of("http://silent.test", timeouts=HASTY, network=network) as (lost, book),
        client_of(server.url.replace("127.0.0.1", "shop.test"), network=network) as (found, _),
    ):
        waiting = [gevent.spawn(lost.get, "/", endpoint="page") for _ in range(3)]
        gevent.sleep(0)
        row = found.get("/", endpoint="page")
        gevent.joinall(waiting)
    assert row.ok
    assert _took_s(row) < 0.3
    assert [(one.outcome, _took_s(one) < 1.0) for one in book.rows] == [("timeout", True)] * 3


def test_a_failed_look_up_is_shared_by_those_who_wait() -> None:
    """Five users, one question; who comes later asks again."""
    asked: list[str] = []

    def lookup(host: str, _port: int, **_: object) -> list[Any]:
        asked.append(host)
        gevent.sleep(0.01)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    with client_of("http://nobody.test", network=Dialer(lookup=lookup)) as (client, book):
        gevent.joinall([gevent.spawn(client.get, "/", endpoint="page") for _ in range(5)])
        assert len(asked) == 1
        client.get("/", endpoint="page")
    assert len(asked) == 2
    assert {row.outcome for row in book.rows} == {"refused"}


def test_a_look_up_that_is_not_waited_for_is_still_heard() -> None:
    """One user is ended while it waits; the others get the answer of the same question."""
    asked: list[str] = []

    def lookup(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        gevent.sleep(0.05)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with scripted(lambda peer: peer.answer(HI)) as server:
        url = server.url.replace("127.0.0.1", "shop.test")
        with client_of(url, network=Dialer(lookup=lookup)) as (client, book):
            ended, other = (gevent.spawn(client.get, "/", endpoint="page") for _ in range(2))
            gevent.sleep(0.01)
            ended.kill()
            other.join()
    assert ([row.outcome for row in book.rows], len(asked)) == (["cut", "ok"], 1)

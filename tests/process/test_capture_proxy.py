"""The logging proxy of the captures: it counts what a client's process read, not what was sent to it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import golden_session
from logging_proxy import Exchange, LoggingProxy, logging_proxy
from process.served import Handler, served
from trials import wait_until

SIZE = 8 << 20
WITHIN_S = 10.0


class _Whole(Handler):
    """Answers each GET with 8 MiB, so many that no pair of kernels holds them unread."""

    def do_GET(self) -> None:
        """Answer."""
        self.answer(200, bytes(SIZE))


@contextmanager
def _proxied(rate: float | None = None) -> Iterator[tuple[LoggingProxy, socket.socket]]:
    """Yield a proxy, and a client's connection to it with a small receive buffer."""
    with (
        served(_Whole) as url,
        logging_proxy(("127.0.0.1", int(url.rpartition(":")[2])), rate) as proxy,
        socket.socket() as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.settimeout(WITHIN_S)
        client.connect(("127.0.0.1", proxy.port))
        yield proxy, client


def _ask(client: socket.socket, **headers: str) -> None:
    """Send a request and read the head of the response, and nothing of its body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    client.sendall(f"GET /clip HTTP/1.1\r\nHost: test\r\n{lines}\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _received(client, 1)


def _read(client: socket.socket, count: int) -> None:
    while count:
        count -= len(_received(client, min(count, 65_536)))


def _received(client: socket.socket, most: int) -> bytes:
    piece = client.recv(most)
    assert piece, "the proxy closed the connection"
    return piece


def _settled(exchange: Exchange, taken: int) -> None:
    wait_until(lambda: exchange.taken == taken, WITHIN_S, every_s=0.01)


def test_taken_is_what_the_process_has_read() -> None:
    """To the byte, although the kernels between hold more."""
    with _proxied() as (proxy, client):
        _ask(client)
        _read(client, 100_000)
        (exchange,) = proxy.exchanges
        _settled(exchange, 100_000)
        wait_until(lambda: exchange.arrived > 100_000, WITHIN_S, every_s=0.01)
        client.close()
        wait_until(lambda: exchange.ended, WITHIN_S, every_s=0.01)

    assert (exchange.ended, exchange.taken, exchange.length) == ("by the client", 100_000, SIZE)
    assert exchange.arrived < SIZE / 2


def test_a_connection_that_is_used_again() -> None:
    """The first response is complete once the second request comes; the last one when the client says good-bye."""
    with _proxied() as (proxy, client):
        for number in ("1", "2"):
            _ask(client, Range=f"bytes={number}-", Zeta=number)
            _read(client, SIZE)
        client.close()
        wait_until(lambda: all(one.ended for one in proxy.exchanges), WITHIN_S, every_s=0.01)

    told = [(one.connection, one.nth, one.ended, one.taken) for one in proxy.exchanges]
    assert told == [(1, 1, "complete", SIZE), (1, 2, "complete", SIZE)]
    assert proxy.exchanges[1].headers == [("Host", "test"), ("Range", "bytes=2-"), ("Zeta", "2")]


def test_a_connection_has_its_rate() -> None:
    """4 MiB a second: 2 MiB, the 256 KiB in store apart, last at least 0.4 s."""
    with _proxied(4 * 1024 * 1024) as (_, client):
        _ask(client)
        begin_s = time.monotonic()
        _read(client, 2 << 20)
        assert time.monotonic() - begin_s > 0.4


def test_a_client_that_does_not_read_pauses() -> None:
    """The pause is from the last byte taken to the next one, and only where bytes were waiting."""
    with _proxied() as (proxy, client):
        begin_s = time.monotonic()
        _ask(client)
        _read(client, 50_000)
        (exchange,) = proxy.exchanges
        _settled(exchange, 50_000)
        wait_until(lambda: time.monotonic() - begin_s > 0.8, WITHIN_S)
        _read(client, 50_000)
        _settled(exchange, 100_000)
        stop_s = time.monotonic()

    (asked,), _ = golden_session.requests(proxy.exchanges, exchange.at_s, stop_s)
    ((from_s, until_s, taken),) = asked.pauses
    assert taken == 50_000
    assert 0.5 < until_s - from_s < stop_s - begin_s

"""An HTTP/1.x proxy that logs what a player asks and takes, and can be slow.

It runs in a thread of the caller, on a port of its own on loopback, with one connection upstream for each one of
a client. Both sides have small buffers, so that the server feels a client that does not read as it would over a
network, and no byte count rests on what was written (see socket_bytes.py). Only what players send is understood:
requests without bodies, responses with Content-Length.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from socket_bytes import TABLE, Ends, acknowledged, receive_queues

SAMPLE_S = 0.02
_SEND_BUFFER = 128 * 1024  # with 16 KiB, loopback (packets of 64 KiB, confirmed after 40 ms) carries 2 MB/s
_RECEIVE_BUFFER = 64 * 1024
_PIECE = 64 * 1024
_SLOW_PIECE = 16 * 1024
_STORE = 256 * 1024
_HEAD_LIMIT = 64 * 1024
_START_S = 10.0
_END = b"\r\n\r\n"
Headers = list[tuple[str, str]]


@dataclass(slots=True, kw_only=True, eq=False)
class Exchange:
    """A request and how its response was taken; times in seconds of time.monotonic, bytes without the head."""

    connection: int
    nth: int  # on its connection, from 1
    ends: Ends
    at_s: float
    method: str
    target: str
    version: str
    headers: Headers
    status: int = 0
    answer: Headers = field(default_factory=list)
    first_byte_s: float = 0.0
    length: int = 0
    before: int = 0  # acknowledged bytes of the connection before the body
    arrived: int = 0
    taken: int = 0
    samples: list[tuple[float, int, int]] = field(default_factory=list)  # (time, arrived, taken) at each change
    ended: str = ""  # complete, by the client, by the server; empty: not yet
    ended_s: float = 0.0

    def header(self, name: str) -> str | None:
        """Return a request header, by its name in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def answered(self, name: str) -> str | None:
        """Return a response header, by its name in lower case."""
        return next((value for key, value in self.answer if key.lower() == name), None)

    def end(self, how: str) -> None:
        """Note how it ended, unless that is known."""
        if not self.ended:
            self.ended, self.ended_s = how, time.monotonic()

    def sample(self, acked: int | None, waiting: int | None) -> None:
        """Note how much has arrived, and how much of that waits unread."""
        if acked is not None:
            self.arrived = max(self.arrived, min(acked - self.before, self.length))
        if waiting is not None:
            self.taken = max(self.taken, self.arrived - waiting)
        found = (self.arrived, self.taken)
        if not self.samples or found != self.samples[-1][1:]:
            self.samples.append((time.monotonic(), *found))


class _GoneError(Exception):
    """One side has closed the connection."""

    def __init__(self, side: str, *, reset: bool = False) -> None:
        super().__init__(side)
        self.side, self.reset = side, reset


@dataclass(slots=True)
class _Side:
    """One end of the proxy: a socket, what was read too far, and whose it is."""

    socket: socket.socket
    name: str
    rest: bytes = b""

    async def head(self) -> bytes:
        """Return the next head with its empty line."""
        while _END not in self.rest:
            if len(self.rest) > _HEAD_LIMIT:
                raise _GoneError(self.name)
            self.rest += await self._receive(_PIECE)
        head, _, self.rest = self.rest.partition(_END)
        return head + _END

    async def some(self, limit: int) -> bytes:
        """Return up to `limit` bytes, at least one."""
        if not self.rest:
            return await self._receive(limit)
        piece, self.rest = self.rest[:limit], self.rest[limit:]
        return piece

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        try:
            await asyncio.get_running_loop().sock_sendall(self.socket, data)
        except OSError as error:
            raise _GoneError(self.name, reset=True) from error

    async def _receive(self, limit: int) -> bytes:
        try:
            piece = await asyncio.get_running_loop().sock_recv(self.socket, limit)
        except OSError as error:
            raise _GoneError(self.name, reset=True) from error
        if not piece:
            raise _GoneError(self.name)
        return piece


@dataclass(slots=True)
class _Bucket:
    """Tokens, one a byte: `rate` of them a second, at most 256 KiB of them in store."""

    rate: float
    tokens: float = float(_SLOW_PIECE)
    at_s: float = field(default_factory=time.monotonic)

    async def take(self, count: int) -> None:
        """Wait until so many bytes may pass."""
        while True:
            now = time.monotonic()
            self.tokens = min(float(_STORE), self.tokens + (now - self.at_s) * self.rate)
            self.at_s = now
            if self.tokens >= count:
                break
            await asyncio.sleep((count - self.tokens) / self.rate)
        self.tokens -= count


@dataclass(slots=True)
class LoggingProxy:
    """The proxy: `rate` in bytes a second for each connection, None: as fast as it goes.

    `pages` are answered by the proxy itself, with a connection each that is not counted.
    """

    upstream: tuple[str, int]
    rate: float | None = None
    pages: Mapping[str, bytes] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    port: int = 0
    failures: list[BaseException] = field(default_factory=list)
    _connections: int = 0
    _open: dict[Exchange, socket.socket] = field(default_factory=dict)

    async def run(self, listener: socket.socket) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        served: set[asyncio.Task[None]] = {asyncio.create_task(self._watch())}
        try:
            while True:
                client, address = await loop.sock_accept(listener)
                task = asyncio.create_task(self._serve(client, Ends(int(address[1]), self.port)))
                served.add(task)
                task.add_done_callback(served.discard)
                task.add_done_callback(self._done)
        finally:
            for task in served:
                task.cancel()
            await asyncio.gather(*served, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            # Acknowledged first: what arrives between the two readings then counts as unread, never as taken.
            counts = [(exchange, acknowledged(client)) for exchange, client in self._open.items()]
            queues = receive_queues(TABLE.read_text(encoding="ascii"))
            for exchange, acked in counts:
                exchange.sample(acked, queues.get(exchange.ends))
            await asyncio.sleep(SAMPLE_S)

    async def _serve(self, client: socket.socket, ends: Ends) -> None:
        upstream = None
        current: list[Exchange] = []
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asker = _Side(client, "client")
            head = await asker.head()
            if await self._page(asker, head):
                return
            self._connections += 1
            number = self._connections
            upstream = await self._connected()
            answerer = _Side(upstream, "server")
            while True:
                current.append(_exchange(head, number, len(current) + 1, ends))
                self.exchanges.append(current[-1])
                await self._pass(current[-1], head, asker, answerer)
                head = await asker.head()
                self._close(current[-1], "complete")
        except _GoneError as gone:
            if current:
                self._sample(current[-1])
                self._close(current[-1], _how(current[-1], gone))
        finally:
            if current:
                self._close(current[-1], "by the end of the capture")
            for side in filter(None, (client, upstream)):
                side.close()

    async def _page(self, asker: _Side, head: bytes) -> bool:
        path = head.split(b" ", 2)[1].decode("latin-1").partition("?")[0]
        if path not in self.pages and path != "/favicon.ico":
            return False
        content, status = self.pages.get(path, b""), b"200 OK" if path in self.pages else b"404 Not Found"
        lines = (
            b"HTTP/1.1 " + status,
            b"Content-Type: text/html; charset=utf-8",
            b"Cache-Control: no-store",
            b"Connection: close",
            b"Content-Length: %d" % len(content),
        )
        await asker.send(b"\r\n".join(lines) + _END + content)
        return True

    async def _connected(self) -> socket.socket:
        upstream = socket.socket()
        upstream.setblocking(False)  # noqa: FBT003  (its only form)
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(upstream, self.upstream)
        return upstream

    async def _pass(self, exchange: Exchange, head: bytes, asker: _Side, answerer: _Side) -> None:
        await answerer.send(head)
        answer = await answerer.head()
        first, exchange.answer = _parsed(answer)
        exchange.status, exchange.first_byte_s = int(first.split(" ")[1]), time.monotonic()
        bodiless = exchange.method == "HEAD" or exchange.status in {204, 304}
        if not bodiless and exchange.answered("content-length") is None:
            raise ValueError(f"a response without Content-Length, which this proxy cannot follow: {first}")
        exchange.length = 0 if bodiless else int(exchange.answered("content-length") or 0)
        exchange.before = (acknowledged(asker.socket) or 0) + len(answer)
        self._open[exchange] = asker.socket
        await asker.send(answer)
        await self._body(exchange.length, asker, answerer)

    async def _body(self, left: int, asker: _Side, answerer: _Side) -> None:
        bucket = _Bucket(self.rate) if self.rate else None
        while left:
            piece = await answerer.some(min(left, _SLOW_PIECE if bucket else _PIECE))
            left -= len(piece)
            if bucket:
                await bucket.take(len(piece))
            await asker.send(piece)

    def _sample(self, exchange: Exchange) -> None:
        if exchange in self._open:
            exchange.sample(acknowledged(self._open[exchange]), None)

    def _close(self, exchange: Exchange, how: str) -> None:
        self._sample(exchange)
        self._open.pop(exchange, None)
        if how == "complete" and not exchange.ended:
            exchange.sample(exchange.before + exchange.length, 0)
        exchange.end(how)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()):
            self.failures.append(failure)


def _how(exchange: Exchange, gone: _GoneError) -> str:
    """Say how a response ended when a side went; a client that leaves bytes unread resets the connection."""
    if gone.side == "server":
        return "by the server"
    whole = exchange.status > 0 and exchange.arrived >= exchange.length
    return "complete" if whole and not gone.reset else "by the client"


def _exchange(head: bytes, connection: int, nth: int, ends: Ends) -> Exchange:
    line, headers = _parsed(head)
    method, target, version = line.split(" ", 2)
    return Exchange(
        connection=connection,
        nth=nth,
        ends=ends,
        at_s=time.monotonic(),
        method=method,
        target=target,
        version=version,
        headers=headers,
    )


def _parsed(head: bytes) -> tuple[str, Headers]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, [(name.strip(), value.strip()) for name, _, value in pairs]


@contextmanager
def logging_proxy(
    upstream: tuple[str, int], rate: float | None = None, pages: Mapping[str, bytes] | None = None
) -> Iterator[LoggingProxy]:
    """Run a proxy while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.setblocking(False)  # noqa: FBT003  (its only form)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # its connections inherit that
    proxy = LoggingProxy(upstream, rate, pages or {}, port=listener.getsockname()[1])
    ready, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        serving = asyncio.create_task(proxy.run(listener))
        ready.set()
        await stop.wait()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    try:
        if not ready.wait(_START_S):
            raise TimeoutError("the proxy's thread has not started")
        yield proxy
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(_START_S)
        listener.close()
    for failure in proxy.failures:
        raise failure

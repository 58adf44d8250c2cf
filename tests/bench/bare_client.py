"""A minimal gevent client: a socket, and no more knowledge of HTTP than the response's length."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import gevent
from bench.job import READ_BYTES, BenchFailed, Job, Measured, peak_rss_mib
from bench.meter import Meter
from gevent import socket, ssl

_BUFFER_BYTES = 256 * 1024
_HASHED_BYTES = 1 << 30


class _Bare:
    def __init__(self, job: Job) -> None:
        parts = urlsplit(job.target)
        self._address = (parts.hostname, parts.port)
        closing = "" if job.work.keep_alive else "Connection: close\r\n"
        self._message = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{closing}\r\n".encode()
        self._keep_alive = job.work.keep_alive
        self._flags = socket.MSG_TRUNC if job.work.conduct == "drain" and not job.work.tls else 0
        self._hash = hashlib.sha256().update if job.work.conduct == "sha256" else None
        self._context = ssl.create_default_context(cafile=job.ca_file) if job.work.tls else None
        self._buffer = bytearray(READ_BYTES if job.work.conduct == "stream" else _BUFFER_BYTES)
        self._view = memoryview(self._buffer)

    def run(self, done: Callable[[], None]) -> None:
        """Do one request after the other, until it is killed."""
        sock = self._connected()
        length = self._first_length(sock)
        while True:  # until the window has ended and this greenlet is killed
            if not self._keep_alive:
                sock.close()
                sock = self._connected()
            sock.sendall(self._message)
            self._receive(sock, length)
            done()
            if length > _BUFFER_BYTES:  # where bytes are hashed more slowly than they come, no read ever waits
                gevent.sleep(0)

    def _connected(self) -> socket.socket:
        sock = socket.create_connection(self._address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._context.wrap_socket(sock, server_hostname=self._address[0]) if self._context else sock

    def _first_length(self, sock: socket.socket) -> int:
        """Do a first request; return the length of each response, head included."""
        sock.sendall(self._message)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(_BUFFER_BYTES)
        head, _, body = answer.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if b" 200 " not in head[:13] or not lengths:
            raise BenchFailed(f"the server answered {head[:60]!r}")
        length = int(lengths[0].split(b":")[1])
        self._receive(sock, length - len(body))
        return len(head) + 4 + length

    def _receive(self, sock: socket.socket, left: int) -> None:
        while left:
            size = min(left, len(self._buffer))
            flags = (self._flags,) if self._flags else ()
            count = sock.recv_into(self._buffer, size, *flags)
            if not count:
                raise BenchFailed("the server closed within a response")
            if self._hash is not None:
                self._hash(self._view[:count])
            left -= count


def measure(job: Job) -> Measured:
    """Run one greenlet for each connection."""
    meter = Meter(job)
    bare = _Bare(job)
    users = [gevent.spawn(bare.run, meter.turn) for _ in range(job.work.connections)]
    for user in users:
        user.link_exception(lambda user: meter.fail(user.exception))
    try:
        return meter.measure()
    finally:
        gevent.killall(users)


def hash_alone(_job: Job) -> Measured:
    """Hash a GiB in pieces of a read, without any network."""
    piece, digest = bytes(_BUFFER_BYTES), hashlib.sha256()
    cpu_s = time.process_time()
    for _ in range(_HASHED_BYTES // _BUFFER_BYTES):
        digest.update(piece)
    cpu_s, count = time.process_time() - cpu_s, _HASHED_BYTES // (64 << 20)
    peak = peak_rss_mib("self")
    return Measured(requests=count, body_bytes=_HASHED_BYTES, cpu_s=cpu_s, peak_rss_mib=peak, new_connections=0)

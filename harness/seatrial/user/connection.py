"""One open connection, plain or TLS, whose every failure is a Fault; it never blocks the loop."""

from __future__ import annotations

import _socket
import errno
import mmap
import select
import time
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import monkey, ssl

from seatrial.user.http1 import Fault
from seatrial.user.origin import Origin
from seatrial.user.waiting import Waiting
from seatrial.wire.tables import Outcome

Buffer = bytearray | memoryview | mmap.mmap
BUFFER_BYTES = 256 * 1024
SEND_BYTES = 256 * 1024
SKIP_BYTES = 4 * 1024 * 1024
_unseen = mmap.mmap(-1, SKIP_BYTES)
"""Address space only: the kernel asks for a buffer, and writes nothing into it."""
TURN_BYTES = 1024 * 1024
"""So much without a wait, and others have their turn: a peer that is always faster would keep them waiting."""
_NS = 1_000_000_000
UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
_HUNG_UP = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN})
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# A patched `select.poll` would wait in gevent's loop; this one is only asked what is there.
_poll: Any = monkey.get_original("select", "poll")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a request may take: to connect, to the first byte, between two reads, and in all."""

    connect_s: float = 10.0
    first_byte_s: float = 60.0
    idle_s: float = 30.0
    total_s: float = 600.0


Stream = _socket.socket | ssl.SSLSocket
"""A socket that never blocks: a plain one of the C module, or a TLS one of gevent without a timeout."""


class Connection(Waiting):
    """An open connection; `plain` tells that its bytes are those of the wire, not those within TLS."""

    __slots__ = ("_polled", "_stream", "_tls", "origin", "plain")

    def __init__(self, stream: Stream, origin: Origin) -> None:
        super().__init__(stream.fileno())
        self._stream = stream
        self.origin = origin
        self._tls = stream if isinstance(stream, ssl.SSLSocket) else None
        self.plain = self._tls is None
        self._polled: Any = None

    def send(self, data: bytes | memoryview, wait_s: float, deadline_ns: int) -> int:
        """Send all of `data`; the peer may take nothing for `wait_s`, until `deadline_ns`. Return the bytes."""
        sent = self._some(data)
        if sent < len(data):
            self._rest(memoryview(data), sent, wait_s, deadline_ns)
        return len(data)

    def receive(self, buffer: Buffer, due_ns: int, size: int = 0, flags: int = 0) -> int:
        """Receive what is there into `buffer`, waiting until `due_ns` for it; 0 means that the peer closed."""
        while True:  # bounded by due_ns: each turn waits
            try:
                if self._tls is not None:
                    return _records(self._tls, buffer)
                return self._stream.recv_into(buffer, size, flags)
            except _WOULD_BLOCK:
                self.wait_readable(due_ns)
            except OSError as error:
                raise fault_of(error, "while receiving") from None

    def answer(self, buffer: bytearray, due_ns: int) -> int:
        """Receive as `receive` does, but wait before the first try, which right after a request is in vain."""
        if self.plain:
            self.wait_readable(due_ns)
        return self.receive(buffer, due_ns)

    def skip(self, size: int, due_ns: int) -> int:
        """Receive up to `size` bytes, but have the kernel drop them (tcp(7), MSG_TRUNC); plain TCP only."""
        return self.receive(_unseen, due_ns, min(size, SKIP_BYTES), _socket.MSG_TRUNC)

    def give_way(self, due_ns: int) -> None:
        """Let others run, with more to come from the peer.

        Up to fifty greenlets that only sleep(0) run in turns before gevent looks at sockets and timers again.
        """
        if self._tls is not None and self._tls.pending():  # which would not make the descriptor readable
            gevent.sleep(0)
        else:
            self.wait_readable(due_ns)

    def closed_by_peer(self) -> bool:
        """Whether the peer has already closed, or sent bytes that nobody asked for; never waits."""
        if self._polled is None:
            self._polled = _poll()
            self._polled.register(self._descriptor, select.POLLIN)
        return bool(self._polled.poll(0))

    def close(self) -> None:
        """Close; a second time does nothing."""
        self.stop_watching()
        self._stream.close()

    def _some(self, data: bytes | memoryview) -> int:
        try:
            return self._stream.send(data)
        except _WOULD_BLOCK:
            return 0
        except OSError as error:
            raise fault_of(error, "while sending") from None

    def _rest(self, view: memoryview, sent: int, wait_s: float, deadline_ns: int) -> None:
        turn_bytes = 0
        while sent < len(view):
            count = self._some(view[sent : sent + SEND_BYTES])
            sent += count
            turn_bytes += count
            if not count:
                due_ns = min(time.monotonic_ns() + int(wait_s * _NS), deadline_ns)
                self.wait_writable(due_ns, "while sending")
            elif turn_bytes >= TURN_BYTES:
                self.wait_writable(deadline_ns, "while sending")
                turn_bytes = 0


def _records(tls: ssl.SSLSocket, buffer: Buffer) -> int:
    """Read as many TLS records as are there: each is 16 KiB at most, a fraction of what a wait is worth."""
    view = memoryview(buffer)[:BUFFER_BYTES]
    count = tls.recv_into(view)
    while count and count < len(view):
        try:
            more = tls.recv_into(view[count:])
        except OSError:  # nothing more now, or a failure that the next read meets again
            break
        if not more:
            break
        count += more
    return count


def fault_of(error: OSError, when: str) -> Fault:
    """Return what a failed call makes of a request; what is this machine's own fault is raised as it is."""
    if isinstance(error, TimeoutError):  # ours, or the kernel's: Python makes one of ETIMEDOUT
        return Fault(Outcome.TIMEOUT, when)
    if isinstance(error, ssl.SSLError):
        return Fault(Outcome.PROTOCOL, f"TLS {when}: {error.reason or 'failed'}")
    if error.errno in _HUNG_UP:
        return Fault(Outcome.RESET, when, hung_up=True)
    if error.errno in UNREACHABLE:  # the route went away beneath a connection that stood
        return Fault(Outcome.RESET, f"{when}: {errno.errorcode[error.errno]}")
    raise error

"""One open connection, plain or TLS, whose every failure is a Fault; it never blocks the loop."""

from __future__ import annotations

import _socket
import errno
import mmap
import select
import time
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import monkey, ssl

from seatrial.http.http1 import Fault
from seatrial.http.origin import Origin
from seatrial.http.tls_records import decrypt_of, records, thrown_away
from seatrial.http.waiting import Waiting
from seatrial.units import NS_PER_S
from seatrial.wire.tables import Outcome

Buffer = bytearray | memoryview | mmap.mmap
BUFFER_BYTES = 256 * 1024
SEND_BYTES = 256 * 1024
SKIP_BYTES = 4 * 1024 * 1024
_unseen = mmap.mmap(-1, SKIP_BYTES)
"""Address space only: the kernel asks for a buffer, and writes nothing into it."""
TURN_BYTES = 1024 * 1024
"""So much without a wait, and others have their turn: a peer that is always faster would keep them waiting."""
_RECEIVING = "while receiving"
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
    first_byte_ns: int = field(init=False, repr=False, compare=False)
    total_ns: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Count in nanoseconds what each request asks for."""
        object.__setattr__(self, "first_byte_ns", int(self.first_byte_s * NS_PER_S))
        object.__setattr__(self, "total_ns", int(self.total_s * NS_PER_S))


Stream = _socket.socket | ssl.SSLSocket
"""A socket that never blocks: a plain one of the C module, or a TLS one of gevent without a timeout."""


class Connection(Waiting):
    """An open connection; `plain` tells that its bytes are those of the wire, not those within TLS."""

    __slots__ = ("_decrypt", "_polled", "_stream", "_tls", "origin", "plain")

    def __init__(self, stream: Stream, origin: Origin) -> None:
        super().__init__(stream.fileno())
        self._stream = stream
        self.origin = origin
        self._tls = stream if isinstance(stream, ssl.SSLSocket) else None
        self._decrypt = decrypt_of(self._tls) if self._tls else None
        self.plain = self._tls is None
        self._polled: Any = None

    def send(self, data: bytes | memoryview, wait_s: float, deadline_ns: int, *, listening: bool = False) -> int:
        """Send all of `data`; the peer may take nothing for `wait_s`, until `deadline_ns`. Return the bytes.

        They are fewer only where it is `listening`, and the peer speaks or closes before it has all. That is not
        seen through TLS, where what comes may be TLS's own.
        """
        listening = listening and self.plain
        if listening and self.speaks():
            return 0
        # OpenSSL takes up a write that would block with the same piece only: its size may not depend on the try.
        sent = self._some(data) if self.plain or len(data) <= SEND_BYTES else 0
        if sent < len(data):
            sent = self._rest(memoryview(data), sent, wait_s, deadline_ns, listening=listening)
        return sent

    def receive(self, buffer: Buffer, due_ns: int, size: int = 0, flags: int = 0) -> int:
        """Receive what is there into `buffer`, waiting until `due_ns` for it; 0 means that the peer closed."""
        while True:  # bounded by due_ns: each turn waits
            try:
                if self._decrypt is not None:
                    if flags:
                        return thrown_away(self._decrypt, min(size, BUFFER_BYTES))
                    return records(self._decrypt, memoryview(buffer)[:BUFFER_BYTES])
                return self._stream.recv_into(buffer, size, flags)
            except _WOULD_BLOCK:
                self.wait_readable(due_ns)
            except OSError as error:
                raise fault_of(error, _RECEIVING) from None

    def answer(self, buffer: bytearray, due_ns: int) -> int:
        """Receive as `receive` does, but wait before the first try, which right after a request is in vain."""
        if not self.plain:
            return self.receive(buffer, due_ns)
        if self._reader is None:
            self.wait_readable(due_ns)
        else:
            self._wait(self._reader, due_ns, _RECEIVING)
        try:
            return self._stream.recv_into(buffer)
        except _WOULD_BLOCK:
            return self.receive(buffer, due_ns)
        except OSError as error:
            raise fault_of(error, _RECEIVING) from None

    def skip(self, size: int, due_ns: int) -> int:
        """Receive up to `size` bytes that nobody looks at; the kernel drops plain ones (tcp(7), MSG_TRUNC)."""
        return self.receive(_unseen, due_ns, min(size, SKIP_BYTES), _socket.MSG_TRUNC)

    def give_way(self, due_ns: int) -> None:
        """Let others run, with more to come from the peer.

        Up to fifty greenlets that only sleep(0) run in turns before gevent looks at sockets and timers again.
        """
        if self._tls is not None and self._tls.pending():  # which would not make the descriptor readable
            gevent.sleep(0)
        else:
            self.wait_readable(due_ns)

    def speaks(self) -> bool:
        """Whether the peer has closed, or sent bytes; never waits."""
        if self._polled is None:
            self._polled = _poll()
            self._polled.register(self._descriptor, select.POLLIN)
        return bool(self._polled.poll(0)) or (self._tls is not None and self._tls.pending() > 0)

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

    def _rest(self, view: memoryview, sent: int, wait_s: float, deadline_ns: int, *, listening: bool) -> int:
        turn_bytes = 0
        while sent < len(view) and not (listening and self.speaks()):
            count = self._some(view[sent : sent + SEND_BYTES])
            sent += count
            turn_bytes += count
            if not count:
                due_ns = min(time.monotonic_ns() + int(wait_s * NS_PER_S), deadline_ns)
                self.wait_writable(due_ns, "while sending", or_readable=listening)
            elif turn_bytes >= TURN_BYTES:
                self.wait_writable(deadline_ns, "while sending", or_readable=listening)
                turn_bytes = 0
        return sent


def fault_of(error: OSError, when: str) -> Fault:
    """Return what a failed call makes of a request; what is this machine's own fault is raised as it is."""
    if isinstance(error, TimeoutError):  # ours, or the kernel's: Python makes one of ETIMEDOUT
        return Fault(Outcome.TIMEOUT, when)
    if isinstance(error, ssl.SSLEOFError):
        return Fault(Outcome.RESET, when, hung_up=True)
    if isinstance(error, ssl.SSLError):
        return Fault(Outcome.PROTOCOL, f"TLS {when}: {error.reason or 'failed'}")
    if error.errno in _HUNG_UP:
        return Fault(Outcome.RESET, when, hung_up=True)
    if error.errno in UNREACHABLE:  # the route went away beneath a connection that stood
        return Fault(Outcome.RESET, f"{when}: {errno.errorcode[error.errno]}")
    raise error

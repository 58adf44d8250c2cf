"""A non-blocking socket on gevent's event loop, plain or TLS: send, receive and wait with deadlines.

A gevent socket makes a waiter and a timer for each wait. Here one timer serves many waits: it is looked at when it
fires, and set again only if the wait that is on then has time left.
"""

from __future__ import annotations

import _socket
import errno
import mmap
import select
import time
from collections.abc import Callable
from typing import Any, Final, cast

import gevent
from gevent import monkey, ssl

from seatrial.http.parser import RequestError
from seatrial.units import NS_PER_S
from seatrial.wire.streams import Outcome

BUFFER_BYTES = 256 * 1024
SEND_BYTES = 256 * 1024
RECORD_BYTES = 16 * 1024
TURN_BYTES = 1024 * 1024
"""So much without a wait, then others run: a peer that is always faster would keep them waiting."""
SKIP_BYTES = 4 * 1024 * 1024
UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
_HUNG_UP = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN})
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE
HANDSHAKE = "handshake"
_RECEIVING = "while receiving"
_SENDING = "while sending"
_READY: Final = object()
_EXPIRED: Final = object()
_skipped = mmap.mmap(-1, SKIP_BYTES)
"""Address space only: the kernel requires a buffer, and writes nothing into it."""
_record = memoryview(bytearray(RECORD_BYTES))
# A patched `select.poll` would wait in gevent's loop; this one only reports what is there.
_poll: Any = monkey.get_original("select", "poll")

Buffer = bytearray | memoryview | mmap.mmap
Decrypt = Callable[[int, memoryview], int]
"""Reads up to so many bytes into a place; SSLWantReadError where nothing is there."""
SocketLike = _socket.socket | ssl.SSLSocket
"""A socket that never blocks: a plain one of the C module, or a TLS one of gevent without a timeout."""


def due_after(wait_s: float, deadline_ns: int) -> int:
    """Return when a wait that begins now ends; RequestError where the deadline has passed already."""
    now_ns = time.monotonic_ns()
    if now_ns >= deadline_ns:
        raise RequestError(Outcome.TIMEOUT, "request took too long in all")
    return min(now_ns + int(wait_s * NS_PER_S), deadline_ns)


def request_error(error: OSError, when: str) -> RequestError:
    """Return the RequestError of a failed system call; what is this machine's own failure is raised as it is."""
    if isinstance(error, TimeoutError):  # ours, or the kernel's: Python makes one of ETIMEDOUT
        return RequestError(Outcome.TIMEOUT, when)
    if isinstance(error, ssl.SSLEOFError) or error.errno in _HUNG_UP:
        return RequestError(Outcome.RESET, when, hung_up=True)
    if isinstance(error, ssl.SSLError):
        return RequestError(Outcome.PROTOCOL, f"TLS {when}: {error.reason or 'failed'}")
    if error.errno in UNREACHABLE:  # the route went away beneath an open connection
        return RequestError(Outcome.RESET, f"{when}: {errno.errorcode[error.errno]}")
    raise error


class Waiting:
    """Lets one greenlet at a time wait for a descriptor."""

    __slots__ = ("_descriptor", "_due_ns", "_hub", "_reader", "_timer", "_timer_ns", "_waiter")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hub: Any = gevent.get_hub()
        self._reader: Any = None
        self._timer: Any = None
        self._timer_ns = 0
        self._due_ns = 0
        self._waiter: Any = None

    def wait_readable(self, due_ns: int, when: str = _RECEIVING) -> None:
        """Let others run until there is something to read; RequestError if that is not so by `due_ns`."""
        if self._reader is None:
            self._reader = self._hub.loop.io(self._descriptor, _READ)
        self._wait(self._reader, due_ns, when)

    def wait_writable(self, due_ns: int, when: str, *, or_readable: bool = False) -> None:
        """Let others run until something can be written (`or_readable`: or read), or a connect has ended."""
        watcher = self._hub.loop.io(self._descriptor, _WRITE | _READ if or_readable else _WRITE)
        try:
            self._wait(watcher, due_ns, when)
        finally:
            watcher.close()

    def stop_watching(self) -> None:
        """Let go of the descriptor, without closing it."""
        for watcher in (self._reader, self._timer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._timer = None
        self._timer_ns = 0

    def _wait(self, watcher: Any, due_ns: int, when: str) -> None:  # noqa: ANN401  (gevent's are not typed)
        greenlet = gevent.getcurrent()
        self._due_ns = due_ns
        if not self._timer_ns or due_ns < self._timer_ns:
            self._set_timer(due_ns)
        self._waiter = greenlet
        watcher.start(greenlet.switch, _READY)
        try:
            event = self._hub.switch()
        finally:
            self._waiter = None
            watcher.stop()
        if event is not _READY:
            raise RequestError(Outcome.TIMEOUT, when)

    def _set_timer(self, due_ns: int) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._timer_ns = due_ns
        after_s = max(due_ns - time.monotonic_ns(), 0) / NS_PER_S
        self._timer = self._hub.loop.timer(after_s)
        self._timer.start(self._on_timer, update=True)

    def _on_timer(self) -> None:
        """Look, within the hub, whether the wait that is on has lasted long enough."""
        self._timer_ns = 0
        if self._waiter is None:
            return
        if self._due_ns <= time.monotonic_ns():
            self._waiter.switch(_EXPIRED)
        else:
            self._set_timer(self._due_ns)


class Connection(Waiting):
    """An open connection; `plain` is True where its bytes are those of the wire, not those within TLS."""

    __slots__ = ("_decrypt", "_polled", "_stream", "_tls", "plain")

    def __init__(self, stream: SocketLike) -> None:
        super().__init__(stream.fileno())
        self._stream = stream
        self._tls = stream if isinstance(stream, ssl.SSLSocket) else None
        # OpenSSL's own read: gevent's two calls around it cost 10 % of a record, and wait for nothing here.
        self._decrypt: Decrypt | None = cast("Any", stream)._sslobj.read if self._tls else None  # noqa: SLF001
        self.plain = self._tls is None
        self._polled: Any = None

    def shake_hands(self, due_ns: int) -> None:
        """Do the TLS handshake; a socket's own timeout is one of each wait, which a slow peer starts over."""
        stream: Any = self._tls
        while True:  # bounded by due_ns: each turn waits
            try:
                stream.do_handshake()
            except ssl.SSLWantReadError:
                self.wait_readable(due_ns, HANDSHAKE)
            except ssl.SSLWantWriteError:
                self.wait_writable(due_ns, HANDSHAKE)
            except OSError as error:
                raise request_error(error, HANDSHAKE) from None
            else:
                self.stop_watching()
                return

    def send(self, data: bytes | memoryview, wait_s: float, deadline_ns: int, *, listening: bool = False) -> int:
        """Send all of `data`; the peer may take nothing for `wait_s`, until `deadline_ns`. Return the bytes.

        They are fewer only where it is `listening`, and the peer answers or closes before it has all. That is not
        detected through TLS, where what comes may be TLS's own.
        """
        listening = listening and self.plain
        if listening and self.has_input():
            return 0
        # OpenSSL takes up a write that would block with the same piece only: its size may not depend on the try.
        sent = self._send_some(data) if self.plain or len(data) <= SEND_BYTES else 0
        if sent < len(data):
            sent = self._send_rest(memoryview(data), sent, wait_s, deadline_ns, listening=listening)
        return sent

    def receive(self, buffer: Buffer, due_ns: int, size: int = 0, flags: int = 0) -> int:
        """Receive what is there into `buffer`, waiting until `due_ns` for it; 0 means that the peer closed."""
        while True:  # bounded by due_ns: each turn waits
            count = self.receive_now(buffer, size, flags)
            if count >= 0:
                return count
            self.wait_readable(due_ns)

    def receive_now(self, buffer: Buffer, size: int = 0, flags: int = 0) -> int:
        """Receive as `receive` does, without a wait; -1 where nothing is there."""
        try:
            if self._decrypt is None:
                return self._stream.recv_into(buffer, size, flags)
            if flags:
                return _discard_records(self._decrypt, min(size, BUFFER_BYTES))
            return _read_records(self._decrypt, memoryview(buffer)[: size or BUFFER_BYTES])
        except _WOULD_BLOCK:
            return -1
        except OSError as error:
            raise request_error(error, _RECEIVING) from None

    def receive_answer(self, buffer: bytearray | memoryview, due_ns: int) -> int:
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
            raise request_error(error, _RECEIVING) from None

    def skip(self, size: int, due_ns: int) -> int:
        """Receive up to `size` bytes and drop them; the kernel drops plain ones itself (tcp(7), MSG_TRUNC)."""
        return self.receive(_skipped, due_ns, min(size, SKIP_BYTES), _socket.MSG_TRUNC)

    def give_way(self, due_ns: int) -> None:
        """Let others run, with more to come from the peer.

        Up to fifty greenlets that only sleep(0) run in turns before gevent looks at sockets and timers again.
        """
        if self._tls is not None and self._tls.pending():  # which would not make the descriptor readable
            gevent.sleep(0)
        else:
            self.wait_readable(due_ns)

    def has_input(self) -> bool:
        """Whether the peer has closed, or sent bytes; never waits."""
        if self._polled is None:
            self._polled = _poll()
            self._polled.register(self._descriptor, select.POLLIN)
        return bool(self._polled.poll(0)) or (self._tls is not None and self._tls.pending() > 0)

    def close(self) -> None:
        """Close; a second time does nothing."""
        self.stop_watching()
        self._stream.close()

    def _send_some(self, data: bytes | memoryview) -> int:
        try:
            return self._stream.send(data)
        except _WOULD_BLOCK:
            return 0
        except OSError as error:
            raise request_error(error, _SENDING) from None

    def _send_rest(self, view: memoryview, sent: int, wait_s: float, deadline_ns: int, *, listening: bool) -> int:
        turn_bytes = 0
        while sent < len(view) and not (listening and self.has_input()):
            count = self._send_some(view[sent : sent + SEND_BYTES])
            sent += count
            turn_bytes += count
            if not count:
                due_ns = min(time.monotonic_ns() + int(wait_s * NS_PER_S), deadline_ns)
                self.wait_writable(due_ns, _SENDING, or_readable=listening)
            elif turn_bytes >= TURN_BYTES:
                self.wait_writable(deadline_ns, _SENDING, or_readable=listening)
                turn_bytes = 0
        return sent


def _read_records(decrypt: Decrypt, view: memoryview) -> int:
    """Read as many TLS records as are there: each is 16 KiB at most, a fraction of what a wait is worth."""
    count = more = _read_first(decrypt, view)
    while more and count < len(view):
        try:
            more = decrypt(len(view) - count, view[count:])
        except OSError:  # nothing more now, or a failure that the next read meets again
            break
        count += more
    return count


def _discard_records(decrypt: Decrypt, size: int) -> int:
    """Read as `_read_records` does, but each record onto the one before: 16 KiB stay in the nearest cache."""
    count = more = _read_first(decrypt, _record[: min(size, RECORD_BYTES)])
    while more and count < size:
        try:
            more = decrypt(min(size - count, RECORD_BYTES), _record)
        except OSError:  # the same
            break
        count += more
    return count


def _read_first(decrypt: Decrypt, view: memoryview) -> int:
    try:
        return decrypt(len(view), view)
    except ssl.SSLEOFError:  # a close without close_notify: whether that is too early, the framing decides
        return 0

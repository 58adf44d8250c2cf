"""One TCP or TLS connection over gevent, and how it is made; every failure is a Fault with its outcome."""

from __future__ import annotations

import _socket
import errno
import time
from collections.abc import Collection
from dataclasses import dataclass

from gevent import socket, ssl

from seatrial.errors import UsageError
from seatrial.user.http1 import Fault
from seatrial.user.origin import Origin
from seatrial.wire.hosts import may_load
from seatrial.wire.tables import Outcome

BUFFER_BYTES = 256 * 1024
SEND_BYTES = 256 * 1024
_Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
_HUNG_UP = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a request may take: to connect, to the first byte, between two reads, and in all."""

    connect_s: float = 10.0
    first_byte_s: float = 60.0
    idle_s: float = 30.0
    total_s: float = 600.0


class Connection:
    """An open connection; `used` tells whether it has carried a request before."""

    __slots__ = ("_socket", "origin", "used")

    def __init__(self, sock: socket.socket, origin: Origin) -> None:
        self._socket = sock
        self.origin = origin
        self.used = False

    def send(self, data: bytes | memoryview, timeout_s: float) -> int:
        """Send all of `data`; each piece of 256 KiB may take `timeout_s`. Return the number of bytes."""
        self._socket.settimeout(timeout_s)
        try:
            if len(data) <= SEND_BYTES:
                self._socket.sendall(data)
            else:
                view = memoryview(data)
                for start in range(0, len(data), SEND_BYTES):
                    self._socket.sendall(view[start : start + SEND_BYTES])
        except OSError as error:
            raise _fault(error, "while sending") from None
        return len(data)

    def receive(self, buffer: bytearray, timeout_s: float) -> int:
        """Receive into `buffer`, waiting at most `timeout_s`; 0 means that the peer closed."""
        self._socket.settimeout(timeout_s)
        try:
            return self._socket.recv_into(buffer)
        except OSError as error:
            raise _fault(error, "while receiving") from None

    def closed_by_peer(self) -> bool:
        """Whether the peer has already closed, or sent bytes that nobody asked for; never waits."""
        ours = self._socket
        # the descriptor itself: gevent's socket would wait
        peek = _socket.socket(ours.family, ours.type, ours.proto, ours.fileno())
        try:
            peek.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            peek.detach()
        return True

    def close(self) -> None:
        """Close; a second time does nothing."""
        self._socket.close()


def _fault(error: OSError, when: str) -> Fault:
    if isinstance(error, TimeoutError):  # ours, or the kernel's: Python makes one of ETIMEDOUT
        return Fault(Outcome.TIMEOUT, when)
    if isinstance(error, ssl.SSLError):
        return Fault(Outcome.PROTOCOL, f"TLS {when}: {error.reason or 'failed'}")
    if error.errno in _HUNG_UP:
        return Fault(Outcome.RESET, when, hung_up=True)
    if error.errno in _UNREACHABLE:  # the route went away beneath a connection that stood
        return Fault(Outcome.RESET, f"{when}: {errno.errorcode[error.errno]}")
    raise error


class Network:
    """How one process reaches hosts: resolved names, each asked for once, and one TLS context.

    `verify` False accepts any certificate; `ca_file` trusts the authorities of that file instead of the system's.
    `hosts` are those that may be reached besides loopback; None permits all, as in plain Locust.
    """

    def __init__(
        self, *, verify: bool = True, ca_file: str | None = None, hosts: Collection[str] | None = None
    ) -> None:
        self._hosts = hosts
        self._verify = verify
        self._ca_file = ca_file
        self._addresses: dict[tuple[str, int], list[tuple[int, _Address]]] = {}
        self._tls: ssl.SSLContext | None = None

    def connect(self, origin: Origin, timeout_s: float) -> Connection:
        """Open a connection within `timeout_s`, TLS handshake included, trying each address of the host in turn.

        Raises OSError for what is this machine's fault (no descriptors or ports left), UsageError for a host that
        load may not go to.
        """
        if self._hosts is not None and not may_load(origin.host, self._hosts):
            raise UsageError(
                f"the server sent the load to another host: {origin.host}",
                expected="loopback, or an address of the stack",
                hint=f"put {origin.host} under allow_hosts in the scenario and add --yes-load {origin.host}",
            )
        deadline = time.monotonic() + timeout_s
        fault = Fault(Outcome.REFUSED, "no address")
        for family, address in self._resolve(origin):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                return self._opened(sock, address, origin, deadline)
            except Fault as failed:
                sock.close()
                fault = failed
            except BaseException:
                sock.close()
                raise
        raise fault

    def _opened(self, sock: socket.socket, address: _Address, origin: Origin, deadline: float) -> Connection:
        sock.settimeout(_left(deadline))
        try:
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            raise Fault(Outcome.TIMEOUT, "while connecting") from None
        except OSError as error:
            if error.errno == errno.ECONNREFUSED or error.errno in _UNREACHABLE:
                raise Fault(Outcome.REFUSED, errno.errorcode[error.errno]) from None
            raise _fault(error, "while connecting") from None
        if origin.scheme == "https":
            sock = self._wrapped(sock, origin, deadline)
        return Connection(sock, origin)

    def _wrapped(self, sock: socket.socket, origin: Origin, deadline: float) -> socket.socket:
        sock.settimeout(_left(deadline))
        try:
            return self._context().wrap_socket(sock, server_hostname=origin.host)
        except OSError as error:
            raise _fault(error, "handshake") from None

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            context = ssl.create_default_context(cafile=self._ca_file)
            if not self._verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._tls = context
        return self._tls

    def _resolve(self, origin: Origin) -> list[tuple[int, _Address]]:
        key = (origin.host, origin.port)
        if key not in self._addresses:
            try:
                found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
            except socket.gaierror:
                raise Fault(Outcome.REFUSED, "the host's name does not resolve") from None
            self._addresses[key] = [(family, address) for family, _, _, _, address in found]
        return self._addresses[key]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise Fault(Outcome.TIMEOUT, "while connecting")
    return left

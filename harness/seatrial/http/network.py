"""Name resolution, connecting, TLS contexts."""

from __future__ import annotations

import _socket
import errno
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import socket, ssl

from seatrial.errors import UsageError
from seatrial.http.connection import UNREACHABLE, Connection, Waiting, fault_of
from seatrial.http.messages import Origin
from seatrial.http.parser import RequestError, protocol_error
from seatrial.units import NS_PER_S
from seatrial.wire.redaction import may_load
from seatrial.wire.streams import Outcome

Lookup = Callable[..., Any]
SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes] | str
Addresses = list[tuple[int, SocketAddress]]
"""Address families, and what a socket of each connects to."""


class NameResolver:
    """Remembers answers for the life of the process; a failure only reaches those who wait for it.

    A look-up runs in a greenlet of its own: one who gives up waiting takes the answer from nobody else, and a name
    whose server is silent holds up no other name.
    """

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._known: dict[tuple[str, int], Addresses] = {}
        self._asking: dict[tuple[str, int], Any] = {}

    def addresses(self, host: str, port: int, due_ns: int) -> Addresses:
        """Return at least one address; Fault where there is none, or where none is known by `due_ns`."""
        key = host, port
        addresses = self._known.get(key)
        if addresses is None:
            asking = self._asking.get(key)
            if asking is None:
                asking = self._asking[key] = gevent.spawn(self._ask, key)
            asking.join(max(due_ns - time.monotonic_ns(), 0) / NS_PER_S)
            if not asking.ready():
                raise RequestError(Outcome.TIMEOUT, "while the host's name was looked up")
            addresses = asking.get()
        if not addresses:
            raise RequestError(Outcome.REFUSED, "the host's name does not resolve")
        return addresses

    def _ask(self, key: tuple[str, int]) -> Addresses:
        try:
            key[0].encode("idna")  # here, because gevent prints a traceback of what its threads raise
            answer = self._lookup(*key, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):  # the latter: a label that is empty or too long (RFC 1035 2.3.4)
            return []
        else:
            addresses = self._known[key] = [(family, address) for family, _, _, _, address in answer]
            return addresses
        finally:
            del self._asking[key]


_REFUSED = frozenset({errno.ECONNREFUSED, errno.ENOENT, errno.EACCES})
"""Nobody listens there; the latter two are a Unix socket's words for it."""
_BIND_ADDRESS_NO_PORT = 24
"""IP_BIND_ADDRESS_NO_PORT of linux/in.h, which Python's module lacks before 3.12."""
_BACKLOG_S = 0.001
_CONNECTING = "while connecting"
_HANDSHAKE = "handshake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """What is set on each socket before it connects.

    `source` is an address of this machine to connect from; `receive_buffer_bytes` is SO_RCVBUF: a small one lets a
    slow reader be felt by the server early, and turns the kernel's own sizing off.
    """

    source: str | None = None
    receive_buffer_bytes: int | None = None


class Dialer:
    """How one process reaches hosts: resolved names, each asked for once, and one TLS context.

    `verify` False accepts any certificate; `ca_file` trusts the authorities of that file instead of the system's.
    `hosts` are those that may be reached besides loopback; None permits all, as in plain Locust.
    """

    def __init__(
        self,
        *,
        verify: bool = True,
        ca_file: str | None = None,
        hosts: Collection[str] | None = None,
        sockets: Sockets | None = None,
        lookup: Lookup = socket.getaddrinfo,
    ) -> None:
        self._hosts = hosts
        self._verify = verify
        self._ca_file = ca_file
        self._sockets = sockets or Sockets()
        self._tls: ssl.SSLContext | None = None
        self._names = NameResolver(lookup)

    def connect(self, origin: Origin, due_ns: int) -> Connection:
        """Open a connection by `due_ns`, look-up and TLS handshake included; each address has its turn.

        Raises OSError for what is this machine's fault (no descriptors or ports left), UsageError for a host that
        load may not go to.
        """
        if self._hosts is not None and not origin.path and not may_load(origin.host, self._hosts):
            raise UsageError(
                f"the server sent the load to another host: {origin.host}",
                expected="loopback, or an address of the stack",
                hint=f"put {origin.host} under allow_hosts in the scenario and add --yes-load {origin.host}",
            )
        fault = RequestError(Outcome.REFUSED, "no address")
        addresses: Addresses
        if origin.path:
            addresses = [(socket.AF_UNIX, origin.path)]
        else:
            addresses = self._names.addresses(origin.host, origin.port, due_ns)
        for family, address in addresses:
            try:
                return self._open(family, address, origin, due_ns)
            except RequestError as failed:
                fault = failed
        raise fault

    def _open(self, family: int, address: SocketAddress, origin: Origin, due_ns: int) -> Connection:
        sock = _socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        connection = Connection(sock, origin)
        try:
            self._prepare(sock)
            _establish(connection, sock, address, due_ns)
            if origin.scheme == "https":
                connection.stop_watching()
                return self._secured(sock, origin, due_ns)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, sock: _socket.socket) -> None:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._sockets.source is not None:
                # Else the port is taken at once, and 28,000 connections are the limit for all servers together.
                sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self._sockets.source, 0))
        if self._sockets.receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._sockets.receive_buffer_bytes)

    def _secured(self, sock: _socket.socket, origin: Origin, due_ns: int) -> Connection:
        ours = socket.socket(sock.family, socket.SOCK_STREAM, 0, fileno=sock.detach())
        try:
            ours.settimeout(0.0)
            secure = self._context().wrap_socket(ours, server_hostname=origin.host, do_handshake_on_connect=False)
        except ValueError:  # of `ssl`, for a host that can't be the name of a certificate
            ours.close()
            raise protocol_error("TLS: not a host's name") from None
        except OSError as error:
            ours.close()
            raise fault_of(error, _HANDSHAKE) from None
        except BaseException:
            ours.close()
            raise
        try:
            _shake_hands(secure, due_ns)
        except BaseException:
            secure.close()
            raise
        return Connection(secure, origin)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            # Not create_default_context: in a program that is not patched its context would block the loop.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if self._ca_file is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(self._ca_file)
            if not self._verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._tls = context
        return self._tls


def _shake_hands(secure: ssl.SSLSocket, due_ns: int) -> None:
    """Do the handshake here: the timeout of a socket is one of each wait, which a slow peer begins anew."""
    waiting = Waiting(secure.fileno())
    try:
        while not _shaken(secure, waiting, due_ns):  # bounded by due_ns: each turn waits
            pass
    finally:
        waiting.stop_watching()


def _shaken(secure: ssl.SSLSocket, waiting: Waiting, due_ns: int) -> bool:
    try:
        secure.do_handshake()
    except ssl.SSLWantReadError:
        waiting.wait_readable(due_ns, _HANDSHAKE)
    except ssl.SSLWantWriteError:
        waiting.wait_writable(due_ns, _HANDSHAKE)
    except OSError as error:
        raise fault_of(error, _HANDSHAKE) from None
    else:
        return True
    return False


def _establish(connection: Connection, sock: _socket.socket, address: SocketAddress, due_ns: int) -> None:
    code = sock.connect_ex(address)
    while code == errno.EAGAIN and sock.family == socket.AF_UNIX:  # the server's backlog is full
        if time.monotonic_ns() > due_ns:
            raise RequestError(Outcome.TIMEOUT, _CONNECTING)
        gevent.sleep(_BACKLOG_S)
        code = sock.connect_ex(address)
    if code == errno.EINPROGRESS:
        connection.wait_writable(due_ns, _CONNECTING)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if not code:
        return
    if code in UNREACHABLE or code in _REFUSED:
        raise RequestError(Outcome.REFUSED, errno.errorcode[code])
    raise fault_of(OSError(code, os.strerror(code)), _CONNECTING)

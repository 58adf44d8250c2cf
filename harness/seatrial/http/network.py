"""The dialer: name resolution, connecting, TLS."""

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
from seatrial.http.connection import HANDSHAKE, UNREACHABLE, Connection, request_error
from seatrial.http.messages import Origin
from seatrial.http.parser import RequestError, protocol_error
from seatrial.units import NS_PER_S
from seatrial.wire.redaction import may_load
from seatrial.wire.streams import Outcome

_REFUSED = frozenset({errno.ECONNREFUSED, errno.ENOENT, errno.EACCES})
"""No server listens there; the latter two are a Unix socket's codes for it."""
_BIND_ADDRESS_NO_PORT = 24
"""IP_BIND_ADDRESS_NO_PORT of linux/in.h, which Python's module lacks before 3.12."""
_BACKLOG_S = 0.001
_CONNECTING = "while connecting"
Lookup = Callable[..., Any]
SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes] | str
Addresses = list[tuple[int, SocketAddress]]
"""Address families, and what a socket of each connects to."""


class NameResolver:
    """Resolves host names, and caches the answers for the life of the process; failures are not cached.

    Each look-up runs in a greenlet of its own: a waiter that times out doesn't end it for the others, and a name
    whose server is silent delays no other name.
    """

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._cache: dict[tuple[str, int], Addresses] = {}
        self._lookups: dict[tuple[str, int], Any] = {}

    def addresses(self, host: str, port: int, due_ns: int) -> Addresses:
        """Return at least one address; RequestError where there is none, or none is known by `due_ns`."""
        key = host, port
        addresses = self._cache.get(key)
        if addresses is None:
            lookup = self._lookups.get(key)
            if lookup is None:
                lookup = self._lookups[key] = gevent.spawn(self._look_up, key)
            lookup.join(max(due_ns - time.monotonic_ns(), 0) / NS_PER_S)
            if not lookup.ready():
                raise RequestError(Outcome.TIMEOUT, "while the host's name was looked up")
            addresses = lookup.get()
        if not addresses:
            raise RequestError(Outcome.REFUSED, "the host's name does not resolve")
        return addresses

    def _look_up(self, key: tuple[str, int]) -> Addresses:
        try:
            key[0].encode("idna")  # here, because gevent prints a traceback of what its threads raise
            answer = self._lookup(*key, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):  # the latter: a label that is empty or too long (RFC 1035 2.3.4)
            return []
        else:
            addresses = self._cache[key] = [(family, address) for family, _, _, _, address in answer]
            return addresses
        finally:
            del self._lookups[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """The options set on each socket before it connects.

    `source` is an address of this machine to connect from; `receive_buffer_bytes` is SO_RCVBUF: with a small one
    the server notices a slow reader early; it turns the kernel's own sizing off.
    """

    source: str | None = None
    receive_buffer_bytes: int | None = None


class Dialer:
    """Opens the connections of one process; has its resolved names and its TLS context.

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
        """Open a connection by `due_ns`, look-up and TLS handshake included; the addresses are tried in turn.

        Raises OSError for this machine's own failures (no descriptors or ports left), UsageError for a host that
        load may not go to.
        """
        if self._hosts is not None and not origin.path and not may_load(origin.host, self._hosts):
            raise UsageError(
                f"the server sent the load to another host: {origin.host}",
                expected="loopback, or an address of the stack",
                hint=f"put {origin.host} under allow_hosts in the scenario and add --yes-load {origin.host}",
            )
        addresses: Addresses = [(socket.AF_UNIX, origin.path)]
        if not origin.path:
            addresses = self._names.addresses(origin.host, origin.port, due_ns)
        latest = RequestError(Outcome.REFUSED, "no address")
        for family, address in addresses:
            try:
                return self._open(family, address, origin, due_ns)
            except RequestError as error:
                latest = error
        raise latest

    def _open(self, family: int, address: SocketAddress, origin: Origin, due_ns: int) -> Connection:
        sock = _socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        connection = Connection(sock)
        try:
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._sockets.source is not None:
                    # Else a port is taken at once, and 28,000 connections are the limit for all servers together.
                    sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
                    sock.bind((self._sockets.source, 0))
            if self._sockets.receive_buffer_bytes is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._sockets.receive_buffer_bytes)
            _establish(connection, sock, address, due_ns)
            if origin.scheme == "https":
                connection.stop_watching()
                connection = self._secured(sock, origin)
                connection.shake_hands(due_ns)
        except BaseException:
            connection.close()
            raise
        return connection

    def _secured(self, sock: _socket.socket, origin: Origin) -> Connection:
        plain = socket.socket(sock.family, socket.SOCK_STREAM, 0, fileno=sock.detach())
        try:
            plain.settimeout(0.0)
            stream = self._context().wrap_socket(plain, server_hostname=origin.host, do_handshake_on_connect=False)
        except BaseException as error:
            plain.close()
            if isinstance(error, ValueError):  # of `ssl`, for a host that can't be the name of a certificate
                raise protocol_error("TLS: not a host's name") from None
            if isinstance(error, OSError):
                raise request_error(error, HANDSHAKE) from None
            raise
        return Connection(stream)

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
    raise request_error(OSError(code, os.strerror(code)), _CONNECTING)

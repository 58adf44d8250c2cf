"""What the names of hosts resolve to: asked for once in each process, and shared by all who wait for an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket

from seatrial.http.http1 import Fault
from seatrial.units import NS_PER_S
from seatrial.wire.tables import Outcome

Lookup = Callable[..., Any]
SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes] | str
Addresses = list[tuple[int, SocketAddress]]
"""Address families, and what a socket of each connects to."""


class Names:
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
                raise Fault(Outcome.TIMEOUT, "while the host's name was looked up")
            addresses = asking.get()
        if not addresses:
            raise Fault(Outcome.REFUSED, "the host's name does not resolve")
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

"""Where a request comes from: the client's address as a trusted proxy tells it, and whether it is on the site."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

_AGAIN_S = 1.0


class Proxies:
    """The proxies whose X-Forwarded-For is believed, by name or address.

    A name is looked up when an address is met that is not known, at most once a second: in a container network a
    proxy gets its address when it starts, which is after this service.
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        look_up: Callable[[str], str] = socket.gethostbyname,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = tuple(names)
        self._look_up = look_up
        self._clock_s = clock_s
        self._known: frozenset[str] = frozenset()
        self._next_s = float("-inf")

    def client(self, peer: str, forwarded_for: str) -> str:
        """Return the client's address: the last one that a trusted proxy has appended, else the peer's own."""
        if forwarded_for and self._trusted(peer):
            return forwarded_for.rpartition(",")[2].strip()
        return peer

    def _trusted(self, peer: str) -> bool:
        if peer not in self._known and self._clock_s() >= self._next_s:
            self._next_s = self._clock_s() + _AGAIN_S
            self._known = frozenset(filter(None, map(self._address, self._names)))
        return peer in self._known

    def _address(self, name: str) -> str:
        try:
            return self._look_up(name)
        except OSError:
            return ""


def on_site(address: str, subnets: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Return whether an address is in one of the subnets; what is no address is not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in subnet for subnet in subnets)

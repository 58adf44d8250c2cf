"""Where load may go: loopback, the stack's own addresses, and what was named twice."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from seatrial.errors import UsageError


def check(url: str, *, stack: Iterable[str], allowed: Iterable[str], confirmed: Iterable[str]) -> None:
    """Raise UsageError unless the URL's host is loopback, one of the stack's own, or allowed and confirmed.

    `allowed` comes from the scenario's `allow_hosts`, `confirmed` from `--yes-load`: a copied scenario alone must
    not be able to send load to somebody's production.
    """
    host = urlsplit(url).hostname or ""
    if _is_loopback(host) or host in set(stack):
        return
    if host in set(allowed) and host in set(confirmed):
        return
    raise UsageError(
        f"load is not sent to {host or url}",
        seen=url,
        expected="loopback, an address of the stack's own containers, or a host that is allowed and confirmed",
        hint=f"put {host} under allow_hosts in the scenario and add --yes-load {host}",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Where load may go; asked by the harness before it starts, and by the load generator at each new connection."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection


def may_load(host: str, allowed: Collection[str]) -> bool:
    """Return whether `host` is loopback, or one of those that are allowed by name or address."""
    return host in allowed or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Return whether a name or address can only mean this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

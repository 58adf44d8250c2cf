"""Where load may go: loopback, the stack's own addresses, and hosts that are both allowed and confirmed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from seatrial.errors import UsageError
from seatrial.wire.hosts import may_load


def hosts(*, stack: Iterable[str], allowed: Iterable[str], confirmed: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts that load may go to besides loopback: the stack's own, and those allowed and confirmed.

    `allowed` comes from the scenario's `allow_hosts`, `confirmed` from `--yes-load`: a copied scenario alone must
    not be able to send load to a production host.
    """
    return (*stack, *sorted(set(allowed) & set(confirmed)))


def check(url: str, permitted: Collection[str]) -> None:
    """Raise UsageError unless load may go to the URL's host."""
    host = urlsplit(url).hostname or ""
    if may_load(host, permitted):
        return
    raise UsageError(
        f"load is not sent to {host or url}",
        seen=url,
        expected="loopback, an address of the stack's own containers, or a host that is allowed and confirmed",
        hint=f"put {host} under allow_hosts in the scenario and add --yes-load {host}",
    )

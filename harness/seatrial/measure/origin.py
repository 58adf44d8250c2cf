"""Bytes that a stack's proxies fetched from the origin, against what clients received and viewers played.

A session may begin before the window or end after it, and then its bytes are not all in it. So the bytes for
each played byte are the product of two shares, each of which compares like with like: bytes from the origin for
each byte that clients received, over the requests that began in the window; and bytes received for each byte
played, over the sessions that began in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seatrial.measure.tables import Floats, TierColumns, where

ORIGIN_BYTES = "origin_bytes"
"""The counter of the table `tiers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginUse:
    """What one service fetched from the origin in the window; a share is None where there is nothing to divide by.

    `per_received` is for each byte that clients received, `per_played` for each byte that viewers played.
    """

    service: str
    bytes: float
    per_received: float | None
    per_played: float | None


def origin_bytes(tiers: TierColumns, service: str | None = None) -> float | None:
    """Return the bytes that a service, or all, fetched from the origin; None if no log tells."""
    counted = tiers.counter.is_(ORIGIN_BYTES)
    if service is not None:
        counted &= tiers.service.is_(service)
    return float(tiers.value[counted].sum()) if counted.any() else None


def origin_per_played(fetched: float | None, received: int, details: Mapping[str, Floats]) -> float | None:
    """Return the origin's bytes for each played byte; `received` are those of all requests, None if unknown."""
    sums = [float(np.nansum(details.get(key, np.empty(0)))) for key in ("received_bytes", "played_bytes")]
    if fetched is None or not received or not all(sums):
        return None
    return fetched / received * (sums[0] / sums[1])


def origin_use(tiers: TierColumns, received: int, details: Mapping[str, Floats]) -> tuple[OriginUse, ...]:
    """Return what each service fetched, in the order of their names."""
    told = where(tiers, tiers.counter.is_(ORIGIN_BYTES))
    each = ((name, origin_bytes(told, name) or 0.0) for name in sorted(told.service.counts()))
    return tuple(
        OriginUse(
            service=name,
            bytes=fetched,
            per_received=fetched / received if received else None,
            per_played=origin_per_played(fetched, received, details),
        )
        for name, fetched in each
    )

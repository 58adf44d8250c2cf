"""Whether the load generator, and not the stack, was what broke a short trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seatrial.judge.generator import BUSY_FRACTION, LEAST_LATE_NS, TICKS_PER_S, late_ticks
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

_OWN_PART = 0.1
"""The part of the strictest latency that may be the generator's own lateness, at least 10 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One second of the load; None where nobody could tell. `arrivals` are those that were due in it."""

    arrivals: int
    cpu_fraction: float | None
    loop_lag_p50_ns: int | None
    loop_lag_p99_ns: int | None
    slip_p99_ns: int | None


def limit_ns(strictest_ns: int) -> int:
    """Return how late the generator may be for the strictest latency that is asked for."""
    return max(LEAST_LATE_NS, round(strictest_ns * _OWN_PART))


def strained(seconds: Sequence[Health], strictest_ns: int, share: float) -> str:
    """Return why these seconds tell of the generator; empty if it did well.

    Ask this only of a trial that broke its budgets: lateness can't make a latency from the intended start look
    better, so that what was kept is kept. `share` is the part of the requests that may break the strictest budget:
    as many may be late by the generator alone. Ticks are counted as `judge.generator.late_ticks` does.
    """
    if not seconds:
        return "the load generator told of no second of the trial"
    most_ns = limit_ns(strictest_ns)
    shares = [one.cpu_fraction for one in seconds if one.cpu_fraction is not None]
    used = sum(shares) / max(len(shares), 1)
    if used > BUSY_FRACTION:
        return f"a load process used {used:.0%} of what it may; {BUSY_FRACTION:.0%} is allowed"
    late, ticks = _late_ticks(seconds, most_ns), len(seconds) * TICKS_PER_S
    if late > max(share * ticks, 1):
        return f"{late} of {ticks} ticks of the event loop were more than {most_ns / 1e6:.0f} ms late"
    slipped = sum(one.arrivals for one in seconds if (one.slip_p99_ns or 0) > most_ns)
    due = sum(one.arrivals for one in seconds)
    if slipped * 2 > due:
        return f"{slipped} of {due} arrivals fell in seconds that began them more than {most_ns / 1e6:.0f} ms late"
    return ""


def pool_short(*, rate_per_s: float, late: int, users: int, strictest_ns: int, flow_s: float = 0.0) -> str:
    """Return why the pool of users, and not the stack, kept arrivals waiting; empty if it did not.

    L = rate times time in flight (Little, Operations Research 9, 1961): fewer users than the rate times the
    strictest latency could not serve the rate although every answer came in time. A flow of many requests keeps
    its user for longer: for `flow_s`, where nothing queues.
    """
    wanted = rate_per_s * max(strictest_ns / NS_PER_S, flow_s)
    if not late or users >= wanted:
        return ""
    return f"{users} users can't have {wanted:.0f} requests in flight, as {rate_per_s:.0f}/s may need: --users"


def _late_ticks(seconds: Sequence[Health], most_ns: int) -> int:
    """Count them as over a window, but never more in a second than it has."""
    p50_ns, p99_ns = ([NULL if one is None else one for one in told] for told in _lags(seconds))
    late = late_ticks(np.array(p50_ns, dtype=np.int64), np.array(p99_ns, dtype=np.int64), most_ns)
    return int(np.minimum(late, TICKS_PER_S).sum())


def _lags(seconds: Sequence[Health]) -> tuple[list[int | None], list[int | None]]:
    return [one.loop_lag_p50_ns for one in seconds], [one.loop_lag_p99_ns for one in seconds]

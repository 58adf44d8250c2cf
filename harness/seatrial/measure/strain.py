"""Whether the load generator, and not the stack, was what broke a short trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seatrial.measure.generator import BUSY_FRACTION, LEAST_LATE_NS, TICKS_PER_S, late_ticks
from seatrial.model import LoadSecond
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

_OWN_PART = 0.1
"""The part of the strictest latency that may be the generator's own lateness, at least 10 ms."""


def overload(seconds: Sequence[LoadSecond], strictest_ns: int, share: float) -> str:
    """Return why the generator may have been too slow in the seconds that had arrivals; empty if it was not.

    Ask this only of a trial that broke its budgets: lateness can't make a latency from the intended start look
    better, so that what was kept is kept. `strictest_ns` is the lowest latency that a budget asks for, `share` the
    part of the requests that may break it: as many may be late by the generator alone. Ticks are counted as
    `judge.generator.late_ticks` does, but never more in a second than it has.
    """
    seconds = [second for second in seconds if second.arrivals]
    if not seconds:
        return "the load generator reported no second of the trial"
    most_ns = max(LEAST_LATE_NS, round(strictest_ns * _OWN_PART))
    fractions = [second.cpu_fraction for second in seconds if second.cpu_fraction is not None]
    used = sum(fractions) / max(len(fractions), 1)
    if used > BUSY_FRACTION:
        return f"a load process used {used:.0%} of what it may; {BUSY_FRACTION:.0%} is allowed"
    p50_ns = np.array([NULL if lag is None else lag for lag in (one.loop_lag_p50_ns for one in seconds)], np.int64)
    p99_ns = np.array([NULL if lag is None else lag for lag in (one.loop_lag_p99_ns for one in seconds)], np.int64)
    late = int(np.minimum(late_ticks(p50_ns, p99_ns, most_ns), TICKS_PER_S).sum())
    ticks = len(seconds) * TICKS_PER_S
    if late > max(share * ticks, 1):
        return f"{late} of {ticks} ticks of the event loop were more than {most_ns / 1e6:.0f} ms late"
    slipped = sum(second.arrivals for second in seconds if (second.slip_p99_ns or 0) > most_ns)
    due = sum(second.arrivals for second in seconds)
    if slipped * 2 > due:
        return f"{slipped} of {due} arrivals fell in seconds that began them more than {most_ns / 1e6:.0f} ms late"
    return ""


def pool_short(*, rate_per_s: float, late: int, users: int, strictest_ns: int, flow_s: float = 0.0) -> str:
    """Return why the pool of users, and not the stack, kept arrivals waiting; empty if it did not.

    L = rate times time in flight (Little, Operations Research 9, 1961): fewer users than the rate times the
    strictest latency could not serve the rate although every answer came in time. A flow of many requests keeps
    its user for longer: for `flow_s`, where nothing queues.
    """
    needed = rate_per_s * max(strictest_ns / NS_PER_S, flow_s)
    if not late or users >= needed:
        return ""
    return f"{users} users can't have {needed:.0f} requests in flight, as {rate_per_s:.0f}/s may need: --users"

"""Whether the load generator, and not the stack, was what broke a short trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seatrial.judge.generator import BUSY_FRACTION, LEAST_LATE_NS, TICKS_PER_S
from seatrial.units import NS_PER_S

_OWN_PART = 0.1
"""The part of the strictest latency that may be the generator's own lateness, at least 10 ms."""

_TICK_NS = NS_PER_S // TICKS_PER_S


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
    as many may be late by the generator alone. The p99 of a second's 20 ticks is its latest tick; the ticks which
    the loop, blocked until then, let pass are counted, too (as in `judge.generator.lateness`).
    """
    if not seconds:
        return "the load generator told of no second of the trial"
    most_ns = limit_ns(strictest_ns)
    shares = [one.cpu_fraction for one in seconds if one.cpu_fraction is not None]
    used = sum(shares) / max(len(shares), 1)
    if used > BUSY_FRACTION:
        return f"a load process used {used:.0%} of what it may; {BUSY_FRACTION:.0%} is allowed"
    late, ticks = sum(_late_ticks(one, most_ns) for one in seconds), len(seconds) * TICKS_PER_S
    if late > max(share * ticks, 1):
        return f"{late} of {ticks} ticks of the event loop were more than {most_ns / 1e6:.0f} ms late"
    slipped = sum(one.arrivals for one in seconds if (one.slip_p99_ns or 0) > most_ns)
    due = sum(one.arrivals for one in seconds)
    if slipped * 2 > due:
        return f"{slipped} of {due} arrivals fell in seconds that began them more than {most_ns / 1e6:.0f} ms late"
    return ""


def pool_short(*, rate_per_s: float, late: int, users: int, strictest_ns: int) -> str:
    """Return why the pool of users, and not the stack, kept arrivals waiting; empty if it did not.

    L = rate times time in flight (Little, Operations Research 9, 1961): fewer users than the rate times the
    strictest latency could not serve the rate although every answer came in time.
    """
    wanted = rate_per_s * strictest_ns / NS_PER_S
    if not late or users >= wanted:
        return ""
    return f"{users} users can't have {wanted:.0f} requests in flight, as {rate_per_s:.0f}/s may need: --users"


def _late_ticks(one: Health, most_ns: int) -> int:
    if one.loop_lag_p99_ns is None:
        return TICKS_PER_S
    latest = 1 + (one.loop_lag_p99_ns - most_ns - 1) // _TICK_NS if one.loop_lag_p99_ns > most_ns else 0
    usual = TICKS_PER_S // 2 if (one.loop_lag_p50_ns or 0) > most_ns else 0
    return min(max(latest, usual), TICKS_PER_S)

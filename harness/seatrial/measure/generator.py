"""How the load generator itself fared: whether it, and not the stack, was what was slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seatrial.measure import statistics as distributions
from seatrial.measure.arrivals import Arrivals, arrivals
from seatrial.measure.latency import Quantiles
from seatrial.measure.tables import Generator, Ints, Mask, rows
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

BUSY_FRACTION = 0.8
"""Above this share of what it may use, a process's own queueing begins to show in the latency it measures."""

LEAST_LATE_NS = 10_000_000
"""Loop and schedule may always be this late: 10 ms."""

LATE_SHARE = 0.01
"""And this late, as a share of the latency that is judged."""

TICKS_PER_S = 20
"""How often a load process looks how late its loop is (`seatrial.user.health`, which judge can't import)."""

_BY_CHANCE = 0.05
_TICK_NS = NS_PER_S // TICKS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """How often the load was later than `limit_ns`.

    `late_ticks` of `ticks` of the event loop, at least; `slipped` of `arrivals` fell in seconds whose slip p99 was
    above the limit.
    """

    limit_ns: int
    late_ticks: int
    ticks: int
    slipped: int
    arrivals: int

    @property
    def loop(self) -> bool:
        """Whether the p99 of the loop's lag is above the limit: more late ticks than 1 % would give by chance.

        A window of 10 s has 200 ticks: where 1 % of all ticks ever are late, 4 or more of those are in 14 % of
        such windows (binomial). So it has to be a count that chance gives in less than 5 % of the cases.
        """
        by_chance = distributions.binomial_tail(self.late_ticks, self.ticks, 0.01)
        return self.late_ticks * 100 > self.ticks and by_chance < _BY_CHANCE

    @property
    def schedule(self) -> bool:
        """Whether seconds with more than 5 % of the arrivals began them late."""
        return self.slipped * 20 > self.arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorUse:
    """The worker processes over the window; None where nobody could tell.

    `seconds` counts those of the process that told its CPU in most of them (or, where nobody did, has most of
    them), `busy_seconds` those in which any was busy; `users_max` and `in_flight_max` are sums over the processes;
    `arrivals` is None in the closed model.
    """

    workers: int
    seconds: int
    busy_seconds: int
    cpu_median: float | None
    cpu_max: float | None
    loop_lag_p99_max_ns: int | None
    slip_p99_max_ns: int | None
    users_max: int | None
    in_flight_max: int | None
    lateness: Lateness
    arrivals: Arrivals | None

    @property
    def saturated(self) -> bool:
        """Whether arrivals piled up, so that latency tells the length of the run and not the server."""
        return self.arrivals is not None and self.arrivals.saturated


def generator(whole: Generator, inside: Mask, limit_ns: int) -> GeneratorUse:
    """Judge the seconds where `inside` holds; `limit_ns` is how late loop and schedule may be.

    The processes' seconds are put side by side by their order, not by their stamps. The rest of a second that a
    process's end leaves has counts, but no health: it is no second.
    """
    table = rows(whole, inside & whole.seconds)
    cpu = np.sort(table.cpu_fraction)
    workers = [table.worker == number for number in np.unique(table.worker)]
    told = ~np.isnan(table.cpu_fraction) if len(cpu) else np.ones(len(table.worker), dtype=np.bool_)
    busy = [np.flatnonzero(table.cpu_fraction[mine] > BUSY_FRACTION) for mine in workers]
    return GeneratorUse(
        workers=len(workers),
        seconds=max((int((mine & told).sum()) for mine in workers), default=0),
        busy_seconds=len(set().union(*(second.tolist() for second in busy))),
        cpu_median=float(cpu[(len(cpu) - 1) // 2]) if len(cpu) else None,
        cpu_max=float(cpu[-1]) if len(cpu) else None,
        loop_lag_p99_max_ns=_highest(table.loop_lag_p99_ns),
        slip_p99_max_ns=_highest(table.slip_p99_ns),
        users_max=_most_together(table.users, workers),
        in_flight_max=_most_together(table.in_flight, workers),
        lateness=lateness(table, limit_ns),
        arrivals=arrivals(whole, inside),
    )


def limit_ns(latency_ns: Quantiles) -> int:
    """Return how late a load may be for this latency: 1 % of its p95 (p50 where there is none), at least 10 ms."""
    judged_ns = latency_ns.p95 or latency_ns.p50 or 0
    return max(LEAST_LATE_NS, round(judged_ns * LATE_SHARE))


def lateness(table: Generator, limit_ns: int) -> Lateness:
    """Count the late ticks, at least, of the seconds given, and the arrivals of seconds that slipped."""
    late = late_ticks(table.loop_lag_p50_ns, table.loop_lag_p99_ns, limit_ns)
    ticks = len(late) * TICKS_PER_S
    offered = np.where(table.arrivals == NULL, 0, table.arrivals)
    return Lateness(
        limit_ns=limit_ns,
        late_ticks=min(int(late.sum()), ticks),
        ticks=ticks,
        slipped=int(offered[table.slip_p99_ns > limit_ns].sum()),
        arrivals=int(offered.sum()),
    )


def late_ticks(p50_ns: Ints, p99_ns: Ints, limit_ns: int) -> Ints:
    """Return how many ticks of each second were late, at least, by the percentiles of their lags.

    A second has at most 20 ticks, so that its p99 is its latest tick (nearest rank): above the limit means one
    late tick, and one more for each 50 ms in which the loop, blocked until then, let a tick pass that would have
    been late, too (`recordValueWithExpectedInterval` of HdrHistogram counts the same way). A p50 above the limit
    means half of the ticks; no tick at all, that the loop was blocked throughout.
    """
    latest = np.where(p99_ns > limit_ns, 1 + (np.maximum(p99_ns, 0) - limit_ns - 1) // _TICK_NS, 0)
    usual = np.where(p50_ns > limit_ns, TICKS_PER_S // 2, 0)
    return np.where(p99_ns == NULL, TICKS_PER_S, np.maximum(latest, usual))


def _most_together(values: Ints, workers: Sequence[Mask]) -> int | None:
    """Return the largest sum over the processes, their seconds side by side; None where none of them told."""
    told = [np.where(mine == NULL, 0, mine) for worker in workers if np.any((mine := values[worker]) != NULL)]
    if not told:
        return None
    together = np.zeros(max(len(mine) for mine in told), dtype=np.int64)
    for mine in told:
        together[: len(mine)] += mine
    return int(together.max())


def _highest(values: Ints) -> int | None:
    told = values[values != NULL]
    return int(told.max()) if len(told) else None

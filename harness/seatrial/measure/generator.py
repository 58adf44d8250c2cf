"""The load generator's CPU share, event loop lag, schedule slip and backlog, and when it is overloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seatrial.measure import statistics
from seatrial.measure.statistics import Quantiles
from seatrial.measure.tables import Floats, GeneratorColumns, Ints, Mask, known, total, where
from seatrial.model import LoadSecond
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

LEAST_COMPLETED_PERCENT = 99
"""Of the offered arrivals; with fewer completed, those that did not end may be a backlog."""
_SIGMAS = 3.0
_ENDS = 20
"""The change of the rate is measured between the first and the last twentieth of the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalSummary:
    """The arrivals of an open schedule in the seconds of the window, over all load processes.

    `late` found no idle user at their moment, `dropped` never got one. `in_flight` is the median number of those
    between their moment and their end, `rise` by how much it would have grown because the schedule's rate grew.
    """

    seconds: int
    offered: int
    completed: int
    late: int
    dropped: int
    in_flight: float
    rise: float

    @property
    def completed_share(self) -> float:
        """The share of the offered arrivals that were completed; 1 if there was none."""
        return self.completed / self.offered if self.offered else 1.0

    @property
    def growth(self) -> int:
        """By how much the arrivals in flight grew; those that were dropped are not in flight."""
        return self.offered - self.completed - self.dropped

    @property
    def saturated(self) -> bool:
        """Whether less than 99 % was completed, and chance or a growing rate can't explain that.

        In a queue that keeps up, the number in flight is about Poisson distributed with mean L (exactly so in
        M/G/inf: Takacs, Introduction to the Theory of Queues, 1962), and two readings of it that lie far apart
        differ with a standard deviation of sqrt(2 L). A growth of up to three of those, on top of the rise that
        the schedule explains (L = rate times time in flight: Little, Operations Research 9, 1961), is no
        backlog. What was dropped counts in any case.
        """
        noise = _SIGMAS * (2 * self.in_flight) ** 0.5
        lost = self.dropped + (self.growth if self.growth > self.rise + noise else 0)
        return lost * 100 > self.offered * (100 - LEAST_COMPLETED_PERCENT)


def arrival_counts(table: GeneratorColumns, inside: Mask) -> ArrivalSummary | None:
    """Sum up the seconds where `inside` holds; None without an open schedule.

    `table` holds the seconds before them, too: from the first on, offered less completed are those in flight.
    """
    if not np.any((table.arrivals != NULL) & inside):
        return None
    workers = [table.worker == number for number in np.unique(table.worker[inside])]
    each = [_in_flight(where(table, rows), (inside & table.seconds)[rows]) for rows in workers]
    judged = where(table, inside)
    return ArrivalSummary(
        seconds=max(int((inside & rows & table.seconds).sum()) for rows in workers),
        offered=total(judged.arrivals),
        completed=total(judged.arrivals_completed),
        late=total(judged.arrivals_late),
        dropped=total(judged.arrivals_dropped),
        in_flight=sum(in_flight for in_flight, _ in each),
        rise=sum(rise for _, rise in each),
    )


def _in_flight(table: GeneratorColumns, inside: Mask) -> tuple[float, float]:
    """Return the median number in flight, and the rise that the change of the rate explains."""
    offered, completed, dropped = (
        np.where(column == NULL, 0, column)
        for column in (table.arrivals, table.arrivals_completed, table.arrivals_dropped)
    )
    if not np.any(inside):
        return 0.0, 0.0
    in_flight = np.maximum(np.cumsum(offered - completed - dropped), 0)[inside].astype(np.float64)
    return float(np.median(in_flight)), _rise(in_flight, offered[inside].astype(np.float64))


def _rise(in_flight: Floats, offered: Floats) -> float:
    """Return the change of the rate times the time in flight, by Little's law; 0 where the rate fell.

    The time is that of the seconds with little in flight (their first quartile): a backlog, which grows towards
    the end, must not explain itself.
    """
    end = max(len(offered) // _ENDS, 1)
    change_per_s = float(offered[-end:].mean() - offered[:end].mean())
    due = offered > 0
    if change_per_s <= 0 or not np.any(due):
        return 0.0
    return change_per_s * float(np.quantile(in_flight[due] / offered[due], 0.25))


BUSY_FRACTION = 0.8
"""Above this share of what it may use, a process's own queueing begins to show in the latency it measures."""
LEAST_LATE_NS = 10_000_000
"""Loop and schedule may always be this late: 10 ms."""
LATE_SHARE = 0.01
"""And so late, as a share of the latency that is judged."""
TICKS_PER_S = 20
"""How often a load process measures how late its loop is: `seatrial.user.health`, which can't be imported here."""
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
        by_chance = statistics.binomial_tail(self.late_ticks, self.ticks, 0.01)
        return self.late_ticks * 100 > self.ticks and by_chance < _BY_CHANCE

    @property
    def schedule(self) -> bool:
        """Whether seconds with more than 5 % of the arrivals began them late."""
        return self.slipped * 20 > self.arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorUse:
    """The worker processes over the window; None where it was not measured.

    `seconds` counts those of the process with the most seconds whose CPU is known (or, where no CPU is known, the
    most seconds), `busy_seconds` those in which any was busy; `users_max` and `in_flight_max` are sums over the
    processes; `arrivals` is None in the closed model.
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
    arrivals: ArrivalSummary | None

    @property
    def saturated(self) -> bool:
        """Whether arrivals piled up, so that latency grows with the length of the run."""
        return self.arrivals is not None and self.arrivals.saturated


def generator_use(whole: GeneratorColumns, inside: Mask, limit_ns: int) -> GeneratorUse:
    """Sum up the seconds where `inside` holds; `limit_ns` is how late loop and schedule may be.

    The processes' seconds are put side by side by their order, not by their stamps. The rest of a second at a
    process's end has counts, but neither CPU nor lag: it is no second.
    """
    table = where(whole, inside & whole.seconds)
    cpu = np.sort(table.cpu_fraction)
    workers = [table.worker == number for number in np.unique(table.worker)]
    measured = ~np.isnan(table.cpu_fraction) if len(cpu) else np.ones(len(table.worker), dtype=np.bool_)
    busy = [np.flatnonzero(table.cpu_fraction[rows] > BUSY_FRACTION) for rows in workers]
    return GeneratorUse(
        workers=len(workers),
        seconds=max((int((rows & measured).sum()) for rows in workers), default=0),
        busy_seconds=len(set().union(*(second.tolist() for second in busy))),
        cpu_median=float(cpu[(len(cpu) - 1) // 2]) if len(cpu) else None,
        cpu_max=float(cpu[-1]) if len(cpu) else None,
        loop_lag_p99_max_ns=_highest(table.loop_lag_p99_ns),
        slip_p99_max_ns=_highest(table.slip_p99_ns),
        users_max=_highest_sum(table.users, workers),
        in_flight_max=_highest_sum(table.in_flight, workers),
        lateness=lateness(table, limit_ns),
        arrivals=arrival_counts(whole, inside),
    )


def late_limit_ns(latency_ns: Quantiles) -> int:
    """Return how late a load may be for this latency: 1 % of its p95 (p50 where there is none), at least 10 ms."""
    judged_ns = latency_ns.p95 or latency_ns.p50 or 0
    return max(LEAST_LATE_NS, round(judged_ns * LATE_SHARE))


def lateness(table: GeneratorColumns, limit_ns: int) -> Lateness:
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


def _highest_sum(values: Ints, workers: Sequence[Mask]) -> int | None:
    """Return the largest sum over the processes, their seconds side by side; None where all are NULL."""
    each = [np.where(own == NULL, 0, own) for rows in workers if np.any((own := values[rows]) != NULL)]
    if not each:
        return None
    sums = np.zeros(max(len(own) for own in each), dtype=np.int64)
    for own in each:
        sums[: len(own)] += own
    return int(sums.max())


def _highest(values: Ints) -> int | None:
    return int(known(values).max()) if len(known(values)) else None


_OWN_PART = 0.1
"""The part of the strictest latency that may be the generator's own lateness, at least 10 ms."""


def overload(seconds: Sequence[LoadSecond], strictest_ns: int, share: float) -> str:
    """Return why the generator may have been too slow in the seconds that had arrivals; empty if it was not.

    Only for a trial that broke its budgets: lateness can't make a latency from the intended start look better, so
    that budgets that were kept are kept. `strictest_ns` is the lowest latency that a budget requires, `share` the
    part of the requests that may break it: as many may be late by the generator alone. Ticks are counted as
    `late_ticks` does, but never more in a second than it has.
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


def pool_shortage(*, rate_per_s: float, late: int, users: int, strictest_ns: int, flow_s: float = 0.0) -> str:
    """Return why the pool of users, and not the stack, kept arrivals waiting; empty if it did not.

    L = rate times time in flight (Little, Operations Research 9, 1961): fewer users than the rate times the
    strictest latency could not serve the rate although every answer came in time. A flow of many requests keeps
    its user for longer: for `flow_s`, where nothing queues.
    """
    needed = rate_per_s * max(strictest_ns / NS_PER_S, flow_s)
    if not late or users >= needed:
        return ""
    return f"{users} users can't have {needed:.0f} requests in flight, as {rate_per_s:.0f}/s may need: --users"

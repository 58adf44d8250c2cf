"""How the load generator itself fared: whether it, and not the stack, was what was slow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seatrial.judge.columns import Generator, Ints
from seatrial.wire.streams import NULL

BUSY_FRACTION = 0.8
"""Above this share of its core, a worker's own queueing begins to show in the latency it measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorUse:
    """The worker processes over the window; None where nobody could tell.

    `seconds` counts those of the process that told most of them, `busy_seconds` those in which any was busy.
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


def generator(table: Generator) -> GeneratorUse:
    """Judge the seconds given; the processes' seconds are put side by side by their order, not by their stamps."""
    cpu = np.sort(table.cpu_fraction[~np.isnan(table.cpu_fraction)])
    workers = [table.worker == number for number in np.unique(table.worker)]
    busy = [np.flatnonzero(table.cpu_fraction[mine] > BUSY_FRACTION) for mine in workers]
    return GeneratorUse(
        workers=len(workers),
        seconds=max((int(mine.sum()) for mine in workers), default=0),
        busy_seconds=len(set().union(*(second.tolist() for second in busy))),
        cpu_median=float(cpu[(len(cpu) - 1) // 2]) if len(cpu) else None,
        cpu_max=float(cpu[-1]) if len(cpu) else None,
        loop_lag_p99_max_ns=_highest(table.loop_lag_p99_ns),
        slip_p99_max_ns=_highest(table.slip_p99_ns),
        users_max=_highest(table.users),
        in_flight_max=_highest(table.in_flight),
    )


def _highest(values: Ints) -> int | None:
    told = values[values != NULL]
    return int(told.max()) if len(told) else None

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
    """The seconds of all worker processes over the window; None where nobody could tell."""

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
    """Judge the seconds given."""
    cpu = np.sort(table.cpu_fraction[~np.isnan(table.cpu_fraction)])
    return GeneratorUse(
        workers=len(np.unique(table.worker)),
        seconds=len(table.t_ns),
        busy_seconds=int((cpu > BUSY_FRACTION).sum()),
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

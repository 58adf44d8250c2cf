"""The open model: whether the arrivals that were offered were also completed, or piled up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seatrial.measure.tables import Floats, Generator, Ints, Mask, rows
from seatrial.wire.streams import NULL

LEAST_COMPLETED_PERCENT = 99
"""Of the offered arrivals; below it those that did not end are told as a backlog."""

_SIGMAS = 3.0
_ENDS = 20
"""A twentieth of the window at each end tells how the rate changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
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


def arrivals(table: Generator, inside: Mask) -> Arrivals | None:
    """Judge the seconds where `inside` holds; None without an open schedule.

    `table` holds the seconds before them, too: from the first on, offered less completed are those in flight.
    """
    if not np.any((table.arrivals != NULL) & inside):
        return None
    mine = [table.worker == number for number in np.unique(table.worker[inside])]
    each = [_of_process(rows(table, one), (inside & table.seconds)[one]) for one in mine]
    judged = rows(table, inside)
    return Arrivals(
        seconds=max(int((inside & one & table.seconds).sum()) for one in mine),
        offered=_total(judged.arrivals),
        completed=_total(judged.arrivals_completed),
        late=_total(judged.arrivals_late),
        dropped=_total(judged.arrivals_dropped),
        in_flight=sum(in_flight for in_flight, _ in each),
        rise=sum(rise for _, rise in each),
    )


def _of_process(table: Generator, inside: Mask) -> tuple[float, float]:
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
    the end, must not excuse itself.
    """
    end = max(len(offered) // _ENDS, 1)
    change_per_s = float(offered[-end:].mean() - offered[:end].mean())
    some = offered > 0
    if change_per_s <= 0 or not np.any(some):
        return 0.0
    return change_per_s * float(np.quantile(in_flight[some] / offered[some], 0.25))


def _total(values: Ints) -> int:
    return int(values[values != NULL].sum())

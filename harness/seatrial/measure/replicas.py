"""Several containers of one service: at once (replicas, whose memory adds up) or one after another (a restart)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seatrial.measure.tables import Ints, Mask, Samples
from seatrial.wire.streams import NULL

_SAME_TICK = 0.25
"""The containers of one tick are read within a few milliseconds; a quarter of the period is far from that."""

_STAYS = 2.5
"""For how many periods a container that misses ticks counts with its last reading; after that it is down."""


def each(container: Ints) -> list[Mask]:
    """Return, for each container, which rows are its own."""
    return [container == code for code in np.unique(container)]


def counted(samples: Samples, column: str) -> list[tuple[Ints, Ints]]:
    """Return, for each container of each service, the readings of a column that were told: stamps and values."""
    stamps, values = samples.numbers["t_ns"], samples.numbers[column]
    told = [mine & (values != NULL) for mine in each(samples.lives)]
    return [(stamps[mine], values[mine]) for mine in told]


def at_once(stamps: Ints, container: Ints) -> int:
    """Return the most containers that lived at the same time, each from its first to its last reading."""
    lives = [(int(stamps[mine].min()), int(stamps[mine].max())) for mine in each(container)]
    return max(sum(begin <= moment <= end for begin, end in lives) for moment, _ in lives)


def ticks(stamps: Ints, container: Ints, period_ns: int) -> Ints:
    """Return the number of the sampler's tick for each row; rows stand in the order of time.

    A tick ends where a container comes again, or after a quarter of the period without a reading.
    """
    number, found = -1, np.empty(len(stamps), dtype=np.int64)
    seen: set[int] = set()
    before_ns = 0
    for row, (stamp_ns, code) in enumerate(zip(stamps.tolist(), container.tolist(), strict=True)):
        if not seen or code in seen or stamp_ns - before_ns > period_ns * _SAME_TICK:
            number += 1
            seen.clear()
        seen.add(code)
        before_ns = stamp_ns
        found[row] = number
    return found


def summed(numbers: Mapping[str, Ints], container: Ints, period_ns: int) -> dict[str, Ints]:
    """Return each column as one value for each tick: the sum over the containers that live at that tick.

    NULL where a container can't tell. A reading that is missing is the container's own last one, never another's.
    """
    stamps = numbers["t_ns"]
    number = ticks(stamps, container, period_ns)
    last_row = np.searchsorted(number, np.arange(number[-1] + 1), side="right") - 1
    totals = {name: np.zeros(len(last_row), dtype=np.int64) for name in numbers if name != "t_ns"}
    for mine in each(container):
        own, when = number[mine], stamps[mine]
        life = _life(own, len(last_row))
        at = np.maximum(np.searchsorted(own, life, side="right") - 1, 0)
        up = stamps[last_row[life]] - when[at] <= period_ns * _STAYS
        for name, total in totals.items():
            value = carried(numbers[name][mine])[at[up]]
            sofar = total[life[up]]
            total[life[up]] = np.where((value == NULL) | (sofar == NULL), NULL, sofar + value)
    return totals


def _life(own: Ints, count: int) -> Ints:
    """Return the ticks from a container's first to its last.

    The window can begin or end in the midst of a tick: who is there one tick later, or was one tick before, was
    there then, too.
    """
    first, last = int(own[0]), int(own[-1])
    return np.arange(0 if first == 1 else first, count if last == count - 2 else last + 1)


def carried(values: Ints) -> Ints:
    """Put the last known value in place of NULL, and the first known one before it; all NULL if there is none."""
    known = np.flatnonzero(values != NULL)
    if len(known) == 0:
        return values
    at = np.searchsorted(known, np.arange(len(values)), side="right") - 1
    found: Ints = values[known[np.maximum(at, 0)]]
    return found

"""Equal stretches of time that a chart's numbers are gathered in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from seatrial.measure.tables import Ints
from seatrial.units import NS_PER_S

MOST = 1_500
"""A chart is not much wider than this many pixels; more stretches would hide one another."""

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """`count` stretches of `step_ns`, the first of which begins at `from_ns`."""

    from_ns: int
    step_ns: int
    count: int

    @property
    def begins_ns(self) -> Ints:
        """When each stretch begins."""
        return self.from_ns + np.arange(self.count, dtype=np.int64) * self.step_ns

    def of(self, stamps: Ints) -> Ints:
        """Return the number of the stretch that each stamp lies in; what lies outside counts to the nearest."""
        found: Ints = np.clip((stamps - self.from_ns) // self.step_ns, 0, self.count - 1)
        return found


def grid(begin_ns: int, end_ns: int, anchor_ns: int, most: int = MOST) -> Grid:
    """Return at most `most` stretches, of a second or more, from `begin_ns` up to and with `end_ns`.

    One of them begins exactly at `anchor_ns`, so that no stretch holds some of the warm-up and some of the window.
    """
    step_ns = next(step for step in _steps() if _stretches(begin_ns, end_ns, anchor_ns, step) <= most)
    return Grid(
        from_ns=_first(begin_ns, anchor_ns, step_ns),
        step_ns=step_ns,
        count=_stretches(begin_ns, end_ns, anchor_ns, step_ns),
    )


def _first(begin_ns: int, anchor_ns: int, step_ns: int) -> int:
    return anchor_ns + (min(begin_ns, anchor_ns) - anchor_ns) // step_ns * step_ns


def _stretches(begin_ns: int, end_ns: int, anchor_ns: int, step_ns: int) -> int:
    return max(1, (end_ns - _first(begin_ns, anchor_ns, step_ns)) // step_ns + 1)


def _steps() -> Iterator[int]:
    yield from (seconds * NS_PER_S for seconds in _STEPS_S)
    yield from (_STEPS_S[-1] * NS_PER_S << doubled for doubled in count(1))

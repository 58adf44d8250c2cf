"""What one process says of each second: its counts, and how well it did itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from seatrial.user.health import CpuShare, LoopLag
from seatrial.user.ledger import Pulse
from seatrial.user.tally import COUNTS
from seatrial.wire.tables import GENERATOR, row_columns

_CLOSED: Mapping[str, int | None] = dict.fromkeys(COUNTS)
_ROW = tuple(row_columns(GENERATOR))
HEALTH = ("cpu_fraction", "loop_lag_p50_ns", "loop_lag_p99_ns", "slip_p99_ns")
LEAST_NS = 500_000_000
"""In a rest shorter than this, as the end of a run leaves one, CPU share and percentiles would say little."""


class Seconds:
    """Makes the rows of `generator`; `pulse` is where requests are counted, `lag` has to be run.

    `allowed` is the share of a core that this process may use.
    """

    def __init__(self, *, allowed: float = 1.0, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.pulse = Pulse()
        self.lag = LoopLag()
        self._cpu = CpuShare(allowed)
        self._clock = clock
        self._at_ns = clock()

    def take(
        self, users: int, arrivals: Mapping[str, int | None] = _CLOSED, slip_p99_ns: int | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the counts since the last call, and the row of `wire.tables.GENERATOR`.

        The row of a rest that is no second has its counts, and null for how well the process did. `arrivals` are
        those of an open model.
        """
        t_ns = self._clock()
        counts = {"t_ns": t_ns, "users": users, **self.pulse.take(), **arrivals}
        p50_ns, p99_ns = self.lag.take()
        own = {"cpu_fraction": self._cpu.take(), "loop_lag_p50_ns": p50_ns, "loop_lag_p99_ns": p99_ns}
        own["slip_p99_ns"] = slip_p99_ns
        lasted_ns, self._at_ns = t_ns - self._at_ns, t_ns
        if lasted_ns < LEAST_NS:
            own = dict.fromkeys(own)
        row = {**counts, **own}
        return counts, {name: row[name] for name in _ROW}


def health(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row tells of the process itself."""
    return {name: row[name] for name in HEALTH}

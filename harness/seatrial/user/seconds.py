"""What one process says of each second: its counts, and how well it did itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from seatrial.user.health import CpuShare, LoopLag
from seatrial.user.ledger import Pulse

LEAST_NS = 500_000_000
"""A rest shorter than this, as the end of a run leaves one, is no second: its rates would say little."""


class Seconds:
    """Makes the rows of `generator`; `pulse` is where requests are counted, `lag` has to be run."""

    def __init__(self, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.pulse = Pulse()
        self.lag = LoopLag()
        self._cpu = CpuShare()
        self._clock = clock
        self._at_ns = clock()

    def take(self, users: int) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the counts since the last call, and the row of `wire.tables.GENERATOR_FIELDS` if it was a second.

        What a rest that is no second counted stands in the counts only.
        """
        t_ns = self._clock()
        counts = {"t_ns": t_ns, "users": users, **self.pulse.take()}
        p50_ns, p99_ns = self.lag.take()
        own = {"cpu_fraction": self._cpu.take(), "loop_lag_p50_ns": p50_ns, "loop_lag_p99_ns": p99_ns}
        lasted_ns, self._at_ns = t_ns - self._at_ns, t_ns
        if lasted_ns < LEAST_NS:
            return counts, None
        requests_tell = {"failed"}
        row = {name: value for name, value in counts.items() if name not in requests_tell}
        return counts, {**row, **own, "slip_p99_ns": None}

"""How well the generator itself is doing: the share that it uses of its core, and how late its event loop is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import gevent

from seatrial.units import NS_PER_S

TICK_S = 0.05
_SCHEDSTAT = Path("/proc/thread-self/schedstat")


class LoopLag:
    """Asks to be woken every 50 ms, and keeps how late each wake was."""

    def __init__(
        self, *, clock: Callable[[], int] = time.monotonic_ns, sleep: Callable[[float], object] = gevent.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._late_ns: list[int] = []

    def run(self) -> None:
        """Tick until killed."""
        while True:
            self.tick()

    def tick(self) -> None:
        """Sleep once, and note by how much the wake was late."""
        due_ns = self._clock() + round(TICK_S * NS_PER_S)
        self._sleep(TICK_S)
        self._late_ns.append(max(self._clock() - due_ns, 0))

    def take(self) -> tuple[int | None, int | None]:
        """Return median and 99th percentile (nearest rank) of the lags since the last call, and forget them.

        None where the loop was blocked so long that not one tick ended.
        """
        late_ns = sorted(self._late_ns)
        self._late_ns.clear()
        if not late_ns:
            return None, None
        return late_ns[(len(late_ns) - 1) // 2], late_ns[-(-99 * len(late_ns) // 100) - 1]


def waited_ns() -> int:
    """Return how long this thread has been ready to run while another had the core; 0 where that is not told.

    The second number of schedstat (https://docs.kernel.org/scheduler/sched-stats.html), in nanoseconds.
    """
    try:
        return int(_SCHEDSTAT.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


class CpuShare:
    """How much of its time this process was busy: CPU time, its threads included, over what it may use (`quota`).

    On a core that others use too, a process that is never idle gets less CPU time, and is as much of a bottleneck:
    so what it waited for a core counts like what it ran, over the whole time.
    """

    def __init__(
        self,
        allowed: float = 1.0,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        cpu: Callable[[], int] = time.process_time_ns,
        waited: Callable[[], int] = waited_ns,
    ) -> None:
        self._allowed = allowed
        self._clock = clock
        self._cpu = cpu
        self._waited = waited
        self._at_ns, self._used_ns, self._waited_ns = clock(), cpu(), waited()

    def take(self) -> float:
        """Return the share since the last call; 1.0 is all that the process may use."""
        before = self._at_ns, self._used_ns, self._waited_ns
        self._at_ns, self._used_ns, self._waited_ns = self._clock(), self._cpu(), self._waited()
        span_ns, used_ns = max(self._at_ns - before[0], 1), self._used_ns - before[1]
        busy_ns = used_ns + self._waited_ns - before[2]
        return round(max(used_ns / self._allowed, busy_ns) / span_ns, 4)

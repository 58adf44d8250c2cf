"""How well the generator itself is doing: the share that it uses of its core, and how late its event loop is."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent

TICK_S = 0.05
_NS = 1_000_000_000


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
        due_ns = self._clock() + round(TICK_S * _NS)
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


class CpuShare:
    """CPU time of this process, its threads included, over the time that it may use: `allowed` cores (`quota`)."""

    def __init__(
        self,
        allowed: float = 1.0,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        cpu: Callable[[], int] = time.process_time_ns,
    ) -> None:
        self._allowed = allowed
        self._clock = clock
        self._cpu = cpu
        self._at_ns = clock()
        self._used_ns = cpu()

    def take(self) -> float:
        """Return the share since the last call; 1.0 is all that the process may use."""
        at_ns, used_ns = self._clock(), self._cpu()
        share = (used_ns - self._used_ns) / max(at_ns - self._at_ns, 1)
        self._at_ns, self._used_ns = at_ns, used_ns
        return round(share / self._allowed, 4)

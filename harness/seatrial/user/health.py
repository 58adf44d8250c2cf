"""Health of a load process: CPU share and quota, event loop lag, task exceptions; rows of `generator`.

`cpu.max` (cgroup v2) and `cpu.cfs_quota_us` over `cpu.cfs_period_us` (v1) limit a group and all groups below it
(https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu, https://docs.kernel.org/scheduler/sched-bwc.html).
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent

from seatrial.units import NS_PER_S
from seatrial.user.accounting import RequestCounts
from seatrial.user.arrivals import COUNTS
from seatrial.wire.redaction import masked
from seatrial.wire.streams import GENERATOR, row_columns

TICK_S = 0.05
HEALTH = ("cpu_fraction", "loop_lag_p50_ns", "loop_lag_p99_ns", "slip_p99_ns")
LEAST_NS = 500_000_000
"""The end of a run may leave a rest shorter than this: CPU share and percentiles would mean little there."""
DISTINCT_LIMIT = 100
_CLOSED: Mapping[str, int | None] = dict.fromkeys(COUNTS)
_ROW = tuple(row_columns(GENERATOR))
_SCHEDSTAT = Path("/proc/thread-self/schedstat")
_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


class LoopLag:
    """Sleeps for 50 ms again and again, and keeps how late each wake-up was."""

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
        """Sleep once, and note how late the wake-up was."""
        due_ns = self._clock() + round(TICK_S * NS_PER_S)
        self._sleep(TICK_S)
        self._late_ns.append(max(self._clock() - due_ns, 0))

    def take(self) -> tuple[int | None, int | None]:
        """Return median and 99th percentile (nearest rank) of the lags since the last call.

        None where the loop was blocked so long that not one tick ended.
        """
        late_ns = sorted(self._late_ns)
        self._late_ns.clear()
        if not late_ns:
            return None, None
        return late_ns[(len(late_ns) - 1) // 2], late_ns[-(-99 * len(late_ns) // 100) - 1]


def waited_ns() -> int:
    """Return how long this thread has been ready to run while another had the core; 0 where that is unknown.

    The second number of schedstat (https://docs.kernel.org/scheduler/sched-stats.html), in nanoseconds.
    """
    try:
        return int(_SCHEDSTAT.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


class CpuShare:
    """The share of its time that this process was busy: CPU time of all threads over `allowed` cores.

    On a core that others use too, a process that is never idle gets less CPU time, and is as much of a bottleneck:
    so the time for which it waited for a core counts like the time for which it ran.
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


def allowed_cores(quota: float, affinity: int, processes: int) -> float:
    """Return the share of a core that each of `processes` may use: at most 1, as one Python process uses no more.

    `quota` is in cores, infinite if there is none; `affinity` counts the cores that they may run on.
    """
    return min(1.0, min(quota, affinity) / max(processes, 1))


def quota_cores(own: Path = _OWN, root: Path = _ROOT) -> float:
    """Return the smallest CPU quota on the way from this process's groups up to the root; infinite if none.

    Groups that can't be read from here, as in a container without a cgroup namespace, are left out.
    """
    least = math.inf
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):  # of v2, "", each controller may be on
                continue
            top = root / controllers if controllers else root
            group = top / path.lstrip("/")
            for ancestor in (group, *group.parents):
                if not ancestor.is_relative_to(top):
                    break
                least = min(least, _quota(ancestor))
    return least


def _quota(group: Path) -> float:
    with suppress(OSError, ValueError):
        quota, _, period = (group / "cpu.max").read_text().strip().partition(" ")
        return math.inf if quota == "max" else int(quota) / int(period or 100_000)
    with suppress(OSError, ValueError):
        quota_us = int((group / "cpu.cfs_quota_us").read_text())
        return math.inf if quota_us < 0 else quota_us / int((group / "cpu.cfs_period_us").read_text())
    return math.inf


class Seconds:
    """Makes the rows of `generator`; requests are counted in `requests`, and `lag` has to be run.

    `allowed` is the share of a core that this process may use.
    """

    def __init__(self, *, allowed: float = 1.0, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.requests = RequestCounts()
        self.lag = LoopLag()
        self._cpu = CpuShare(allowed)
        self._clock = clock
        self._at_ns = clock()

    def take(
        self, users: int, arrivals: Mapping[str, int | None] = _CLOSED, slip_p99_ns: int | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the counts since the last call, and the row of `wire.streams.GENERATOR`.

        A rest shorter than LEAST_NS has its counts, and null for the process's health. `arrivals` are those of an
        open model.
        """
        t_ns = self._clock()
        counts = {"t_ns": t_ns, "users": users, **self.requests.take(), **arrivals}
        health = dict(zip(HEALTH, (self._cpu.take(), *self.lag.take(), slip_p99_ns), strict=True))
        lasted_ns, self._at_ns = t_ns - self._at_ns, t_ns
        if lasted_ns < LEAST_NS:
            health = dict.fromkeys(HEALTH)
        row = {**counts, **health}
        return counts, {name: row[name] for name in _ROW}


class TaskErrors:
    """Counts exceptions, and passes the first of each kind on to `report`: `t_ns`, `what`, `traceback`."""

    def __init__(
        self, report: Callable[[Mapping[str, Any]], None], *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.count = 0
        self._report = report
        self._clock = clock
        self._reported: set[str] = set()

    def on_user_error(self, exception: BaseException, **_: object) -> None:
        """Count Locust's `user_error` event."""
        self.count += 1
        text = "".join(traceback.format_exception(exception))
        if text in self._reported or len(self._reported) >= DISTINCT_LIMIT:
            return
        self._reported.add(text)
        what = traceback.format_exception_only(exception)[-1].strip()
        self._report({"t_ns": self._clock(), "what": masked(what), "traceback": masked(text)})

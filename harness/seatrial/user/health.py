"""CPU share, event loop lag, CPU quota and task exceptions of a load process.

`cpu.max` (cgroup v2) and `cpu.cfs_quota_us` over `cpu.cfs_period_us` (v1) limit a group and all below it
(https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu, https://docs.kernel.org/scheduler/sched-bwc.html).
"""

from __future__ import annotations

import math
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
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


_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def allowed_cores(quota: float, affinity: int, processes: int) -> float:
    """Return the share of one core that each of `processes` may use: at most 1, one Python process uses no more.

    `quota` is in cores, infinite if there is none; `affinity` counts the cores that they may run on.
    """
    return min(1.0, min(quota, affinity) / max(processes, 1))


def parse_max(text: str) -> float:
    """Read `cpu.max`: `150000 100000` is 1.5 cores, `max 100000` is no limit."""
    quota, _, period = text.strip().partition(" ")
    return math.inf if quota == "max" else int(quota) / int(period or 100_000)


def parse_cfs(quota: str, period: str) -> float:
    """Read the two files of cgroup v1; a quota of -1 is no limit."""
    return math.inf if int(quota) < 0 else int(quota) / int(period)


def controller_paths(text: str) -> Iterator[tuple[str, str]]:
    """Yield hierarchy and path of the groups in `/proc/self/cgroup` that can limit CPU; v2's hierarchy is ""."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            yield controllers, path


def quota_cores(own: Path = _OWN, root: Path = _ROOT) -> float:
    """Return the smallest CPU quota on the way from this process's groups up to the root; infinite if none.

    Groups that can't be seen from here, as in a container without a cgroup namespace, are passed over.
    """
    least = math.inf
    with suppress(OSError, ValueError):
        for controllers, path in controller_paths(own.read_text()):
            top = root / controllers if controllers else root
            group = top / path.lstrip("/")
            for one in (group, *group.parents):
                if not one.is_relative_to(top):
                    break
                least = min(least, _quota(one))
    return least


def this_process(processes: int) -> float:
    """Return what this process may use, one of `processes` that share the machine's part."""
    return allowed_cores(quota_cores(), len(os.sched_getaffinity(0)), processes)


def _quota(group: Path) -> float:
    with suppress(OSError, ValueError):
        return parse_max((group / "cpu.max").read_text())
    with suppress(OSError, ValueError):
        return parse_cfs((group / "cpu.cfs_quota_us").read_text(), (group / "cpu.cfs_period_us").read_text())
    return math.inf


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
        self.pulse = RequestCounts()
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


DISTINCT_LIMIT = 100


class TaskErrors:
    """Counts exceptions, and passes the first of each kind on to `tell`: `t_ns`, `what`, `traceback`."""

    def __init__(
        self, tell: Callable[[Mapping[str, Any]], None], *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.count = 0
        self._tell = tell
        self._clock = clock
        self._told: set[str] = set()

    def on_user_error(self, exception: BaseException, **_: object) -> None:
        """Take Locust's `user_error` event."""
        self.count += 1
        text = "".join(traceback.format_exception(exception))
        if text in self._told or len(self._told) >= DISTINCT_LIMIT:
            return
        self._told.add(text)
        what = traceback.format_exception_only(exception)[-1].strip()
        self._tell({"t_ns": self._clock(), "what": masked(what), "traceback": masked(text)})

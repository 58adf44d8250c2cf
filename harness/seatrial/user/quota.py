"""How much of a core one load process may use: what cgroups and affinity leave, shared with its siblings.

`cpu.max` (cgroup v2) and `cpu.cfs_quota_us` over `cpu.cfs_period_us` (v1) limit a group and all below it
(https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu, https://docs.kernel.org/scheduler/sched-bwc.html).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

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

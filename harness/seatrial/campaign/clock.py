"""When the user's command began."""

from __future__ import annotations

import os
import time
from pathlib import Path

from seatrial.units import NS_PER_S


def command_began_ns(stat: Path = Path("/proc/self/stat")) -> int:
    """Return the start of this process on CLOCK_MONOTONIC, to a hundredth of a second.

    Field 22 of /proc/PID/stat counts clock ticks since boot, suspend included (proc(5)): CLOCK_BOOTTIME.
    """
    after_name = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    started_ns = int(after_name[19]) * NS_PER_S // os.sysconf("SC_CLK_TCK")
    return started_ns - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns())

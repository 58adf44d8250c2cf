"""When the user's command began."""

from __future__ import annotations

import time
from pathlib import Path

from seatrial.units import NS_PER_TICK, stat_fields


def command_began_ns(stat: Path = Path("/proc/self/stat")) -> int:
    """Return the start of this process on CLOCK_MONOTONIC, to a hundredth of a second.

    Field 22 of /proc/PID/stat counts clock ticks since boot, suspend included (proc(5)): CLOCK_BOOTTIME.
    """
    started_ns = int(stat_fields(stat.read_bytes())[19]) * NS_PER_TICK
    return started_ns - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns())

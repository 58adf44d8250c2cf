"""The sampler's own process: `statm` for memory, `getrusage` for the rest, in microseconds and for 2 µs.

Once a second, and NULL between, it tells for how long a CPU quota held its cgroups back. The harness starts it and
the load alike, so these are the load's cgroups too.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

from seatrial.sampler.locate import groups_of_this_process
from seatrial.sampler.reading import Descriptors, Keyed
from seatrial.sampler.reading_ import known_sum, scaled
from seatrial.sampler.seldom import SlowColumns
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL
from seatrial.wire.tables import Reading

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_BLOCK_BYTES = 512
"""The unit of `ru_inblock` and `ru_oublock` on Linux."""
_NS_PER_US = 1000


class Itself:
    """Reads the process that it lives in, all threads."""

    kind = "own process"

    def __init__(self, root: Path = Path("/"), clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Open `statm`, and what counts the quotas."""
        self._files = Descriptors()
        self._statm = self._files.open(Path("/proc/self/statm"))
        quotas = [self._files.optional(group / "cpu.stat") for group in groups_of_this_process(root)]
        self._quotas = [
            Keyed(opened, ["throttled_usec", "throttled_time"]) for opened in quotas if opened is not None
        ]
        self._slow = SlowColumns(clock)

    def read(self) -> Reading:
        """Read now; columns as for a process tree without children."""
        _size, resident, shared, _rest = os.pread(self._statm, 128, 0).split(None, 3)
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Reading(
            usage_bytes=int(resident) * _PAGE_BYTES,
            anon_bytes=(int(resident) - int(shared)) * _PAGE_BYTES,
            cpu_ns=round((used.ru_utime + used.ru_stime) * NS_PER_S),
            throttled_ns=self._throttled_ns() if self._slow.due() else NULL,
            major_faults=used.ru_majflt,
            read_bytes=used.ru_inblock * _BLOCK_BYTES,
            written_bytes=used.ru_oublock * _BLOCK_BYTES,
            processes=threading.active_count(),
        )

    def close(self) -> None:
        """Let go of every descriptor."""
        self._files.close()

    def _throttled_ns(self) -> int:
        """Sum over the groups: version 2 counts microseconds, version 1 nanoseconds."""
        counted = [quota.values() for quota in self._quotas]
        return known_sum(*(known_sum(scaled(usec, _NS_PER_US), nsec) for usec, nsec in counted))

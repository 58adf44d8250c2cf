"""The sampler's own process: `statm` for memory, `getrusage` for the rest, in microseconds and for 2 µs."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

from seatrial.observe.files import Descriptors
from seatrial.observe.reading import Reading
from seatrial.units import NS_PER_S

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_BLOCK_BYTES = 512
"""The unit of `ru_inblock` and `ru_oublock` on Linux."""


class Itself:
    """Reads the process that it lives in, all threads."""

    kind = "own process"

    def __init__(self) -> None:
        """Open `statm`."""
        self._files = Descriptors()
        self._statm = self._files.open(Path("/proc/self/statm"))

    def read(self) -> Reading:
        """Read now; columns as for a process tree without children."""
        _size, resident, shared, _rest = os.pread(self._statm, 128, 0).split(None, 3)
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Reading(
            usage_bytes=int(resident) * _PAGE_BYTES,
            anon_bytes=(int(resident) - int(shared)) * _PAGE_BYTES,
            cpu_ns=round((used.ru_utime + used.ru_stime) * NS_PER_S),
            major_faults=used.ru_majflt,
            read_bytes=used.ru_inblock * _BLOCK_BYTES,
            written_bytes=used.ru_oublock * _BLOCK_BYTES,
            processes=threading.active_count(),
        )

    def close(self) -> None:
        """Let go of the descriptor."""
        self._files.close()

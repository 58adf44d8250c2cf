"""A container through cgroup v2 files.

`limit_hits` is `max` of `memory.events`, `limit` is `memory.max` of the container's own cgroup.
`kernel` exists since 5.18; before that it is the sum of the parts that `memory.stat` names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from seatrial.observe.disks import DEVICES, Disks
from seatrial.observe.files import Descriptors, Keyed, Pressure, number
from seatrial.observe.locate import Places
from seatrial.observe.network import Network
from seatrial.observe.reading import Reading, known_sum, remainder, scaled
from seatrial.observe.seldom import Seldom
from seatrial.wire.streams import NULL

_STAT = "anon file kernel sock shmem file_dirty file_writeback inactive_file pgmajfault".split()
_KERNEL_PARTS = "kernel_stack pagetables percpu slab".split()
_NS_PER_US = 1000
_STALLS = 3
"""How many of the columns that are read seldom stand before `major_faults`."""


class Cgroup2:
    """The open files of one container's cgroup."""

    kind = "cgroup v2"

    def __init__(
        self, places: Places, clock: Callable[[], int] = time.monotonic_ns, devices: Path = DEVICES
    ) -> None:
        """Open all; OSError if the memory files can't be opened."""
        self._files = files = Descriptors()
        self._disks = Disks(devices)
        folder = places.memory
        try:
            self._stat = Keyed(files.open(folder / "memory.stat"), _STAT + _KERNEL_PARTS)
            self._usage = files.open(folder / "memory.current")
        except OSError:
            files.close()
            raise
        self._swap = files.optional(folder / "memory.swap.current")
        self._limit = files.optional(folder / "memory.max")
        self._events = Keyed(files.optional(folder / "memory.events"), ["max", "oom_kill"])
        self._cpu = Keyed(files.optional(folder / "cpu.stat"), ["usage_usec", "throttled_usec"])
        self._disk = files.optional(folder / "io.stat")
        self._tasks = files.optional(folder / "pids.current")
        self._psi = Pressure(files, folder, ".pressure")
        self._net = Network(files, places.net_dev)
        self._seldom = Seldom(self._take_seldom, width=8, clock=clock)

    def read(self) -> Reading:
        """Read every file once; OSError of GONE_ERRORS when the container has ended."""
        usage = number(self._usage)
        anon, file, kernel, sock, shmem, dirty, writeback, inactive, faults, *parts = self._stat.values()
        limit_hits, oom_kills = self._events.values()
        seldom = self._seldom.values()
        return Reading._make(
            (  # in the order of the columns
                usage,
                remainder(usage, inactive),
                anon,
                remainder(file, shmem, dirty, writeback),
                known_sum(dirty, writeback),
                shmem,
                known_sum(*parts) if kernel == NULL else kernel,
                sock,
                number(self._swap),
                number(self._limit),
                *[scaled(used, _NS_PER_US) for used in self._cpu.values()],
                oom_kills,
                limit_hits,
                *seldom[:_STALLS],
                faults,
                *seldom[_STALLS:],
                NULL,
                NULL,
            )
        )

    def _take_seldom(self) -> tuple[int, ...]:
        disk, net = self._disk_bytes(), self._net.received_and_sent()
        return (*self._psi.stalls_ns(), *disk, *net, number(self._tasks))

    def close(self) -> None:
        """Let go of every descriptor."""
        self._files.close()

    def _disk_bytes(self) -> tuple[int, int]:
        if self._disk is None:
            return NULL, NULL
        lines = [line.split() for line in os.pread(self._disk, 8192, 0).splitlines()]
        fields = [field for line in lines if line and self._disks.counts(line[0]) for field in line]
        return _total(fields, b"rbytes="), _total(fields, b"wbytes=")


def _total(fields: list[bytes], key: bytes) -> int:
    return sum(int(field[len(key) :]) for field in fields if field.startswith(key))

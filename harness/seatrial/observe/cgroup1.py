"""A container through cgroup v1 files.

`anon` is `total_rss`: anonymous memory and swap cache, not the resident set size (kernel: cgroup-v1/memory, 5.2).
The hierarchical `total_` lines are used, so that cgroups which the container makes itself count too.
`sock` is NULL until the TCP counter is active: it is off until somebody has written
`memory.kmem.tcp.limit_in_bytes`, and reads 0 then, however much lies in the sockets.
`limit_hits` is `memory.failcnt`; from kernel 6.15 it stays 0 where memory and swap have the same limit.
`written_bytes` misses what the kernel writes back later: version 1 charges write-back to nobody.
PSI comes from the unified mount of a hybrid host, where there is one.
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
from seatrial.observe.reading import Reading, known_sum, remainder
from seatrial.observe.seldom import Seldom
from seatrial.wire.streams import NULL

_STAT = """
    total_cache total_rss total_shmem total_dirty total_writeback total_swap total_pgmajfault total_inactive_file
    hierarchical_memory_limit
""".split()
_UNLIMITED = 1 << 62
"""The kernel shows "no limit" as the largest page-aligned counter, 2^63 minus one page."""
_DISK_FIELDS = 3
"""`8:0 Read 4096`; the last line, a total of all devices, has two."""
_STALLS = 3
"""How many of the columns that are read seldom stand before `major_faults`."""


class Cgroup1:
    """The open files of one container's cgroups."""

    kind = "cgroup v1"

    def __init__(
        self, places: Places, clock: Callable[[], int] = time.monotonic_ns, devices: Path = DEVICES
    ) -> None:
        """Open all; OSError if the memory files can't be opened."""
        self._files = files = Descriptors()
        self._disks = Disks(devices)
        try:
            self._open(places, files)
        except OSError:
            files.close()
            raise
        self._psi = Pressure(files, places.unified, ".pressure")
        self._net = Network(files, places.net_dev)
        self._seldom = Seldom(self._take_seldom, width=8, clock=clock)

    def _open(self, places: Places, files: Descriptors) -> None:
        memory = places.memory
        self._stat = Keyed(files.open(memory / "memory.stat"), _STAT)
        self._usage = files.open(memory / "memory.usage_in_bytes")
        self._kmem = files.optional(memory / "memory.kmem.usage_in_bytes")
        self._tcp = files.optional(memory / "memory.kmem.tcp.usage_in_bytes")
        self._tcp_active = _tcp_limited(memory)
        self._hits = files.optional(memory / "memory.failcnt")
        self._oom = Keyed(files.optional(memory / "memory.oom_control"), ["oom_kill"])
        self._cpu = files.optional(_inside(places.cpuacct, "cpuacct.usage"))
        self._throttled = Keyed(files.optional(_inside(places.cpu, "cpu.stat")), ["throttled_time"])
        self._disk = _disk_file(files, places.blkio)
        self._tasks = files.optional(_inside(places.pids, "pids.current"))

    def read(self) -> Reading:
        """Read every file once; OSError of GONE_ERRORS when the container has ended."""
        usage = number(self._usage)
        cache, rss, shmem, dirty, writeback, swap, faults, inactive, limit = self._stat.values()
        seldom = self._seldom.values()
        return Reading._make(
            (  # in the order of the columns
                usage,
                remainder(usage, inactive),
                rss,
                remainder(cache, shmem, dirty, writeback),
                known_sum(dirty, writeback),
                shmem,
                number(self._kmem),
                self._sock_bytes(),
                swap,
                NULL if limit >= _UNLIMITED else limit,
                number(self._cpu),
                self._throttled.values()[0],
                self._oom.values()[0],
                number(self._hits),
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

    def _sock_bytes(self) -> int:
        used = number(self._tcp)
        self._tcp_active = self._tcp_active or used > 0
        return used if self._tcp_active else NULL

    def _disk_bytes(self) -> tuple[int, int]:
        if self._disk is None:
            return NULL, NULL
        lines = [line.split() for line in os.pread(self._disk, 8192, 0).splitlines()]
        own = [line for line in lines if len(line) == _DISK_FIELDS and self._disks.counts(line[0])]
        return _summed(own, b"Read"), _summed(own, b"Write")


def _summed(lines: list[list[bytes]], word: bytes) -> int:
    return sum(int(value) for _number, name, value in lines if name == word)


def _inside(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / name


def _disk_file(files: Descriptors, folder: Path | None) -> int | None:
    name = "blkio.throttle.io_service_bytes"
    recursive = files.optional(_inside(folder, f"{name}_recursive"))
    return files.optional(_inside(folder, name)) if recursive is None else recursive


def _tcp_limited(memory: Path) -> bool:
    try:
        return int((memory / "memory.kmem.tcp.limit_in_bytes").read_text()) < _UNLIMITED
    except (OSError, ValueError):
        return False

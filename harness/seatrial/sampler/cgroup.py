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
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from seatrial.sampler.disks import DEVICES, Disks
from seatrial.sampler.locate import Places
from seatrial.sampler.network import Network
from seatrial.sampler.reading import Descriptors, Keyed, Pressure, number
from seatrial.sampler.reading_ import known_sum, remainder
from seatrial.sampler.seldom import SlowColumns
from seatrial.wire.streams import NULL
from seatrial.wire.tables import Reading

_UNLIMITED = 1 << 62
"""The kernel shows "no limit" as the largest page-aligned counter, 2^63 minus one page."""
_DISK_FIELDS = 3
"""`8:0 Read 4096`; the last line, a total of all devices, has two."""


class Cgroup(ABC):
    """The open files of one container's cgroups, of either version.

    A version says what its files are called and how they are opened, and which columns they fill.
    """

    kind: ClassVar[str]
    usage_file: ClassVar[str]
    stat_keys: ClassVar[Sequence[str]]
    _tasks: int | None

    def __init__(
        self, places: Places, clock: Callable[[], int] = time.monotonic_ns, devices: Path = DEVICES
    ) -> None:
        """Open all; OSError if the memory files can't be opened."""
        self._files = files = Descriptors()
        self._disks = Disks(devices)
        try:
            self._stat = Keyed(files.open(places.memory / "memory.stat"), self.stat_keys)
            self._usage = files.open(places.memory / self.usage_file)
        except OSError:
            files.close()
            raise
        self._open(places, files)
        self._psi = Pressure(files, places.unified, ".pressure")
        self._net = Network(files, places.net_dev)
        self._slow = SlowColumns(clock)

    def read(self) -> Reading:
        """Read every file once; OSError of GONE_ERRORS when the container has ended."""
        reading = self._read(number(self._usage), self._stat.values())
        if not self._slow.due():
            return reading
        cpu_stall, memory_stall, io_stall = self._psi.stalls_ns()
        read, written = self._disk_bytes()
        received, sent = self._net.received_and_sent()
        return reading._replace(
            cpu_stall_ns=cpu_stall,
            memory_stall_ns=memory_stall,
            io_stall_ns=io_stall,
            read_bytes=read,
            written_bytes=written,
            rx_bytes=received,
            tx_bytes=sent,
            processes=number(self._tasks),
        )

    def close(self) -> None:
        """Let go of every descriptor."""
        self._files.close()

    @abstractmethod
    def _open(self, places: Places, files: Descriptors) -> None:
        """Open what only this version has; a file that is not there is none."""

    @abstractmethod
    def _read(self, usage: int, stat: Sequence[int]) -> Reading:
        """Return the columns that are read at each tick; `stat` has the values of `stat_keys`."""

    @abstractmethod
    def _disk_bytes(self) -> tuple[int, int]:
        """Return bytes read and written."""


class Cgroup1(Cgroup):
    """Version 1: a hierarchy for each controller."""

    kind = "cgroup v1"
    usage_file = "memory.usage_in_bytes"
    stat_keys = """
        total_cache total_rss total_shmem total_dirty total_writeback total_swap total_pgmajfault
        total_inactive_file hierarchical_memory_limit
    """.split()

    def _open(self, places: Places, files: Descriptors) -> None:
        memory = places.memory
        self._kmem = files.optional(memory / "memory.kmem.usage_in_bytes")
        self._tcp = files.optional(memory / "memory.kmem.tcp.usage_in_bytes")
        self._tcp_active = _tcp_limited(memory)
        self._hits = files.optional(memory / "memory.failcnt")
        self._oom = Keyed(files.optional(memory / "memory.oom_control"), ["oom_kill"])
        self._cpu = files.optional(_inside(places.cpuacct, "cpuacct.usage"))
        self._throttled = Keyed(files.optional(_inside(places.cpu, "cpu.stat")), ["throttled_time"])
        self._disk = _disk_file(files, places.blkio)
        self._tasks = files.optional(_inside(places.pids, "pids.current"))

    def _read(self, usage: int, stat: Sequence[int]) -> Reading:
        cache, rss, shmem, dirty, writeback, swap, faults, inactive, limit = stat
        return Reading(
            usage_bytes=usage,
            working_set_bytes=remainder(usage, inactive),
            anon_bytes=rss,
            file_clean_bytes=remainder(cache, shmem, dirty, writeback),
            file_dirty_bytes=known_sum(dirty, writeback),
            shmem_bytes=shmem,
            kernel_bytes=number(self._kmem),
            sock_bytes=self._sock_bytes(),
            swap_bytes=swap,
            limit_bytes=NULL if limit >= _UNLIMITED else limit,
            cpu_ns=number(self._cpu),
            throttled_ns=self._throttled.values()[0],
            oom_kills=self._oom.values()[0],
            limit_hits=number(self._hits),
            major_faults=faults,
        )

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

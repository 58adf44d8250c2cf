"""The whole host and Docker's own processes, sampled through /proc.

`usage` is total minus available memory, `limit` the total. CPU is the busy time: all but idle, waiting for I/O and
stolen; `stolen` is the time that a hypervisor withheld while a task was ready to run, and `engine` the CPU time of
Docker's own processes. `major_faults` and `oom_kills` are those of the whole machine. Disk bytes are those of
whole disks (no partition, loop, RAM or stacked device: their bytes are in the disks below); network bytes are
those that cross a hardware interface, so that traffic between containers counts nothing here; NULL where there is
no such interface. Paging, disks, network, tasks and PSI are read once a second, and NULL in the readings between.

Docker's processes write the containers' logs, carry published ports, and open files where the storage driver runs
in user space. An nginx that logged 2,500 requests a second to its standard output made them use 14.6 % of two
cores, while stack and load used 25.7 %.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from seatrial.sampler.process_tree import ProcessTable
from seatrial.sampler.reading import (
    Descriptors,
    Keyed,
    NetworkCounters,
    Pressure,
    SlowColumns,
    is_disk,
    known_sum,
    remainder,
    scaled,
    whole,
)
from seatrial.units import NS_PER_TICK
from seatrial.wire.streams import NULL, Reading

NAMES = frozenset(
    b"dockerd containerd containerd-shim docker-proxy fuse-overlayfs rootlesskit slirp4netns".split()
)
"""As the kernel shows them, cut off after 15 bytes (proc(5), comm)."""
_SCHEDULED = 2
"""CPUCLOCK_SCHED of the kernel: the scheduler's own count, to the nanosecond."""
_SECTOR_BYTES = 512
_MEMORY = """
    MemTotal: MemAvailable: AnonPages: Cached: Buffers: Shmem: Dirty: Writeback: SwapTotal: SwapFree:
    Slab: KernelStack: PageTables: Percpu:
""".split()


def process_cpu_ns(pid: int) -> int:
    """Return the CPU time of a process, all threads; OSError when it has ended.

    The clock id is that of clock_getcpuclockid(3). One call of 1 µs, where `/proc/<pid>/stat` takes 8 µs.
    """
    return time.clock_gettime_ns((~pid << 3) | _SCHEDULED)


class EngineProcesses:
    """The summed CPU time of Docker's own processes, ended ones included."""

    def __init__(self, table: ProcessTable, cpu_ns: Callable[[int], int] = process_cpu_ns) -> None:
        self._table = table
        self._cpu_ns = cpu_ns
        self._scans = -1
        self._alive: dict[int, int] = {}
        self._ended_ns = 0

    def used_ns(self) -> int:
        """Return the sum; NULL before the first was found. New processes are found within a second."""
        self._table.refresh()
        if self._table.scans != self._scans:
            self._scans = self._table.scans
            for pid in self._table.named(NAMES) - self._alive.keys():
                self._alive[pid] = 0
        for pid in list(self._alive):
            try:
                self._alive[pid] = self._cpu_ns(pid)
            except OSError:
                self._ended_ns += self._alive.pop(pid)
        return self._ended_ns + sum(self._alive.values()) or NULL


class HostReader:
    """The open files of the machine."""

    kind = "host"

    def __init__(
        self,
        root: Path = Path("/"),
        clock: Callable[[], int] = time.monotonic_ns,
        engine: EngineProcesses | None = None,
    ) -> None:
        """Open all; OSError if `/proc` is not there. Without an `engine` its column is NULL."""
        self._files = files = Descriptors()
        proc = root / "proc"
        self._memory = Keyed(files.open(proc / "meminfo"), _MEMORY)
        self._stat = files.open(proc / "stat")
        self._paging = Keyed(files.optional(proc / "vmstat"), ["pgmajfault", "oom_kill"], pages=True)
        self._psi = Pressure(files, proc / "pressure", "")
        self._disks = files.optional(proc / "diskstats")
        self._disk_names = {path.name.encode() for path in _entries(root / "sys/block") if is_disk(path.name)}
        hardware = {path.name for path in _entries(root / "sys/class/net") if (path / "device").exists()}
        self._net = NetworkCounters(files, proc / "net/dev" if hardware else None, hardware.__contains__)
        self._load = files.optional(proc / "loadavg")
        self._slow = SlowColumns(clock)
        self._engine = engine

    def read(self) -> Reading:
        """Read every file once."""
        total, free, anon, cached, buffers, shmem, dirty, writeback, *rest = (
            scaled(value, 1024) for value in self._memory.values()
        )
        swap_total, swap_free, *kernel = rest
        fields = os.pread(self._stat, 512, 0).split(None, 9)  # guests are part of user (proc(5))
        user, nice, system, _idle, _wait, irq, softirq, stolen = map(int, fields[1:9])
        reading = Reading(
            usage_bytes=remainder(total, free),
            anon_bytes=anon,
            file_clean_bytes=remainder(known_sum(cached, buffers), shmem, dirty, writeback),
            file_dirty_bytes=known_sum(dirty, writeback),
            shmem_bytes=shmem,
            kernel_bytes=known_sum(*kernel),
            swap_bytes=remainder(swap_total, swap_free),
            limit_bytes=total,
            cpu_ns=(user + nice + system + irq + softirq) * NS_PER_TICK,
            stolen_ns=stolen * NS_PER_TICK,
            engine_ns=NULL if self._engine is None else self._engine.used_ns(),
        )
        return self._with_slow_columns(reading) if self._slow.due() else reading

    def close(self) -> None:
        """Close every descriptor."""
        self._files.close()

    def _with_slow_columns(self, reading: Reading) -> Reading:
        faults, oom_kills = self._paging.values()
        read, written = self._disk_bytes()
        load = self._load
        return reading._replace(
            oom_kills=oom_kills,
            major_faults=faults,
            read_bytes=read,
            written_bytes=written,
            # All tasks: the fourth field of `loadavg` is running/existing.
            processes=NULL if load is None else int(os.pread(load, 128, 0).split()[3].partition(b"/")[2]),
            **self._psi.columns(),
            **self._net.columns(),
        )

    def _disk_bytes(self) -> tuple[int, int]:
        """Sum sectors read and written: columns 6 and 10 of `diskstats`, always of 512 bytes (kernel iostats)."""
        if self._disks is None:
            return NULL, NULL
        rows = [line.split(None, 10) for line in whole(self._disks).splitlines()]
        own = [row for row in rows if row[2] in self._disk_names]
        return sum(int(row[5]) for row in own) * _SECTOR_BYTES, sum(int(row[9]) for row in own) * _SECTOR_BYTES


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []

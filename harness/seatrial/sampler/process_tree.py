"""Process trees sampled through /proc, and the sampler's own process.

At each reading: `usage` is the sum of resident sizes and `anon` its anonymous part (`statm`), CPU and major faults
come from `stat`, disk bytes from `io`. Pages that forked processes share count once for each of them. Every ten
seconds `smaps_rollup` gives the rest, in proportional shares, so shared pages count once: file (all of it in
`file_clean`: the kernel does not show which pages are dirty), shmem and swap; NULL in the readings between. It
takes 1 ms for each 300 MiB, and a lock of the process that is read. CPU time moves in steps of the kernel's clock
tick (10 ms). Counters of children that have ended live on in their parent, once it has waited for them.

The sampler's own row has, once a second, the time for which a CPU quota throttled its cgroups; NULL between. The
harness starts it and the load alike, so these are the load's cgroups, too.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from seatrial.sampler.cgroup import own_cgroups
from seatrial.sampler.reading import GONE_ERRORS, Descriptors, Keyed, SlowColumns, known_sum, scaled
from seatrial.units import NS_PER_S, NS_PER_TICK, stat_fields
from seatrial.wire.streams import NULL, Reading

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_BLOCK_BYTES = 512
"""The unit of `ru_inblock` and `ru_oublock` on Linux."""
_NS_PER_US = 1000
_SMAPS_PERIOD_NS = 10 * NS_PER_S
_SMAPS = ["Pss_File:", "Pss_Shmem:", "SwapPss:"]
_ENDED = (b"Z", b"X")
_PARENT, _FAULTS, _CPU, _THREADS = 1, slice(9, 11), slice(11, 15), 17
"""Fields 4, 12-13, 14-17 and 20 of `stat`, own and of waited-for children, counted from the state (proc(5))."""


class ProcessTable:
    """Parent and name of every process; scanned at most once a second, and only new processes are opened.

    The kernel's own lists of children (`task/<tid>/children`) are not in every kernel, and need a file for each
    thread. A listing of `/proc` costs 0.3 ms for 100 processes, so it waits until a process was born: the last
    field of `/proc/loadavg` is the youngest process id (proc(5)).
    """

    def __init__(self, proc: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._proc = proc
        self._clock = clock
        self._scan_at_ns = clock()
        self._parents: dict[int, int] = {}
        self._names: dict[int, bytes] = {}
        self._loadavg = Descriptors().open(proc / "loadavg")
        self._youngest = b""
        self.scans = 0

    def refresh(self) -> None:
        """Scan if the last call is a second old and a process was born since; `scans` counts the scans."""
        now = self._clock()
        if now < self._scan_at_ns:
            return
        self._scan_at_ns = now + NS_PER_S
        youngest = os.pread(self._loadavg, 128, 0).split()[-1]
        if youngest == self._youngest:
            return
        self._youngest = youngest
        self.scans += 1
        names = os.listdir(self._proc)  # noqa: PTH208  (a Path for each entry takes four times as long)
        alive = {int(name) for name in names if name.isdigit()}
        for pid in self._parents.keys() - alive:
            del self._parents[pid], self._names[pid]
        for pid in alive - self._parents.keys():
            stat = self._stat(pid)
            if stat is not None:
                self._parents[pid] = int(stat_fields(stat)[_PARENT])
                self._names[pid] = stat[stat.index(b"(") + 1 : stat.rindex(b")")]

    def descendants(self, roots: Iterable[int]) -> set[int]:
        """Return the processes below `roots`, at any depth, without the roots."""
        children: dict[int, list[int]] = {}
        for pid, parent in self._parents.items():
            children.setdefault(parent, []).append(pid)
        descendants: set[int] = set()
        waiting = list(roots)
        while waiting:
            new = [pid for pid in children.get(waiting.pop(), ()) if pid not in descendants]
            descendants.update(new)
            waiting += new
        return descendants

    def named(self, names: Collection[bytes]) -> set[int]:
        """Return the processes whose program has one of these names."""
        return {pid for pid, name in self._names.items() if name in names}

    def _stat(self, pid: int) -> bytes | None:
        files = Descriptors()
        try:
            return os.pread(files.open(self._proc / str(pid) / "stat"), 1024, 0)
        except OSError:
            return None  # it ended between the listing and the reading
        finally:
            files.close()


class _Process:
    """The open files of one process, and the latest values of its counters."""

    def __init__(self, folder: Path) -> None:
        self.files = Descriptors()
        try:
            self._stat = self.files.open(folder / "stat")
            self._statm = self.files.open(folder / "statm")
        except OSError:
            self.files.close()
            raise
        self._io = Keyed(self.files.optional(folder / "io"), ["read_bytes:", "write_bytes:"])
        self._smaps = folder / "smaps_rollup"
        self.parent = 0
        self.counters: tuple[int, int, int, int] = (NULL, NULL, NULL, NULL)

    def read(self) -> tuple[int, int, int]:
        """Return resident pages, pages of files and shmem among them, and threads; OSError when it has ended."""
        fields = stat_fields(os.pread(self._stat, 1024, 0))
        if fields[0] in _ENDED:
            raise ProcessLookupError(errno.ESRCH, "a process that only waits to be reaped")
        self.parent = int(fields[_PARENT])
        cpu = sum(map(int, fields[_CPU]))
        try:
            read, written = self._io.values()
        except OSError:  # EACCES once it has become another user's by `exec`; `stat` shows when it has ended
            read, written = self.counters[2:]
        self.counters = (cpu, sum(map(int, fields[_FAULTS])), read, written)
        _size, resident, shared, _rest = os.pread(self._statm, 128, 0).split(None, 3)
        return int(resident), int(shared), int(fields[_THREADS])

    def shares(self) -> list[int]:
        """Return the proportional shares of file, shmem and swap in KiB; NULL if they can't be read now.

        Opened each time: a descriptor belongs to the address space that an `exec` leaves behind, and answers ESRCH
        from then on.
        """
        files = Descriptors()
        try:
            return Keyed(files.open(self._smaps), _SMAPS).values()
        except OSError:
            return [NULL] * len(_SMAPS)  # it ended since it was read, or belongs to another user
        finally:
            files.close()


class Tree:
    """One process and its descendants; a process stays in the tree until it ends, also if it is adopted."""

    kind = "process tree"

    def __init__(
        self,
        pid: int,
        table: ProcessTable,
        *,
        proc: Path = Path("/proc"),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Open the first process; OSError if it has ended."""
        self._table = table
        self._proc = proc
        self._clock = clock
        self._processes = {pid: _Process(proc / str(pid))}
        self._scans = -1
        self._smaps_at_ns = clock()
        self._lost = [NULL] * 4
        self._highest = [NULL] * 4

    def read(self) -> Reading:
        """Read every process once; OSError of GONE_ERRORS when none is left."""
        self._follow()
        readings = [reading for pid in list(self._processes) if (reading := self._read(pid)) is not None]
        if not readings:
            raise ProcessLookupError(errno.ESRCH, "no process of the tree is left")
        resident, shared, threads = (sum(column) for column in zip(*readings, strict=True))
        file, shmem, swap = self._shares_bytes()
        # The counters never fall: a child's count is in no file until its parent has waited for it.
        columns = zip(self._lost, *(process.counters for process in self._processes.values()), strict=True)
        self._highest = [max(old, known_sum(*new)) for old, new in zip(self._highest, columns, strict=True)]
        cpu, faults, read_bytes, written_bytes = self._highest
        return Reading(
            usage_bytes=resident * _PAGE_BYTES,
            anon_bytes=(resident - shared) * _PAGE_BYTES,
            file_clean_bytes=file,
            shmem_bytes=shmem,
            swap_bytes=swap,
            cpu_ns=cpu * NS_PER_TICK,
            major_faults=faults,
            read_bytes=read_bytes,
            written_bytes=written_bytes,
            processes=threads,
        )

    def close(self) -> None:
        """Close every descriptor."""
        for process in self._processes.values():
            process.files.close()
        self._processes.clear()

    def _follow(self) -> None:
        self._table.refresh()
        if self._table.scans == self._scans:
            return
        self._scans = self._table.scans
        for pid in self._table.descendants(self._processes) - self._processes.keys():
            try:
                self._processes[pid] = _Process(self._proc / str(pid))
            except OSError:
                continue  # it ended since the scan

    def _read(self, pid: int) -> tuple[int, int, int] | None:
        try:
            return self._processes[pid].read()
        except OSError as error:
            if error.errno not in GONE_ERRORS:
                raise
        ended = self._processes.pop(pid)
        ended.files.close()
        if ended.parent not in self._processes:  # no process of the tree inherits its counters
            self._lost = [known_sum(total, last) for total, last in zip(self._lost, ended.counters, strict=True)]
        return None

    def _shares_bytes(self) -> list[int]:
        if self._clock() < self._smaps_at_ns:
            return [NULL] * len(_SMAPS)
        self._smaps_at_ns = self._clock() + _SMAPS_PERIOD_NS
        shares = [process.shares() for process in self._processes.values()]
        return [scaled(known_sum(*column), 1024) for column in zip(*shares, strict=True)]


class OwnProcess:
    """The sampler's own process, all threads."""

    kind = "own process"

    def __init__(self, root: Path = Path("/"), clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Open `statm`, and the cgroup files that count throttled time."""
        self._files = Descriptors()
        self._statm = self._files.open(Path("/proc/self/statm"))
        stats = [self._files.optional(group / "cpu.stat") for group in own_cgroups(root)]
        self._quotas = [Keyed(stat, ["throttled_usec", "throttled_time"]) for stat in stats if stat is not None]
        self._slow = SlowColumns(clock)

    def read(self) -> Reading:
        """Read now; columns as for a process tree without children."""
        _size, resident, shared, _rest = os.pread(self._statm, 128, 0).split(None, 3)
        used = resource.getrusage(resource.RUSAGE_SELF)
        throttled_ns = NULL
        if self._slow.due():  # version 2 counts microseconds, version 1 nanoseconds
            counts = [quota.values() for quota in self._quotas]
            throttled_ns = known_sum(*(known_sum(scaled(usec, _NS_PER_US), nsec) for usec, nsec in counts))
        return Reading(
            usage_bytes=int(resident) * _PAGE_BYTES,
            anon_bytes=(int(resident) - int(shared)) * _PAGE_BYTES,
            cpu_ns=round((used.ru_utime + used.ru_stime) * NS_PER_S),
            throttled_ns=throttled_ns,
            major_faults=used.ru_majflt,
            read_bytes=used.ru_inblock * _BLOCK_BYTES,
            written_bytes=used.ru_oublock * _BLOCK_BYTES,
            processes=threading.active_count(),
        )

    def close(self) -> None:
        """Close every descriptor."""
        self._files.close()

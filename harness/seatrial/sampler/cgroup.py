"""Containers sampled through cgroup v1 and v2 files.

Finding them: `/proc/<pid>/cgroup` names the cgroup in each hierarchy, `/proc/self/mountinfo` where the hierarchies
are mounted. That holds for the cgroupfs and systemd drivers, rootless engines, `--cgroup-parent`, Kubernetes and
nested engines alike, without a list of path patterns.

Version 1: `anon` is `total_rss`: anonymous memory and swap cache, not the resident set size (kernel:
cgroup-v1/memory, 5.2). The hierarchical `total_` lines are used, so that cgroups which the container makes itself
count, too. `sock` is NULL until the TCP counter is active: it is off, and reads 0 however much lies in the
sockets, until `memory.kmem.tcp.limit_in_bytes` is first written. `limit_hits` is `memory.failcnt`; from kernel
6.15 it stays 0 where memory and swap have the same limit. `written_bytes` misses what the kernel writes back
later, which version 1 charges to no cgroup. PSI comes from the unified mount of a hybrid host, where there is one.

Version 2: `limit_hits` is `max` of `memory.events`, `limit` is `memory.max` of the container's own cgroup.
`kernel` exists since 5.18; before that it is the sum of the parts that `memory.stat` names.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from seatrial.sampler.reading import (
    DEVICES,
    Descriptors,
    Disks,
    Keyed,
    NetworkCounters,
    Pressure,
    SlowColumns,
    known_sum,
    number,
    own_net_dev,
    remainder,
    scaled,
)
from seatrial.wire.streams import NULL, Reading

_UNIFIED = "unified"
_NS_PER_US = 1000
_UNLIMITED = 1 << 62
"""The kernel shows "no limit" as the largest page-aligned counter, 2^63 minus one page."""
_DISK_FIELDS = 3
"""`8:0 Read 4096`; the last line, a total of all devices, has two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupPaths:
    """The folders of one container's cgroups; `version` is that of the hierarchy that accounts memory."""

    version: int
    memory: Path
    cpuacct: Path | None = None
    cpu: Path | None = None
    blkio: Path | None = None
    pids: Path | None = None
    unified: Path | None = None
    net_dev: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    """One mounted hierarchy; `top` is the cgroup that its mount point shows."""

    controllers: tuple[str, ...]
    top: PurePosixPath
    point: Path


def locate(container: str, pid: int, *, root: Path = Path("/")) -> CgroupPaths | None:
    """Find the folders of `container`, whose first process is `pid`; None if this host does not show them.

    The container's id has to stand in the path: behind a remote or virtualised engine, `pid` is another process
    here. A container that makes cgroups of its own (systemd, a nested engine) has its first process in one of
    them; the container's is the one that carries its id.
    """
    proc = root / "proc"
    try:
        cgroups = _of_container(container, _cgroups((proc / str(pid) / "cgroup").read_text()))
        mounts = list(_mounts((proc / "self/mountinfo").read_text(), root))
    except OSError:
        return None
    folders = {
        name: folder
        for mount in mounts
        for name in mount.controllers
        if name in cgroups and (folder := _folder(mount, cgroups[name])) is not None
    }
    net_dev, unified = own_net_dev(pid, proc), folders.get(_UNIFIED)
    if "memory" in folders:
        others = {name: folders.get(name) for name in ("cpuacct", "cpu", "blkio", "pids")}
        return CgroupPaths(version=1, memory=folders["memory"], unified=unified, net_dev=net_dev, **others)
    if unified is not None and (unified / "memory.current").exists():
        return CgroupPaths(version=2, memory=unified, unified=unified, net_dev=net_dev)
    return None


def own_cgroups(root: Path = Path("/")) -> tuple[Path, ...]:
    """Return the folders of the cgroups that can limit this process's CPU: its own, and all above that are shown.

    A quota of any of them throttles it, and each counts its own (kernel: scheduler/sched-bwc, "Hierarchical
    considerations").
    """
    proc = root / "proc"
    try:
        cgroups = _cgroups((proc / "self/cgroup").read_text())
        mounts = list(_mounts((proc / "self/mountinfo").read_text(), root))
    except OSError:
        return ()
    folders: list[Path] = []
    for mount in mounts:
        paths = [cgroups[name] for name in ("cpu", _UNIFIED) if name in mount.controllers and name in cgroups]
        own = _folder(mount, PurePosixPath(paths[0])) if paths else None
        if own is not None:
            folders += [folder for folder in (own, *own.parents) if folder.is_relative_to(mount.point)]
    return tuple(folders)


def _cgroups(text: str) -> dict[str, str]:
    """Map a controller, or `unified`, to the cgroup path: lines of `id:controllers:path` (cgroups(7))."""
    paths = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if controllers else [_UNIFIED]:
            paths[name] = path
    return paths


def _of_container(container: str, cgroups: Mapping[str, str]) -> dict[str, PurePosixPath]:
    """Cut each path after the component that holds the id; leave out those without one."""
    paths = {}
    for name, cgroup in cgroups.items():
        parts = PurePosixPath(cgroup).parts
        at = next((at for at, part in enumerate(parts) if container in part), None)
        if at is not None:
            paths[name] = PurePosixPath(*parts[: at + 1])
    return paths


def _mounts(text: str, root: Path) -> Iterator[_Mount]:
    """Read the cgroup mounts: fields 4 and 5 are root and mount point, type and options follow ` - ` (proc(5))."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        kind, _source, options = after.split(" ", 2)
        if kind not in {"cgroup", "cgroup2"}:
            continue
        top, point = before.split(" ")[3:5]
        yield _Mount(
            controllers=(_UNIFIED,) if kind == "cgroup2" else tuple(options.split(",")),
            top=PurePosixPath(top),
            point=root / point.encode().decode("unicode_escape").lstrip("/"),
        )


def _folder(mount: _Mount, path: PurePosixPath) -> Path | None:
    if ".." in path.parts or not path.is_relative_to(mount.top):
        return None  # outside of what a private cgroup namespace, or a bind mount, shows of the hierarchy
    folder = mount.point / path.relative_to(mount.top)
    return folder if folder.is_dir() else None


class Cgroup(ABC):
    """The open files of one container's cgroups; a subclass for each version names the files and fills the row."""

    kind: ClassVar[str]
    usage_file: ClassVar[str]
    stat_keys: ClassVar[Sequence[str]]
    _tasks: int | None
    _disk: int | None

    def __init__(
        self, paths: CgroupPaths, clock: Callable[[], int] = time.monotonic_ns, devices: Path = DEVICES
    ) -> None:
        """Open all; OSError if the memory files can't be opened."""
        self._files = files = Descriptors()
        self._disks = Disks(devices)
        try:
            self._stat = Keyed(files.open(paths.memory / "memory.stat"), self.stat_keys)
            self._usage = files.open(paths.memory / self.usage_file)
        except OSError:
            files.close()
            raise
        self._open(paths, files)
        self._psi = Pressure(files, paths.unified, ".pressure")
        self._net = NetworkCounters(files, paths.net_dev)
        self._slow = SlowColumns(clock)

    def read(self) -> Reading:
        """Read every file once; OSError of GONE_ERRORS when the container has ended."""
        reading = self._read(number(self._usage), self._stat.values())
        if not self._slow.due():
            return reading
        read = written = NULL
        if self._disk is not None:
            lines = [line.split() for line in os.pread(self._disk, 8192, 0).splitlines()]
            read, written = self._disk_bytes([line for line in lines if line and self._disks.counts(line[0])])
        return reading._replace(
            read_bytes=read,
            written_bytes=written,
            processes=number(self._tasks),
            **self._psi.columns(),
            **self._net.columns(),
        )

    def close(self) -> None:
        """Close every descriptor."""
        self._files.close()

    @abstractmethod
    def _open(self, paths: CgroupPaths, files: Descriptors) -> None:
        """Open the files that only this version has; a missing one is None."""

    @abstractmethod
    def _read(self, usage: int, stat: Sequence[int]) -> Reading:
        """Return the columns that are read at each tick; `stat` has the values of `stat_keys`."""

    @abstractmethod
    def _disk_bytes(self, lines: list[list[bytes]]) -> tuple[int, int]:
        """Return bytes read and written; `lines` are the fields of each whole disk."""


class Cgroup1(Cgroup):
    """Version 1: a hierarchy for each controller."""

    kind = "cgroup v1"
    usage_file = "memory.usage_in_bytes"
    stat_keys = """
        total_cache total_rss total_shmem total_dirty total_writeback total_swap total_pgmajfault
        total_inactive_file hierarchical_memory_limit
    """.split()

    def _open(self, paths: CgroupPaths, files: Descriptors) -> None:
        memory = paths.memory
        self._kmem = files.optional(memory / "memory.kmem.usage_in_bytes")
        self._tcp = files.optional(memory / "memory.kmem.tcp.usage_in_bytes")
        try:
            self._tcp_active = int((memory / "memory.kmem.tcp.limit_in_bytes").read_text()) < _UNLIMITED
        except (OSError, ValueError):
            self._tcp_active = False
        self._hits = files.optional(memory / "memory.failcnt")
        self._oom = Keyed(files.optional(memory / "memory.oom_control"), ["oom_kill"])
        self._cpu = files.optional(_inside(paths.cpuacct, "cpuacct.usage"))
        self._throttled = Keyed(files.optional(_inside(paths.cpu, "cpu.stat")), ["throttled_time"])
        disk = "blkio.throttle.io_service_bytes"
        recursive = files.optional(_inside(paths.blkio, f"{disk}_recursive"))
        self._disk = files.optional(_inside(paths.blkio, disk)) if recursive is None else recursive
        self._tasks = files.optional(_inside(paths.pids, "pids.current"))

    def _read(self, usage: int, stat: Sequence[int]) -> Reading:
        cache, rss, shmem, dirty, writeback, swap, faults, inactive, limit = stat
        sock = number(self._tcp)
        self._tcp_active = self._tcp_active or sock > 0
        return Reading(
            usage_bytes=usage,
            working_set_bytes=remainder(usage, inactive),
            anon_bytes=rss,
            file_clean_bytes=remainder(cache, shmem, dirty, writeback),
            file_dirty_bytes=known_sum(dirty, writeback),
            shmem_bytes=shmem,
            kernel_bytes=number(self._kmem),
            sock_bytes=sock if self._tcp_active else NULL,
            swap_bytes=swap,
            limit_bytes=NULL if limit >= _UNLIMITED else limit,
            cpu_ns=number(self._cpu),
            throttled_ns=self._throttled.values()[0],
            oom_kills=self._oom.values()[0],
            limit_hits=number(self._hits),
            major_faults=faults,
        )

    def _disk_bytes(self, lines: list[list[bytes]]) -> tuple[int, int]:
        rows = [line[1:] for line in lines if len(line) == _DISK_FIELDS]
        read, written = (sum(int(count) for name, count in rows if name == word) for word in (b"Read", b"Write"))
        return read, written


def _inside(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / name


class Cgroup2(Cgroup):
    """Version 2: one hierarchy for all controllers."""

    kind = "cgroup v2"
    usage_file = "memory.current"
    stat_keys = """
        anon file kernel sock shmem file_dirty file_writeback inactive_file pgmajfault
        kernel_stack pagetables percpu slab
    """.split()

    def _open(self, paths: CgroupPaths, files: Descriptors) -> None:
        folder = paths.memory
        self._swap = files.optional(folder / "memory.swap.current")
        self._limit = files.optional(folder / "memory.max")
        self._events = Keyed(files.optional(folder / "memory.events"), ["max", "oom_kill"])
        self._cpu = Keyed(files.optional(folder / "cpu.stat"), ["usage_usec", "throttled_usec"])
        self._disk = files.optional(folder / "io.stat")
        self._tasks = files.optional(folder / "pids.current")

    def _read(self, usage: int, stat: Sequence[int]) -> Reading:
        anon, file, kernel, sock, shmem, dirty, writeback, inactive, faults, *kernel_parts = stat
        limit_hits, oom_kills = self._events.values()
        used_us, throttled_us = self._cpu.values()
        return Reading(
            usage_bytes=usage,
            working_set_bytes=remainder(usage, inactive),
            anon_bytes=anon,
            file_clean_bytes=remainder(file, shmem, dirty, writeback),
            file_dirty_bytes=known_sum(dirty, writeback),
            shmem_bytes=shmem,
            kernel_bytes=known_sum(*kernel_parts) if kernel == NULL else kernel,
            sock_bytes=sock,
            swap_bytes=number(self._swap),
            limit_bytes=number(self._limit),
            cpu_ns=scaled(used_us, _NS_PER_US),
            throttled_ns=scaled(throttled_us, _NS_PER_US),
            oom_kills=oom_kills,
            limit_hits=limit_hits,
            major_faults=faults,
        )

    def _disk_bytes(self, lines: list[list[bytes]]) -> tuple[int, int]:
        fields = [field for line in lines for field in line]
        return _total(fields, b"rbytes="), _total(fields, b"wbytes=")


def _total(fields: list[bytes], key: bytes) -> int:
    return sum(int(field[len(key) :]) for field in fields if field.startswith(key))

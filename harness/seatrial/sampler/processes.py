"""Who is whose child on this host, kept up to date cheaply for all process trees together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from seatrial.sampler.reading import Descriptors
from seatrial.units import NS_PER_S, stat_fields

_PPID_AT = 1
"""Field 4 of `/proc/<pid>/stat` (proc(5)), counted from the state, which follows the program's name."""


def name_of(text: bytes) -> bytes:
    """Return the program's name out of `stat`: what stands between the first and the last bracket."""
    return text[text.index(b"(") + 1 : text.rindex(b")")]


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
        """Scan, if the last look is a second old and a process was born since; `scans` counts how often."""
        now = self._clock()
        if now < self._scan_at_ns:
            return
        self._scan_at_ns = now + NS_PER_S
        youngest = os.pread(self._loadavg, 128, 0).split()[-1]
        if youngest == self._youngest:
            return
        self._youngest = youngest
        self.scans += 1
        names = os.listdir(self._proc)  # noqa: PTH208  (a Path for each entry makes the listing four times as dear)
        alive = {int(name) for name in names if name.isdigit()}
        for pid in self._parents.keys() - alive:
            del self._parents[pid], self._names[pid]
        for pid in alive - self._parents.keys():
            stat = self._stat(pid)
            if stat is not None:
                self._parents[pid] = int(stat_fields(stat)[_PPID_AT])
                self._names[pid] = name_of(stat)

    def descendants(self, roots: Iterable[int]) -> set[int]:
        """Return the processes below `roots`, at any depth, without the roots."""
        children: dict[int, list[int]] = {}
        for pid, parent in self._parents.items():
            children.setdefault(parent, []).append(pid)
        found: set[int] = set()
        waiting = list(roots)
        while waiting:
            new = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
            found.update(new)
            waiting += new
        return found

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

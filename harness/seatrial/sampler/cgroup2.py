"""A container through cgroup v2 files.

`limit_hits` is `max` of `memory.events`, `limit` is `memory.max` of the container's own cgroup.
`kernel` exists since 5.18; before that it is the sum of the parts that `memory.stat` names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from seatrial.sampler.cgroup import Cgroup
from seatrial.sampler.locate import Places
from seatrial.sampler.reading import Descriptors, Keyed, number
from seatrial.sampler.reading_ import known_sum, remainder, scaled
from seatrial.wire.streams import NULL
from seatrial.wire.tables import Reading

_NS_PER_US = 1000


class Cgroup2(Cgroup):
    """Version 2: one hierarchy for all controllers."""

    kind = "cgroup v2"
    usage_file = "memory.current"
    stat_keys = """
        anon file kernel sock shmem file_dirty file_writeback inactive_file pgmajfault
        kernel_stack pagetables percpu slab
    """.split()

    def _open(self, places: Places, files: Descriptors) -> None:
        folder = places.memory
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

    def _disk_bytes(self) -> tuple[int, int]:
        if self._disk is None:
            return NULL, NULL
        lines = [line.split() for line in os.pread(self._disk, 8192, 0).splitlines()]
        fields = [field for line in lines if line and self._disks.counts(line[0]) for field in line]
        return _total(fields, b"rbytes="), _total(fields, b"wbytes=")


def _total(fields: list[bytes], key: bytes) -> int:
    return sum(int(field[len(key) :]) for field in fields if field.startswith(key))

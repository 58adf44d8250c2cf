"""What one reading of one target says, in the same words for every source.

`usage_bytes`: what the kernel charges (cgroup usage); process tree: the sum of resident sizes, so that pages which
several processes share count several times; host: total minus available.
`working_set_bytes`: usage minus inactive file cache, never below 0. `anon_bytes`: heap, stacks, private mappings.
`file_clean_bytes`: page cache that can be dropped at once (file minus shmem, dirty and write-back, never below 0).
`file_dirty_bytes`: page cache that has to reach a disk first (dirty plus write-back).
`shmem_bytes`: tmpfs, /dev/shm and shared anonymous mappings: looks like cache, can't be reclaimed without swap.
`kernel_bytes`: slab, page tables, kernel stacks. `sock_bytes`: TCP buffers. `limit_bytes`: null where unlimited.
`cpu_ns`, `throttled_ns`, `oom_kills`, `limit_hits`, `major_faults`, `read_bytes`, `written_bytes`, `rx_bytes` and
`tx_bytes` count since the target began, and begin again when a container is restarted.
`throttled_ns` of the sampler: of the cgroups that it runs in, with the harness and the load.
`*_stall_ns`: PSI `some`: at least one task waited. `processes`: tasks, that is processes and their threads.
Of the host only: `stolen_ns`, time for which a hypervisor kept its processors, since boot, all added up;
`engine_ns`, what Docker's own processes have used.
"""

from __future__ import annotations

import errno
from typing import NamedTuple, Protocol

from seatrial.wire.streams import NULL

GONE_ERRORS = frozenset({errno.ENOENT, errno.ENODEV, errno.ESRCH})
"""What the kernel answers on a descriptor whose cgroup or process no longer exists."""


class Reading(NamedTuple):
    """One row of `samples` without its stamps; NULL where the source can't tell."""

    usage_bytes: int = NULL
    working_set_bytes: int = NULL
    anon_bytes: int = NULL
    file_clean_bytes: int = NULL
    file_dirty_bytes: int = NULL
    shmem_bytes: int = NULL
    kernel_bytes: int = NULL
    sock_bytes: int = NULL
    swap_bytes: int = NULL
    limit_bytes: int = NULL
    cpu_ns: int = NULL
    throttled_ns: int = NULL
    oom_kills: int = NULL
    limit_hits: int = NULL
    cpu_stall_ns: int = NULL
    memory_stall_ns: int = NULL
    io_stall_ns: int = NULL
    major_faults: int = NULL
    read_bytes: int = NULL
    written_bytes: int = NULL
    rx_bytes: int = NULL
    tx_bytes: int = NULL
    processes: int = NULL
    stolen_ns: int = NULL
    engine_ns: int = NULL


class Source(Protocol):
    """One way to read one target; keeps its descriptors open between readings."""

    @property
    def kind(self) -> str:
        """What the summary calls this source, such as `cgroup v1`."""
        ...

    def read(self) -> Reading | None:
        """Read now; None where nothing new is there; OSError of GONE_ERRORS when the target has ended."""
        ...

    def close(self) -> None:
        """Let go of every descriptor."""
        ...


def scaled(value: int, factor: int) -> int:
    """Multiply `value`, and keep NULL."""
    return NULL if value == NULL else value * factor


def known_sum(*values: int) -> int:
    """Add what is known; NULL if nothing is."""
    known = [value for value in values if value != NULL]
    return sum(known) if known else NULL


def remainder(whole: int, *parts: int) -> int:
    """Take the parts from the whole, never below 0: counters move in batches, at their own times; NULL is kept."""
    return NULL if whole == NULL or NULL in parts else max(0, whole - sum(parts))

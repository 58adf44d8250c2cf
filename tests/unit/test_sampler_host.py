"""The host, Docker's own processes, and the table of processes, read from a made-up /proc."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import write_process

from seatrial.sampler.host import NAMES, EngineProcesses, HostReader, process_cpu_ns
from seatrial.sampler.process_tree import ProcessTable
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL, Reading

NET_DEV = Path(__file__).parent / "data/cgroup1/net_dev"


def machine(root: Path) -> Path:
    """Write the files of a small machine."""
    (root / "proc").mkdir()
    files = {
        "meminfo": "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 700 kB\nBuffers: 10 kB\nCached: 200 kB\n"
        "SwapTotal: 50 kB\nSwapFree: 20 kB\nDirty: 5 kB\nWriteback: 1 kB\nAnonPages: 90 kB\nShmem: 8 kB\n"
        "Slab: 30 kB\nKernelStack: 2 kB\nPageTables: 3 kB\nPercpu: 1 kB\nHugePages_Total: 0\n",
        "stat": "cpu  100 1 20 9999 50 3 4 7 0 0\ncpu0 1 0 0 0 0 0 0 0 0 0\n",
        "vmstat": "pgmajfault 41\noom_kill 2\n",
        "diskstats": " 254 0 vda 5 0 100 1 7 0 200 1 0 1 1\n 254 1 vda1 5 0 100 1 7 0 200 1 0 1 1\n",
        "loadavg": "0.10 0.10 0.10 1/321 999\n",
    }
    for name, text in files.items():
        (root / "proc" / name).write_text(text)
    (root / "sys/block/vda").mkdir(parents=True)
    (root / "sys/block/loop0").mkdir()
    return root


@pytest.mark.parametrize(("link", "sent"), [("device", 1500), ("bridge", NULL)])
def test_the_hosts_network_is_its_hardware(tmp_path: Path, link: str, sent: int) -> None:
    """Bytes between containers cross no hardware; where no interface has any, they are NULL."""
    (machine(tmp_path) / "proc/net").mkdir()
    shutil.copy(NET_DEV, tmp_path / "proc/net/dev")
    (tmp_path / "sys/class/net/eth0" / link).mkdir(parents=True)
    assert HostReader(tmp_path).read().tx_bytes == sent


def test_the_host_is_read_column_by_column(tmp_path: Path) -> None:
    """Partitions count once, stolen time is not the host's own, and columns that the host lacks are NULL."""
    assert HostReader(machine(tmp_path)).read() == Reading(
        usage_bytes=300 * 1024,
        anon_bytes=90 * 1024,
        file_clean_bytes=196 * 1024,
        file_dirty_bytes=6 * 1024,
        shmem_bytes=8 * 1024,
        kernel_bytes=36 * 1024,
        swap_bytes=30 * 1024,
        limit_bytes=1000 * 1024,
        cpu_ns=1_280_000_000,
        oom_kills=2,
        major_faults=41,
        read_bytes=100 * 512,
        written_bytes=200 * 512,
        processes=321,
        stolen_ns=70_000_000,
    )


def _engine(root: Path, used: dict[int, int], clock: Callable[[], int]) -> EngineProcesses:
    """Return the engine's processes among those of `root`; one without CPU time has ended."""

    def cpu_ns(pid: int) -> int:
        if pid not in used:
            raise OSError(errno.EINVAL, "no such process")
        return used[pid]

    return EngineProcesses(ProcessTable(root, clock), cpu_ns)


def test_the_engines_processes_are_added_up(tmp_path: Path) -> None:
    """By their names, later ones within a second; the time of an ended one stays."""
    for pid, name in ((10, "dockerd"), (20, "containerd-shim"), (30, "nginx")):
        write_process(tmp_path, pid, 1, name)
    now_ns, used = [0], {10: 1000, 20: 50, 30: 7, 40: 5}
    engine = _engine(tmp_path, used, lambda: now_ns[0])

    used_ns = [engine.used_ns()]
    del used[20]
    used[10] += 500
    used_ns.append(engine.used_ns())
    write_process(tmp_path, 40, 10, "docker-proxy")
    used_ns.append(engine.used_ns())
    now_ns[0] += NS_PER_S
    used_ns.append(engine.used_ns())

    assert used_ns == [1050, 1550, 1550, 1555]


def test_the_host_has_a_column_of_the_engine(tmp_path: Path) -> None:
    """It is part of the host's row; without an engine it is NULL, for zero would be a figure."""
    write_process(machine(tmp_path) / "proc", 30, 1, "nginx")
    engine = _engine(tmp_path / "proc", {10: 1000, 30: 7}, lambda: 0)
    assert engine.used_ns() == NULL

    write_process(tmp_path / "proc", 10, 1, "dockerd")
    engine = _engine(tmp_path / "proc", {10: 1000, 30: 7}, lambda: 0)
    assert HostReader(tmp_path, engine=engine).read().engine_ns == 1000


def test_names_are_as_long_as_the_kernel_shows_them() -> None:
    """A longer name would never match."""
    assert max(map(len, NAMES)) <= 15


def test_the_cpu_time_of_any_process() -> None:
    """It rises with the work of this process; a process that does not exist is an error."""
    before_ns = process_cpu_ns(os.getpid())
    sum(range(100_000))
    assert before_ns < process_cpu_ns(os.getpid())
    assert process_cpu_ns(os.getpid()) == pytest.approx(time.process_time_ns(), abs=1_000_000_000)
    with pytest.raises(OSError, match="Invalid argument"):
        process_cpu_ns(2**22 + 1)


def test_descendants_of_any_depth_are_found_and_followed(tmp_path: Path) -> None:
    """New processes are found within a second; other processes are left out."""
    now = [0]
    for pid, parent in ((10, 1), (11, 10), (12, 11), (13, 1)):
        write_process(tmp_path, pid, parent)
    table = ProcessTable(tmp_path, lambda: now[0])
    table.refresh()
    assert table.descendants([10]) == {11, 12}
    write_process(tmp_path, 14, 12)
    now[0] = NS_PER_S - 1
    table.refresh()
    assert table.descendants([10]) == {11, 12}
    now[0] = NS_PER_S
    table.refresh()
    assert table.descendants([10]) == {11, 12, 14}


def test_nothing_is_scanned_while_no_process_is_born(tmp_path: Path) -> None:
    """Without a younger process id there is no listing."""
    now = iter(range(0, 10 * NS_PER_S, NS_PER_S))
    write_process(tmp_path, 10, 1)
    table = ProcessTable(tmp_path, lambda: next(now))
    for _ in range(3):
        table.refresh()
    assert table.scans == 1

"""Cheap reading of kernel text files, of process tables and of the host."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seatrial.sampler.host import NAMES, EngineProcesses, HostReader, process_cpu_ns
from seatrial.sampler.process_tree import ProcessTable
from seatrial.sampler.reading import (
    Descriptors,
    Keyed,
    NetworkCounters,
    Pressure,
    known_sum,
    number,
    own_net_dev,
    remainder,
)
from seatrial.wire.streams import NULL, Reading

NET_DEV = Path(__file__).parent / "data/cgroup1/net_dev"
SECOND_NS = 1_000_000_000


def test_values_follow_their_keys_when_a_kernel_moves_them(tmp_path: Path) -> None:
    """Positions are learnt once, and again when other words stand there."""
    path = tmp_path / "memory.stat"
    path.write_text("anon 1\nfile 2\nsock 3\n")
    keyed = Keyed(Descriptors().open(path), ["file", "sock", "kernel"])
    assert keyed.values() == [2, 3, NULL]
    path.write_text("anon 1\nkernel 9\nfile 4\nsock 5\n")
    assert keyed.values() == [4, 5, 9]


def test_values_of_a_shortened_file_are_null(tmp_path: Path) -> None:
    """A line that is gone is NULL, never its neighbour's value."""
    path = tmp_path / "memory.stat"
    path.write_text("anon 1\nfile 2\n")
    keyed = Keyed(Descriptors().open(path), ["anon", "file"])
    keyed.values()
    path.write_text("anon 7\n")
    assert keyed.values() == [7, NULL]


def test_max_is_no_number(tmp_path: Path) -> None:
    """Version 2 writes `max` for no limit."""
    (tmp_path / "memory.max").write_text("max\n")
    assert number(Descriptors().open(tmp_path / "memory.max")) == NULL


def test_a_list_is_read_to_its_end(tmp_path: Path) -> None:
    """Counters in a list longer than a page are found."""
    (tmp_path / "vmstat").write_text("".join(f"padding_{n} 0\n" for n in range(1000)) + "oom_kill 4\n")
    assert Keyed(Descriptors().open(tmp_path / "vmstat"), ["oom_kill"], pages=True).values() == [4]


def test_pressure_that_the_host_lacks_is_null(tmp_path: Path) -> None:
    """Without PSI the stalls are NULL."""
    assert Pressure(Descriptors(), tmp_path, ".pressure").stalls_ns() == (NULL, NULL, NULL)


def test_loopback_does_not_count() -> None:
    """Only what crosses another interface is received or sent."""
    assert NetworkCounters(Descriptors(), NET_DEV, lambda name: name == "eth0").received_and_sent() == (200, 1500)


def test_a_shared_network_namespace_has_no_counters_of_its_own(tmp_path: Path) -> None:
    """A container in the host's network would otherwise be given the host's bytes."""
    for name in ("self", "7"):
        (tmp_path / name / "ns").mkdir(parents=True)
        (tmp_path / name / "ns/net").symlink_to("net:[1]")
    assert own_net_dev(7, tmp_path) is None


@pytest.mark.parametrize(("parts", "expected"), [((3, 4), 3), ((11,), 0), ((3, NULL), NULL)])
def test_a_remainder_is_never_negative(parts: tuple[int, ...], expected: int) -> None:
    """Differences are clamped at 0, and unknown parts make them unknown."""
    assert remainder(10, *parts) == expected


def test_a_sum_of_nothing_known_is_null() -> None:
    """Unknown parts are left out of a sum; without any known part it is unknown."""
    assert (known_sum(1, NULL), known_sum(NULL, NULL)) == (1, NULL)


def process(proc: Path, pid: int, parent: int, name: str = "x") -> None:
    """Write one process of a made-up table, the youngest so far."""
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} 1 1")
    (proc / "loadavg").write_text(f"0.00 0.00 0.00 1/2 {pid}\n")


def test_descendants_of_any_depth_are_found_and_followed(tmp_path: Path) -> None:
    """New processes are found within a second, and strangers are left alone."""
    now = [0]
    for pid, parent in ((10, 1), (11, 10), (12, 11), (13, 1)):
        process(tmp_path, pid, parent)
    table = ProcessTable(tmp_path, lambda: now[0])
    table.refresh()
    assert table.descendants([10]) == {11, 12}
    process(tmp_path, 14, 12)
    now[0] = SECOND_NS - 1
    table.refresh()
    assert table.descendants([10]) == {11, 12}
    now[0] = SECOND_NS
    table.refresh()
    assert table.descendants([10]) == {11, 12, 14}


def test_nothing_is_scanned_while_no_process_is_born(tmp_path: Path) -> None:
    """The youngest process id tells whether a listing is worth its cost."""
    now = iter(range(0, 10 * SECOND_NS, SECOND_NS))
    process(tmp_path, 10, 1)
    table = ProcessTable(tmp_path, lambda: next(now))
    for _ in range(3):
        table.refresh()
    assert table.scans == 1


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
    """Bytes between containers cross no hardware; where no interface has any, nobody can tell."""
    (machine(tmp_path) / "proc/net").mkdir()
    shutil.copy(NET_DEV, tmp_path / "proc/net/dev")
    (tmp_path / "sys/class/net/eth0" / link).mkdir(parents=True)
    assert HostReader(tmp_path).read().tx_bytes == sent


def test_the_host_is_read_column_by_column(tmp_path: Path) -> None:
    """Partitions count once, stolen time is not the host's own, and what the host can't tell is NULL."""
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
    """Return what adds up the engine's processes among those of `root`; one without CPU time has ended."""

    def cpu_ns(pid: int) -> int:
        if pid not in used:
            raise OSError(errno.EINVAL, "no such process")
        return used[pid]

    return EngineProcesses(ProcessTable(root, clock), cpu_ns)


def test_the_engines_processes_are_added_up(tmp_path: Path) -> None:
    """By their names, those born later within a second; what one has used stays when it ends."""
    for pid, name in ((10, "dockerd"), (20, "containerd-shim"), (30, "nginx")):
        process(tmp_path, pid, 1, name)
    now_ns, used = [0], {10: 1000, 20: 50, 30: 7, 40: 5}
    engine = _engine(tmp_path, used, lambda: now_ns[0])

    told = [engine.used_ns()]
    del used[20]
    used[10] += 500
    told.append(engine.used_ns())
    process(tmp_path, 40, 10, "docker-proxy")
    told.append(engine.used_ns())
    now_ns[0] += 1_000_000_000
    told.append(engine.used_ns())

    assert told == [1050, 1550, 1550, 1555]


def test_a_host_without_an_engine_tells_nothing_of_it(tmp_path: Path) -> None:
    """Zero would be a figure."""
    process(tmp_path, 30, 1, "nginx")

    assert _engine(tmp_path, {30: 7}, lambda: 0).used_ns() == NULL


def test_the_host_tells_what_the_engine_used(tmp_path: Path) -> None:
    """In a column of its own row."""
    process(machine(tmp_path) / "proc", 10, 1, "dockerd")
    engine = _engine(tmp_path / "proc", {10: 1000}, lambda: 0)

    assert HostReader(tmp_path, engine=engine).read().engine_ns == 1000


def test_names_are_as_long_as_the_kernel_shows_them() -> None:
    """A longer one would never be found."""
    assert max(map(len, NAMES)) <= 15


def test_the_cpu_time_of_any_process_can_be_asked_for() -> None:
    """It rises with what this process does, and one that does not exist is an error."""
    before_ns = process_cpu_ns(os.getpid())
    sum(range(100_000))

    assert before_ns < process_cpu_ns(os.getpid())
    assert process_cpu_ns(os.getpid()) == pytest.approx(time.process_time_ns(), abs=1_000_000_000)
    with pytest.raises(OSError, match="Invalid argument"):
        process_cpu_ns(2**22 + 1)

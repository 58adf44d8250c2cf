"""Readings of cgroup files as a version 1 (hybrid) and a version 2 host showed them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seatrial.sampler.cgroup import Cgroup1, Cgroup2, CgroupPaths
from seatrial.wire.streams import NULL, Reading

DATA = Path(__file__).parent / "data"


def version_1(folder: Path = DATA / "cgroup1") -> CgroupPaths:
    """Place one container's version 1 files."""
    return CgroupPaths(
        version=1,
        memory=folder / "memory",
        cpuacct=folder / "cpuacct",
        cpu=folder / "cpu",
        blkio=folder / "blkio",
        pids=folder / "pids",
        unified=folder / "unified",
        net_dev=folder / "net_dev",
    )


def version_2(name: str) -> CgroupPaths:
    """Place one container's version 2 files."""
    folder = DATA / "cgroup2" / name
    return CgroupPaths(version=2, memory=folder, unified=folder, net_dev=DATA / "cgroup2/net_dev")


def test_version_1_is_read_column_by_column() -> None:
    """Each column is what its definition says, from the hierarchical lines of version 1."""
    assert Cgroup1(version_1(), devices=DATA / "none").read() == Reading(
        usage_bytes=220200960,
        working_set_bytes=220200960 - 104857600,
        anon_bytes=4194305,
        file_clean_bytes=209715201 - 52428800 - 20971520 - 1048576,
        file_dirty_bytes=22020096,
        shmem_bytes=52428800,
        kernel_bytes=335872,
        sock_bytes=NULL,
        swap_bytes=8192,
        limit_bytes=268435456,
        cpu_ns=123456789,
        throttled_ns=4500000,
        oom_kills=2,
        limit_hits=17,
        cpu_stall_ns=7745000,
        memory_stall_ns=140000,
        io_stall_ns=222000,
        major_faults=31,
        read_bytes=4097,
        written_bytes=8194,
        rx_bytes=203,
        tx_bytes=1504,
        processes=5,
    )


def test_version_2_is_read_column_by_column() -> None:
    """Each column is what its definition says, with microseconds turned into nanoseconds."""
    assert Cgroup2(version_2("docker-scope"), devices=DATA / "none").read() == Reading(
        usage_bytes=42373120,
        working_set_bytes=42373120 - 16777216,
        anon_bytes=98304,
        file_clean_bytes=41943040 - 20971520 - 1048576 - 4096,
        file_dirty_bytes=1052672,
        shmem_bytes=20971520,
        kernel_bytes=327680,
        sock_bytes=4096,
        swap_bytes=8192,
        limit_bytes=NULL,
        cpu_ns=31415000,
        throttled_ns=2500000,
        oom_kills=2,
        limit_hits=667,
        cpu_stall_ns=7745000,
        memory_stall_ns=140000,
        io_stall_ns=222000,
        major_faults=12,
        read_bytes=4097,
        written_bytes=8194,
        rx_bytes=203,
        tx_bytes=1504,
        processes=1,
    )


@pytest.mark.parametrize("name", ["dm-0", "md127", "loop3"])
def test_bytes_of_a_stacked_device_are_those_of_the_disk_below(tmp_path: Path, name: str) -> None:
    """What went through a volume or a loop device counts once, on both versions."""
    (tmp_path / "254:0").symlink_to("../../devices/virtio2/block/vda")
    (tmp_path / "253:0").symlink_to(f"../../devices/virtual/block/{name}")
    readings = (
        Cgroup1(version_1(), devices=tmp_path).read(),
        Cgroup2(version_2("docker-scope"), devices=tmp_path).read(),
    )
    assert [(one.read_bytes, one.written_bytes) for one in readings] == [(4096, 8192), (4096, 8192)]


def test_a_kernel_before_5_18_gives_the_sum_of_the_kernel_parts() -> None:
    """Without a `kernel` line, stacks, page tables, percpu and slab are added."""
    assert Cgroup2(version_2("kernel-5.15")).read().kernel_bytes == 16384 + 45056 + 1344 + 200000


def test_files_that_a_kernel_lacks_are_null() -> None:
    """A cgroup with the memory files alone yields memory, and NULL for the rest."""
    reading = Cgroup2(version_2("kernel-5.15")).read()
    assert reading.limit_bytes == 268435456
    assert {reading.cpu_ns, reading.oom_kills, reading.swap_bytes, reading.io_stall_ns, reading.processes} == {
        NULL
    }


@pytest.mark.parametrize("name", ["usage", "limit"])
def test_the_tcp_counter_counts_once_it_is_active(tmp_path: Path, name: str) -> None:
    """Version 1 socket memory is known once a limit was written, or once it is above 0."""
    shutil.copytree(DATA / "cgroup1", tmp_path, dirs_exist_ok=True)
    (tmp_path / f"memory/memory.kmem.tcp.{name}_in_bytes").write_text("4096\n")
    assert Cgroup1(version_1(tmp_path)).read().sock_bytes == {"usage": 4096, "limit": 0}[name]


def test_no_limit_on_version_1_is_null(tmp_path: Path) -> None:
    """The largest page-aligned counter means unlimited."""
    shutil.copytree(DATA / "cgroup1", tmp_path, dirs_exist_ok=True)
    stat = tmp_path / "memory/memory.stat"
    stat.write_text(stat.read_text().replace("limit 268435456", "limit 9223372036854771712"))
    assert Cgroup1(version_1(tmp_path)).read().limit_bytes == NULL


def test_usage_below_inactive_file_gives_a_working_set_of_zero(tmp_path: Path) -> None:
    """Counters move in batches, so a difference may fall below zero; it is clamped."""
    shutil.copytree(DATA / "cgroup1", tmp_path, dirs_exist_ok=True)
    (tmp_path / "memory/memory.usage_in_bytes").write_text("1000\n")
    assert Cgroup1(version_1(tmp_path)).read().working_set_bytes == 0


def test_pressure_disk_and_network_are_read_once_a_second() -> None:
    """Between two seconds they are NULL, while memory and CPU go on."""
    now = iter([0, 10**8, 10**9])
    source = Cgroup1(version_1(), clock=lambda: next(now))
    first, between, later = source.read(), source.read(), source.read()
    assert (first.rx_bytes, between.rx_bytes, later.rx_bytes) == (203, NULL, 203)
    assert between.io_stall_ns == NULL
    assert between.cpu_ns == 123456789


def test_a_missing_memory_file_is_an_error() -> None:
    """Without `memory.stat` there is no source: the caller falls back to the Docker API."""
    with pytest.raises(FileNotFoundError):
        Cgroup2(version_2("nothing"))

"""Cheap reading of kernel text files, and containers' cgroups found and read for both versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seatrial.sampler.cgroup import Cgroup1, Cgroup2, CgroupPaths, locate, own_cgroups
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

DATA = Path(__file__).parent / "data"
ID = "af2252a005e904127836e5af736ae97aad32f2343df3ac84f6108ee2fee260ac"
PID = 4711
UNIFIED = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"
HYBRID = """
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


HYBRID_GROUPS = ["cpu,cpuacct/job", "cpu,cpuacct", "unified/job", "unified"]


def host(root: Path, *, mounts: str, cgroup: str, folders: list[str]) -> CgroupPaths | None:
    """Build a host with these mounts and folders, and locate the container there."""
    for folder in ("proc/self/ns", f"proc/{PID}/ns", *folders):
        (root / folder).mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mounts.strip() + "\n")
    (root / f"proc/{PID}/cgroup").write_text(cgroup)
    (root / "proc/self/ns/net").symlink_to("net:[1]")
    (root / f"proc/{PID}/ns/net").symlink_to("net:[2]")
    return locate(ID, PID, root=root)


@pytest.mark.parametrize("child", ["", "/init"])
@pytest.mark.parametrize(
    "path",
    [
        f"system.slice/docker-{ID}.scope",
        f"docker/{ID}",
        f"user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope",
        f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podab.slice/cri-containerd-{ID}.scope",
        f"kubepods/burstable/pod12ab/{ID}",
        f"docker/0123abcd/docker/{ID}",
    ],
)
def test_version_2_paths_are_found(tmp_path: Path, path: str, child: str) -> None:
    """No layout needs a pattern; the whole container is read where its first process lives in a child cgroup."""
    scope = tmp_path / "sys/fs/cgroup" / path
    (tmp_path / f"sys/fs/cgroup/{path}{child}").mkdir(parents=True)
    for folder in {path, path + child}:
        (tmp_path / "sys/fs/cgroup" / folder / "memory.current").touch()
    paths = host(tmp_path, mounts=UNIFIED, cgroup=f"0::/{path}{child}\n", folders=[])
    net_dev = tmp_path / f"proc/{PID}/net/dev"
    assert paths is not None
    assert (paths.version, paths.memory, paths.net_dev) == (2, scope, net_dev)


@pytest.mark.parametrize("path", [f"docker/{ID}", f"system.slice/docker-{ID}.scope"])
def test_a_hybrid_host_is_version_1_with_pressure_from_the_unified_mount(tmp_path: Path, path: str) -> None:
    """Memory is accounted by version 1 there, PSI by the mount without controllers."""
    cgroup = f"9:name=systemd:/{path}\n4:memory:/{path}\n2:cpu,cpuacct:/{path}\n0::/{path}\n"
    folders = [f"sys/fs/cgroup/{name}/{path}" for name in ("memory", "cpu,cpuacct", "unified")]
    paths = host(tmp_path, mounts=HYBRID, cgroup=cgroup, folders=folders)
    memory, cpu, unified = (tmp_path / place for place in folders)
    net_dev = tmp_path / f"proc/{PID}/net/dev"
    assert paths == CgroupPaths(version=1, memory=memory, cpu=cpu, cpuacct=cpu, unified=unified, net_dev=net_dev)


def test_a_mount_that_shows_a_part_of_the_hierarchy_is_respected(tmp_path: Path) -> None:
    """In a container with the host's namespaces, the mount point stands for the cgroup that mountinfo names."""
    mounts = "35 31 0:32 /docker/outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
    folder = f"sys/fs/cgroup/memory/docker/{ID}"
    paths = host(tmp_path, mounts=mounts, cgroup=f"4:memory:/docker/outer/docker/{ID}\n", folders=[folder])
    assert paths is not None
    assert paths.memory == tmp_path / folder


@pytest.mark.parametrize(
    "path",
    [f"../../system.slice/docker-{ID}.scope", "user.slice/session-1.scope", f"elsewhere/{ID}", f"docker/{ID}"],
    ids=["outside of our cgroup namespace", "a stranger's pid", "not mounted here", "no `memory.current`"],
)
def test_what_this_host_does_not_show_is_not_found(tmp_path: Path, path: str) -> None:
    """Then the Docker API is used; behind a remote engine, not even the pid may exist."""
    assert locate(ID, PID, root=tmp_path) is None
    folders = ["sys/fs/cgroup/system.slice", f"sys/fs/cgroup/docker/{ID}"]
    assert host(tmp_path, mounts=UNIFIED, cgroup=f"0::/{path}\n", folders=folders) is None


@pytest.mark.parametrize(
    ("mounts", "cgroup", "expected"),
    [
        (UNIFIED, "0::/ci.slice/job\n", ["ci.slice/job", "ci.slice", ""]),
        (UNIFIED, "0::/\n", [""]),
        (HYBRID, "4:memory:/job\n2:cpu,cpuacct:/job\n0::/job\n", HYBRID_GROUPS),
        (UNIFIED, "0::/../elsewhere\n", []),
    ],
    ids=["version 2", "a namespace of its own", "hybrid", "outside of our cgroup namespace"],
)
def test_every_group_above_this_process_may_have_a_quota(
    tmp_path: Path, mounts: str, cgroup: str, expected: list[str]
) -> None:
    """The innermost first, up to the mount."""
    top = tmp_path / "sys/fs/cgroup"
    for folder in (*expected, "job"):
        (top / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(mounts.strip() + "\n")
    (tmp_path / "proc/self/cgroup").write_text(cgroup)

    assert list(own_cgroups(tmp_path)) == [top / folder for folder in expected]


def test_a_kernel_without_cgroups_has_no_group(tmp_path: Path) -> None:
    """Then no quota is known."""
    assert own_cgroups(tmp_path) == ()


def version_1(folder: Path = DATA / "cgroup1") -> CgroupPaths:
    """Locate one container's version 1 files."""
    names = ("memory", "cpuacct", "cpu", "blkio", "pids", "unified", "net_dev")
    return CgroupPaths(version=1, **{name: folder / name for name in names})


def version_2(name: str) -> CgroupPaths:
    """Locate one container's version 2 files."""
    folder = DATA / "cgroup2" / name
    return CgroupPaths(version=2, memory=folder, unified=folder, net_dev=DATA / "cgroup2/net_dev")


IN_BOTH = {
    "swap_bytes": 8192,
    "oom_kills": 2,
    "read_bytes": 4097,
    "written_bytes": 8194,
    "rx_bytes": 203,
    "tx_bytes": 1504,
    "cpu_stall_ns": 7745000,
    "memory_stall_ns": 140000,
    "io_stall_ns": 222000,
}


def test_version_1_is_read_column_by_column() -> None:
    """From the hierarchical lines of version 1."""
    assert Cgroup1(version_1(), devices=DATA / "none").read() == Reading(
        usage_bytes=220200960,
        working_set_bytes=220200960 - 104857600,
        anon_bytes=4194305,
        file_clean_bytes=209715201 - 52428800 - 20971520 - 1048576,
        file_dirty_bytes=22020096,
        shmem_bytes=52428800,
        kernel_bytes=335872,
        sock_bytes=NULL,
        limit_bytes=268435456,
        cpu_ns=123456789,
        throttled_ns=4500000,
        limit_hits=17,
        major_faults=31,
        processes=5,
        **IN_BOTH,
    )


def test_version_2_is_read_column_by_column() -> None:
    """With microseconds turned into nanoseconds."""
    assert Cgroup2(version_2("docker-scope"), devices=DATA / "none").read() == Reading(
        usage_bytes=42373120,
        working_set_bytes=42373120 - 16777216,
        anon_bytes=98304,
        file_clean_bytes=41943040 - 20971520 - 1048576 - 4096,
        file_dirty_bytes=1052672,
        shmem_bytes=20971520,
        kernel_bytes=327680,
        sock_bytes=4096,
        limit_bytes=NULL,
        cpu_ns=31415000,
        throttled_ns=2500000,
        limit_hits=667,
        major_faults=12,
        processes=1,
        **IN_BOTH,
    )


@pytest.mark.parametrize("name", ["dm-0", "md127", "loop3"])
def test_bytes_of_a_stacked_device_are_those_of_the_disk_below(tmp_path: Path, name: str) -> None:
    """The bytes of a volume or a loop device count once, on both versions."""
    (tmp_path / "254:0").symlink_to("../../devices/virtio2/block/vda")
    (tmp_path / "253:0").symlink_to(f"../../devices/virtual/block/{name}")
    for source in (Cgroup1(version_1(), devices=tmp_path), Cgroup2(version_2("docker-scope"), devices=tmp_path)):
        reading = source.read()
        assert (reading.read_bytes, reading.written_bytes) == (4096, 8192)


def test_an_old_kernel_lacks_files_and_lines() -> None:
    """Before 5.18 stacks, page tables, percpu and slab are added; columns of missing files are NULL."""
    reading = Cgroup2(version_2("kernel-5.15")).read()
    assert (reading.kernel_bytes, reading.limit_bytes) == (16384 + 45056 + 1344 + 200000, 268435456)
    others = (reading.cpu_ns, reading.oom_kills, reading.swap_bytes, reading.io_stall_ns, reading.processes)
    assert set(others) == {NULL}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Copy the version 1 files, for a test that changes them."""
    return Path(shutil.copytree(DATA / "cgroup1", tmp_path, dirs_exist_ok=True))


@pytest.mark.parametrize("name", ["usage", "limit"])
def test_the_tcp_counter_counts_once_it_is_active(copied: Path, name: str) -> None:
    """Version 1 socket memory is known once a limit was written, or once it is above 0."""
    (copied / f"memory/memory.kmem.tcp.{name}_in_bytes").write_text("4096\n")
    assert Cgroup1(version_1(copied)).read().sock_bytes == {"usage": 4096, "limit": 0}[name]


def test_extremes_of_version_1(copied: Path) -> None:
    """The largest page-aligned counter means unlimited; a working set below 0 (counters move in batches) is 0."""
    stat = copied / "memory/memory.stat"
    stat.write_text(stat.read_text().replace("limit 268435456", "limit 9223372036854771712"))
    (copied / "memory/memory.usage_in_bytes").write_text("1000\n")
    reading = Cgroup1(version_1(copied)).read()
    assert (reading.limit_bytes, reading.working_set_bytes) == (NULL, 0)


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


def test_values_follow_their_keys_when_a_kernel_moves_them(tmp_path: Path) -> None:
    """Positions are learnt once, and again when other keys stand there; a line that is gone is NULL."""
    path = tmp_path / "memory.stat"
    path.write_text("anon 1\nfile 2\nsock 3\n")
    keyed = Keyed(Descriptors().open(path), ["file", "sock", "kernel"])
    assert keyed.values() == [2, 3, NULL]
    path.write_text("anon 1\nkernel 9\nfile 4\nsock 5\n")
    assert keyed.values() == [4, 5, 9]
    path.write_text("anon 1\nkernel 7\nfile 8\n")
    assert keyed.values() == [8, NULL, 7]


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
    assert set(Pressure(Descriptors(), tmp_path, ".pressure").columns().values()) == {NULL}


def test_loopback_does_not_count() -> None:
    """Only bytes on other interfaces are received or sent."""
    counters = NetworkCounters(Descriptors(), DATA / "cgroup1/net_dev", lambda name: name == "eth0")
    assert counters.columns() == {"rx_bytes": 200, "tx_bytes": 1500}


def test_a_shared_network_namespace_has_no_counters_of_its_own(tmp_path: Path) -> None:
    """A container in the host's network would otherwise have the host's bytes."""
    for name in ("self", "7"):
        (tmp_path / name / "ns").mkdir(parents=True)
        (tmp_path / name / "ns/net").symlink_to("net:[1]")
    assert own_net_dev(7, tmp_path) is None


def test_unknown_parts() -> None:
    """A remainder is clamped at 0, and unknown with any unknown part; a sum leaves unknown parts out."""
    assert [remainder(10, 3, 4), remainder(10, 11), remainder(10, 3, NULL)] == [3, 0, NULL]
    assert [known_sum(1, NULL), known_sum(NULL, NULL)] == [1, NULL]

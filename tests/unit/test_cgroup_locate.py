"""The way from a container to its cgroup folders, for the drivers and layouts that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.sampler.cgroup import CgroupPaths, locate, own_cgroups

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


def host(root: Path, *, mounts: str, cgroup: str, folders: list[str]) -> CgroupPaths | None:
    """Build a host with these mounts and folders, and locate the container there."""
    for folder in ("proc/self/ns", f"proc/{PID}/ns", *folders):
        (root / folder).mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mounts.strip() + "\n")
    (root / f"proc/{PID}/cgroup").write_text(cgroup)
    (root / "proc/self/ns/net").symlink_to("net:[1]")
    (root / f"proc/{PID}/ns/net").symlink_to("net:[2]")
    return locate(ID, PID, root=root)


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
def test_version_2_paths_are_found(tmp_path: Path, path: str) -> None:
    """systemd, cgroupfs, rootless, Kubernetes and nested layouts need no pattern of their own."""
    scope = tmp_path / "sys/fs/cgroup" / path
    scope.mkdir(parents=True)
    (scope / "memory.current").touch()
    found = host(tmp_path, mounts=UNIFIED, cgroup=f"0::/{path}\n", folders=[])
    assert found is not None
    assert (found.version, found.memory) == (2, scope)
    assert found.net_dev == tmp_path / f"proc/{PID}/net/dev"


@pytest.mark.parametrize("path", [f"system.slice/docker-{ID}.scope", f"docker/{ID}"])
def test_a_cgroup_inside_of_the_container_is_not_the_container(tmp_path: Path, path: str) -> None:
    """Where the first process lives in a child cgroup, what the whole container is charged for is read."""
    for folder in (path, f"{path}/init"):
        (tmp_path / "sys/fs/cgroup" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/fs/cgroup" / folder / "memory.current").touch()
    found = host(tmp_path, mounts=UNIFIED, cgroup=f"0::/{path}/init\n", folders=[])
    assert found is not None
    assert found.memory == tmp_path / "sys/fs/cgroup" / path


@pytest.mark.parametrize("path", [f"docker/{ID}", f"system.slice/docker-{ID}.scope"])
def test_a_hybrid_host_is_version_1_with_pressure_from_the_unified_mount(tmp_path: Path, path: str) -> None:
    """Memory is accounted by version 1 there, PSI by the mount without controllers."""
    cgroup = f"9:name=systemd:/{path}\n4:memory:/{path}\n2:cpu,cpuacct:/{path}\n0::/{path}\n"
    places = [f"sys/fs/cgroup/{name}/{path}" for name in ("memory", "cpu,cpuacct", "unified")]
    found = host(tmp_path, mounts=HYBRID, cgroup=cgroup, folders=places)
    memory, cpu, unified = (tmp_path / place for place in places)
    assert found == CgroupPaths(
        version=1,
        memory=memory,
        cpu=cpu,
        cpuacct=cpu,
        unified=unified,
        net_dev=tmp_path / f"proc/{PID}/net/dev",
    )


def test_a_mount_that_shows_a_part_of_the_hierarchy_is_respected(tmp_path: Path) -> None:
    """In a container with the host's namespaces, the mount point stands for the cgroup that mountinfo names."""
    mounts = "35 31 0:32 /docker/outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
    folder = f"sys/fs/cgroup/memory/docker/{ID}"
    found = host(tmp_path, mounts=mounts, cgroup=f"4:memory:/docker/outer/docker/{ID}\n", folders=[folder])
    assert found is not None
    assert found.memory == tmp_path / folder


@pytest.mark.parametrize(
    "cgroup",
    [f"0::/../../system.slice/docker-{ID}.scope\n", "0::/user.slice/session-1.scope\n", f"0::/elsewhere/{ID}\n"],
    ids=["outside of our cgroup namespace", "a stranger's pid", "not mounted here"],
)
def test_what_this_host_does_not_show_is_not_found(tmp_path: Path, cgroup: str) -> None:
    """Then the caller has to ask the Docker API."""
    assert host(tmp_path, mounts=UNIFIED, cgroup=cgroup, folders=["sys/fs/cgroup/system.slice"]) is None


def test_a_process_that_is_not_here_is_not_found(tmp_path: Path) -> None:
    """Behind a remote engine the pid may not exist at all."""
    assert locate(ID, PID, root=tmp_path) is None


def test_version_2_without_a_memory_controller_is_not_found(tmp_path: Path) -> None:
    """A scope without `memory.current` can't be read for memory."""
    path = f"docker/{ID}"
    assert host(tmp_path, mounts=UNIFIED, cgroup=f"0::/{path}\n", folders=[f"sys/fs/cgroup/{path}"]) is None


@pytest.mark.parametrize(
    ("mounts", "cgroup", "expected"),
    [
        (UNIFIED, "0::/ci.slice/job\n", ["ci.slice/job", "ci.slice", ""]),
        (UNIFIED, "0::/\n", [""]),
        (
            HYBRID,
            "4:memory:/job\n2:cpu,cpuacct:/job\n0::/job\n",
            ["cpu,cpuacct/job", "cpu,cpuacct", "unified/job", "unified"],
        ),
        (UNIFIED, "0::/../elsewhere\n", []),
    ],
    ids=["version 2", "a namespace of its own", "hybrid", "outside of our cgroup namespace"],
)
def test_every_group_above_this_process_may_have_a_quota(
    tmp_path: Path, mounts: str, cgroup: str, expected: list[str]
) -> None:
    """The innermost first, up to what the mount shows."""
    top = tmp_path / "sys/fs/cgroup"
    for folder in (*expected, "job"):
        (top / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(mounts.strip() + "\n")
    (tmp_path / "proc/self/cgroup").write_text(cgroup)

    assert list(own_cgroups(tmp_path)) == [top / folder for folder in expected]


def test_a_kernel_without_cgroups_has_no_group(tmp_path: Path) -> None:
    """Nothing can be told of a quota then."""
    assert own_cgroups(tmp_path) == ()

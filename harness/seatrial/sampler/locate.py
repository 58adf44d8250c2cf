"""From a container to its cgroup folders, by way of its first process; and those of this process.

`/proc/<pid>/cgroup` names the cgroup in each hierarchy, `/proc/self/mountinfo` says where the hierarchies are
mounted. That holds for the cgroupfs and systemd drivers, rootless engines, `--cgroup-parent`, Kubernetes and
nested engines alike, without a list of path patterns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from seatrial.sampler.network import namespace_of_its_own


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the files of one container lie; `version` is that of the hierarchy that accounts memory."""

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


_UNIFIED = "unified"


def locate(container: str, pid: int, *, root: Path = Path("/")) -> Places | None:
    """Find the folders of `container`, whose first process is `pid`; None if this host does not show them.

    The container's id has to stand in the path: behind a remote or virtualised engine, `pid` is a stranger's here.
    A container that makes cgroups of its own (systemd, a nested engine) has its first process in one of them; the
    container's is the one that carries its id.
    """
    proc = root / "proc"
    try:
        cgroups = _of_container(container, _cgroups((proc / str(pid) / "cgroup").read_text()))
        mounts = list(_mounts((proc / "self/mountinfo").read_text(), root))
    except OSError:
        return None
    found = {
        name: folder
        for mount in mounts
        for name in mount.controllers
        if name in cgroups and (folder := _folder(mount, cgroups[name])) is not None
    }
    return _places(found, namespace_of_its_own(pid, proc))


def groups_of_this_process(root: Path = Path("/")) -> tuple[Path, ...]:
    """Return the folders of the cgroups that can limit this process's CPU: its own, and all above that are shown.

    A quota of any of them holds it back, and each counts its own (kernel: scheduler/sched-bwc, "Hierarchical
    considerations").
    """
    proc = root / "proc"
    try:
        cgroups = _cgroups((proc / "self/cgroup").read_text())
        mounts = list(_mounts((proc / "self/mountinfo").read_text(), root))
    except OSError:
        return ()
    found: list[Path] = []
    for mount in mounts:
        own = [cgroups[name] for name in ("cpu", _UNIFIED) if name in mount.controllers and name in cgroups]
        folder = _folder(mount, PurePosixPath(own[0])) if own else None
        if folder is not None:
            found += [one for one in (folder, *folder.parents) if one.is_relative_to(mount.point)]
    return tuple(found)


def _places(found: Mapping[str, Path], net_dev: Path | None) -> Places | None:
    unified = found.get(_UNIFIED)
    if "memory" in found:
        own = {name: found.get(name) for name in ("cpuacct", "cpu", "blkio", "pids")}
        return Places(version=1, memory=found["memory"], unified=unified, net_dev=net_dev, **own)
    if unified is not None and (unified / "memory.current").exists():
        return Places(version=2, memory=unified, unified=unified, net_dev=net_dev)
    return None


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
    found = {}
    for name, cgroup in cgroups.items():
        parts = PurePosixPath(cgroup).parts
        at = next((at for at, part in enumerate(parts) if container in part), None)
        if at is not None:
            found[name] = PurePosixPath(*parts[: at + 1])
    return found


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

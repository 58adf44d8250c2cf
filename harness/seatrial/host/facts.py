"""Environment facts of a run: machine, kernel, Docker engine, package versions, git commit.

Every fact is JSON-able. A fact that can't be read here is None: "unknown" must not look like a value.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    *("seatrial", "locust", "gevent", "geventhttpclient", "greenlet", "requests", "urllib3"),
    *("docker", "pyarrow", "numpy", "pydantic", "pyyaml"),
)
_CPU_FIELDS = 8  # user nice system idle iowait irq softirq steal
_GIT_S = 5.0
Read = Callable[[str], str | None]


def read_text(path: str) -> str | None:
    """Return the stripped text of a file; None if it is not there or can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def host_facts(*, read: Read = read_text) -> dict[str, Any]:
    """Return the facts of the machine, its limits, and the Python environment of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "nofile_soft": _limit(soft),
        "nofile_hard": _limit(hard),
        "packages": package_versions(),
        **kernel_facts(read=read),
    }


def kernel_facts(*, read: Read = read_text) -> dict[str, Any]:
    """Return the facts that are read from `/proc`, `/sys` and `/etc`."""
    memory = _pairs(read("/proc/meminfo"), ":")
    processor = _pairs(read("/proc/cpuinfo"), ":")
    ports = read("/proc/sys/net/ipv4/ip_local_port_range")
    return {
        "distribution": _pairs(read("/etc/os-release"), "=").get("PRETTY_NAME"),
        "boot_id": read("/proc/sys/kernel/random/boot_id"),
        "cpu_model": processor.get("model name"),
        "memory_total_bytes": _kib(memory.get("MemTotal")),
        "swap_total_bytes": _kib(memory.get("SwapTotal")),
        "cgroup_version": cgroup_version(read=read),
        "nr_open": _number(read("/proc/sys/fs/nr_open")),
        "ephemeral_ports": [int(word) for word in ports.split()] if ports else None,
        "governor": _governors(read),
        "clocksource": read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "virtual": "hypervisor" in processor["flags"].split() if "flags" in processor else None,
        "steal_fraction_since_boot": steal_fraction(None, read("/proc/stat")),
        "psi": read("/proc/pressure/memory") is not None,
    }


def engine_facts(info: Mapping[str, Any], version: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a Docker engine, from the answers to its `/info` and `/version`."""
    security = info.get("SecurityOptions") or []
    return {
        "engine_version": version.get("Version") or info.get("ServerVersion"),
        "engine_api": version.get("ApiVersion"),
        "engine_system": info.get("OperatingSystem"),
        "engine_kernel": info.get("KernelVersion"),
        "storage_driver": info.get("Driver"),
        "cgroup_driver": info.get("CgroupDriver"),
        "engine_cgroup_version": _number(info.get("CgroupVersion") or "1"),  # engines before 20.10 know only v1
        "engine_cores": info.get("NCPU"),
        "engine_memory_bytes": info.get("MemTotal"),
        "rootless": any("rootless" in option for option in security),
    }


def package_versions() -> dict[str, str | None]:
    """Return the installed versions, without importing anything (`import locust` would patch this process)."""
    return {name: _version(name) for name in PACKAGES}


def cgroup_version(*, read: Read = read_text) -> int | None:
    """Return which cgroup version accounts memory here: 2, 1 (also if hybrid), or None if neither is seen."""
    if "memory" in (read("/sys/fs/cgroup/cgroup.controllers") or "").split():
        return 2
    return 1 if read("/sys/fs/cgroup/memory/memory.stat") is not None else None


def steal_fraction(before: str | None, after: str | None) -> float | None:
    """Return the part of all CPU time that the hypervisor took between two readings of `/proc/stat`.

    It is the eighth number of the first line; guest time is already part of user time (proc(5)). Without `before`
    it is the part since boot.
    """
    first = _cpu_ticks(before) or [0] * _CPU_FIELDS
    last = _cpu_ticks(after)
    if last is None or sum(last) <= sum(first):
        return None
    return (last[7] - first[7]) / (sum(last) - sum(first))


def _governors(read: Read) -> str | None:
    """Return the processors' governor; several, in alphabetical order, if they differ."""
    listed = (read("/sys/devices/system/cpu/present") or "0").split(",")  # such as 0-3,8: cputopology
    spans = [tuple(map(int, span.split("-"))) for span in listed]
    numbers = [number for span in spans for number in range(span[0], span[-1] + 1)]
    governors = {read(f"/sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor") for number in numbers}
    return ", ".join(sorted(filter(None, governors))) or None


def _cpu_ticks(stat: str | None) -> list[int] | None:
    fields = (stat or "").partition("\n")[0].split()[1:9]
    return [int(field) for field in fields] if len(fields) == _CPU_FIELDS else None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _limit(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _kib(text: str | None) -> int | None:
    return int(text.split()[0]) * 1024 if text else None


def _pairs(text: str | None, separator: str) -> dict[str, str]:
    """Read lines of keys and values, which may be quoted; of a key that comes once per core, the first stays."""
    rows = (line.partition(separator) for line in reversed((text or "").splitlines()))
    return {key.strip(): value.strip(' \t"') for key, separated, value in rows if separated}


def git_commit(folder: Path) -> str | None:
    """Return the commit of the checkout around `folder`, with `+changes` if it is not clean; None without one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def files(folder: Path) -> frozenset[Path]:
    """Return the files below `folder` that git tracks or does not ignore; none without a checkout."""
    try:
        names = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    except (OSError, ValueError, subprocess.SubprocessError):
        return frozenset()
    return frozenset(folder / name for name in names.split("\0") if name)


def _git(folder: Path, *words: str) -> str:
    argv = ["git", "-C", str(folder), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_GIT_S, check=True)
    return done.stdout.strip()

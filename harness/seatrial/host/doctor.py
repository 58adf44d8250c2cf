"""The findings of `doctor`, as functions of what was read from the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from seatrial.host.images import BASE_IMAGE
from seatrial.host.probe import Engine, HostProbe, probe
from seatrial.report.numbers import size

_MAX_NOFILE = 1_048_576
_SLOW_DRIVERS = {
    # nginx, one worker, 1 KiB file, on the machine where this was found; `openat` took 61 µs through FUSE
    "fuse-overlayfs": "each open() of a container passes through a FUSE daemon: nginx answered 37,900 small "
    "requests a second on overlay2, 11,400 with its file on a volume, 2,900 with file and log in its own layer",
    "vfs": "each container is a full copy of its image: slow to create, and the files of a layer are cached again "
    "for each container",
}
_CORES = 4
_STEAL = 0.01
_LOAD_PER_CORE = 0.25
_NOFILE = 10_000  # what Locust raises its own limit to
_PORTS = 20_000
_FREE_BYTES = 2 * 1024**3
_TIME_WAIT_S = 60


class State(StrEnum):
    """`lacks`: something can't be done here; `distorts`: a measurement here differs from one elsewhere."""

    OK = "ok"
    LACKS = "lacks"
    DISTORTS = "distorts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One aspect of the host: what was seen, why it matters, and the command that corrects it; empty if ok."""

    name: str
    state: State
    seen: str
    why: str = ""
    mend: str = ""


def examine(host: HostProbe | None = None, *, results: Path = Path("results")) -> tuple[Finding, ...]:
    """Return all findings, the engine's first; starts and changes nothing.

    Without `host` this machine is examined, which takes about a second.
    """
    host = host or probe(results)
    return (*_engine_findings(host), *_machine_findings(host))


def _ok(name: str, seen: str) -> Finding:
    return Finding(name=name, state=State.OK, seen=seen)


def _lacks(name: str, seen: str, *, ok: bool = False, why: str, mend: str) -> Finding:
    return _ok(name, seen) if ok else Finding(name=name, state=State.LACKS, seen=seen, why=why, mend=mend)


def _distorts(name: str, seen: str, *, ok: bool = False, why: str, mend: str) -> Finding:
    return _ok(name, seen) if ok else Finding(name=name, state=State.DISTORTS, seen=seen, why=why, mend=mend)


def _engine_findings(host: HostProbe) -> Iterator[Finding]:
    """Examine the Docker engine and its plugins, and the embedded engine."""
    yield _docker(host)
    if (engine := host.engine) is not None:
        yield _plugin("Compose v2", engine.compose, host, least=2, why="it brings the stacks up")
        yield _plugin("buildx", engine.buildx, host, least=0, why="Compose builds the stacks' images with it")
        install = "" if host.has_mmdebstrap else "sudo apt-get install mmdebstrap && "
        yield _lacks(
            "base image",
            BASE_IMAGE if engine.has_base_image else f"{BASE_IMAGE} is missing",
            ok=engine.has_base_image,
            why="the shipped stacks are built from it",
            mend=f"{install}seatrial images bootstrap",
        )
        yield _storage_driver(engine.facts["storage_driver"])
        yield _container_nofile(engine.nofile_hard)
        yield _cgroup(host.facts, engine)
    yield _programs(host)


def _docker(host: HostProbe) -> Finding:
    name = "Docker engine"
    if host.engine is None:
        return _lacks(
            name,
            f"{host.address}: {host.engine_error}",
            why="without it, only the embedded engine can run, and only the scenario registry-pull",
            mend="sudo systemctl start docker  (not installed: sudo apt-get install docker.io)",
        )
    facts = host.engine.facts
    seen = f"{facts['engine_version']}, API {facts['engine_api']}, at {host.address}"
    return _distorts(
        name,
        f"{seen}, rootless" if facts["rootless"] else seen,
        ok=not facts["rootless"],
        why="the host can't reach the containers' addresses: the load passes through a user-mode network",
        mend="docker context use default  (an engine that runs as root)",
    )


def _plugin(name: str, version: str, host: HostProbe, *, least: int, why: str) -> Finding:
    """Examine a plugin of `docker`; `least` is the first major version that will do, 0 for any."""
    major = version.lstrip("v").partition(".")[0]
    enough = not least or (major.isdecimal() and int(major) >= least)
    distribution = host.facts["distribution"] or ""
    if "Ubuntu" in distribution:
        mend = "sudo apt-get install docker-compose-v2 docker-buildx"
    elif "Debian" in distribution and " 12 " not in distribution:
        mend = "sudo apt-get install docker-compose docker-buildx"
    elif "Debian" in distribution:
        mend = "./provision.sh trial  (in a checkout: it unpacks Debian 13's packages into ~/.docker/cli-plugins)"
    else:
        mend = "https://docs.docker.com/compose/install/linux/"
    return _lacks(name, version or "not installed", ok=bool(version) and enough, why=why, mend=mend)


def _storage_driver(driver: str | None) -> Finding:
    return _distorts(
        "storage driver",
        driver or "unknown",
        ok=driver not in _SLOW_DRIVERS,
        why=_SLOW_DRIVERS.get(driver or "", ""),
        mend='put {"storage-driver": "overlay2"} into /etc/docker/daemon.json, with its data-root on ext4 or xfs, '
        "then: sudo systemctl restart docker",
    )


def _container_nofile(limit: int | None) -> Finding:
    return _distorts(
        "containers' descriptor limit",
        "unknown" if limit is None else str(limit),
        ok=limit is None or limit <= _MAX_NOFILE,
        why="some services allocate 8 bytes for each: uWSGI's http router took 8 GiB at 1073741816",
        mend='put {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 524288}}} into '
        "/etc/docker/daemon.json, then: sudo systemctl restart docker",
    )


def _cgroup(facts: Mapping[str, Any], engine: Engine) -> Finding:
    name, version, kernel = "cgroup files", facts["cgroup_version"], engine.facts["engine_kernel"]
    without = "memory is only known from the Docker API, at 1 Hz and without classes"
    if facts["kernel"] != kernel:
        seen = f"the engine runs on another kernel ({kernel}; here {facts['kernel']})"
        return _distorts(name, seen, why=without, mend="run seatrial on the engine's own host")
    if version is None:
        return _lacks(
            name,
            "no memory controller under /sys/fs/cgroup",
            why=without,
            mend="mount it, or start this container with --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:ro",
        )
    return _distorts(
        name,
        f"version {version}, driver {engine.facts['cgroup_driver']}",
        ok=version != 1,
        why="memory of sockets is not counted, what the kernel writes back later is charged to no service, "
        "and only a hybrid host has a service's pressure: figures look smaller than on version 2",
        mend="boot with the kernel parameter systemd.unified_cgroup_hierarchy=1",
    )


def _programs(host: HostProbe) -> Finding:
    name, missing = "embedded engine", ", ".join(host.missing_programs)
    if missing and host.engine is not None:
        return _ok(name, f"not installed, and not needed while Docker answers: {missing}")
    return _lacks(
        name,
        f"missing: {missing}" if missing else "all programs are there",
        ok=not missing,
        why="where no Docker daemon answers, registry-pull runs as processes of this host",
        mend=f"sudo apt-get install --no-install-recommends {missing.replace(',', '')}",
    )


def _machine_findings(host: HostProbe) -> Iterator[Finding]:
    """Examine cores, memory, limits and disk."""
    facts = host.facts
    yield _ok("Python", facts["python"])
    yield _distorts(
        "cores",
        str(facts["cores_usable"]),
        ok=facts["cores_usable"] >= _CORES,
        why="load generator and stack share them: the load costs the stack part of its speed",
        mend=f"use a host with {_CORES} cores or more, or compare only runs of this host",
    )
    yield _load(host.load_1m, facts["cores"] or 1)
    yield _distorts(
        "stolen CPU time",
        "unknown" if host.steal_fraction is None else f"{host.steal_fraction:.1%}",
        ok=host.steal_fraction is None or host.steal_fraction <= _STEAL,
        why="the hypervisor gives the cores to other machines: latency changes with their work",
        mend="use a machine with dedicated cores, or more blocks",
    )
    yield _distorts(
        "CPU governor",
        facts["governor"] or "none (a virtual machine, or a fixed frequency)",
        ok=facts["governor"] in {None, "performance"},
        why="the frequency of some cores follows the load: a stack at low rates looks slower than it is",
        mend="sudo cpupower frequency-set -g performance",
    )
    yield _distorts(
        "swap",
        size(facts["swap_total_bytes"]) if facts["swap_total_bytes"] else "off",
        ok=not facts["swap_total_bytes"],
        why="memory of an idle service can move to disk: it looks smaller, and its next request waits",
        mend="sudo swapoff -a",
    )
    yield _lacks(
        "pressure stall information",
        "on" if facts["psi"] else "off",
        ok=facts["psi"],
        why="samples can't say for how long a service waited for CPU, memory or disk",
        mend="boot with the kernel parameter psi=1",
    )
    yield _nofile(facts["nofile_soft"], facts["nofile_hard"], facts["nr_open"])
    yield _ports(facts["ephemeral_ports"])
    yield _lacks(
        "disk",
        f"{size(host.free_bytes)} free for {host.results}",
        ok=host.free_bytes >= _FREE_BYTES,
        why="a run writes its data there; a full disk ends it",
        mend="free some space, or name another folder with --results",
    )


def _load(load: float | None, cores: int) -> Finding:
    return _distorts(
        "other load",
        "unknown" if load is None else f"load average {load:g} on {cores} cores",
        ok=load is None or load <= _LOAD_PER_CORE * cores,
        why="other work on this host becomes latency of the stack",
        mend="end it first; `top` shows it",
    )


def _nofile(soft: int | None, hard: int | None, nr_open: int | None) -> Finding:
    return _lacks(
        "descriptor limit",
        f"soft {soft or 'unlimited'}, hard {hard or 'unlimited'}, fs.nr_open {nr_open or 'unknown'}",
        ok=hard is None or hard >= _NOFILE,
        why="each connection of the load takes a descriptor",
        mend="echo '* hard nofile 100000' | sudo tee /etc/security/limits.d/seatrial.conf, then log in again",
    )


def _ports(ports: list[int] | None) -> Finding:
    if not ports:
        return _ok("ephemeral ports", "unknown")
    first, last = ports
    count = last - first + 1
    return _lacks(
        "ephemeral ports",
        f"{first} to {last}",
        ok=count >= _PORTS,
        why=f"a closed connection keeps its port for {_TIME_WAIT_S} s: {count // _TIME_WAIT_S} new ones/s at most",
        mend="sudo sysctl -w net.ipv4.ip_local_port_range='32768 60999'",
    )

"""The findings of `doctor`, as functions of what was read from the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seatrial.host.images import BASE_IMAGE
from seatrial.host.probe import Engine, Finding, HostProbe, distorts, lacks, ok, probe
from seatrial.report.numbers import size

_MAX_NOFILE = 1_048_576
_SLOW_DRIVERS = {
    # nginx, one worker, 1 KiB file, on the machine where this was found; `openat` took 61 µs through FUSE
    "fuse-overlayfs": "each open() of a container passes through a FUSE daemon: nginx answered 37,900 small "
    "requests a second on overlay2, 11,400 with its file on a volume, 2,900 with file and log in its own layer",
    "vfs": "each container is a full copy of its image: slow to create, and the files of a layer are cached again "
    "for each container",
}


def engine_findings(host: HostProbe) -> Iterator[Finding]:
    """Examine the Docker engine and its plugins, and the embedded engine."""
    yield _docker(host)
    if host.engine is not None:
        yield _plugin("Compose v2", host.engine.compose, host, least="2", why="it brings the stacks up")
        yield _plugin(
            "buildx", host.engine.buildx, host, least="", why="Compose builds the stacks' images with it"
        )
        yield _base_image(host, host.engine)
        yield _storage_driver(host.engine.facts["storage_driver"])
        yield _container_nofile(host.engine.nofile_hard)
        yield _cgroup(host.facts, host.engine.facts)
    yield _programs(host)


def _docker(host: HostProbe) -> Finding:
    name = "Docker engine"
    if host.engine is None:
        return lacks(
            name,
            f"{host.address}: {host.engine_error}",
            why="without it, only the embedded engine can run, and only the scenario registry-pull",
            mend="sudo systemctl start docker  (not installed: sudo apt-get install docker.io)",
        )
    facts = host.engine.facts
    seen = f"{facts['engine_version']}, API {facts['engine_api']}, at {host.address}"
    if facts["rootless"]:
        return distorts(
            name,
            f"{seen}, rootless",
            why="the host can't reach the containers' addresses: the load passes through a user-mode network",
            mend="docker context use default  (an engine that runs as root)",
        )
    return ok(name, seen)


def _plugin(name: str, version: str, host: HostProbe, *, least: str, why: str) -> Finding:
    major = version.lstrip("v").partition(".")[0]
    if version and (not least or (major.isdecimal() and int(major) >= int(least))):
        return ok(name, version)
    return lacks(name, version or "not installed", why=why, mend=_plugin_mend(host.facts["distribution"] or ""))


def _plugin_mend(distribution: str) -> str:
    if "Ubuntu" in distribution:
        return "sudo apt-get install docker-compose-v2 docker-buildx"
    if "Debian" in distribution and " 12 " not in distribution:
        return "sudo apt-get install docker-compose docker-buildx"
    if "Debian" in distribution:
        return "./provision.sh trial  (in a checkout: it unpacks Debian 13's packages into ~/.docker/cli-plugins)"
    return "https://docs.docker.com/compose/install/linux/"


def _base_image(host: HostProbe, engine: Engine) -> Finding:
    if engine.has_base_image:
        return ok("base image", BASE_IMAGE)
    install = "" if host.has_mmdebstrap else "sudo apt-get install mmdebstrap && "
    return lacks(
        "base image",
        f"{BASE_IMAGE} is missing",
        why="the shipped stacks are built from it",
        mend=f"{install}seatrial images bootstrap",
    )


def _storage_driver(driver: str | None) -> Finding:
    name = "storage driver"
    if driver not in _SLOW_DRIVERS:
        return ok(name, driver or "unknown")
    return distorts(
        name,
        driver,
        why=_SLOW_DRIVERS[driver],
        mend='put {"storage-driver": "overlay2"} into /etc/docker/daemon.json, with its data-root on ext4 or xfs, '
        "then: sudo systemctl restart docker",
    )


def _container_nofile(limit: int | None) -> Finding:
    name = "containers' descriptor limit"
    if limit is None or limit <= _MAX_NOFILE:
        return ok(name, "unknown" if limit is None else str(limit))
    return distorts(
        name,
        str(limit),
        why="some services allocate 8 bytes for each: uWSGI's http router took 8 GiB at 1073741816",
        mend='put {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 524288}}} into '
        "/etc/docker/daemon.json, then: sudo systemctl restart docker",
    )


def _cgroup(host: Mapping[str, Any], engine: Mapping[str, Any]) -> Finding:
    name = "cgroup files"
    version = host["cgroup_version"]
    if host["kernel"] != engine["engine_kernel"]:
        return distorts(
            name,
            f"the engine runs on another kernel ({engine['engine_kernel']}; here {host['kernel']})",
            why="memory is only known from the Docker API, at 1 Hz and without classes",
            mend="run seatrial on the engine's own host",
        )
    if version is None:
        return lacks(
            name,
            "no memory controller under /sys/fs/cgroup",
            why="memory is only known from the Docker API, at 1 Hz and without classes",
            mend="mount it, or start this container with --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:ro",
        )
    seen = f"version {version}, driver {engine['cgroup_driver']}"
    if version == 1:
        return distorts(
            name,
            seen,
            why="memory of sockets is not counted, what the kernel writes back later is charged to no service, "
            "and only a hybrid host has a service's pressure: figures look smaller than on version 2",
            mend="boot with the kernel parameter systemd.unified_cgroup_hierarchy=1",
        )
    return ok(name, seen)


def _programs(host: HostProbe) -> Finding:
    name = "embedded engine"
    missing = ", ".join(host.missing_programs)
    if not missing:
        return ok(name, "all programs are there")
    if host.engine is not None:
        return ok(name, f"not installed, and not needed while Docker answers: {missing}")
    return lacks(
        name,
        f"missing: {missing}",
        why="where no Docker daemon answers, registry-pull runs as processes of this host",
        mend=f"sudo apt-get install --no-install-recommends {missing.replace(',', '')}",
    )


_CORES = 4
_STEAL = 0.01
_LOAD_PER_CORE = 0.25
_NOFILE = 10_000  # what Locust raises its own limit to
_PORTS = 20_000
_FREE_BYTES = 2 * 1024**3
_TIME_WAIT_S = 60


def machine_findings(host: HostProbe) -> Iterator[Finding]:
    """Examine cores, memory, limits and disk."""
    yield ok("Python", host.facts["python"])
    yield _cores(host.facts["cores_usable"])
    yield _load(host)
    yield _steal(host.steal_fraction)
    yield _governor(host.facts["governor"])
    yield _swap(host.facts["swap_total_bytes"])
    yield _psi(seen=host.facts["psi"])
    yield _nofile(host.facts["nofile_soft"], host.facts["nofile_hard"], host.facts["nr_open"])
    yield _ports(host.facts["ephemeral_ports"])
    yield _disk(host)


def _cores(cores: int) -> Finding:
    if cores >= _CORES:
        return ok("cores", str(cores))
    return distorts(
        "cores",
        str(cores),
        why="load generator and stack share them: the load costs the stack part of its speed",
        mend=f"use a host with {_CORES} cores or more, or compare only runs of this host",
    )


def _load(host: HostProbe) -> Finding:
    load, cores = host.load_1m, host.facts["cores"] or 1
    if load is None or load <= _LOAD_PER_CORE * cores:
        return ok("other load", "unknown" if load is None else f"load average {load:g} on {cores} cores")
    return distorts(
        "other load",
        f"load average {load:g} on {cores} cores",
        why="other work on this host becomes latency of the stack",
        mend="end it first; `top` shows it",
    )


def _steal(fraction: float | None) -> Finding:
    if fraction is None:
        return ok("stolen CPU time", "unknown")
    seen = f"{fraction:.1%}"
    if fraction <= _STEAL:
        return ok("stolen CPU time", seen)
    return distorts(
        "stolen CPU time",
        seen,
        why="the hypervisor gives the cores to other machines: latency changes with their work",
        mend="use a machine with dedicated cores, or more blocks",
    )


def _governor(governor: str | None) -> Finding:
    if governor in {None, "performance"}:
        return ok("CPU governor", governor or "none (a virtual machine, or a fixed frequency)")
    return distorts(
        "CPU governor",
        str(governor),
        why="the frequency of some cores follows the load: a stack at low rates looks slower than it is",
        mend="sudo cpupower frequency-set -g performance",
    )


def _swap(total_bytes: int | None) -> Finding:
    if not total_bytes:
        return ok("swap", "off")
    return distorts(
        "swap",
        size(total_bytes),
        why="memory of an idle service can move to disk: it looks smaller, and its next request waits",
        mend="sudo swapoff -a",
    )


def _psi(*, seen: bool) -> Finding:
    if seen:
        return ok("pressure stall information", "on")
    return lacks(
        "pressure stall information",
        "off",
        why="samples can't say for how long a service waited for CPU, memory or disk",
        mend="boot with the kernel parameter psi=1",
    )


def _nofile(soft: int | None, hard: int | None, nr_open: int | None) -> Finding:
    seen = f"soft {soft or 'unlimited'}, hard {hard or 'unlimited'}, fs.nr_open {nr_open or 'unknown'}"
    if hard is None or hard >= _NOFILE:
        return ok("descriptor limit", seen)
    return lacks(
        "descriptor limit",
        seen,
        why="each connection of the load takes a descriptor",
        mend="echo '* hard nofile 100000' | sudo tee /etc/security/limits.d/seatrial.conf, then log in again",
    )


def _ports(ports: list[int] | None) -> Finding:
    if not ports:
        return ok("ephemeral ports", "unknown")
    first, last = ports
    count = last - first + 1
    if count >= _PORTS:
        return ok("ephemeral ports", f"{first} to {last}")
    return lacks(
        "ephemeral ports",
        f"{first} to {last}",
        why=f"a closed connection keeps its port for {_TIME_WAIT_S} s: {count // _TIME_WAIT_S} new ones/s at most",
        mend="sudo sysctl -w net.ipv4.ip_local_port_range='32768 60999'",
    )


def _disk(host: HostProbe) -> Finding:
    seen = f"{size(host.free_bytes)} free for {host.results}"
    if host.free_bytes >= _FREE_BYTES:
        return ok("disk", seen)
    return lacks(
        "disk",
        seen,
        why="a run writes its data there; a full disk ends it",
        mend="free some space, or name another folder with --results",
    )


def examine(host: HostProbe | None = None, *, results: Path = Path("results")) -> tuple[Finding, ...]:
    """Return all findings, the engine's first; starts and changes nothing.

    Without `host` this machine is examined, which takes about a second.
    """
    examined = probe(results) if host is None else host
    return (*engine_findings(examined), *machine_findings(examined))

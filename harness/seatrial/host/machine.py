"""Findings about the machine itself."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.host.finding import Finding, distorts, lacks, ok
from seatrial.host.probe import Host
from seatrial.report.numbers import size

_CORES = 4
_STEAL = 0.01
_LOAD_PER_CORE = 0.25
_NOFILE = 10_000  # what Locust raises its own limit to
_PORTS = 20_000
_FREE_BYTES = 2 * 1024**3
_TIME_WAIT_S = 60


def machine_findings(host: Host) -> Iterator[Finding]:
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


def _load(host: Host) -> Finding:
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


def _disk(host: Host) -> Finding:
    seen = f"{size(host.free_bytes)} free for {host.results}"
    if host.free_bytes >= _FREE_BYTES:
        return ok("disk", seen)
    return lacks(
        "disk",
        seen,
        why="a run writes its data there; a full disk ends it",
        mend="free some space, or name another folder with --results",
    )

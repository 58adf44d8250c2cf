"""Facts of the host and of the engine are read from the kernel's text, and unknown ones are None."""

from __future__ import annotations

import json

import pytest

from seatrial.host.facts import cgroup_version, engine_facts, host_facts, kernel_facts, steal_fraction

FILES = {
    "/etc/os-release": 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian',
    "/proc/cpuinfo": "processor\t: 0\nmodel name\t: EPYC 9\nflags\t: fpu hypervisor\n\n"
    "processor\t: 1\nmodel name\t: other\nflags\t: fpu",
    "/proc/meminfo": "MemTotal:       16 kB\nMemFree: 2 kB\nSwapTotal:      0 kB",
    "/proc/sys/fs/nr_open": "1073741816",
    "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999",
    "/proc/stat": "cpu  10 0 10 70 0 0 0 10 5 0\ncpu0 1 1 1 1 1 1 1 1 1 1",
    "/proc/pressure/memory": "some avg10=0.00",
    "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids",
}
KERNEL = {
    "memory_total_bytes": 16384,
    "swap_total_bytes": 0,
    "nr_open": 1073741816,
    "ephemeral_ports": [32768, 60999],
    "distribution": "Debian GNU/Linux 13 (trixie)",
    "cpu_model": "EPYC 9",
    "virtual": True,
    "psi": True,
}


def test_kernel_facts_carry_their_units_and_name_the_machine() -> None:
    """Memory in bytes, ports as first and last; the processor is the first core's; what can't be read is None."""
    facts = kernel_facts(read=FILES.get)
    assert {name: value for name, value in facts.items() if name in KERNEL} == KERNEL
    unknown = kernel_facts(read=dict[str, str]().get)
    assert {name for name, value in unknown.items() if value is not None} == {"psi"}
    assert unknown["psi"] is False


@pytest.mark.parametrize(
    ("governors", "told"),
    [
        (["performance"] * 3, "performance"),
        (["performance", "powersave", "performance"], "performance, powersave"),
    ],
)
def test_the_governor_is_that_of_every_processor(governors: list[str], told: str) -> None:
    """One slow core is enough to change a measurement; a processor without a governor does not count."""
    paths = [f"/sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor" for number in (0, 1, 3)]
    files = {"/sys/devices/system/cpu/present": "0-1,3-4", **dict(zip(paths, governors, strict=True))}
    assert kernel_facts(read=files.get)["governor"] == told


def test_cgroup_version_is_that_of_the_memory_controller() -> None:
    """On a hybrid host, version 2 is mounted too, but without controllers: memory is accounted by version 1."""
    assert cgroup_version(read=FILES.get) == 2
    assert cgroup_version(read={"/sys/fs/cgroup/memory/memory.stat": "cache 0"}.get) == 1
    assert cgroup_version(read={"/sys/fs/cgroup/cgroup.controllers": "cpuset"}.get) is None


def test_steal_is_a_part_of_all_time_between_two_readings() -> None:
    """Five of a hundred ticks went to the hypervisor; guest time, already in user time, counts once."""
    before = "cpu  10 0 10 70 0 0 0 10 5 0"
    after = "cpu  60 0 10 115 0 0 0 15 9 0"
    assert steal_fraction(before, after) == 0.05
    assert steal_fraction(None, before) == 0.1
    assert steal_fraction(after, after) is None


def test_host_facts_fit_into_json() -> None:
    """The facts of this very machine can be written to run.json."""
    facts = json.loads(json.dumps(host_facts()))
    assert facts["packages"]["locust"]
    assert facts["cores"] >= facts["cores_usable"] >= 1


def test_engine_facts_of_a_modern_and_of_an_old_rootless_engine() -> None:
    """A rootless engine names it among its security options; one before 20.10 has no cgroup version."""
    info = {"Driver": "overlay2", "CgroupDriver": "systemd", "CgroupVersion": "2", "NCPU": 2}
    facts = engine_facts(info, {"Version": "26.1.5", "ApiVersion": "1.45"})
    assert (facts["engine_version"], facts["storage_driver"]) == ("26.1.5", "overlay2")
    assert facts["engine_cgroup_version"] == 2
    assert facts["rootless"] is False
    old = engine_facts({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, {})
    assert old["rootless"] is True
    assert old["engine_cgroup_version"] == 1

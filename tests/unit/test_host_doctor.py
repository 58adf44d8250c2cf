"""The findings of `doctor`, made from a probe of the host."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from seatrial.host.doctor import Finding, State, examine
from seatrial.host.probe import Engine, HostProbe, probe

DOCKER = {"engine_version": "26.1.5", "engine_api": "1.45", "engine_kernel": "6.12", "rootless": False}
ENGINE = Engine(
    facts=DOCKER | {"storage_driver": "overlay2", "cgroup_driver": "systemd"},
    compose="2.26.1-4",
    buildx="github.com/docker/buildx 0.13.1",
    has_base_image=True,
    nofile_hard=524288,
)
LIMITS = {"nofile_soft": 1024, "nofile_hard": 524288, "nr_open": 1048576, "ephemeral_ports": [32768, 60999]}
SYSTEM = {"kernel": "6.12", "distribution": "Debian GNU/Linux 13 (trixie)", "python": "3.13.5", "psi": True}
CORES = {"cores": 8, "cores_usable": 8, "governor": "performance"}
FACTS = LIMITS | SYSTEM | CORES | {"cgroup_version": 2, "swap_total_bytes": 0}
HOST = HostProbe(
    facts=FACTS,
    address="unix:///var/run/docker.sock",
    engine=ENGINE,
    engine_error="",
    has_mmdebstrap=True,
    missing_programs=(),
    steal_fraction=0.0,
    load_1m=0.4,
    results=Path("results"),
    free_bytes=50 * 1024**3,
)


def host_with(engine: dict[str, Any] | None = None, **changes: Any) -> HostProbe:  # noqa: ANN401  (facts and fields)
    """Return the good host with other facts or fields, and its engine with others."""
    own = {field.name for field in fields(HostProbe)}
    host = replace(HOST, **{name: value for name, value in changes.items() if name in own})
    host = replace(host, facts=FACTS | {name: value for name, value in changes.items() if name not in own})
    if engine is None:
        return host
    plugins = {name: value for name, value in engine.items() if name not in ENGINE.facts}
    return replace(host, engine=replace(ENGINE, facts={**ENGINE.facts, **engine}, **plugins))


def finding(name: str, host: HostProbe) -> Finding:
    """Return the one finding of that name."""
    return next(one for one in examine(host) if one.name == name)


def test_a_good_host_is_ok() -> None:
    """Eight cores, overlay2, cgroup v2 and no swap: every finding is ok."""
    assert {one.state for one in examine(HOST)} == {State.OK}


@pytest.mark.parametrize(
    ("host", "name", "state"),
    [
        (host_with(cores_usable=2), "cores", State.DISTORTS),
        (host_with(governor="powersave"), "CPU governor", State.DISTORTS),
        (host_with(governor="performance, powersave"), "CPU governor", State.DISTORTS),
        (host_with(governor=None), "CPU governor", State.OK),
        (host_with(swap_total_bytes=2147483648), "swap", State.DISTORTS),
        (host_with(psi=False), "pressure stall information", State.LACKS),
        (host_with(nofile_hard=4096), "descriptor limit", State.LACKS),
        (host_with(nofile_hard=None), "descriptor limit", State.OK),
        (host_with(ephemeral_ports=[60000, 60999]), "ephemeral ports", State.LACKS),
        (host_with(cgroup_version=1), "cgroup files", State.DISTORTS),
        (host_with(cgroup_version=None), "cgroup files", State.LACKS),
        (host_with(kernel="6.1"), "cgroup files", State.DISTORTS),
        (host_with(steal_fraction=0.011), "stolen CPU time", State.DISTORTS),
        (host_with(steal_fraction=0.010), "stolen CPU time", State.OK),
        (host_with(load_1m=2.1), "other load", State.DISTORTS),
        (host_with(load_1m=2.0), "other load", State.OK),
        (host_with(free_bytes=1024**3), "disk", State.LACKS),
        (host_with({"storage_driver": "vfs"}), "storage driver", State.DISTORTS),
        (host_with({"rootless": True}), "Docker engine", State.DISTORTS),
        (host_with({"compose": "1.29.2"}), "Compose v2", State.LACKS),
        (host_with({"compose": "v2.40.0"}), "Compose v2", State.OK),
        (host_with({"buildx": ""}), "buildx", State.LACKS),
        (host_with({"nofile_hard": 1073741816}), "containers' descriptor limit", State.DISTORTS),
    ],
)
def test_the_state_of_a_finding(host: HostProbe, name: str, state: State) -> None:
    """All that changes a measurement, or prevents one, has its finding; a value at the threshold is good."""
    assert finding(name, host).state is state


def test_a_finding_that_is_not_ok_says_why_and_has_a_remedy() -> None:
    """No finding may leave a user without a next step."""
    facts = {"cores_usable": 1, "governor": "powersave", "swap_total_bytes": 1, "psi": False, "nofile_hard": 1}
    engine = {"compose": "", "buildx": "", "has_base_image": False}
    bad = [one for one in examine(host_with(engine, cgroup_version=None, free_bytes=0, **facts)) if one.why]
    assert len(bad) == 10
    assert all(one.seen and one.why and one.mend and one.state is not State.OK for one in bad)


@pytest.mark.parametrize(
    ("host", "name", "words"),
    [
        (HOST, "disk", ["50.0 GiB free for results"]),
        (host_with(swap_total_bytes=2147483648), "swap", ["2.00 GiB"]),
        (
            host_with(cgroup_version=1),
            "cgroup files",
            ["sockets", "writes back", "systemd.unified_cgroup_hierarchy=1"],
        ),
        (host_with({"storage_driver": "fuse-overlayfs"}), "storage driver", ["37,900", "2,900"]),
        (
            host_with({"has_base_image": False}, has_mmdebstrap=False),
            "base image",
            ["install mmdebstrap && seatrial"],
        ),
    ],
)
def test_a_finding_has_its_figures_reasons_and_remedy(host: HostProbe, name: str, words: list[str]) -> None:
    """Sizes have units; what a measurement loses is listed; what has to be installed first comes first."""
    shown = finding(name, host)
    assert all(word in f"{shown.seen} {shown.why} {shown.mend}" for word in words)


@pytest.mark.parametrize(
    ("distribution", "mend"),
    [
        ("Debian GNU/Linux 13 (trixie)", "sudo apt-get install docker-compose docker-buildx"),
        ("Debian GNU/Linux 12 (bookworm)", "./provision.sh trial"),  # its own docker-compose is 1.29
        ("Ubuntu 24.04.1 LTS", "sudo apt-get install docker-compose-v2 docker-buildx"),
        ("Fedora Linux 41", "https://docs.docker.com/compose/install/linux/"),
    ],
)
def test_compose_is_installed_as_the_distribution_has_it(distribution: str, mend: str) -> None:
    """The remedy is a command for this host."""
    assert finding("Compose v2", host_with({"compose": ""}, distribution=distribution)).mend.startswith(mend)


def test_without_docker_the_embedded_engine_matters() -> None:
    """Its programs are only missed where no other engine can run the stack."""
    lacking = host_with(missing_programs=("nginx", "python3-jwt"))
    alone = replace(lacking, engine=None, engine_error="the socket does not exist")
    assert finding("embedded engine", lacking).state is State.OK
    assert finding("embedded engine", alone).mend.endswith("--no-install-recommends nginx python3-jwt")
    assert finding("Docker engine", alone).seen == "unix:///var/run/docker.sock: the socket does not exist"


def test_this_machine_can_be_examined(tmp_path: Path) -> None:
    """With or without Docker, and for a results folder that does not exist yet."""
    slept: list[float] = []
    host = probe(tmp_path / "not" / "yet", sleep=slept.append)
    assert len(slept) == 1
    assert host.free_bytes > 0
    assert (host.engine is None) == bool(host.engine_error)

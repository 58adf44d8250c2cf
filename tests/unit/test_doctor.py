"""The doctor's findings are a function of what was seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seatrial.host.doctor import Finding, State, examine
from seatrial.host.probe import Engine, HostProbe, probe

ENGINE = Engine(
    facts={
        "engine_version": "26.1.5",
        "engine_api": "1.45",
        "engine_kernel": "6.12",
        "storage_driver": "overlay2",
        "cgroup_driver": "systemd",
        "rootless": False,
    },
    compose="2.26.1-4",
    buildx="github.com/docker/buildx 0.13.1",
    has_base_image=True,
    nofile_hard=524288,
)
FACTS = {
    "kernel": "6.12",
    "distribution": "Debian GNU/Linux 13 (trixie)",
    "python": "3.13.5",
    "cores": 8,
    "cores_usable": 8,
    "cgroup_version": 2,
    "governor": "performance",
    "swap_total_bytes": 0,
    "psi": True,
    "nofile_soft": 1024,
    "nofile_hard": 524288,
    "nr_open": 1048576,
    "ephemeral_ports": [32768, 60999],
}
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


def finding(name: str, host: HostProbe) -> Finding:
    """Return the one finding of that name."""
    (found,) = [one for one in examine(host) if one.name == name]
    return found


def with_facts(**facts: Any) -> HostProbe:  # noqa: ANN401  (facts are of many types)
    """Return the good host with other facts."""
    return replace(HOST, facts=FACTS | facts)


def with_engine(**engine_facts: Any) -> HostProbe:  # noqa: ANN401  (facts are of many types)
    """Return the good host with an engine of other facts."""
    return replace(HOST, engine=replace(ENGINE, facts={**ENGINE.facts, **engine_facts}))


def test_a_good_host_has_nothing_to_mend() -> None:
    """Eight cores, overlay2, cgroup v2 and no swap: every finding is ok."""
    assert {one.state for one in examine(HOST)} == {State.OK}


@pytest.mark.parametrize(
    ("facts", "name", "state"),
    [
        ({"cores_usable": 2}, "cores", State.DISTORTS),
        ({"governor": "powersave"}, "CPU governor", State.DISTORTS),
        ({"governor": None}, "CPU governor", State.OK),
        ({"swap_total_bytes": 2147483648}, "swap", State.DISTORTS),
        ({"psi": False}, "pressure stall information", State.LACKS),
        ({"nofile_hard": 4096}, "descriptor limit", State.LACKS),
        ({"nofile_hard": None}, "descriptor limit", State.OK),
        ({"ephemeral_ports": [60000, 60999]}, "ephemeral ports", State.LACKS),
        ({"governor": "performance, powersave"}, "CPU governor", State.DISTORTS),
        ({"cgroup_version": 1}, "cgroup files", State.DISTORTS),
        ({"cgroup_version": None}, "cgroup files", State.LACKS),
        ({"kernel": "6.1"}, "cgroup files", State.DISTORTS),
    ],
)
def test_facts_of_the_machine(facts: dict[str, Any], name: str, state: State) -> None:
    """Each fact that changes a measurement, or forbids one, has its finding."""
    assert finding(name, with_facts(**facts)).state is state


@pytest.mark.parametrize(
    ("host", "name", "state"),
    [
        (replace(HOST, steal_fraction=0.011), "stolen CPU time", State.DISTORTS),
        (replace(HOST, steal_fraction=0.010), "stolen CPU time", State.OK),
        (replace(HOST, load_1m=2.1), "other load", State.DISTORTS),
        (replace(HOST, load_1m=2.0), "other load", State.OK),
        (replace(HOST, free_bytes=1024**3), "disk", State.LACKS),
        (with_engine(storage_driver="vfs"), "storage driver", State.DISTORTS),
        (with_engine(rootless=True), "Docker engine", State.DISTORTS),
        (replace(HOST, engine=replace(ENGINE, compose="1.29.2")), "Compose v2", State.LACKS),
        (replace(HOST, engine=replace(ENGINE, compose="v2.40.0")), "Compose v2", State.OK),
        (replace(HOST, engine=replace(ENGINE, buildx="")), "buildx", State.LACKS),
        (
            replace(HOST, engine=replace(ENGINE, nofile_hard=1073741816)),
            "containers' descriptor limit",
            State.DISTORTS,
        ),
    ],
)
def test_what_was_seen_beside_the_facts(host: HostProbe, name: str, state: State) -> None:
    """Thresholds belong to the good side."""
    assert finding(name, host).state is state


def test_what_is_not_well_says_why_and_how_to_mend_it() -> None:
    """No finding may leave a person without a next step."""
    bad = replace(
        with_facts(
            cores_usable=1, governor="powersave", swap_total_bytes=1, psi=False, nofile_hard=1, cgroup_version=None
        ),
        engine=replace(ENGINE, compose="", buildx="", has_base_image=False),
        free_bytes=0,
    )
    found = [one for one in examine(bad) if one.state is not State.OK]
    assert len(found) == 10
    assert all(one.seen and one.why and one.mend for one in found)


def test_sizes_are_told_as_people_read_them() -> None:
    """Free bytes of a disk are shown with a unit."""
    assert finding("disk", HOST).seen == "50.0 GiB free for results"
    assert finding("swap", with_facts(swap_total_bytes=2147483648)).seen == "2.00 GiB"


def test_cgroup_version_1_is_told_with_its_reasons() -> None:
    """What it counts less, and the kernel parameter that brings version 2."""
    found = finding("cgroup files", with_facts(cgroup_version=1))
    assert all(word in found.why for word in ("sockets", "writes back", "pressure"))
    assert "systemd.unified_cgroup_hierarchy=1" in found.mend


def test_fuse_overlayfs_is_told_with_its_figures() -> None:
    """The storage driver changed a small request's rate thirteenfold."""
    found = finding("storage driver", with_engine(storage_driver="fuse-overlayfs"))
    assert "37,900" in found.why
    assert "2,900" in found.why


@pytest.mark.parametrize(
    ("distribution", "mend"),
    [
        ("Debian GNU/Linux 13 (trixie)", "sudo apt-get install docker-compose docker-buildx"),
        ("Ubuntu 24.04.1 LTS", "sudo apt-get install docker-compose-v2 docker-buildx"),
        ("Fedora Linux 41", "https://docs.docker.com/compose/install/linux/"),
    ],
)
def test_compose_is_mended_as_the_distribution_has_it(distribution: str, mend: str) -> None:
    """Debian 12's own docker-compose is 1.29, and would not help."""
    host = replace(with_facts(distribution=distribution), engine=replace(ENGINE, compose=""))
    assert finding("Compose v2", host).mend == mend
    debian_12 = replace(host, facts=FACTS | {"distribution": "Debian GNU/Linux 12 (bookworm)"})
    assert finding("Compose v2", debian_12).mend.startswith("./provision.sh trial")


def test_without_docker_the_embedded_engine_matters() -> None:
    """Its programs are only missed where nothing else can run the stack."""
    lacking = replace(HOST, missing_programs=("nginx", "python3-jwt"))
    assert finding("embedded engine", lacking).state is State.OK
    alone = replace(lacking, engine=None, engine_error="the socket does not exist")
    assert (
        finding("embedded engine", alone).mend == "sudo apt-get install --no-install-recommends nginx python3-jwt"
    )
    assert finding("Docker engine", alone).seen == "unix:///var/run/docker.sock: the socket does not exist"


def test_the_base_image_needs_mmdebstrap_where_it_is_made() -> None:
    """The mend is complete: what has to be installed first comes first."""
    host = replace(HOST, engine=replace(ENGINE, has_base_image=False), has_mmdebstrap=False)
    assert finding("base image", host).mend == "sudo apt-get install mmdebstrap && seatrial images bootstrap"


def test_this_very_machine_can_be_looked_at(tmp_path: Path) -> None:
    """Looking works with or without Docker, and for a results folder that is not there yet."""
    slept: list[float] = []
    host = probe(tmp_path / "not" / "yet", sleep=slept.append)
    assert len(slept) == 1
    assert host.free_bytes > 0
    assert (host.engine is None) == bool(host.engine_error)

"""What is added to a Compose file, and what Compose's complaints mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seatrial.errors import EngineUnavailable, ImageMissing, PortTaken, StackFailed, UsageError
from seatrial.model import FrontDoor, StackSpec, Variant
from seatrial.stack.compose import failure
from seatrial.stack.compose_file import (
    Instead,
    dump,
    expected_services,
    image_names,
    once_services,
    override,
    parsed,
)
from seatrial.stack.processes import ProgramEnd


def spec_of(*, files: dict[Path, Path] | None = None, port: int = 0, door: str = "web") -> StackSpec:
    """Return a spec of the stack /stacks/shop."""
    return StackSpec(
        run_id="r1",
        project="seatrial-r1",
        compose_file=Path("/stacks/shop/compose.yaml"),
        variant=Variant(name="other", files=files or {}),
        front_door=FrontDoor(service=door, port=80),
        probes=(),
        environment={},
        work=Path("/work"),
        logs=Path("/logs"),
        deadline_s=60,
        port=port,
    )


def added(config: dict[str, Any], spec: StackSpec) -> dict[str, Any]:
    """Return the override for a configuration."""
    return override(spec, config, {"seatrial.run": "r1"})


def test_everything_of_ours_is_labelled_and_named() -> None:
    """Services, networks and volumes get the labels; a volume or container with a fixed name is not the user's."""
    config = {
        "services": {"web": {"image": "i", "container_name": "mine"}},
        "networks": {"default": {"name": "n"}},
        "volumes": {"data": {"name": "production"}},
    }
    labels = {"seatrial.run": "r1"}
    assert added(config, spec_of()) == {
        "services": {"web": {"labels": labels, "container_name": "seatrial-r1-web-1"}},
        "networks": {"default": {"labels": labels, "name": "seatrial-r1_default"}},
        "volumes": {"data": {"labels": labels, "name": "seatrial-r1_data"}},
        "configs": {},
        "secrets": {},
    }


def test_external_things_are_left_alone() -> None:
    """What the user declares as external is neither labelled nor renamed, so it is never removed."""
    config = {"services": {"web": {"image": "i"}}, "volumes": {"data": {"name": "mine", "external": True}}}
    assert added(config, spec_of())["volumes"] == {}


SHOP = Path("/stacks/shop/compose.yaml")
CHANGES = {"services": {"web": {"environment": {"A": "b"}}}}


def test_run_never_retags_the_users_image() -> None:
    """What is built gets a name of the stack's and the variant's own, and no further tags of the user's."""
    config = {"services": {"web": {"image": "mine:2", "build": {"tags": ["mine:latest"]}}}}
    entry = added(config, spec_of())["services"]["web"]
    assert entry["image"] == "seatrial-shop-761c343b-web"
    assert entry["build"] == {"tags": []}
    assert isinstance(entry["build"]["tags"], Instead)


def test_images_of_different_stacks_and_variants_are_different() -> None:
    """A folder of the same name elsewhere, or another variant, has another image."""
    config: dict[str, Any] = {"services": {"web": {"build": {}}}}
    elsewhere = Path("/other/shop/compose.yaml")
    images = {image_names(file, changes, config)["web"] for file in (SHOP, elsewhere) for changes in ({}, CHANGES)}
    assert len(images) == 4


def test_service_that_uses_anothers_build_follows_it() -> None:
    """Two services with one image still have one image, also where the tag is left out."""
    config = {
        "services": {"auth": {"image": "a", "build": {}}, "maker": {"image": "a:latest"}, "db": {"image": "d"}}
    }
    names = image_names(SHOP, {}, config)
    assert names["maker"] == names["auth"]
    assert "db" not in names


def test_our_own_stacks_names_stay_in_the_base_variant() -> None:
    """Images under `seatrial/` are built once for all runs, unless a variant changes what is built."""
    config = {"services": {"auth": {"image": "seatrial/auth", "build": {}}, "maker": {"image": "seatrial/auth"}}}
    assert image_names(SHOP, {}, config) == {}
    changed = image_names(SHOP, CHANGES, config)
    assert changed["maker"] == changed["auth"] != "seatrial/auth"


def test_mounted_file_is_replaced_in_its_place() -> None:
    """A variant's file comes in by a mount of the same target and the same options."""
    mount = {"type": "bind", "source": "/stacks/shop/web.conf", "target": "/etc/web.conf", "read_only": True}
    spec = spec_of(files={Path("/stacks/shop/web.conf"): Path("/new/$1.conf")})
    service = added({"services": {"web": {"image": "i", "volumes": [mount]}}}, spec)["services"]["web"]
    assert service["volumes"] == [mount | {"source": "/new/$$1.conf"}]


def test_file_in_a_mounted_folder_is_replaced() -> None:
    """A file of a folder that is mounted as a whole is laid over it."""
    mount = {"type": "bind", "source": "/stacks/shop/conf", "target": "/etc/web"}
    spec = spec_of(files={Path("/stacks/shop/conf/a/b.conf"): Path("/new/b.conf")})
    service = added({"services": {"web": {"image": "i", "volumes": [mount]}}}, spec)["services"]["web"]
    assert service["volumes"] == [{"type": "bind", "source": "/new/b.conf", "target": "/etc/web/a/b.conf"}]


def test_file_of_a_config_is_replaced() -> None:
    """`configs` and `secrets` of Compose are replaced where they are declared."""
    config = {"services": {"web": {"image": "i"}}, "configs": {"c": {"file": "/stacks/shop/web.conf"}}}
    spec = spec_of(files={Path("/stacks/shop/web.conf"): Path("/new/web.conf")})
    assert added(config, spec)["configs"] == {"c": {"file": "/new/web.conf"}}


def test_file_that_nobody_mounts_is_an_error() -> None:
    """A variant that would change nothing is refused."""
    spec = spec_of(files={Path("/stacks/shop/none.conf"): Path("/new/none.conf")})
    with pytest.raises(UsageError, match="no service mounts"):
        added({"services": {"web": {"image": "i"}}}, spec)


def test_unknown_front_door_is_an_error() -> None:
    """The front door has to be a service of the stack."""
    with pytest.raises(UsageError, match="no service 'shop'") as failed:
        added({"services": {"web": {"image": "i"}}}, spec_of(door="shop"))
    assert failed.value.expected == "one of web"


def test_a_stack_without_a_front_door_is_labelled_like_any_other() -> None:
    """There is no port to publish, and no service to look for."""
    entry = added({"services": {"web": {"image": "i"}}}, replace(spec_of(), front_door=None))["services"]["web"]
    assert entry["labels"] == {"seatrial.run": "r1"}
    assert "ports" not in entry


def test_wanted_port_takes_the_place_of_the_files() -> None:
    """A port that is asked for is published instead of the front door's own, other ports stay."""
    ports = [{"target": 80, "published": "8080"}, {"target": 443, "published": "8443"}]
    service = added({"services": {"web": {"image": "i", "ports": ports}}}, spec_of(port=5000))["services"]["web"]
    assert service["ports"] == [
        {"target": 80, "published": "5000", "host_ip": "127.0.0.1", "protocol": "tcp"},
        {"target": 443, "published": "8443"},
    ]


def test_list_that_replaces_is_tagged() -> None:
    """Compose appends lists unless they carry `!override`."""
    assert dump({"ports": Instead([80])}) == "ports: !override\n- 80\n"


def test_doubled_dollars_are_undone() -> None:
    """`docker compose config` doubles every dollar."""
    assert parsed("a: [$$HOME, {b: 1}]") == {"a": ["$HOME", {"b": 1}]}


def test_one_shot_services_are_known() -> None:
    """A service is meant to end if another waits for its success, or if it says so."""
    done, started = {"condition": "service_completed_successfully"}, {"condition": "service_started"}
    once = {"x-seatrial": {"local": {"kind": "once"}}}
    services = {"web": {"depends_on": {"maker": done, "db": started}}, "maker": {}, "db": {}, "migrate": once}
    assert once_services({"services": services}) == {"maker", "migrate"}


def test_every_lasting_service_is_expected() -> None:
    """All that is neither one-shot nor scaled to nothing has to run, with as many containers as it says."""
    done = {"condition": "service_completed_successfully"}
    services = {
        "web": {"depends_on": {"maker": done}},
        "maker": {},
        "off": {"scale": 0},
        "none": {"deploy": {"replicas": 0}},
        "many": {"deploy": {"replicas": 3}},
    }
    assert expected_services({"services": services}) == {"web": 1, "many": 3}


@pytest.mark.parametrize(
    ("step", "text", "kind", "what"),
    [
        ("pull", "dial tcp: connection refused", ImageMissing, "an image can't be found"),
        ("create", "Error response from daemon: No such image: x:1", ImageMissing, "an image can't be found"),
        ("build", "failed to solve: exit code: 1", ImageMissing, "an image can't be built"),
        ("start", "Bind for 127.0.0.1:80 failed: port is already allocated", PortTaken, "address 127.0.0.1:80 is"),
        ("start", "listen tcp4 0.0.0.0:443: bind: address already in use", PortTaken, "address 0.0.0.0:443 is"),
        (
            "start",
            "Cannot connect to the Docker daemon at unix:///x",
            EngineUnavailable,
            "daemon stopped answering",
        ),
        ("create", "something else", StackFailed, "`docker compose create` failed with exit code 1"),
    ],
)
def test_failed_step_is_classified(step: str, text: str, kind: type[StackFailed], what: str) -> None:
    """What Compose printed last tells which error it is."""
    failed = failure(step, ProgramEnd(code=1, lines=("first", text)), where="compose.yaml")
    assert type(failed) is kind
    assert what in failed.what
    assert failed.seen == f"first\n{text}"


def test_endless_step_is_a_failure() -> None:
    """A step that its deadline ended says so."""
    assert "did not end in time" in failure("start", ProgramEnd(code=None, lines=()), where="").what


def test_services_are_held_to_the_cores_of_the_stack() -> None:
    """A service whose cores the user has chosen keeps them; without cores nothing is said of them."""
    config = {"services": {"web": {"image": "i"}, "mine": {"image": "i", "cpuset": "3"}}}

    held = added(config, replace(spec_of(), cores=(0, 2)))["services"]

    assert held["web"]["cpuset"] == "0,2"
    assert "cpuset" not in held["mine"]
    assert "cpuset" not in added(config, spec_of())["services"]["web"]

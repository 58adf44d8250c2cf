"""The override of a Compose file, and what is read from a configuration."""

from pathlib import Path
from typing import Any

import pytest
from specs import stack_spec

from seatrial.errors import UsageError
from seatrial.model import Variant
from seatrial.stack.compose_file import Instead, dump, image_names, override, parsed

SHOP = Path("/stacks/shop/compose.yaml")
CHANGES = {"services": {"web": {"environment": {"A": "b"}}}}
LABELS = {"seatrial.run": "r1"}


def added(config: dict[str, Any], files: dict[Path, Path] | None = None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  (fields of a spec)
    """Return what is added to a configuration of the stack `shop`; `web` has an image unless it says otherwise."""
    variant = Variant(name="other", files=files or {})
    spec = stack_spec(SHOP, Path("/run"), project="seatrial-r1", variant=variant, **changes)
    return override(spec, {"services": {"web": {"image": "i"}}} | config, LABELS)


def test_everything_is_labelled_and_named() -> None:
    """A fixed name of the user's is replaced by one of the project; external objects are left alone."""
    config = {
        "services": {"web": {"image": "i", "container_name": "mine"}},
        "networks": {"default": {"name": "n"}},
        "volumes": {"data": {"name": "production"}, "other": {"name": "mine", "external": True}},
    }
    assert added(config, front_door=None, port=5000) == {
        "services": {"web": {"labels": LABELS, "container_name": "seatrial-r1-web-1"}},
        "networks": {"default": {"labels": LABELS, "name": "seatrial-r1_default"}},
        "volumes": {"data": {"labels": LABELS, "name": "seatrial-r1_data"}},
        "configs": {},
        "secrets": {},
    }


def test_images_of_different_stacks_and_variants_are_different() -> None:
    """A folder of the same name elsewhere, or another variant, has another image."""
    config: dict[str, Any] = {"services": {"web": {"build": {}}}}
    elsewhere = Path("/other/shop/compose.yaml")
    images = {image_names(file, changes, config)["web"] for file in (SHOP, elsewhere) for changes in ({}, CHANGES)}
    assert len(images) == 4


@pytest.mark.parametrize(("image", "changes"), [("a", {}), ("seatrial/auth", CHANGES)])
def test_a_service_that_uses_the_image_of_another_follows_it(image: str, changes: dict[str, Any]) -> None:
    """Two services with one image still have one image, also where the tag is left out."""
    services = {"auth": {"image": image, "build": {}}, "maker": {"image": f"{image}:latest"}, "db": {"image": "d"}}
    names = image_names(SHOP, changes, {"services": services})
    assert names["maker"] == names["auth"] != image
    assert "db" not in names
    if changes:  # images under `seatrial/` are built once for all runs, unless a variant changes them
        assert image_names(SHOP, {}, {"services": services}) == {}


@pytest.mark.parametrize(
    ("source", "old", "target"),
    [("web.conf", "web.conf", "/etc/web"), ("conf", "conf/a/b.conf", "/etc/web/a/b.conf")],
    ids=["a file", "a file of a folder"],
)
def test_a_mounted_file_is_replaced_in_its_place(source: str, old: str, target: str) -> None:
    """A variant's file comes in by a mount of the same target and the same options."""
    mount = {"type": "bind", "source": f"/stacks/shop/{source}", "target": "/etc/web", "read_only": True}
    files = {Path("/stacks/shop", old): Path("/new/$1.conf")}
    service = added({"services": {"web": {"volumes": [mount]}}}, files)["services"]["web"]
    assert service["volumes"] == [mount | {"source": "/new/$$1.conf", "target": target}]


@pytest.mark.parametrize("kind", ["configs", "secrets"])
def test_a_declared_file_is_replaced(kind: str) -> None:
    """`configs` and `secrets` of Compose are replaced where they are declared."""
    files = {Path("/stacks/shop/web.conf"): Path("/new/web.conf")}
    config = {kind: {"c": {"file": "/stacks/shop/web.conf"}, "d": {"file": "/stacks/shop/other"}}}
    assert added(config, files)[kind] == {"c": {"file": "/new/web.conf"}}


def test_a_file_that_no_service_mounts_is_an_error() -> None:
    """A variant that would change nothing is refused."""
    with pytest.raises(UsageError, match="no service mounts"):
        added({}, {Path("/stacks/shop/none.conf"): Path("/new/none.conf")})


def test_a_requested_port_replaces_that_of_the_file() -> None:
    """It is published instead of the front door's own; other ports stay."""
    ports = [{"target": 8080, "published": "80"}, {"target": 443, "published": "8443"}]
    service = added({"services": {"web": {"image": "i", "ports": ports}}}, port=5000)["services"]["web"]
    wanted = {"target": 8080, "published": "5000", "host_ip": "127.0.0.1", "protocol": "tcp"}
    assert service["ports"] == [wanted, {"target": 443, "published": "8443"}]


def test_services_are_held_to_the_cores_of_the_stack() -> None:
    """A service whose cores the user has chosen keeps them; without cores there is no entry."""
    config = {"services": {"web": {"image": "i"}, "mine": {"image": "i", "cpuset": "3"}}}
    services = added(config, cores=(0, 2))["services"]
    assert services["web"]["cpuset"] == "0,2"
    assert "cpuset" not in services["mine"]
    assert "cpuset" not in added(config)["services"]["web"]


def test_the_syntax_of_compose_is_written_and_read() -> None:
    """A list that replaces another is tagged; `docker compose config` doubles every dollar."""
    assert dump({"ports": Instead([80])}) == "ports: !override\n- 80\n"
    assert parsed("a: [$$HOME, {b: 1}]") == {"a": ["$HOME", {"b": 1}]}

"""The override of a Compose file, the error of a failed step, and the containers of a project."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
from specs import stack_spec

from seatrial.errors import EngineUnavailable, ImageMissing, NotReady, PortTaken, StackFailed, UsageError
from seatrial.model import Variant
from seatrial.stack.compose import failure
from seatrial.stack.compose_file import Instead, dump, image_names, override, parsed
from seatrial.stack.containers import ProjectContainers
from seatrial.stack.engine import choose
from seatrial.stack.logs import LogKeeper, write_clean
from seatrial.stack.processes import ProgramEnd
from seatrial.wire.redaction import Redactor

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


def test_a_declared_file_is_replaced() -> None:
    """`configs` and `secrets` are replaced where they are declared; a file that no service mounts is refused."""
    declared = {"c": {"file": "/stacks/shop/web.conf"}, "d": {"file": "/stacks/shop/other"}}
    files = {Path("/stacks/shop/web.conf"): Path("/new/web.conf")}
    for kind in ("configs", "secrets"):
        assert added({kind: declared}, files)[kind] == {"c": {"file": "/new/web.conf"}}
    with pytest.raises(UsageError, match="no service mounts"):
        added({}, files)


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


NO_DAEMON = "Cannot connect to the Docker daemon at unix:///x"


@pytest.mark.parametrize(
    ("step", "code", "text", "kind", "what"),
    [
        ("pull", 1, "dial tcp: connection refused", ImageMissing, "an image can't be found"),
        ("create", 1, "Error response from daemon: No such image: x:1", ImageMissing, "an image can't be found"),
        ("build", 1, "failed to solve: exit code: 1", ImageMissing, "an image can't be built"),
        ("start", 1, "Bind for 127.0.0.1:80 failed: port is already allocated", PortTaken, "1:80 is taken"),
        ("start", 1, "listen tcp4 0.0.0.0:443: bind: address already in use", PortTaken, "0.0.0.0:443 is taken"),
        ("start", 1, NO_DAEMON, EngineUnavailable, "daemon stopped answering"),
        ("create", 1, "something else", StackFailed, "`docker compose create` failed with exit code 1"),
        ("start", None, "", StackFailed, "`docker compose start` did not end in time"),
    ],
)
def test_a_failed_step_is_classified(
    step: str, code: int | None, text: str, kind: type[StackFailed], what: str
) -> None:
    """The last lines that Compose printed decide which error it is; at its deadline a step has no exit code."""
    failed = failure(step, ProgramEnd(code=code, lines=("first", text)), where="compose.yaml")
    assert type(failed) is kind
    assert what in failed.what
    assert failed.seen == f"first\n{text}"


def listed(service: str, number: int = 1, state: str = "running") -> dict[str, Any]:
    """Return a container as the daemon lists it."""
    labels = {"com.docker.compose.service": service, "com.docker.compose.container-number": str(number)}
    name = f"{service}{number}"
    return {"Id": name, "Names": [name], "Labels": labels, "State": state, "Status": state, "ImageID": "i"}


def project_of(*lists: list[dict[str, Any]], logs: object = None, **fields: Any) -> ProjectContainers:  # noqa: ANN401  (the fields)
    """Return a project whose daemon gives one list after the other, the last one for ever; nothing restarts."""
    remaining = list(lists)

    def containers(**_: object) -> list[dict[str, Any]]:
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    inspected = {"State": {"Restarting": False}}
    api = SimpleNamespace(containers=containers, inspect_container=lambda _: inspected, logs=logs)
    client = cast("docker.DockerClient", SimpleNamespace(api=api))
    return ProjectContainers(client=client, label="l", once=frozenset(), redactor=Redactor({}), **fields)


@pytest.mark.parametrize("expected", [{"web": 1, "db": 1}, {"web": 2}])
def test_a_service_without_all_its_containers_is_not_settled(expected: dict[str, int]) -> None:
    """Every expected service has to run, with all its containers."""
    assert not project_of([listed("web")], expected=expected).settled()


def test_a_stack_settles_when_it_was_seen_running_twice() -> None:
    """One look may be between two crashes: the next is 0.3 s later, a gap restarts the count; the wait ends."""
    up, down = [listed("web")], [listed("web", state="created")]
    pauses: list[float] = []
    project = project_of(up, up, down, down, up, expected={"web": 1})
    project.settle("web", 60, clock=lambda: 0.0, sleep=pauses.append)
    assert pauses == [0.3, 0.1, 0.3]
    now = iter(range(10))
    with pytest.raises(NotReady, match="after 3 s"):
        project_of([], expected={"web": 1}).settle("web", 3, clock=lambda: float(next(now)), sleep=pauses.append)


def test_the_log_of_a_stalled_daemon_is_given_up(tmp_path: Path) -> None:
    """Saving ends at its deadline, and names what is missing; what was saved before stays."""
    stalled = threading.Event()

    def logs(container: str, **_: object) -> Iterator[bytes]:
        if container == "web1":
            stalled.wait(10)
        yield b"a line\n"

    project = project_of([listed("db"), listed("web")], logs=logs)
    problems = LogKeeper(project=project, folder=tmp_path, files={}, within_s=0.2).save()
    stalled.set()
    assert problems == ["web.log and what follows: not saved within 0.2 s"]
    assert (tmp_path / "db.log").read_text() == "a line\n"


def test_a_secret_across_two_pieces_of_a_log_is_masked() -> None:
    """The pieces of a log do not end where lines end."""
    out = io.BytesIO()
    write_clean([b"one open-", b"sesame\ntwo"], out, Redactor({"A": "open-sesame"}))
    assert out.getvalue() == b"one ***\ntwo"


def test_nothing_to_attach_to_is_an_error_before_anything() -> None:
    """The engine `attach` needs a name, and asks for it without looking for a daemon."""
    with pytest.raises(UsageError, match="needs the name"):
        choose("attach")

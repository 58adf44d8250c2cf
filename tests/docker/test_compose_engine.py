"""The compose engine against a real Docker engine."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import docker
import pytest
import requests

from seatrial.errors import ImageMissing, NotReady, PortTaken, ServiceExited
from seatrial.host import images
from seatrial.model import FrontDoor, Probe, Stack, StackSpec, Variant
from seatrial.stack import cleanup, compose
from seatrial.stack.cleanup import RUN_LABEL, Life
from seatrial.stack.compose_file import image_names
from seatrial.stack.processes import guarded, marked

pytestmark = pytest.mark.docker

STACKS = Path(__file__).parent / "stacks"
WITHIN_S = 15.0


def spec_of(
    compose_file: Path, work: Path, *, port: int = 8080, within_s: float = 20, **more: object
) -> StackSpec:
    """Return the spec of a stack whose service `web` answers 200 on /."""
    run_id = uuid4().hex
    given = {
        "run_id": run_id,
        "project": f"seatrial-{run_id[:8]}",
        "compose_file": compose_file,
        "variant": Variant(name="base"),
        "front_door": FrontDoor(service="web", port=port),
        "probes": (Probe(path="/", expect=200, within_s=within_s),),
        "environment": {},
        "work": work / "work",
        "logs": work / "logs",
        "deadline_s": 600,
    }
    return StackSpec(**{**given, **more})  # type: ignore[arg-type]


def written(folder: Path, service: str) -> Path:
    """Write a stack whose service `web` is as given."""
    (folder / "compose.yaml").write_text(
        f"services: {{web: {{image: 'debian:trixie-slim', init: true, {service}}}}}\n"
    )
    return folder / "compose.yaml"


ONCE = "x-seatrial: {local: {kind: once}}"


def with_second(folder: Path, db: str, *more: str) -> StackSpec:
    """Return the spec of a stack of a `web` that answers, a service `db` as given, and what else is given."""
    for name in ("http.pl", "page.txt"):
        (folder / name).write_text((STACKS / "web" / name).read_text())
    image = "" if "image:" in db or "build:" in db else "image: 'debian:trixie-slim', "
    mounts = "['./http.pl:/srv/http.pl:ro', './page.txt:/srv/page.txt:ro']"
    web = f"web: {{image: 'debian:trixie-slim', init: true, command: [perl, /srv/http.pl], volumes: {mounts},"
    web += " environment: {GREETING: ahoy, SECRET: none}, tmpfs: [/data]}"
    services = "".join(f"  {one}\n" for one in (web, f"db: {{{image}{db}}}", *more))
    (folder / "compose.yaml").write_text(f"services:\n{services}")
    return spec_of(folder / "compose.yaml", folder)


@contextmanager
def up(spec: StackSpec) -> Iterator[Stack]:
    """Bring a stack up under a guard of its own."""
    with guarded(spec.run_id) as guard, compose.running(spec, guard, lambda _: None) as stack:
        yield stack


def left_of(run_id: str) -> list[str]:
    """Return all that carries the run's label, and the processes with its mark."""
    client = docker.from_env()
    try:
        things = [str(one) for one in cleanup.labelled_objects(client, f"{RUN_LABEL}={run_id}")]
    finally:
        client.close()
    return things + [f"process {one.pid}" for one in marked(run_id)]


@dataclass(frozen=True)
class Seen:
    """What was seen of one life of the stack `web`."""

    stack: Stack
    body: str
    during: list[str]
    after: list[str]
    logs: Path
    run_id: str


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Bring the stack `web` up, with a variant, use it, and take it down."""
    folder = tmp_path_factory.mktemp("life")
    page = folder / "other.txt"
    page.write_text("another page\n")
    files = {STACKS / "web/page.txt": page}
    changes = {"services": {"web": {"environment": {"GREETING": "ahoy,"}}}}
    secrets = {"SECRET": "throw-away-secret"}
    variant = Variant(name="other", compose=changes, files=files)
    spec = spec_of(STACKS / "web/compose.yaml", folder, variant=variant, environment=secrets)
    with up(spec) as stack:
        body = requests.get(stack.url + "/seen", timeout=5).text
        during = left_of(spec.run_id)
    return Seen(stack, body, during, left_of(spec.run_id), spec.logs, spec.run_id)


def test_load_goes_to_the_container_itself(life: Seen) -> None:
    """On Linux the front door is the container's own address, and people get the published port."""
    assert life.stack.via == "container address"
    assert life.stack.public_url.startswith("http://127.0.0.1:")
    assert life.stack.url.removeprefix("http://").removesuffix(":8080") in life.stack.addresses


def test_variant_changes_settings_and_files(life: Seen) -> None:
    """A variant's override and its replaced file are what the stack runs with."""
    assert life.body == "ahoy, another page\n"


def test_everything_created_is_labelled(life: Seen) -> None:
    """Containers, network and volume carry the run's label, and no name of the user's is taken."""
    project = life.stack.project
    assert life.during == [
        f"container {project}-web-1",
        f"container {project}-maker-1",
        f"network {project}_default",
        f"volume {project}_data",
    ]


def test_nothing_is_left(life: Seen) -> None:
    """After the end there is neither a container, a network, a volume nor a process."""
    assert life.after == []


def test_only_what_serves_is_observed(life: Seen) -> None:
    """A one-shot service is waited for, and is none of the services that run."""
    assert [(one.name, one.log_files) for one in life.stack.services] == [("web", ("/data/access.log",))]
    assert set(life.stack.facts["images"]) == {"maker", "web"}


def test_logs_are_saved_without_secrets(life: Seen) -> None:
    """Standard output and the declared log files are kept, and secrets are masked."""
    assert (life.logs / "web.log").read_text() == "starting with ***\n"
    assert "GET /seen HTTP/1.1" in (life.logs / "web-access.log").read_text()


def test_service_that_exits_fails_at_once(tmp_path: Path) -> None:
    """A service that ends while it is waited for is an error with its exit code and last lines, within 10 s."""
    spec = spec_of(written(tmp_path, "command: [sh, -c, 'echo no key; exit 7']"), tmp_path)
    started = time.monotonic()
    with pytest.raises(ServiceExited, match="exit code 7") as failed, up(spec):
        pass
    assert failed.value.seen == "no key"
    assert time.monotonic() - started < 10
    assert left_of(spec.run_id) == []


def test_service_that_is_restarted_fails_the_stack(tmp_path: Path) -> None:
    """A service that crashes behind a front door that answers is an error with its exit code and last lines."""
    spec = with_second(tmp_path, "restart: always, command: [sh, -c, 'echo no key; exit 7']")
    with pytest.raises(ServiceExited, match="'db' ended with exit code 7") as failed, up(spec):
        pass
    assert "no key" in failed.value.seen
    assert left_of(spec.run_id) == []


def test_replicas_are_services_of_one_name(tmp_path: Path) -> None:
    """Each container of a service is observed and has a log of its own; one scaled to nothing is not expected."""
    off = "off: {image: 'debian:trixie-slim', scale: 0}"
    command = "init: true, command: [sh, -c, 'echo hello; sleep 60']"
    spec = with_second(tmp_path, f"{command}, deploy: {{replicas: 2}}", off)
    with up(spec) as stack:
        assert [one.name for one in stack.services] == ["db", "db", "web"]
        assert len({one.container for one in stack.services}) == 3
    assert {one.name for one in spec.logs.glob("*.log")} == {"compose.log", "db-1.log", "db-2.log", "web.log"}
    assert (spec.logs / "db-2.log").read_text() == "hello\n"


def test_pipe_in_a_logs_place_does_not_stop_the_teardown(tmp_path: Path) -> None:
    """A log file on a tmpfs that is a pipe without a writer is not read, and that is said."""
    script = "init: true, tmpfs: [/run], command: [sh, -c, 'mkfifo /run/a.log; sleep 60']"
    spec, said = with_second(tmp_path, f"{script}, x-seatrial: {{logs: [/run/a.log]}}"), list[str]()
    with guarded(spec.run_id) as guard, compose.running(spec, guard, said.append):
        pass
    assert "db-a.log could not be saved: /run/a.log is no regular file" in said


def test_run_does_not_retag_the_users_image(tmp_path: Path) -> None:
    """The user's own image keeps its name and id; a service without a build uses what the other one builds."""
    mine = f"seatrial-test-mine-{uuid4().hex[:8]}"
    (tmp_path / "Dockerfile").write_text("FROM debian:trixie-slim\nENV BUILT=yes\n")
    user = f"user: {{image: {mine}, command: [sh, -c, 'test $$BUILT'], {ONCE}}}"
    built = f"image: {mine}, build: {{context: ., tags: ['{mine}:also']}}, command: 'true'"
    spec = with_second(tmp_path, f"{built}, {ONCE}", user)
    client = docker.from_env()
    try:
        client.images.get("debian:trixie-slim").tag(mine)
        with up(spec) as stack:
            ours = stack.facts["images"]
        assert client.images.get(mine).id == client.images.get("debian:trixie-slim").id
        assert ours["user"] == ours["db"] != client.images.get(mine).id
        assert client.images.list(f"{mine}:also") == []
        client.images.remove(mine)
        client.images.remove(ours["db"])
    finally:
        client.close()


def test_images_built_ahead_are_those_of_a_run(tmp_path: Path) -> None:
    """`images build` gives the names and the ids that a run takes, and needs no secret."""
    (tmp_path / "Dockerfile").write_text("FROM debian:trixie-slim\nENV BUILT=ahead\n")
    built = f"build: ., command: 'true', environment: {{A: '${{SEATRIAL_TEST_SECRET:?}}'}}, {ONCE}"
    spec = replace(with_second(tmp_path, built), environment={"SEATRIAL_TEST_SECRET": "throw-away-secret"})
    images.build(spec.compose_file)
    name = image_names(spec.compose_file, {}, {"services": {"db": {"build": {}}}})["db"]
    client = docker.from_env()
    try:
        ahead = client.images.get(name).id
        with up(spec) as stack:
            assert stack.facts["images"]["db"] == ahead
        client.images.remove(name)
    finally:
        client.close()


def test_failed_one_shot_service_fails_the_stack(tmp_path: Path) -> None:
    """A one-shot service has to end with exit code 0."""
    path = tmp_path / "compose.yaml"
    path.write_text((STACKS / "slow/compose.yaml").read_text().replace('[sleep, "60"]', "[sh, -c, exit 3]", 1))
    with pytest.raises(ServiceExited, match="'maker' ended with exit code 3"), up(spec_of(path, tmp_path)):
        pass


def test_taken_port_is_named(tmp_path: Path) -> None:
    """A published port that is in use is an error of its own, and what was created goes away."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        spec = spec_of(written(tmp_path, "command: [sleep, '60']"), tmp_path)
        wanted = replace(spec, port=port)
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}"), up(wanted):
            pass
    assert left_of(spec.run_id) == []


def test_missing_image_is_named(tmp_path: Path) -> None:
    """An image that no registry has is an error of its own."""
    path = written(tmp_path, "command: x")
    path.write_text(path.read_text().replace("debian:trixie-slim", "127.0.0.1:1/none:1"))
    with pytest.raises(ImageMissing, match="can't be found") as failed, up(spec_of(path, tmp_path)):
        pass
    assert "127.0.0.1:1" in failed.value.seen


def test_failed_build_shows_its_last_lines(tmp_path: Path) -> None:
    """A build that fails is an error with what it printed last."""
    (tmp_path / "Dockerfile").write_text("FROM debian:trixie-slim\nRUN echo such a pity; false\n")
    path = tmp_path / "compose.yaml"
    path.write_text("services: {web: {build: .}}\n")
    with pytest.raises(ImageMissing, match="can't be built") as failed, up(spec_of(path, tmp_path)):
        pass
    assert "such a pity" in failed.value.seen


def test_silent_front_door_is_not_ready(tmp_path: Path) -> None:
    """A probe that does not succeed in time is an error with the last answer and every service's state."""
    spec = spec_of(written(tmp_path, "command: [sleep, '60']"), tmp_path, within_s=0.5)
    with pytest.raises(NotReady) as failed, up(spec):
        pass
    assert failed.value.seen.startswith("connection refused\nweb: Up")


def test_kept_stack_stays_until_it_is_removed(tmp_path: Path) -> None:
    """What `up` leaves is no leftover before its deadline, and is found and removed as a kept stack."""
    spec = spec_of(STACKS / "web/compose.yaml", tmp_path, kept=True)
    with up(spec):
        pass
    client = docker.from_env()
    try:
        kept = [one for one in cleanup.kept_projects(client) if one.run == spec.run_id]
        late = cleanup.find_leftovers(client, life_of=lambda _: Life.DEAD, now=lambda: time.time() + 601)
        gone = cleanup.find_leftovers(client, life_of=lambda _: Life.DEAD)
        cleanup.remove_objects(client, kept[0].objects)
    finally:
        client.close()
    assert {one.item.labels[RUN_LABEL] for one in late} >= {spec.run_id}
    assert spec.run_id not in {one.item.labels[RUN_LABEL] for one in gone}
    assert left_of(spec.run_id) == []


def test_kept_stack_goes_when_its_seeding_fails(tmp_path: Path) -> None:
    """A stack that was to be kept, but could not be made complete, is taken down like any other."""
    spec = spec_of(STACKS / "web/compose.yaml", tmp_path, kept=True)
    with pytest.raises(RuntimeError, match="seeding"), up(spec):
        raise RuntimeError("seeding failed")
    assert left_of(spec.run_id) == []


HARNESS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_compose_engine import spec_of, up
import dataclasses
spec = dataclasses.replace(spec_of(Path(sys.argv[2]), Path(sys.argv[3])), run_id=sys.argv[4], project=sys.argv[5])
with up(spec):
    print("up", flush=True)
    time.sleep(60)
"""


@contextmanager
def harness(stack: str, work: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a harness of its own process that brings a stack up, and give it and its run's id."""
    run_id = uuid4().hex
    here, path, project = (
        str(Path(__file__).parent),
        str(STACKS / stack / "compose.yaml"),
        f"seatrial-{run_id[:8]}",
    )
    argv = [sys.executable, "-c", HARNESS, here, path, str(work), run_id, project]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield child, run_id
    finally:
        child.kill()
        child.communicate()


def until_watchdog_ended(run_id: str) -> None:
    """Return when the run's watchdog, which looks more than once, is through; it has 20 s."""
    argv = ["pgrep", "-f", f"seatrial.stack.watchdog {run_id}"]
    until = time.monotonic() + 20
    while subprocess.run(argv, stdout=subprocess.DEVNULL, check=False).returncode == 0:
        assert time.monotonic() < until


def gone_after_s(run_id: str, within_s: float) -> float:
    """Return the seconds until nothing of the run is left."""
    started = time.monotonic()
    while time.monotonic() - started < within_s:
        if not left_of(run_id):
            return time.monotonic() - started
    pytest.fail(f"left after {within_s} s: {left_of(run_id)}")


def until_created(run_id: str) -> None:
    """Return when the run has a container."""
    until = time.monotonic() + WITHIN_S
    while not any(one.startswith("container") for one in left_of(run_id)):
        assert time.monotonic() < until


def until_taken_down(logs: Path) -> None:
    """Return when the teardown has begun: its first act is to save the logs."""
    until = time.monotonic() + WITHIN_S
    while not (logs / "web.log").exists():
        assert time.monotonic() < until


def test_watchdog_removes_all_after_kill(tmp_path: Path) -> None:
    """After `kill -9` of the harness nothing is left within 15 s."""
    with harness("web", tmp_path) as (child, run_id):
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGKILL)
        assert gone_after_s(run_id, WITHIN_S) < WITHIN_S


def test_watchdog_ends_a_compose_that_still_starts(tmp_path: Path) -> None:
    """After `kill -9` in the middle of the bring-up nothing is left, and nothing comes up afterwards."""
    with harness("slow", tmp_path) as (child, run_id):
        until_created(run_id)
        child.send_signal(signal.SIGKILL)
        assert gone_after_s(run_id, WITHIN_S) < WITHIN_S
        until_watchdog_ended(run_id)
    assert left_of(run_id) == []
    assert not (tmp_path / "work").exists()


def test_interrupt_takes_the_stack_down(tmp_path: Path) -> None:
    """Ctrl-C, even twice, ends in a complete teardown by the harness itself."""
    with harness("web", tmp_path) as (child, run_id):
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGINT)
        until_taken_down(tmp_path / "logs")
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=20) == -signal.SIGINT
        assert left_of(run_id) == []
    assert (tmp_path / "logs" / "web.log").read_text() == "starting with none\n"

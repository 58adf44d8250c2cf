"""The compose engine against a real Docker engine."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
import requests
from specs import stack_spec
from trials import wait_until

from seatrial.errors import ImageMissing, NotReady, PortTaken, ServiceExited
from seatrial.host import images
from seatrial.model import Probe, Stack, StackSpec, Variant
from seatrial.stack import cleanup, compose
from seatrial.stack.cleanup import RUN_LABEL, Life
from seatrial.stack.compose_file import image_names
from seatrial.stack.processes import guarded, marked

pytestmark = pytest.mark.docker

STACKS = Path(__file__).parent / "stacks"
WITHIN_S = 15.0
ONCE = "x-seatrial: {local: {kind: once}}"


def with_web(folder: Path, service: str, image: str = "image: 'debian:trixie-slim'", **changes: Any) -> StackSpec:  # noqa: ANN401  (fields of a spec)
    """Return the spec of a stack whose service `web` is as given."""
    (folder / "compose.yaml").write_text(f"services: {{web: {{{image}, init: true, {service}}}}}\n")
    return stack_spec(folder / "compose.yaml", folder, **changes)


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
    return stack_spec(folder / "compose.yaml", folder)


@contextmanager
def up(spec: StackSpec) -> Iterator[Stack]:
    """Bring a stack up under a guard of its own."""
    with guarded(spec.run_id) as guard, compose.running(spec, guard, lambda _: None) as stack:
        yield stack


def left_of(run_id: str) -> list[str]:
    """Return all that carries the run's label, and the processes with its mark."""
    with closing(docker.from_env()) as client:
        objects = [str(one) for one in cleanup.labelled_objects(client, f"{RUN_LABEL}={run_id}")]
    return objects + [f"process {one.pid}" for one in marked(run_id)]


def test_one_life_of_a_stack(tmp_path: Path) -> None:
    """The stack `web` with a variant is reached, labelled and observed; afterwards only logs are left."""
    page = tmp_path / "other.txt"
    page.write_text("another page\n")
    changes = {"services": {"web": {"environment": {"GREETING": "ahoy,"}}}}
    variant = Variant(name="other", compose=changes, files={STACKS / "web/page.txt": page})
    secrets = {"SECRET": "throw-away-secret"}
    spec = stack_spec(STACKS / "web/compose.yaml", tmp_path, variant=variant, environment=secrets)
    with up(spec) as stack:
        body = requests.get(stack.url + "/seen", timeout=5).text
        during = left_of(spec.run_id)
    assert left_of(spec.run_id) == []

    # load goes to the container itself, people get the published port
    assert stack.via == "container address"
    assert stack.public_url.startswith("http://127.0.0.1:")
    assert stack.url.removeprefix("http://").removesuffix(":8080") in stack.addresses
    assert body == "ahoy, another page\n"  # of the variant's settings and file
    created = ("container {}-web-1", "container {}-maker-1", "network {}_default", "volume {}_data")
    assert during == [one.format(stack.project) for one in created]  # with no name of the user's
    # a one-shot service is waited for, and is none of the services that run
    assert [(one.name, one.log_files) for one in stack.services] == [("web", ("/data/access.log",))]
    assert set(stack.facts["images"]) == {"maker", "web"}
    assert (spec.logs / "web.log").read_text() == "starting with ***\n"
    assert "GET /seen HTTP/1.1" in (spec.logs / "web-access.log").read_text()


def test_service_that_exits_fails_at_once(tmp_path: Path) -> None:
    """A service that ends while it is waited for is an error with its exit code and last lines, within 10 s."""
    spec = with_web(tmp_path, "command: [sh, -c, 'echo no key; exit 7']")
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
    """A log file on a tmpfs that is a pipe without a writer is not read; a message says so."""
    script = "init: true, tmpfs: [/run], command: [sh, -c, 'mkfifo /run/a.log; sleep 60']"
    spec, messages = with_second(tmp_path, f"{script}, x-seatrial: {{logs: [/run/a.log]}}"), list[str]()
    with guarded(spec.run_id) as guard, compose.running(spec, guard, messages.append):
        pass
    assert "db-a.log could not be saved: /run/a.log is no regular file" in messages


def test_run_does_not_retag_the_users_image(tmp_path: Path) -> None:
    """The user's own image keeps its name and id; a service without a build uses what the other one builds."""
    mine = f"seatrial-test-mine-{uuid4().hex[:8]}"
    (tmp_path / "Dockerfile").write_text("FROM debian:trixie-slim\nENV BUILT=yes\n")
    user = f"user: {{image: {mine}, command: [sh, -c, 'test $$BUILT'], {ONCE}}}"
    built = f"image: {mine}, build: {{context: ., tags: ['{mine}:also']}}, command: 'true'"
    spec = with_second(tmp_path, f"{built}, {ONCE}", user)
    with closing(docker.from_env()) as client:
        client.images.get("debian:trixie-slim").tag(mine)
        with up(spec) as stack:
            ours = stack.facts["images"]
        assert client.images.get(mine).id == client.images.get("debian:trixie-slim").id
        assert ours["user"] == ours["db"] != client.images.get(mine).id
        assert client.images.list(f"{mine}:also") == []
        client.images.remove(mine)
        client.images.remove(ours["db"])


def test_images_built_ahead_are_those_of_a_run(tmp_path: Path) -> None:
    """`images build` gives the names and the ids that a run takes, and needs no secret."""
    (tmp_path / "Dockerfile").write_text("FROM debian:trixie-slim\nENV BUILT=ahead\n")
    built = f"build: ., command: 'true', environment: {{A: '${{SEATRIAL_TEST_SECRET:?}}'}}, {ONCE}"
    spec = replace(with_second(tmp_path, built), environment={"SEATRIAL_TEST_SECRET": "throw-away-secret"})
    images.build(spec.compose_file)
    name = image_names(spec.compose_file, {}, {"services": {"db": {"build": {}}}})["db"]
    with closing(docker.from_env()) as client:
        ahead = client.images.get(name).id
        with up(spec) as stack:
            assert stack.facts["images"]["db"] == ahead
        client.images.remove(name)


def test_failed_one_shot_service_fails_the_stack(tmp_path: Path) -> None:
    """A one-shot service has to end with exit code 0."""
    path = tmp_path / "compose.yaml"
    path.write_text((STACKS / "slow/compose.yaml").read_text().replace('[sleep, "60"]', "[sh, -c, exit 3]", 1))
    with pytest.raises(ServiceExited, match="'maker' ended with exit code 3"), up(stack_spec(path, tmp_path)):
        pass


def test_taken_port_is_named(tmp_path: Path) -> None:
    """A published port that is in use is an error of its own, and what was created goes away."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        spec = with_web(tmp_path, "command: [sleep, '60']", port=port)
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}"), up(spec):
            pass
    assert left_of(spec.run_id) == []


@pytest.mark.parametrize(
    ("web", "what", "seen"),
    [
        ("image: '127.0.0.1:1/none:1'", "can't be found", "127.0.0.1:1"),
        ("build: .", "can't be built", "such a pity"),
    ],
    ids=["no registry has it", "its build fails"],
)
def test_missing_image_is_named(tmp_path: Path, web: str, what: str, seen: str) -> None:
    """An image that can't be had is an error of its own, with the last lines of what was tried."""
    (tmp_path / "Dockerfile").write_text("FROM debian:trixie-slim\nRUN echo such a pity; false\n")
    with pytest.raises(ImageMissing, match=what) as failed, up(with_web(tmp_path, "command: x", image=web)):
        pass
    assert seen in failed.value.seen


def test_silent_front_door_is_not_ready(tmp_path: Path) -> None:
    """A probe that does not succeed in time is an error with the last answer and every service's state."""
    probes = (Probe(path="/", expect=200, within_s=0.5),)
    spec = with_web(tmp_path, "command: [sleep, '60']", probes=probes)
    with pytest.raises(NotReady) as failed, up(spec):
        pass
    assert failed.value.seen.startswith("connection refused\nweb: Up")


def test_kept_stack_stays_until_it_is_removed(tmp_path: Path) -> None:
    """What `up` leaves is no leftover before its deadline, and is found and removed as a kept stack."""
    spec = stack_spec(STACKS / "web/compose.yaml", tmp_path, kept=True)
    with up(spec):
        pass
    with closing(docker.from_env()) as client:
        kept = [one for one in cleanup.kept_projects(client) if one.run == spec.run_id]
        late = cleanup.find_leftovers(client, life_of=lambda _: Life.DEAD, now=lambda: time.time() + 601)
        early = cleanup.find_leftovers(client, life_of=lambda _: Life.DEAD)
        cleanup.remove_objects(client, kept[0].objects)
    assert {one.item.labels[RUN_LABEL] for one in late} >= {spec.run_id}
    assert spec.run_id not in {one.item.labels[RUN_LABEL] for one in early}
    assert left_of(spec.run_id) == []


def test_kept_stack_goes_when_its_seeding_fails(tmp_path: Path) -> None:
    """A stack that was to be kept, but could not be made complete, is taken down like any other."""
    spec = stack_spec(STACKS / "web/compose.yaml", tmp_path, kept=True)
    with pytest.raises(RuntimeError, match="seeding"), up(spec):
        raise RuntimeError("seeding failed")
    assert left_of(spec.run_id) == []


HARNESS = """
import sys, time
sys.path[:0], (file, work, run_id) = sys.argv[1:3], sys.argv[3:]
from pathlib import Path
from specs import stack_spec
from test_compose_engine import up
with up(stack_spec(Path(file), Path(work), run_id=run_id, project=f"seatrial-{run_id[:8]}")):
    print("up", flush=True)
    time.sleep(60)
"""


@contextmanager
def harness(stack: str, work: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a harness of its own process that brings a stack up, and give it and its run's id."""
    run_id, here = uuid4().hex, Path(__file__).parent
    words = [here, here.parent, STACKS / stack / "compose.yaml", work, run_id]
    argv = [sys.executable, "-c", HARNESS, *map(str, words)]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield child, run_id
    finally:
        child.kill()
        child.communicate()


def is_up(child: subprocess.Popen[str]) -> bool:
    """Return whether the next line of a harness says that its stack is up."""
    return child.stdout is not None and child.stdout.readline() == "up\n"


def watchdog_ended(run_id: str) -> bool:
    """Return whether the run's watchdog, which looks more than once, has ended."""
    argv = ["pgrep", "-f", f"seatrial.stack.watchdog {run_id}"]
    return subprocess.run(argv, stdout=subprocess.DEVNULL, check=False).returncode != 0


def test_watchdog_removes_all_after_kill(tmp_path: Path) -> None:
    """After `kill -9` of the harness nothing is left within 15 s."""
    with harness("web", tmp_path) as (child, run_id):
        assert is_up(child)
        child.send_signal(signal.SIGKILL)
        wait_until(lambda: not left_of(run_id), WITHIN_S)


def test_watchdog_ends_a_compose_that_still_starts(tmp_path: Path) -> None:
    """After `kill -9` in the middle of the bring-up nothing is left, and nothing comes up afterwards."""
    with harness("slow", tmp_path) as (child, run_id):
        wait_until(lambda: any(one.startswith("container") for one in left_of(run_id)), WITHIN_S)
        child.send_signal(signal.SIGKILL)
        wait_until(lambda: not left_of(run_id), WITHIN_S)
        wait_until(lambda: watchdog_ended(run_id), 20)
    assert left_of(run_id) == []
    assert not (tmp_path / "work").exists()


def test_interrupt_takes_the_stack_down(tmp_path: Path) -> None:
    """Ctrl-C, even twice, ends in a complete teardown by the harness itself, which first saves the logs."""
    with harness("web", tmp_path) as (child, run_id):
        assert is_up(child)
        child.send_signal(signal.SIGINT)
        wait_until((tmp_path / "logs" / "web.log").exists, WITHIN_S)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=20) == -signal.SIGINT
        assert left_of(run_id) == []
    assert (tmp_path / "logs" / "web.log").read_text() == "starting with none\n"

"""The local engine with real processes."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import yaml
from specs import stack_spec

from seatrial.errors import EngineUnavailable, NotReady, PortTaken, SeedFailed, ServiceExited
from seatrial.model import EngineName, FrontDoor, Probe, Stack, StackSpec
from seatrial.stack import local
from seatrial.stack.engine import choose
from seatrial.stack.processes import ProcessGuard, guarded, marked
from seatrial.stack.readiness import seed

SERVER = ["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "${config}", "${port}"]
WEB = {
    "command": [sys.executable, *SERVER],
    "port": 80,
    "files": ["page.txt"],
    "replace": {"to:80": "to:$${port}", "secret": "${SECRET}"},
    "logs": ["${data}/own.log"],
}
MAKE = "import os; open(os.environ['OUT'] + '/made', 'w').write(os.environ['WORD'])"
MAKER = {"command": [sys.executable, "-c", MAKE], "kind": "once", "environment": {"OUT": "${shared}"}}
SECRET = "throw-away-secret"


def spec_of(folder: Path, **changes: dict[str, object]) -> StackSpec:
    """Write a stack of a one-shot service and a web server, with changes to them, and return its spec."""
    maker = {"environment": {"WORD": "${WORD:-made}"}, "x-seatrial": {"local": MAKER | changes.get("maker", {})}}
    web = {"depends_on": ["maker"], "x-seatrial": {"local": WEB | changes.get("web", {})}}
    (folder / "page.txt").write_text("goes to:80 with secret\n")
    (folder / "compose.yaml").write_text(yaml.safe_dump({"services": {"web": web, "maker": maker}}))
    return stack_spec(
        folder / "compose.yaml",
        folder,
        front_door=FrontDoor(service="web", port=80),
        probes=(Probe(path="/page.txt", expect=200, within_s=10),),
        environment={"SECRET": SECRET},
    )


@contextmanager
def up(spec: StackSpec) -> Iterator[tuple[Stack, ProcessGuard]]:
    """Bring a stack up under a guard of its own."""
    with guarded(spec.run_id) as guard, local.running(spec, guard, lambda _: None) as stack:
        yield stack, guard


def test_a_stack_runs_with_its_own_configuration_and_leaves_only_logs(tmp_path: Path) -> None:
    """A copy with the replacements is served, after the service it depends on; no secret gets into a log."""
    spec = spec_of(tmp_path, web={"environment": {"HINT": SECRET}})
    with up(spec) as (stack, _):
        body = requests.get(stack.url + "/page.txt", timeout=5).text
        assert body == f"goes to:{stack.url.rpartition(':')[2]} with {SECRET}\n"
        assert [one.name for one in stack.services] == ["web"]
        assert (spec.work / "local/shared/made").read_text() == "made"
        requests.get(f"{stack.url}/{SECRET}", timeout=5)
        Path(stack.services[0].log_files[0]).write_text(f"own {SECRET}\n")
    assert marked(spec.run_id) == []
    assert not (spec.work / "local").exists()
    assert "GET /*** HTTP/1.1" in (spec.logs / "web.log").read_text()
    assert (spec.logs / "web-own.log").read_text() == "own ***\n"


def test_a_pipe_in_a_logs_place_does_not_stop_the_end(tmp_path: Path) -> None:
    """It is not opened, and the last message says so; the watchdog knows the private folder before it exists."""
    spec = spec_of(tmp_path)
    messages: list[str] = []
    folders: list[tuple[Path, bool]] = []
    with guarded(spec.run_id) as guard:
        guard.delete_on_crash = lambda folder: folders.append((folder, folder.exists()))  # type: ignore[method-assign]
        with local.running(spec, guard, messages.append) as stack:
            os.mkfifo(stack.services[0].log_files[0])
    assert "no regular file" in messages[-1]
    assert folders == [(spec.work, False)]


def test_service_that_exits_fails_at_once(tmp_path: Path) -> None:
    """A service that ends is an error with its exit code and its last lines."""
    spec = spec_of(tmp_path, web={"command": [sys.executable, "-c", "print('no key'); raise SystemExit(7)"]})
    with pytest.raises(ServiceExited, match="'web' ended with exit code 7") as failed, up(spec):
        pass
    assert failed.value.seen == "no key"


def test_failed_one_shot_service_fails_the_stack(tmp_path: Path) -> None:
    """A one-shot service has to end with exit code 0, and nothing is started after it."""
    spec = spec_of(tmp_path, maker={"command": [sys.executable, "-c", "raise SystemExit(3)"]})
    with pytest.raises(ServiceExited, match="'maker' ended with exit code 3"), up(spec):
        pass
    assert not (spec.logs / "web.log").exists()


def test_silent_service_is_not_ready(tmp_path: Path) -> None:
    """A probe that does not succeed in time is an error with the states and the front door's last lines."""
    spec = spec_of(tmp_path, web={"files": [], "replace": {}})
    hasty = replace(spec, probes=(Probe(path="/page.txt", expect=200, within_s=0.5),))
    with pytest.raises(NotReady) as failed, up(hasty):
        pass
    assert failed.value.where.startswith("GET http://127.0.0.1:")
    assert failed.value.seen.startswith("status 404\nmaker: ended\nweb: running\nlast lines of web:")


def test_missing_programs_are_listed_together(tmp_path: Path) -> None:
    """All programs that are missing are reported at once, with the command that installs them."""
    spec = spec_of(
        tmp_path, web={"command": ["no-such-web"], "package": "web-light"}, maker={"command": ["no-such-maker"]}
    )
    with pytest.raises(EngineUnavailable) as failed, up(spec):
        pass
    assert failed.value.seen == "not found: no-such-maker, no-such-web"
    assert "no-such-maker web-light" in failed.value.hint


def test_taken_port_is_named(tmp_path: Path) -> None:
    """A port that the user asked for and another program has is an error of its own."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        spec = spec_of(tmp_path)
        wanted = replace(spec, port=other.getsockname()[1])
        with pytest.raises(PortTaken, match="is taken"), up(wanted):
            pass


def test_seeding(tmp_path: Path) -> None:
    """Its environment has all that it needs; its failure has its last lines without secrets; it has a deadline."""
    wrote = "open(getenv('SEATRIAL_CATALOGUE'), 'w').write(getenv('SEATRIAL_FRONT_DOOR') + getenv('SECRET'))"
    (tmp_path / "seed.py").write_text(f"from os import getenv; {wrote}")
    (tmp_path / "denied.py").write_text("import os; print('denied', os.environ['SECRET']); raise SystemExit(4)")
    (tmp_path / "endless.py").write_text("import time; time.sleep(60)")
    spec, catalogue = spec_of(tmp_path), tmp_path / "catalogue.json"
    with up(spec) as (stack, guard):
        seed(spec, stack, ("python", "seed.py"), catalogue, guard)
        assert catalogue.read_text() == stack.url + SECRET
        with pytest.raises(SeedFailed, match="exit code 4") as failed:
            seed(spec, stack, ("python", "denied.py"), catalogue, guard)
        with pytest.raises(SeedFailed, match=r"within 0\.2 s"):
            seed(spec, stack, ("python", "endless.py"), catalogue, guard, timeout_s=0.2)
    assert failed.value.seen == "denied ***"


def test_daemon_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that accepts, as a listening socket does by itself, and is silent is an error within 10 s."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    started = time.monotonic()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
        listener.listen()
        with pytest.raises(EngineUnavailable, match="no Docker daemon answers") as failed:
            choose("compose")
    assert failed.value.seen == "the connection was accepted, but no answer came"
    assert time.monotonic() - started < 10


def test_auto_says_why_it_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a daemon `auto` takes the local engine, and gives the reason."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    choice = choose("auto")
    assert choice.engine == EngineName.LOCAL
    assert choice.reason == "no Docker daemon answers: the socket does not exist"

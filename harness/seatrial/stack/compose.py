"""The Compose engine: build, up, wait, down, and the errors of each step."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import docker
from docker.errors import DockerException, ImageNotFound
from requests import RequestException

from seatrial.errors import EngineUnavailable, ImageMissing, PortTaken, SeatrialError, StackFailed, UsageError
from seatrial.model import EngineName, FrontDoor, Say, Service, Stack, StackSpec
from seatrial.stack import processes
from seatrial.stack.cleanup import labels, remove_all, this_owner
from seatrial.stack.compose_file import (
    Config,
    build_project,
    dump,
    expected_services,
    image_names,
    log_files,
    once_services,
    override,
    parsed,
)
from seatrial.stack.containers import (
    PING_S,
    PROJECT,
    ProjectContainers,
    all_addresses,
    connect,
    daemon_facts,
    shares_this_host,
    talking,
)
from seatrial.stack.logs import LogKeeper
from seatrial.stack.processes import Job, ProcessGuard, ProgramEnd, shielded
from seatrial.stack.readiness import ReadinessWatch, Route, await_ready, route_to
from seatrial.wire.redaction import Redactor

_QUICK_S = 30.0
_CREATE_S = 300.0  # the storage driver vfs copies the whole image for each container
_FETCH_S = 1800.0  # a pull or a build of a large image over a slow line
_NO_IMAGE = re.compile(
    r"manifest unknown|manifest for .* not found|pull access denied|failed to resolve|no such image"
    r"|repository does not exist|no such host|unable to find image",
    re.IGNORECASE,
)
_PORT = re.compile(r"port is already allocated|address already in use|ports are not available", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}:[1-9]\d*|\[[0-9a-f:]+\]:\d+")
_NO_DAEMON = re.compile(r"cannot connect to the docker daemon|error during connect", re.IGNORECASE)
_BOOTSTRAP = "`docker pull` it; where no image registry answers, `seatrial images bootstrap` makes the base image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Compose project: its files, and how to run `docker compose` on it."""

    spec: StackSpec
    guard: ProcessGuard
    redactor: Redactor
    files: tuple[Path, ...]

    def with_file(self, name: str, document: Config) -> Project:
        """Return the project with one more file, written into the run's work folder."""
        file = self.spec.work / name
        file.write_text(dump(document), encoding="utf-8")
        return replace(self, files=(*self.files, file))

    def compose(
        self, *words: str, deadline_s: float = _QUICK_S, tick: Callable[[], None] = lambda: None
    ) -> ProgramEnd:
        """Run one `docker compose` to its end, its output in the log."""
        return self._run(self.spec.project, words, deadline_s, tick)

    def build(self) -> ProgramEnd:
        """Build the images, under the stack's own project name."""
        return self._run(build_project(self.spec.compose_file), ("build",), _FETCH_S, lambda: None)

    def config(self) -> str:
        """Return the merged configuration, secrets included; UsageError if Compose can't read the files."""
        with os.fdopen(os.memfd_create("config"), "w+b") as out:  # secrets never reach a disk
            ended = self._run(self.spec.project, ("config",), _QUICK_S, lambda: None, out)
            if ended.code == 0:
                out.seek(0)
                return out.read().decode()
        raise UsageError(
            "Compose can't read the stack",
            where=", ".join(map(str, self.files)),
            seen=ended.tail(),
            hint="mend it there",
        )

    def _run(
        self,
        name: str,
        words: Sequence[str],
        deadline_s: float,
        tick: Callable[[], None],
        output: IO[bytes] | None = None,
    ) -> ProgramEnd:
        options = [part for file in self.files for part in ("-f", str(file))]
        argv = ["docker", "compose", "--ansi", "never", "--progress", "plain", "-p", name]
        job = Job(
            argv=(*argv, "--project-directory", str(self.spec.folder), *options, *words),
            cwd=self.spec.folder,
            env={**os.environ, **self.spec.environment},
            redactor=self.redactor,
            log=self.spec.logs / "compose.log",
            deadline_s=deadline_s,
            output=output,
        )
        return processes.run_guarded(job, self.guard, tick=tick)


@dataclass(frozen=True, slots=True, kw_only=True)
class BringUp:
    """Images, then containers, then their start; each step with errors of its own."""

    project: Project
    config: Config
    client: docker.DockerClient
    say: Say
    start_s: float

    def run(self, watch: Callable[[], None]) -> None:
        """Do all steps; `watch` is called during the start, and raises when a container has ended."""
        self._images()
        self.say("creating the containers")
        create = ("create", "--no-build", "--pull", "never")
        self._step("create", self.project.compose(*create, deadline_s=_CREATE_S))
        self.say("starting the containers")
        words = ("up", "--detach", "--no-build", "--no-recreate", "--pull", "never")
        ended = self.project.compose(*words, deadline_s=self.start_s, tick=watch)
        if ended.code != 0:
            watch()  # the end of a service explains more than Compose's exit code
        self._step("start", ended)

    def _images(self) -> None:
        if self.project.spec.built:
            return
        services = self.config["services"]
        if any("build" in service for service in services.values()):
            self.say("building the images")
            self._step("build", self.project.build())
        spec = self.project.spec
        renamed = image_names(spec.compose_file, spec.variant.compose, self.config)
        images = {
            name: renamed.get(name, one.get("image", "")) for name, one in services.items() if "build" not in one
        }
        missing = [name for name, image in images.items() if self._lacks(image)]
        if missing:
            self.say(f"pulling the images of {', '.join(missing)}")
            self._step("pull", self.project.compose("pull", *missing, deadline_s=_FETCH_S))

    def _lacks(self, image: str) -> bool:
        with talking("looking for an image"):
            try:
                self.client.images.get(image)
            except ImageNotFound:
                return True
        return False

    def _step(self, step: str, ended: ProgramEnd) -> None:
        if ended.code != 0:
            raise failure(step, ended, where=str(self.project.spec.compose_file))


def failure(step: str, ended: ProgramEnd, *, where: str) -> StackFailed:
    """Return the error for a failed step, by what Compose printed."""
    text = ended.tail()
    if ended.code is None:
        return StackFailed(f"`docker compose {step}` did not end in time", where=where, seen=text)
    if _NO_DAEMON.search(text):
        return EngineUnavailable(
            "the Docker daemon stopped answering", where=where, seen=text, hint="`docker info`"
        )
    if step == "build":
        return ImageMissing("an image can't be built", where=where, seen=text, hint=_BOOTSTRAP)
    if step == "pull" or _NO_IMAGE.search(text):
        return ImageMissing("an image can't be found", where=where, seen=text, hint=_BOOTSTRAP)
    if _PORT.search(text):
        address = _ADDRESS.search(text)
        port = address[0].rpartition(":")[2] if address else "PORT"
        return PortTaken(
            f"the address {address[0] if address else 'of a published port'} is taken",
            where=where,
            seen=text,
            hint=f"`ss -ltnp 'sport = :{port}'` shows the program; end that, or publish another port",
        )
    return StackFailed(f"`docker compose {step}` failed with exit code {ended.code}", where=where, seen=text)


_COMPOSE_HINT = (
    "install Compose v2 (Ubuntu: `apt-get install docker-compose-v2`; Debian 13: `apt-get install "
    "docker-compose`; else https://docs.docker.com/compose/install/), or use `--engine local`"
)


def compose_version() -> str:
    """Return Compose's version; EngineUnavailable if there is no `docker compose`, or only the old one."""
    argv = ["docker", "compose", "version", "--short"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PING_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        seen = str(getattr(error, "stderr", None) or error).strip()[-300:]
        raise EngineUnavailable("Docker has no Compose v2", seen=seen, hint=_COMPOSE_HINT) from error
    return done.stdout.strip().removeprefix("v")


_LEAST_START_S = 60.0
_STOP_S = 3
_DOWN_S = 60.0
_LOOKS = 3
_PAUSE_S = 0.1
_LOOK_AGAIN_S = 0.5


@contextmanager
def running(spec: StackSpec, guard: ProcessGuard, say: Say) -> Iterator[Stack]:
    """Bring the stack up, wait until it is ready, and remove it at the end.

    It is also removed when the bring-up fails or is interrupted. A kept stack stays
    if the context ends without an error.
    """
    guard.delete_on_crash(spec.work)
    for folder in (spec.work, spec.logs):
        folder.mkdir(parents=True, exist_ok=True)
    with closing(connect()) as client:
        on_this_host = shares_this_host(client)
        placed = spec if on_this_host else replace(spec, cores=())
        engine = _prepare(placed, guard, say, client, on_this_host=on_this_host)
        guard.expect_containers(spec.run_id)
        kept = False
        try:
            yield engine.bring_up()
            if spec.kept:
                guard.keep(spec.run_id)
                kept = True
        finally:
            if not kept:
                with shielded():
                    engine.take_down()


def _prepare(
    spec: StackSpec, guard: ProcessGuard, say: Say, client: docker.DockerClient, *, on_this_host: bool
) -> _Engine:
    redactor = Redactor(spec.environment)
    project = Project(spec=spec, guard=guard, redactor=redactor, files=(spec.compose_file,))
    if spec.variant.compose:
        project = project.with_file("variant.yaml", dict(spec.variant.compose))
    config = parsed(project.config())
    marks = labels(
        run_id=spec.run_id,
        owner=this_owner(),
        deadline_epoch_s=time.time() + spec.deadline_s,
        kept=spec.kept,
    )
    project = project.with_file("seatrial.yaml", override(spec, config, marks))
    containers = ProjectContainers(
        client=client,
        label=f"{PROJECT}={spec.project}",
        once=once_services(config),
        redactor=redactor,
        expected=expected_services(config),
    )
    return _Engine(project=project, config=config, containers=containers, say=say, on_this_host=on_this_host)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Engine:
    project: Project
    config: Config
    containers: ProjectContainers
    say: Say
    on_this_host: bool

    def bring_up(self) -> Stack:
        """Do everything until the stack is ready."""
        spec = self.project.spec
        start_s = max([_LEAST_START_S, *(probe.within_s for probe in spec.probes)])
        steps = BringUp(
            project=self.project, config=self.config, client=self.containers.client, say=self.say, start_s=start_s
        )
        steps.run(self.containers.watch)
        if spec.front_door is None:
            self.containers.settle(None, start_s)
            return self._stack(Route())
        door = spec.front_door.service
        self.containers.settle(door, start_s)
        route = self._route(spec.front_door)
        self.say(f"waiting until {route.url} is ready")
        watch = ReadinessWatch(watch=self.containers.watch, report=lambda: self.containers.report(door))
        await_ready(route.url, spec.probes, watch)
        self.containers.settle(door, start_s)  # the front door answers also when a service behind it has ended
        return self._stack(route)

    def _stack(self, route: Route) -> Stack:
        containers = self.containers.running()
        files = log_files(self.config)
        services = (
            Service(name=one.service, container=one.id, log_files=files.get(one.service, ())) for one in containers
        )
        return Stack(
            engine=EngineName.COMPOSE,
            project=self.project.spec.project,
            url=route.url,
            via=route.via,
            public_url=route.public_url,
            addresses=all_addresses(containers),
            services=tuple(services),
            environment=self.project.spec.environment,
            facts={
                "engine": EngineName.COMPOSE.value,
                "project": self.project.spec.project,
                "via": route.via,
                **daemon_facts(self.containers.client),
                "compose": compose_version(),
                "cores": list(self.project.spec.cores) if self.on_this_host else None,
                "images": {one.service: one.image for one in self.containers.containers()},
            },
        )

    def take_down(self) -> None:
        """Save the logs, remove all, and check that nothing is left; else the watchdog tries again."""
        self.say("taking the stack down")
        keeper = LogKeeper(project=self.containers, folder=self.project.spec.logs, files=log_files(self.config))
        try:
            problems = keeper.save_volatile()
            self.project.compose("stop", "--timeout", str(_STOP_S), deadline_s=_DOWN_S)
            problems += keeper.save()
        except EngineUnavailable as error:
            self.say(f"{error.what}; the watchdog tries again")
            return
        except (SeatrialError, OSError) as error:  # a log is no reason to leave containers behind
            problems = [f"the logs could not be saved: {error}"]
        words = ("down", "--volumes", "--remove-orphans", "--timeout", str(_STOP_S))
        self.project.compose(*words, deadline_s=_DOWN_S)
        problems += self._sweep()
        for text in filter(None, problems):
            self.say(text)

    def _sweep(self) -> list[str]:
        spec = self.project.spec
        problems: list[str] = []
        try:
            for look in range(_LOOKS):
                if look:  # what was removed takes a moment to be gone
                    time.sleep(_LOOK_AGAIN_S)
                removed, problems = remove_all(self.containers.client, spec.run_id, project=spec.project)
                if not removed and not problems:
                    self.project.guard.removed(spec.run_id)
                    return []
        except (DockerException, RequestException) as error:
            return [f"it is unknown whether all was removed: {error}"]
        return problems

    def _route(self, door: FrontDoor) -> Route:
        """Find the route; of a container that ends meanwhile, which has no address any more, the end is raised."""
        for _ in range(_LOOKS):
            try:
                return route_to(self.containers.client, self._inspected(door.service), door)
            except StackFailed:
                time.sleep(_PAUSE_S)
                self.containers.watch()
        return route_to(self.containers.client, self._inspected(door.service), door)

    def _inspected(self, name: str) -> Mapping[str, Any]:
        for one in self.containers.running():
            if one.service == name:
                return self.containers.inspect(one.id)
        raise StackFailed(f"the front door {name!r} is not running", seen=self.containers.report(name))

"""The Compose engine: builds and starts a stack, waits until it is ready, and removes it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from docker.errors import DockerException, ImageNotFound
from requests import RequestException

from seatrial.errors import EngineUnavailable, ImageMissing, PortTaken, SeatrialError, StackFailed, UsageError
from seatrial.model import EngineName, FrontDoor, Say, Service, Stack, StackControl, StackSpec
from seatrial.stack import compose_file
from seatrial.stack.cleanup import labels, remove_all, this_owner
from seatrial.stack.compose_file import Config
from seatrial.stack.containers import (
    PING_S,
    PROJECT,
    Container,
    ProjectContainers,
    all_addresses,
    connect,
    daemon_facts,
    docker_errors,
    shares_this_host,
)
from seatrial.stack.logs import LogKeeper
from seatrial.stack.processes import Job, ProcessGuard, ProgramEnd, run_guarded, shielded
from seatrial.stack.readiness import Route, await_ready, route_to
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
_COMPOSE_HINT = (
    "install Compose v2 (Ubuntu: `apt-get install docker-compose-v2`; Debian 13: `apt-get install "
    "docker-compose`; else https://docs.docker.com/compose/install/), or use `--engine local`"
)
_LEAST_START_S = 60.0
_STOP_S = 3
_DOWN_S = 60.0
_LOOKS = 3
_PAUSE_S = 0.1
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Compose project: its files, and `docker compose` run on them."""

    spec: StackSpec
    guard: ProcessGuard
    redactor: Redactor
    files: tuple[Path, ...]

    def with_file(self, name: str, document: Config) -> Project:
        """Return the project with one more file, written into the run's work folder."""
        file = self.spec.work / name
        file.write_text(compose_file.dump(document), encoding="utf-8")
        return replace(self, files=(*self.files, file))

    def compose(
        self,
        *words: str,
        deadline_s: float = _QUICK_S,
        tick: Callable[[], None] = lambda: None,
        name: str = "",
        output: IO[bytes] | None = None,
    ) -> ProgramEnd:
        """Run one `docker compose` to its end, its output in the log; `name` replaces the project's."""
        argv = ["docker", "compose", "--ansi", "never", "--progress", "plain", "-p", name or self.spec.project]
        options = [part for file in self.files for part in ("-f", str(file))]
        job = Job(
            argv=(*argv, "--project-directory", str(self.spec.folder), *options, *words),
            cwd=self.spec.folder,
            env={**os.environ, **self.spec.environment},
            redactor=self.redactor,
            log=self.spec.logs / "compose.log",
            deadline_s=deadline_s,
            output=output,
        )
        return run_guarded(job, self.guard, tick=tick)

    def config(self) -> str:
        """Return the merged configuration, secrets included; UsageError if Compose can't read the files."""
        with os.fdopen(os.memfd_create("config"), "w+b") as out:  # its secrets must not reach a disk
            ended = self.compose("config", output=out)
            if ended.code == 0:
                out.seek(0)
                return out.read().decode()
        raise UsageError(
            "Compose can't read the stack",
            where=", ".join(map(str, self.files)),
            seen=ended.tail(),
            hint="correct it there",
        )


def failure(step: str, ended: ProgramEnd, *, where: str) -> StackFailed:
    """Return the error for a failed step, classified by what Compose printed."""
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


def compose_version() -> str:
    """Return Compose's version; EngineUnavailable if there is no `docker compose`, or only the old one."""
    argv = ["docker", "compose", "version", "--short"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PING_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        seen = str(getattr(error, "stderr", None) or error).strip()[-300:]
        raise EngineUnavailable("Docker has no Compose v2", seen=seen, hint=_COMPOSE_HINT) from error
    return done.stdout.strip().removeprefix("v")


@contextmanager
def running(spec: StackSpec, guard: ProcessGuard, say: Say) -> Iterator[Stack]:
    """Bring the stack up, wait until it is ready, and remove it at the end, also after a failure or an interrupt.

    A kept stack stays if the context ends without an error.
    """
    guard.delete_on_crash(spec.work)
    for folder in (spec.work, spec.logs):
        folder.mkdir(parents=True, exist_ok=True)
    with closing(connect()) as client:
        on_this_host = shares_this_host(client)
        spec = spec if on_this_host else replace(spec, cores=())
        redactor = Redactor(spec.environment)
        project = Project(spec=spec, guard=guard, redactor=redactor, files=(spec.compose_file,))
        if spec.variant.compose:
            project = project.with_file("variant.yaml", dict(spec.variant.compose))
        config = compose_file.parsed(project.config())
        deadline_s = time.time() + spec.deadline_s
        marks = labels(run_id=spec.run_id, owner=this_owner(), deadline_epoch_s=deadline_s, kept=spec.kept)
        containers = ProjectContainers(
            client=client,
            label=f"{PROJECT}={spec.project}",
            once=compose_file.once_services(config),
            redactor=redactor,
            expected=compose_file.expected_services(config),
        )
        engine = _Engine(
            project=project.with_file("seatrial.yaml", compose_file.override(spec, config, marks)),
            config=config,
            containers=containers,
            say=say,
            on_this_host=on_this_host,
        )
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Engine(StackControl):
    project: Project
    config: Config
    containers: ProjectContainers
    say: Say
    on_this_host: bool

    def bring_up(self) -> Stack:
        """Do everything until the stack is ready."""
        spec = self.project.spec
        start_s = max([_LEAST_START_S, *(probe.within_s for probe in spec.probes)])
        if not spec.built:
            self._provide_images()
        self._start(start_s)
        if spec.front_door is None:
            self.containers.settle(None, start_s)
            return self._stack(Route())
        door = spec.front_door.service
        self.containers.settle(door, start_s)
        route = self._route(spec.front_door)
        self.say(f"waiting until {route.url} is ready")
        watch, report = self.containers.watch, partial(self.containers.report, door)
        await_ready(route.url, spec.probes, watch=watch, report=report)
        self.containers.settle(door, start_s)  # the front door answers also when a service behind it has ended
        return self._stack(route)

    def _provide_images(self) -> None:
        services, spec = self.config["services"], self.project.spec
        if any("build" in service for service in services.values()):
            self.say("building the images")
            built = self.project.compose(
                "build", name=compose_file.build_project(spec.compose_file), deadline_s=_FETCH_S
            )
            self._check("build", built)
        renamed = compose_file.image_names(spec.compose_file, spec.variant.compose, self.config)
        missing = [
            name
            for name, service in services.items()
            if "build" not in service and self._lacks(renamed.get(name, service.get("image", "")))
        ]
        if missing:
            self.say(f"pulling the images of {', '.join(missing)}")
            self._check("pull", self.project.compose("pull", *missing, deadline_s=_FETCH_S))

    def _lacks(self, image: str) -> bool:
        with docker_errors("looking for an image"):
            try:
                self.containers.client.images.get(image)
            except ImageNotFound:
                return True
        return False

    def _start(self, start_s: float) -> None:
        """Create and start the containers; a container that ends meanwhile is the error that is raised."""
        self.say("creating the containers")
        create = ("create", "--no-build", "--pull", "never")
        self._check("create", self.project.compose(*create, deadline_s=_CREATE_S))
        self.say("starting the containers")
        up = ("up", "--detach", "--no-build", "--no-recreate", "--pull", "never")
        ended = self.project.compose(*up, deadline_s=start_s, tick=self.containers.watch)
        if ended.code != 0:
            self.containers.watch()  # the end of a service explains more than Compose's exit code
        self._check("start", ended)

    def _check(self, step: str, ended: ProgramEnd) -> None:
        if ended.code != 0:
            raise failure(step, ended, where=str(self.project.spec.compose_file))

    def signal(self, service: str, signal: str) -> None:
        """Send a signal to the first process of each of the service's containers."""
        for container in self.containers.of_service(service):
            self.containers.signal(container.id, signal)

    def restart(self, service: str) -> tuple[Service, ...]:
        """Restart the service's containers, one after the other; StackFailed if the front door has moved then."""
        containers, door = self.containers.of_service(service), self.project.spec.front_door
        before = self._route(door) if door is not None and door.service == service else None
        for container in containers:
            self.containers.restart(container.id)
        if door is not None and before is not None and (moved := self._route(door)) != before:
            raise StackFailed(
                f"the front door {service!r} has another address after its restart",
                where=str(self.project.spec.compose_file),
                seen=moved.url,
                expected=before.url,
                hint="give the service an `ipv4_address` in its network; a published port, a number (`--port`)",
            )
        return self._services(containers)

    def watch(self, service: str) -> None:
        """Raise ServiceExited if a container of the service has ended, or was started again by its policy."""
        self.containers.watch(service)

    def report(self) -> str:
        """Return every container's state, and the last lines of the front door."""
        door = self.project.spec.front_door
        return self.containers.report(None if door is None else door.service)

    def _services(self, containers: Iterable[Container]) -> tuple[Service, ...]:
        files = compose_file.log_files(self.config)
        return tuple(
            Service(name=one.service, container=one.id, log_files=files.get(one.service, ())) for one in containers
        )

    def _stack(self, route: Route) -> Stack:
        containers = self.containers.running()
        return Stack(
            engine=EngineName.COMPOSE,
            project=self.project.spec.project,
            url=route.url,
            via=route.via,
            public_url=route.public_url,
            addresses=all_addresses(containers),
            services=self._services(containers),
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
            control=self,
        )

    def take_down(self) -> None:
        """Save the logs, remove all, and verify that nothing is left; else the watchdog tries again."""
        self.say("taking the stack down")
        logs, files = self.project.spec.logs, compose_file.log_files(self.config)
        keeper = LogKeeper(project=self.containers, folder=logs, files=files)
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
        problems += self._remove_rest()
        for text in filter(None, problems):
            self.say(text)

    def _remove_rest(self) -> list[str]:
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
        """Find the route; an ended container has no address any more, so its end is the error that is raised."""
        for _ in range(_LOOKS):
            try:
                return route_to(self.containers.client, self._inspected(door.service), door)
            except StackFailed:
                time.sleep(_PAUSE_S)
                self.containers.watch()
        return route_to(self.containers.client, self._inspected(door.service), door)

    def _inspected(self, name: str) -> Mapping[str, Any]:
        for container in self.containers.running():
            if container.service == name:
                return self.containers.inspect(container.id)
        raise StackFailed(f"the front door {name!r} is not running", seen=self.containers.report(name))

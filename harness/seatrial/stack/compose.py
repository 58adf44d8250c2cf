"""The `compose` engine: Compose creates and removes the services, the Docker SDK observes them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import docker
from docker.errors import DockerException
from requests import RequestException

from seatrial.errors import EngineUnavailable, SeatrialError, StackFailed
from seatrial.model import EngineName, FrontDoor, Say, Service, Stack, StackSpec
from seatrial.stack.compose_file import override
from seatrial.stack.compose_services import expected_services, log_files, once_services
from seatrial.stack.compose_steps import BringUp, Project
from seatrial.stack.compose_version import compose_version
from seatrial.stack.compose_yaml import Config, parsed
from seatrial.stack.containers import ProjectContainers, all_addresses
from seatrial.stack.daemon import PROJECT, connect, daemon_facts, shares_this_host
from seatrial.stack.logs import LogKeeper
from seatrial.stack.ownership import labels, this_owner
from seatrial.stack.processes import Guard, shielded
from seatrial.stack.readiness import Route, route_to
from seatrial.stack.readiness_ import ReadinessWatch, await_ready
from seatrial.stack.removal import remove_all
from seatrial.wire.redaction_ import Redactor

_LEAST_START_S = 60.0
_STOP_S = 3
_DOWN_S = 60.0
_LOOKS = 3
_PAUSE_S = 0.1
_LOOK_AGAIN_S = 0.5


@contextmanager
def running(spec: StackSpec, guard: Guard, say: Say) -> Iterator[Stack]:
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
    spec: StackSpec, guard: Guard, say: Say, client: docker.DockerClient, *, on_this_host: bool
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

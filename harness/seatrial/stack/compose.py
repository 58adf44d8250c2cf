"""The `compose` engine: Compose brings the services up and takes them away, the Docker SDK observes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import docker
from docker.errors import DockerException
from requests import RequestException

from seatrial.errors import EngineUnavailable, SeatrialError, StackFailed
from seatrial.model import EngineName, FrontDoor, Service, Stack
from seatrial.stack.compose_files import override
from seatrial.stack.compose_services import expected_services, log_files, once_services
from seatrial.stack.compose_steps import BringUp, Project, with_files
from seatrial.stack.compose_version import compose_version
from seatrial.stack.compose_yaml import Config, dump, parsed
from seatrial.stack.container_logs import LogKeeper
from seatrial.stack.containers import View, all_addresses, of_project
from seatrial.stack.cores import shares_this_host
from seatrial.stack.daemon import connect, daemon_facts
from seatrial.stack.front_door import Way, way_to
from seatrial.stack.guard import Guard, shielded
from seatrial.stack.ownership import labels, this_owner
from seatrial.stack.readiness import Patience, await_ready
from seatrial.stack.redaction import Redactor
from seatrial.stack.removal import remove_all
from seatrial.stack.settling import settle
from seatrial.stack.spec import Say, StackSpec

_LEAST_START_S = 60.0
_STOP_S = 3
_DOWN_S = 60.0
_LOOKS = 3
_PAUSE_S = 0.1
_LOOK_AGAIN_S = 0.5


@contextmanager
def running(spec: StackSpec, guard: Guard, say: Say) -> Iterator[Stack]:
    """Bring the stack up, wait until it is ready, and take it away at the end.

    It is also taken away when the bring-up fails or is interrupted. A kept stack stays
    if the context ends without an error.
    """
    guard.litter(spec.work)
    for folder in (spec.work, spec.logs):
        folder.mkdir(parents=True, exist_ok=True)
    with closing(connect()) as client:
        here = shares_this_host(client)
        engine = _prepare(spec if here else replace(spec, cores=()), guard, say, client, here=here)
        guard.owe_removal(spec.run_id)
        stays = False
        try:
            yield engine.bring_up()
            if spec.kept:
                guard.keep(spec.run_id)
                stays = True
        finally:
            if not stays:
                with shielded():
                    engine.take_down()


def _prepare(spec: StackSpec, guard: Guard, say: Say, client: docker.DockerClient, *, here: bool) -> _Engine:
    redactor = Redactor(spec.environment)
    project = Project(spec=spec, guard=guard, redactor=redactor, files=(spec.compose_file,))
    if spec.variant.compose:
        changed = spec.work / "variant.yaml"
        changed.write_text(dump(dict(spec.variant.compose)), encoding="utf-8")
        project = with_files(project, changed)
    config = parsed(project.config())
    marks = labels(
        run_id=spec.run_id,
        owner=this_owner(),
        deadline_epoch_s=time.time() + spec.deadline_s,
        kept=spec.kept,
    )
    ours = spec.work / "seatrial.yaml"
    ours.write_text(dump(override(spec, config, marks)), encoding="utf-8")
    view = View(
        client=client,
        label=of_project(spec.project),
        once=once_services(config),
        redactor=redactor,
        expected=expected_services(config),
    )
    return _Engine(project=with_files(project, ours), config=config, view=view, say=say, here=here)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Engine:
    project: Project
    config: Config
    view: View
    say: Say
    here: bool
    sleep: Callable[[float], None] = time.sleep

    def bring_up(self) -> Stack:
        """Do everything until the stack is ready."""
        spec = self.project.spec
        start_s = max([_LEAST_START_S, *(probe.within_s for probe in spec.probes)])
        steps = BringUp(
            project=self.project, config=self.config, client=self.view.client, say=self.say, start_s=start_s
        )
        steps.run(self.view.watch)
        if spec.front_door is None:
            settle(self.view, None, start_s)
            return self._stack(Way())
        door = spec.front_door.service
        settle(self.view, door, start_s)
        way = self._way(spec.front_door)
        self.say(f"waiting until {way.url} is ready")
        patience = Patience(watch=self.view.watch, report=lambda: self.view.report(door))
        await_ready(way.url, spec.probes, patience)
        settle(self.view, door, start_s)  # again: the front door answers also when a service behind it has gone
        return self._stack(way)

    def _stack(self, way: Way) -> Stack:
        containers = self.view.running()
        files = log_files(self.config)
        services = (
            Service(name=one.service, container=one.id, log_files=files.get(one.service, ())) for one in containers
        )
        return Stack(
            engine=EngineName.COMPOSE,
            project=self.project.spec.project,
            url=way.url,
            via=way.via,
            public_url=way.public_url,
            addresses=all_addresses(containers),
            services=tuple(services),
            environment=self.project.spec.environment,
            facts=self._facts(way.via),
        )

    def take_down(self) -> None:
        """Save the logs, remove all, and look whether all is gone; what resists is left to the dead-man."""
        self.say("taking the stack down")
        keeper = LogKeeper(view=self.view, folder=self.project.spec.logs, files=log_files(self.config))
        try:
            problems = keeper.save_volatile()
            self.project.compose("stop", "--timeout", str(_STOP_S), deadline_s=_DOWN_S)
            problems += keeper.save()
        except EngineUnavailable as error:
            self.say(f"{error.what}; the clean-up process tries on")
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
                    self.sleep(_LOOK_AGAIN_S)
                removed, problems = remove_all(self.view.client, spec.run_id, project=spec.project)
                if not removed and not problems:
                    self.project.guard.removed(spec.run_id)
                    return []
        except (DockerException, RequestException) as error:
            return [f"the daemon does not say whether all is gone: {error}"]
        return problems

    def _way(self, door: FrontDoor) -> Way:
        """Find the way; a container that is just ending has no address any more, and is told as what it is."""
        for _ in range(_LOOKS):
            try:
                return way_to(self.view.client, self._inspected(door.service), door)
            except StackFailed:
                self.sleep(_PAUSE_S)
                self.view.watch()
        return way_to(self.view.client, self._inspected(door.service), door)

    def _inspected(self, name: str) -> Mapping[str, Any]:
        for one in self.view.running():
            if one.service == name:
                return self.view.inspect(one.id)
        raise StackFailed(f"the front door {name!r} is not running", seen=self.view.report(name))

    def _facts(self, via: str) -> dict[str, Any]:
        return {
            "engine": EngineName.COMPOSE.value,
            "project": self.project.spec.project,
            "via": via,
            **daemon_facts(self.view.client),
            "compose": compose_version(),
            "cores": list(self.project.spec.cores) if self.here else None,
            "images": {one.service: one.image for one in self.view.containers()},
        }

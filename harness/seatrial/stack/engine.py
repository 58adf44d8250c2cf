"""The engines `compose`, `local` and `attach`: which one to take, and bringing a stack up with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass

from seatrial.errors import EngineUnavailable, SeatrialError, UsageError
from seatrial.model import EngineName, Say, Service, Stack, StackSpec
from seatrial.stack import compose, local
from seatrial.stack.compose import compose_version
from seatrial.stack.containers import (
    PING_S,
    PROJECT,
    ProjectContainers,
    all_addresses,
    as_services,
    connect,
    daemon_facts,
    find_containers,
    shares_this_host,
)
from seatrial.stack.logs import LogKeeper
from seatrial.stack.processes import ProcessGuard
from seatrial.stack.readiness import Route, await_ready, route_to
from seatrial.wire.redaction import Redactor


@contextmanager
def attached(project_or_label: str, spec: StackSpec) -> Iterator[Stack]:
    """Find the running containers of a Compose project, or with a `label=value`, and wait for the probes.

    UsageError, with the projects that run, if nothing matches. At the end what they logged meanwhile is saved.
    """
    spec.logs.mkdir(parents=True, exist_ok=True)
    with closing(connect()) as client:
        project = find_containers(client, project_or_label, Redactor(spec.environment))
        stack = _described(project, project_or_label, spec)
        door = None if spec.front_door is None else spec.front_door.service
        await_ready(stack.url, spec.probes, watch=lambda: None, report=lambda: project.report(door))
        since_s = int(time.time())
        try:
            yield stack
        finally:
            with suppress(SeatrialError):  # the stack's owner may have removed it meanwhile
                LogKeeper(project=project, folder=spec.logs, files={}, since_epoch_s=since_s).save()


def attached_services(project_or_label: str) -> tuple[Service, ...]:
    """Return the running services of a Compose project, or with a `label=value`; UsageError if there are none."""
    with closing(connect()) as client:
        return as_services(find_containers(client, project_or_label, Redactor({})).running())


def _described(project: ProjectContainers, project_or_label: str, spec: StackSpec) -> Stack:
    """Return what runs; without a front door the first container is the one whose project is taken."""
    containers, front_door = project.running(), spec.front_door
    door = next((one for one in containers if front_door is None or one.service == front_door.service), None)
    if door is None:
        name = "" if front_door is None else f" {front_door.service!r}"
        raise UsageError(
            f"no running service{name} in {project_or_label!r}",
            seen=f"services {', '.join(one.service for one in containers)}",
            expected="the front door's service" if front_door is not None else "at least one",
        )
    inspected = project.inspect(door.id)
    route = Route() if front_door is None else route_to(project.client, inspected, front_door)
    return Stack(
        engine=EngineName.ATTACH,
        project=(inspected["Config"].get("Labels") or {}).get(PROJECT, ""),
        url=route.url,
        via=route.via,
        public_url=route.public_url,
        addresses=all_addresses(containers),
        services=as_services(containers),
        environment=spec.environment,
        facts={
            "engine": EngineName.ATTACH.value,
            "via": route.via,
            **daemon_facts(project.client),
            "images": {one.service: one.image for one in containers},
            "cores": [] if shares_this_host(project.client) else None,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An engine, and why it was taken."""

    engine: EngineName
    reason: str


def choose(requested: str, *, attach: str = "") -> Choice:
    """Resolve `auto`, `compose`, `local` or `attach`; UsageError if there is no name of a stack to attach to.

    EngineUnavailable if Compose is requested or attached to, and it is missing or no daemon answers within 5 s.
    """
    match requested:
        case "local":
            return Choice(engine=EngineName.LOCAL, reason="asked for")
        case "attach":
            if not attach:
                raise UsageError(
                    "the engine `attach` needs the name of a stack that is up",
                    expected="--attach PROJECT, or --attach LABEL=VALUE",
                    hint="`docker compose ls` lists the projects",
                )
            connect(timeout_s=PING_S).close()
            return Choice(engine=EngineName.ATTACH, reason="asked for")
        case "compose":
            return Choice(engine=EngineName.COMPOSE, reason=f"asked for; {docker_and_compose()}")
        case "auto":
            try:
                return Choice(engine=EngineName.COMPOSE, reason=docker_and_compose())
            except EngineUnavailable as error:
                reason = f"{error.what}: {error.seen}" if error.seen else error.what
                return Choice(engine=EngineName.LOCAL, reason=reason)
        case _:
            raise UsageError(f"there is no engine {requested!r}", expected="auto, compose, local or attach")


def docker_and_compose() -> str:
    """Return the versions of the Docker API and of Compose; EngineUnavailable if one does not answer."""
    with closing(connect(timeout_s=PING_S)) as client:
        return f"Docker API {client.api.api_version} and Compose {compose_version()} answer"


def running(choice: Choice, spec: StackSpec, guard: ProcessGuard, say: Say) -> AbstractContextManager[Stack]:
    """Bring the stack up, wait until it is ready, and remove it at the end, also after a failure.

    With `attach`, `spec.project` names what is already up, and nothing is changed.
    """
    match choice.engine:
        case EngineName.COMPOSE:
            return compose.running(spec, guard, say)
        case EngineName.LOCAL:
            return local.running(spec, guard, say)
        case EngineName.ATTACH:
            return attached(spec.project, spec)

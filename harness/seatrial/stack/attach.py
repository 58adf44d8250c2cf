"""The `attach` engine: uses a stack that is already up, and never starts, stops or removes anything of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from seatrial.errors import SeatrialError, UsageError
from seatrial.model import EngineName, Service, Stack, StackSpec
from seatrial.stack.containers import ProjectContainers, all_addresses, as_services, find
from seatrial.stack.daemon import PROJECT, connect, daemon_facts, shares_this_host
from seatrial.stack.logs import LogKeeper
from seatrial.stack.readiness import Route, route_to
from seatrial.stack.readiness_ import ReadinessWatch, await_ready
from seatrial.wire.redaction_ import Redactor


@contextmanager
def attached(project_or_label: str, spec: StackSpec) -> Iterator[Stack]:
    """Find the running containers of a Compose project, or with a `label=value`, and wait for the probes.

    UsageError, with what is up, if nothing matches. At the end only what they logged meanwhile is copied.
    """
    spec.logs.mkdir(parents=True, exist_ok=True)
    with closing(connect()) as client:
        project = find(client, project_or_label, Redactor(spec.environment))
        stack = _described(project, project_or_label, spec)
        door = None if spec.front_door is None else spec.front_door.service
        watch = ReadinessWatch(watch=lambda: None, report=lambda: project.report(door))
        await_ready(stack.url, spec.probes, watch)
        since_s = int(time.time())
        try:
            yield stack
        finally:
            with suppress(SeatrialError):  # the stack's owner may have removed it meanwhile
                LogKeeper(project=project, folder=spec.logs, files={}, since_epoch_s=since_s).save()


def services(project_or_label: str) -> tuple[Service, ...]:
    """Return the running services of a Compose project, or with a `label=value`; UsageError if there are none."""
    with closing(connect()) as client:
        return as_services(find(client, project_or_label, Redactor({})).running())


def _described(project: ProjectContainers, project_or_label: str, spec: StackSpec) -> Stack:
    """Return what runs; without a front door any service of it stands for its project."""
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

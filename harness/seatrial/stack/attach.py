"""The `attach` engine: finds a stack that is already up, and never starts, stops or removes anything of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import docker

from seatrial.errors import SeatrialError, UsageError
from seatrial.model import EngineName, Stack
from seatrial.stack.container_logs import LogKeeper
from seatrial.stack.containers import Container, View, all_addresses, as_services, label_of
from seatrial.stack.cores import shares_this_host
from seatrial.stack.daemon import connect, daemon_facts, talking
from seatrial.stack.front_door import Way, way_to
from seatrial.stack.readiness import Patience, await_ready
from seatrial.stack.redaction import Redactor
from seatrial.stack.removal import PROJECT
from seatrial.stack.spec import StackSpec


@contextmanager
def attached(project_or_label: str, spec: StackSpec) -> Iterator[Stack]:
    """Find the running containers of a Compose project, or with a `label=value`, and wait for the probes.

    UsageError, with what is up, if nothing matches. At the end only what they logged meanwhile is copied.
    """
    spec.logs.mkdir(parents=True, exist_ok=True)
    with closing(connect()) as client:
        view = View(
            client=client, label=label_of(project_or_label), once=frozenset(), redactor=Redactor(spec.environment)
        )
        stack = _found(view, project_or_label, spec)
        door = None if spec.front_door is None else spec.front_door.service
        patience = Patience(watch=lambda: None, report=lambda: view.report(door))
        await_ready(stack.url, spec.probes, patience)
        since_s = int(time.time())
        try:
            yield stack
        finally:
            with suppress(SeatrialError):  # the stack may have gone meanwhile: that is its owner's business
                LogKeeper(view=view, folder=spec.logs, files={}, since_epoch_s=since_s).save()


def _found(view: View, sought: str, spec: StackSpec) -> Stack:
    """Return what runs; without a front door any service of it will do."""
    containers, way = view.running(), Way()
    named = None if spec.front_door is None else spec.front_door.service
    door = next((one for one in containers if named in {None, one.service}), None)
    if door is None:
        raise _not_found(view, sought, containers, named)
    inspected = view.inspect(door.id)
    if spec.front_door is not None:
        way = way_to(view.client, inspected, spec.front_door)
    return Stack(
        engine=EngineName.ATTACH,
        project=(inspected["Config"].get("Labels") or {}).get(PROJECT, ""),
        url=way.url,
        via=way.via,
        public_url=way.public_url,
        addresses=all_addresses(containers),
        services=as_services(containers),
        environment=spec.environment,
        facts={
            "engine": EngineName.ATTACH.value,
            "via": way.via,
            **daemon_facts(view.client),
            "images": {one.service: one.image for one in containers},
            "cores": [] if shares_this_host(view.client) else None,
        },
    )


def _not_found(view: View, sought: str, containers: list[Container], service: str | None) -> UsageError:
    up = [f"services {', '.join(one.service for one in containers)}"] if containers else _up(view.client)
    return UsageError(
        f"no running service{'' if service is None else f' {service!r}'} in {sought!r}",
        seen="\n".join(up) or "no container is running",
        expected="a Compose project, or label=value"
        + ("" if service is None else ", and the front door's service"),
        hint="`docker compose ls` lists the projects",
    )


def _up(client: docker.DockerClient) -> list[str]:
    with talking("listing the containers"):
        listed: list[dict[str, Any]] = client.api.containers()
    projects = {(one.get("Labels") or {}).get(PROJECT) for one in listed} - {None}
    return [f"project {name}" for name in sorted(map(str, projects))]

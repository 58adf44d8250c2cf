"""The containers of a Compose project, or with one label, as the Docker SDK shows them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any, TypeVar

import docker

from seatrial.errors import NotReady, SeatrialError, ServiceExited, UsageError
from seatrial.model import Service
from seatrial.stack.daemon import PROJECT, talking
from seatrial.wire.redaction_ import Redactor

_SERVICE = "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"
_ENDED = {"exited", "dead"}
_STARTED = {"running", "restarting"}
_LAST_LINES = 50
_EVENTS_S = 5.0
_IN_A_ROW = 2
_APART_S = 0.3  # a service that crashes at its start is seen running once, rarely twice
_PAUSE_S = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as the daemon lists it; `name` is the service's, with a number where that has several."""

    id: str
    service: str
    number: int
    name: str
    state: str
    status: str
    image: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectContainers:
    """The containers with one label; `once` are the services that are meant to end.

    `expected` is how many containers of each other service have to run.
    """

    client: docker.DockerClient
    label: str
    once: frozenset[str]
    redactor: Redactor
    expected: Mapping[str, int] = field(default_factory=dict)

    def containers(self) -> list[Container]:
        """Return the containers as they are now, by service."""
        with talking("listing the containers"):
            listed: list[dict[str, Any]] = self.client.api.containers(all=True, filters={"label": self.label})
        containers = sorted(map(_container, listed), key=lambda one: (one.service, one.number))
        counts = Counter(one.service for one in containers)
        return [
            replace(one, name=f"{one.service}-{one.number}") if counts[one.service] > 1 else one
            for one in containers
        ]

    def running(self) -> list[Container]:
        """Return those that run and are not meant to end."""
        return [one for one in self.containers() if one.state == "running" and one.service not in self.once]

    def watch(self) -> None:
        """Raise ServiceExited if one has ended that should not have, or a one-shot service has failed.

        One that its restart policy has started again has ended, too; only a one-shot service may try again.
        """
        for container in self.containers():
            if container.state in _ENDED:
                code = self.inspect(container.id)["State"]["ExitCode"]
                if container.service not in self.once or code != 0:
                    raise self._exited(container, code)
            elif container.state in _STARTED and container.service not in self.once:
                inspected = self.inspect(container.id)
                restarts, state = inspected.get("RestartCount", 0), inspected["State"]
                if restarts or state["Restarting"]:
                    code = state["ExitCode"] if state["Restarting"] else self._last_code(container.id)
                    raise self._exited(container, code, restarts=restarts)

    def settled(self) -> bool:
        """Return whether every one-shot service has ended, and every other one runs; raises as `watch`."""
        self.watch()
        containers = self.containers()
        running = Counter(one.service for one in containers if one.state == "running")
        return all(running[name] >= count for name, count in self.expected.items()) and all(
            one.state == ("exited" if one.service in self.once else "running") for one in containers
        )

    def settle(
        self,
        service: str | None,
        within_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Wait until two checks in a row find all settled; NotReady with the last lines of `service`, if named.

        Raises as `watch`.
        """
        until = clock() + within_s
        in_a_row = 0
        while in_a_row < _IN_A_ROW:
            in_a_row = in_a_row + 1 if self.settled() else 0
            if in_a_row < _IN_A_ROW:
                if clock() > until:
                    raise NotReady(f"services are not running after {within_s:.0f} s", seen=self.report(service))
                sleep(_APART_S if in_a_row else _PAUSE_S)

    def inspect(self, container: str) -> Mapping[str, Any]:
        """Return all that the daemon knows of one container."""
        with talking("inspecting a container"):
            inspected: Mapping[str, Any] = self.client.api.inspect_container(container)
        return inspected

    def tail(self, container: str, lines: int) -> str:
        """Return the last lines that a container wrote, without secrets."""
        with talking("reading a container's log"):
            text: bytes = self.client.api.logs(container, tail=lines)
        return self.redactor.text(text.decode(errors="replace").rstrip())

    def report(self, service: str | None) -> str:
        """Return every service's state, and the last lines of one of them, if one is named."""
        containers = self.containers()
        states = "\n".join(f"{one.name}: {one.status}" for one in containers)
        if service is None:
            return states
        tails = [self.tail(one.id, 20) for one in containers if one.service == service]
        return "\n".join([states, f"last lines of {service}:", *tails])

    def _last_code(self, container: str) -> int | None:
        """Return the exit code before the last restart, if the daemon's events still have it."""

        def events() -> list[dict[str, Any]]:
            filters = {"container": container, "event": "die"}
            until_s = int(time.time()) + 1  # whole seconds: this one, too, and then the stream ends
            return list(self.client.api.events(since=0, until=until_s, filters=filters, decode=True))

        try:
            with talking("reading its events"):
                return int(bounded(events, _EVENTS_S)[-1]["Actor"]["Attributes"]["exitCode"])
        except (LookupError, ValueError, SeatrialError, TimeoutError):
            return None

    def _exited(self, container: Container, code: int | None, *, restarts: int = 0) -> ServiceExited:
        ended = "ended" if code is None else f"ended with exit code {code}"
        again = f", and was started again ({restarts} times so far)" if restarts else ""
        return ServiceExited(
            f"service {container.name!r} {ended}{again}",
            where=f"container {container.id[:12]}",
            seen=self.tail(container.id, _LAST_LINES) or "it wrote nothing",
            expected="exit code 0" if container.service in self.once else "that it runs on",
            hint="declare a service that is meant to end: `x-seatrial: {local: {kind: once}}`"
            if code == 0
            else "",
        )


def find(client: docker.DockerClient, project_or_label: str, redactor: Redactor) -> ProjectContainers:
    """Return the containers of a Compose project, or with a `label=value`, that runs already.

    UsageError, with the projects that run, if no container matches.
    """
    label = project_or_label if "=" in project_or_label else f"{PROJECT}={project_or_label}"
    project = ProjectContainers(client=client, label=label, once=frozenset(), redactor=redactor)
    if not project.running():
        with talking("listing the containers"):
            listed: list[dict[str, Any]] = client.api.containers()
        projects = {str(labels[PROJECT]) for one in listed if PROJECT in (labels := one.get("Labels") or {})}
        raise UsageError(
            f"nothing runs in {project_or_label!r}",
            seen="\n".join(f"project {name}" for name in sorted(projects)) or "no Compose project runs",
            expected="a Compose project, or label=value",
            hint="`docker compose ls` lists the projects",
        )
    return project


def as_services(containers: Iterable[Container]) -> tuple[Service, ...]:
    """Return the containers as services to be sampled."""
    return tuple(Service(name=one.service, container=one.id) for one in containers)


def all_addresses(containers: Iterable[Container]) -> tuple[str, ...]:
    """Return the loopback address, and every address of every container."""
    return tuple(dict.fromkeys(["127.0.0.1", *(one for container in containers for one in container.addresses)]))


def _container(listed: Mapping[str, Any]) -> Container:
    labels = listed.get("Labels") or {}
    name = labels.get(_SERVICE) or listed["Names"][0].lstrip("/")
    number = labels.get(_NUMBER, "")
    networks = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = [net.get(key) for net in networks.values() for key in ("IPAddress", "GlobalIPv6Address")]
    return Container(
        id=listed["Id"],
        service=name,
        number=int(number) if number.isdecimal() else 1,
        name=name,
        state=listed["State"],
        status=listed["Status"],
        image=listed["ImageID"],
        addresses=tuple(address for address in addresses if address),
    )


def bounded(work: Callable[[], T], within_s: float) -> T:
    """Return what `work` returns, or raise what it raises; TimeoutError if that takes longer than `within_s`.

    The work is abandoned then: it goes on in a thread that does not keep this process alive.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  (handed on to the caller as it is)
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome.result(timeout=within_s)

"""Observes the containers of a project through the Docker SDK."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import docker

from seatrial.errors import SeatrialError, ServiceExited
from seatrial.model import Service
from seatrial.stack.bounded import bounded
from seatrial.stack.daemon import talking
from seatrial.stack.redaction import Redactor
from seatrial.stack.removal import PROJECT

_SERVICE = "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"
_ENDED = {"exited", "dead"}
_STARTED = {"running", "restarting"}
_LAST_LINES = 50
_EVENTS_S = 5.0


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
class View:
    """The containers with one label; the services that are meant to end, and how many of each have to run."""

    client: docker.DockerClient
    label: str
    once: frozenset[str]
    redactor: Redactor
    expected: Mapping[str, int] = field(default_factory=dict)

    def containers(self) -> list[Container]:
        """Return the containers as they are now, by service."""
        with talking("listing the containers"):
            listed: list[dict[str, Any]] = self.client.api.containers(all=True, filters={"label": self.label})
        found = sorted(map(_container, listed), key=lambda one: (one.service, one.number))
        counts = Counter(one.service for one in found)
        return [
            replace(one, name=f"{one.service}-{one.number}") if counts[one.service] > 1 else one for one in found
        ]

    def running(self) -> list[Container]:
        """Return those that serve."""
        return [one for one in self.containers() if one.state == "running" and one.service not in self.once]

    def watch(self) -> None:
        """Raise ServiceExited if one has ended that should not have, or a one-shot service has failed.

        One that its restart policy has started again has ended, too; only a one-shot service may try again.
        """
        for one in self.containers():
            if one.state in _ENDED:
                code = self.inspect(one.id)["State"]["ExitCode"]
                if one.service not in self.once or code != 0:
                    raise self._exited(one, code)
            elif one.state in _STARTED and one.service not in self.once:
                self._check_restarts(one)

    def settled(self) -> bool:
        """Tell whether every one-shot service has ended, and every other one runs; raises as `watch`."""
        self.watch()
        found = self.containers()
        running = Counter(one.service for one in found if one.state == "running")
        return all(running[name] >= count for name, count in self.expected.items()) and all(
            one.state == ("exited" if one.service in self.once else "running") for one in found
        )

    def inspect(self, container: str) -> Mapping[str, Any]:
        """Return all that the daemon knows of one container."""
        with talking("inspecting a container"):
            shown: Mapping[str, Any] = self.client.api.inspect_container(container)
        return shown

    def tail(self, container: str, lines: int) -> str:
        """Return the last lines that a container wrote, without secrets."""
        with talking("reading a container's log"):
            text: bytes = self.client.api.logs(container, tail=lines)
        return self.redactor.text(text.decode(errors="replace").rstrip())

    def report(self, service: str | None) -> str:
        """Return every service's state, and the last lines of one of them, if one is named."""
        found = self.containers()
        states = "\n".join(f"{one.name}: {one.status}" for one in found)
        if service is None:
            return states
        tails = [self.tail(one.id, 20) for one in found if one.service == service]
        return "\n".join([states, f"last lines of {service}:", *tails])

    def _check_restarts(self, one: Container) -> None:
        shown = self.inspect(one.id)
        count, state = shown.get("RestartCount", 0), shown["State"]
        if count or state["Restarting"]:
            code = state["ExitCode"] if state["Restarting"] else self._last_code(one.id)
            raise self._exited(one, code, restarts=count)

    def _last_code(self, container: str) -> int | None:
        """Return the exit code before the last restart, if the daemon's events still know it."""

        def ask() -> list[dict[str, Any]]:
            wanted = {"container": container, "event": "die"}
            until_s = int(time.time()) + 1  # whole seconds: this one, too, and then the stream ends
            return list(self.client.api.events(since=0, until=until_s, filters=wanted, decode=True))

        try:
            with talking("reading its events"):
                events = bounded(ask, _EVENTS_S)
            return int(events[-1]["Actor"]["Attributes"]["exitCode"])
        except (LookupError, ValueError, SeatrialError, TimeoutError):
            return None

    def _exited(self, one: Container, code: int | None, *, restarts: int = 0) -> ServiceExited:
        ended = "ended" if code is None else f"ended with exit code {code}"
        again = f", and was started again ({restarts} times so far)" if restarts else ""
        return ServiceExited(
            f"service {one.name!r} {ended}{again}",
            where=f"container {one.id[:12]}",
            seen=self.tail(one.id, _LAST_LINES) or "it wrote nothing",
            expected="exit code 0" if one.service in self.once else "that it runs on",
            hint="a service that is meant to end says so: `x-seatrial: {local: {kind: once}}`"
            if code == 0
            else "",
        )


def of_project(project: str) -> str:
    """Return the label by which Compose marks what belongs to a project."""
    return f"{PROJECT}={project}"


def label_of(project_or_label: str) -> str:
    """Return the label that a user means by a Compose project's name, or by `label=value`."""
    return project_or_label if "=" in project_or_label else of_project(project_or_label)


def as_services(containers: Iterable[Container]) -> tuple[Service, ...]:
    """Return the containers as an observer sees them."""
    return tuple(Service(name=one.service, container=one.id) for one in containers)


def all_addresses(containers: Iterable[Container]) -> tuple[str, ...]:
    """Return the loopback address, and every address of every container."""
    return tuple(dict.fromkeys(["127.0.0.1", *(one for container in containers for one in container.addresses)]))


def _container(listed: Mapping[str, Any]) -> Container:
    labels = listed.get("Labels") or {}
    name = labels.get(_SERVICE) or listed["Names"][0].lstrip("/")
    number = labels.get(_NUMBER, "")
    networks = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    found = [net.get(key) for net in networks.values() for key in ("IPAddress", "GlobalIPv6Address")]
    return Container(
        id=listed["Id"],
        service=name,
        number=int(number) if number.isdecimal() else 1,
        name=name,
        state=listed["State"],
        status=listed["Status"],
        image=listed["ImageID"],
        addresses=tuple(address for address in found if address),
    )

"""Observes the containers of a project through the Docker SDK."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import docker

from seatrial.errors import ServiceExited
from seatrial.stack.daemon import talking
from seatrial.stack.redaction import Redactor
from seatrial.stack.removal import PROJECT

_SERVICE = "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"
_ENDED = {"exited", "dead"}
_LAST_LINES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as the daemon lists it; `service` is unique also where a service has several of them."""

    id: str
    service: str
    state: str
    status: str
    image: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The containers with one label, and the services among them that are meant to end."""

    client: docker.DockerClient
    label: str
    once: frozenset[str]
    redactor: Redactor

    def containers(self) -> list[Container]:
        """Return the containers as they are now, by service."""
        with talking("listing the containers"):
            listed: list[dict[str, Any]] = self.client.api.containers(all=True, filters={"label": self.label})
        return sorted(map(_container, listed), key=lambda one: one.service)

    def running(self) -> list[Container]:
        """Return those that serve."""
        return [one for one in self.containers() if one.state == "running" and one.service not in self.once]

    def watch(self) -> None:
        """Raise ServiceExited if one has ended that should not have, or a one-shot service has failed."""
        for one in self.containers():
            if one.state in _ENDED:
                code = self.inspect(one.id)["State"]["ExitCode"]
                if one.service not in self.once or code != 0:
                    raise self._exited(one, code)

    def settled(self) -> bool:
        """Tell whether every one-shot service has ended, and every other one runs; raises as `watch`."""
        self.watch()
        return all(one.state == ("exited" if one.service in self.once else "running") for one in self.containers())

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

    def report(self, service: str) -> str:
        """Return every service's state, and the last lines of one of them."""
        found = self.containers()
        states = "\n".join(f"{one.service}: {one.status}" for one in found)
        tails = [self.tail(one.id, 20) for one in found if one.service == service]
        return "\n".join([states, f"last lines of {service}:", *tails])

    def _exited(self, one: Container, code: int) -> ServiceExited:
        return ServiceExited(
            f"service {one.service!r} ended with exit code {code}",
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


def all_addresses(containers: Iterable[Container]) -> tuple[str, ...]:
    """Return the loopback address, and every address of every container."""
    return tuple(dict.fromkeys(["127.0.0.1", *(one for container in containers for one in container.addresses)]))


def _container(listed: Mapping[str, Any]) -> Container:
    labels = listed.get("Labels") or {}
    name = labels.get(_SERVICE) or listed["Names"][0].lstrip("/")
    number = labels.get(_NUMBER, "1")
    networks = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    found = [net.get(key) for net in networks.values() for key in ("IPAddress", "GlobalIPv6Address")]
    return Container(
        id=listed["Id"],
        service=name if number == "1" else f"{name}-{number}",
        state=listed["State"],
        status=listed["Status"],
        image=listed["ImageID"],
        addresses=tuple(address for address in found if address),
    )

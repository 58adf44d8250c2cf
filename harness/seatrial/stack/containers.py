"""The Docker client, with deadlines and our own errors, and the containers of a Compose project."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import docker
from docker.context import Context, ContextAPI
from docker.errors import DockerException
from requests import RequestException

from seatrial.errors import EngineUnavailable, NotReady, SeatrialError, ServiceExited, StackFailed, UsageError
from seatrial.model import Service
from seatrial.wire.redaction import Redactor

PROJECT = "com.docker.compose.project"
"""The label by which Compose marks what belongs to a project."""
_UNIX = "unix://"
T = TypeVar("T")
_SERVICE = "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"
_ENDED = {"exited", "dead"}
_STARTED = {"running", "restarting"}
PING_S = 5
ANSWER_S = 10
_LAST_LINES = 50
_STOP_S = 10
"""Docker's own time for a container without one."""
_EVENTS_S = 5.0
_IN_A_ROW = 2
_APART_S = 0.3  # a service that crashes at its start is seen running once, rarely twice
_PAUSE_S = 0.1
_REASONS = {
    "the connection was accepted, but no answer came": ("timed out", "Timeout"),
    "the socket does not exist": ("No such file", "FileNotFoundError"),
    "connection refused: nothing listens there": ("Connection refused", "ConnectionRefusedError"),
    "permission denied (is this user in the group `docker`?)": ("Permission denied", "PermissionError"),
}
_HINT = "start it (`systemctl start docker`), or use `--engine local`; `seatrial doctor` shows what is missing"


def daemon_address() -> str:
    """Return where the daemon listens: DOCKER_HOST, or else the current context of the `docker` command."""
    if address := os.environ.get("DOCKER_HOST"):
        return address
    context: Context | None = ContextAPI.get_current_context()
    return "unix:///var/run/docker.sock" if context is None else str(context.Host)


def daemon_host(address: str) -> str:
    """Return the host on which the daemon publishes ports; 127.0.0.1 for a local socket."""
    parts = urlsplit(address)
    return "127.0.0.1" if parts.scheme in {"unix", "npipe", ""} else parts.hostname or "127.0.0.1"


def connect(*, timeout_s: int = ANSWER_S) -> docker.DockerClient:
    """Return a client of a daemon that has just answered; EngineUnavailable if none does within `timeout_s`."""
    address = daemon_address()
    context: Context | None = ContextAPI.get_current_context()
    try:
        if address.startswith(_UNIX):  # where that fails, the SDK would leave an open socket behind
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(timeout_s)
                probe.connect(address.removeprefix(_UNIX))
        if os.environ.get("DOCKER_HOST") or context is None:
            client = docker.from_env(timeout=timeout_s)
        else:
            client = docker.DockerClient(base_url=address, timeout=timeout_s, tls=context.TLSConfig)
        with ExitStack() as on_failure:
            on_failure.callback(client.close)
            client.ping()
            on_failure.pop_all()
    except (DockerException, RequestException, OSError) as error:
        raise EngineUnavailable(
            "no Docker daemon answers",
            where=address,
            seen=_reason(error),
            expected=f"an answer within {timeout_s} s",
            hint=_HINT,
        ) from error
    return client


def daemon_facts(client: docker.DockerClient) -> dict[str, str]:
    """Return the daemon's versions and drivers, as facts of a run."""
    with docker_errors("asking for its version"):
        version, info = client.version(), client.info()
    return {
        "docker": version["Version"],
        "docker_api": version["ApiVersion"],
        "storage_driver": info["Driver"],
        "cgroup_version": info.get("CgroupVersion", "1"),  # engines before 20.10 knew only the first
    }


def shares_this_host(
    client: docker.DockerClient, *, address: Callable[[], str] = daemon_address, kernel: str = os.uname().release
) -> bool:
    """Return whether the daemon's containers run on this host's cores, so that its core numbers mean the same.

    A daemon behind a Unix socket may still sit in a virtual machine of its own, with a kernel of its own.
    """
    if not address().startswith(_UNIX):
        return False
    with docker_errors("asking for its kernel"):
        return bool(client.info().get("KernelVersion") == kernel)


@contextmanager
def docker_errors(doing: str) -> Iterator[None]:
    """Turn the SDK's errors into ours; `doing` completes the sentence of the message."""
    try:
        yield
    except RequestException as error:
        raise EngineUnavailable(
            f"the Docker daemon stopped answering while {doing}",
            where=daemon_address(),
            seen=_reason(error),
            hint=_HINT,
        ) from error
    except DockerException as error:
        raise StackFailed(f"Docker refused while {doing}", seen=str(error)) from error


def _reason(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    return next((reason for reason, words in _REASONS.items() if any(map(text.__contains__, words))), str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as the daemon lists it; `name` is its service's, with a number if that has several."""

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
    """The containers with one label; the services `once` are meant to end.

    `expected` is how many containers of each other service have to run.
    """

    client: docker.DockerClient
    label: str
    once: frozenset[str]
    redactor: Redactor
    expected: Mapping[str, int] = field(default_factory=dict)

    def containers(self) -> list[Container]:
        """Return the containers as they are now, in the order of their services."""
        with docker_errors("listing the containers"):
            listed: list[dict[str, Any]] = self.client.api.containers(all=True, filters={"label": self.label})
        containers = sorted(map(_container, listed), key=lambda one: (one.service, one.number))
        counts = Counter(one.service for one in containers)
        return [
            replace(one, name=f"{one.service}-{one.number}") if counts[one.service] > 1 else one
            for one in containers
        ]

    def running(self) -> list[Container]:
        """Return the containers that run and are not meant to end."""
        return [one for one in self.containers() if one.state == "running" and one.service not in self.once]

    def watch(self, service: str = "") -> None:
        """Raise ServiceExited if one has ended that should not have, or a one-shot service has failed.

        A container that its restart policy has started again has ended, too, unless its service is one-shot. With
        a name only the containers of that service are looked at.
        """
        for container in self.containers():
            if service not in {"", container.service}:
                continue
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
        """Return whether every one-shot service has ended and every other one runs; raises as `watch` does."""
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
        """Wait until two checks in a row find all settled; raises as `watch` does.

        NotReady when the time is over, with the last lines of `service`, if one is named.
        """
        until = clock() + within_s
        in_a_row = 0
        while (in_a_row := in_a_row + 1 if self.settled() else 0) < _IN_A_ROW:
            if clock() > until:
                raise NotReady(f"services are not running after {within_s:.0f} s", seen=self.report(service))
            sleep(_APART_S if in_a_row else _PAUSE_S)

    def of_service(self, service: str) -> list[Container]:
        """Return the running containers of a service; StackFailed if there is none."""
        containers = [one for one in self.running() if one.service == service]
        if not containers:
            raise StackFailed(f"service {service!r} does not run", seen=self.report(service))
        return containers

    def signal(self, container: str, signal: str) -> None:
        """Send a signal to the container's first process."""
        with docker_errors("sending a signal"):
            self.client.api.kill(container, f"SIG{signal}")

    def restart(self, container: str) -> None:
        """Stop a container, with its own signal and time, and start it again."""
        config = self.inspect(container)["Config"]
        stop_s = config.get("StopTimeout")  # Compose's stop_grace_period
        with docker_errors("restarting a container"):
            self.client.api.restart(container, timeout=_STOP_S if stop_s is None else stop_s)

    def inspect(self, container: str) -> Mapping[str, Any]:
        """Return the daemon's full description of one container."""
        with docker_errors("inspecting a container"):
            return cast("Mapping[str, Any]", self.client.api.inspect_container(container))

    def tail(self, container: str, lines: int) -> str:
        """Return the last lines that a container wrote, without secrets."""
        with docker_errors("reading a container's log"):
            text: bytes = self.client.api.logs(container, tail=lines)
        return self.redactor.text(text.decode(errors="replace").rstrip())

    def report(self, service: str | None) -> str:
        """Return every service's state, and the last lines of `service`, if one is named."""
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
            until_s = int(time.time()) + 1  # in whole seconds: the stream ends after this one
            return list(self.client.api.events(since=0, until=until_s, filters=filters, decode=True))

        try:
            with docker_errors("reading its events"):
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


def find_containers(client: docker.DockerClient, project_or_label: str, redactor: Redactor) -> ProjectContainers:
    """Return the containers of a Compose project, or with a `label=value`, that run already.

    UsageError, with the projects that run, if no container matches.
    """
    label = project_or_label if "=" in project_or_label else f"{PROJECT}={project_or_label}"
    project = ProjectContainers(client=client, label=label, once=frozenset(), redactor=redactor)
    if not project.running():
        with docker_errors("listing the containers"):
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

    The work then goes on in a thread that does not keep this process alive.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  (handed on to the caller as it is)
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome.result(timeout=within_s)

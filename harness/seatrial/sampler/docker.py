"""Docker: the events of a run's containers, and samples from the stats API where cgroup files can't be read.

Events are those of the watched containers, and of all of the project, its replicas and short-lived workers
included. The follower opens a container as soon as it has started: an `inspect` takes longer than a reading may.
The daemon stamps events with the wall clock; one pair of both clocks, taken at the start, turns that into
monotonic time.

The stats API serves Docker Desktop and remote engines: one reading a second, at the daemon's rate, with usage,
working set and CPU; the rest is NULL. A row is stamped when it is taken over, up to one tick after it came.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import requests
import urllib3
from docker import APIClient, DockerClient
from docker.context import ContextAPI
from docker.errors import APIError
from docker.types.daemon import CancellableStream

from seatrial.model import Watch
from seatrial.sampler.cgroup import Cgroup1, Cgroup2, CgroupPaths, locate
from seatrial.sampler.reading import Source, remainder
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL, Reading

EVENTS = ("oom", "die", "restart", "start", "health_status", "kill", "destroy")
STREAM_ERRORS = (APIError, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
"""What a stream of the daemon ends with when the container, or the connection, goes away."""
_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_ONE_OFF = "com.docker.compose.oneoff"
_DETAILS = {"exitCode": "exit_code", "signal": "signal", "image": "image"}
_FILTERS = {"type": "container", "event": list(EVENTS)}
_TIMEOUT_S = 10
_RECONNECTS = 600
_PAUSE_S = 1.0
_LISTEN_WITHIN_S = 5.0
_JOIN_S = 2.0
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The wall clock and the monotonic clock at one moment."""

    wall_ns: int
    monotonic_ns: int

    @staticmethod
    def now() -> Clocks:
        """Read the wall clock between two readings of the other, and take their middle."""
        before = time.monotonic_ns()
        wall = time.time_ns()
        return Clocks(wall_ns=wall, monotonic_ns=(before + time.monotonic_ns()) // 2)

    def monotonic_of(self, wall_ns: int) -> int:
        """Convert a wall-clock stamp."""
        return wall_ns - self.wall_ns + self.monotonic_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerEvent:
    """One line of `events.jsonl`."""

    t_ns: int
    wall_ns: int
    service: str
    container: str
    event: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def append_to(self, path: Path) -> None:
        """Write the event as a JSON line, at once, so that it survives the sampler's end."""
        with path.open("ab", buffering=0) as stream:
            stream.write(json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n")


class EventFilter:
    """Selects events: those of watched containers, and those of the project, unless they are one-off runs."""

    def __init__(self, project: str, clocks: Clocks) -> None:
        self._project = project
        self._clocks = clocks
        self._services: dict[str, str] = {}

    @property
    def label(self) -> str:
        """The label of the project's containers, to filter by at the daemon; empty without a project."""
        return f"{_PROJECT}={self._project}" if self._project else ""

    def add(self, container: str, service: str) -> None:
        """Watch a container, by its full id."""
        self._services[container] = service

    def service_of(self, container: str, labels: Mapping[str, str]) -> str | None:
        """Return the service of a container; None if it is neither watched nor of the project."""
        if container in self._services:
            return self._services[container]
        if self._project and labels.get(_PROJECT) == self._project and labels.get(_ONE_OFF) != "True":
            return labels.get(_SERVICE)
        return None

    def event(self, message: Mapping[str, Any]) -> DockerEvent | None:
        """Turn a message of the daemon into an event; None if it is not selected."""
        actor = message.get("Actor", {})
        labels = actor.get("Attributes", {})
        container = actor.get("ID", "")
        service = self.service_of(container, labels)
        if service is None:
            return None
        name, _, health = message.get("Action", "").partition(": ")
        detail: dict[str, Any] = {key: labels[label] for label, key in _DETAILS.items() if label in labels}
        if "exit_code" in detail:
            detail["exit_code"] = int(detail["exit_code"])
        if health:
            detail["health"] = health
        wall_ns = message["timeNano"]
        return DockerEvent(
            t_ns=self._clocks.monotonic_of(wall_ns),
            wall_ns=wall_ns,
            service=service,
            container=container,
            event=name,
            detail=detail,
        )


class DockerApi:
    """The statistics stream of one container, read by a thread of its own; ends when the stream does."""

    kind = "docker api"

    def __init__(self, client: APIClient, container: str) -> None:
        """Start the stream; APIError if the container does not exist."""
        self._stream = iter(client.stats(container, decode=True, stream=True))
        self._latest: Reading | None = None
        self._ended = False
        self._closed = False
        threading.Thread(target=self._follow, name=f"stats-{container[:12]}", daemon=True).start()

    def read(self) -> Reading | None:
        """Return what came since the last call, or None; OSError of GONE_ERRORS when the stream has ended."""
        reading, self._latest = self._latest, None
        if reading is None and self._ended:
            raise ProcessLookupError(errno.ESRCH, "the container's statistics have ended")
        return reading

    def close(self) -> None:
        """Let the thread end at the stream's next message."""
        self._closed = True

    def _follow(self) -> None:
        try:
            for statistics in self._stream:
                # The daemon goes on sending empty statistics for a stopped container.
                if self._closed or not statistics.get("memory_stats", {}).get("usage"):
                    break
                self._latest = reading_of(statistics)
        except STREAM_ERRORS:
            pass  # the stream has ended; `_ended` makes the next `read` raise
        finally:
            self._ended = True


def reading_of(statistics: Mapping[str, Any]) -> Reading:
    """Take usage, working set and CPU; cgroup v1 names its inactive file pages `total_inactive_file`."""
    memory = statistics["memory_stats"]
    parts = memory.get("stats", {})
    inactive = parts.get("total_inactive_file", parts.get("inactive_file", NULL))
    return Reading(
        usage_bytes=memory["usage"],
        working_set_bytes=remainder(memory["usage"], inactive),
        cpu_ns=statistics["cpu_stats"]["cpu_usage"]["total_usage"],
    )


def connect_to_docker() -> APIClient:
    """Return a client for the engine that the `docker` command would use; each thread takes one of its own.

    That is DOCKER_HOST, or else the current context, which `from_env` knows only in the SDK's newer versions.
    """
    context = None if os.environ.get("DOCKER_HOST") else ContextAPI.get_current_context()
    if context is None:
        return DockerClient.from_env(timeout=_TIMEOUT_S).api
    return DockerClient(base_url=str(context.Host), timeout=_TIMEOUT_S, tls=context.TLSConfig).api


def open_cgroup(paths: CgroupPaths | None) -> Source | None:
    """Open the cgroup files; None where there are none, or they can't be read."""
    if paths is None:
        return None
    try:
        return Cgroup1(paths) if paths.version == 1 else Cgroup2(paths)
    except OSError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedContainer:
    """A container that has started, ready to be read."""

    service: str
    container: str
    source: Source


def _open(client: APIClient, service: str, container: str) -> OpenedContainer | None:
    """Open a container; None if it does not exist, or does not run."""
    try:
        state = client.inspect_container(container)
        pid = int(state["State"]["Pid"])
        if pid == 0:
            return None
        source = open_cgroup(locate(state["Id"], pid)) or DockerApi(client, container)
    except APIError:
        return None
    return OpenedContainer(service=service, container=container, source=source)


class EventFollower:
    """Follows Docker's events from its creation until `stop`, and opens the containers that start."""

    def __init__(self, project: str, path: Path) -> None:
        clocks = Clocks.now()
        self._since_s = clocks.wall_ns // NS_PER_S
        self._from_ns = clocks.wall_ns
        self._path = path
        self._filter = EventFilter(project, clocks)
        self._watched: set[str] = set()
        self._client = connect_to_docker()
        self._started: SimpleQueue[OpenedContainer] = SimpleQueue()
        self._written: deque[tuple[str, str, int]] = deque(maxlen=_REMEMBERED)
        self._listening = threading.Event()
        self._stopping = threading.Event()
        self._stream: CancellableStream[Any] | None = None
        self._thread = threading.Thread(target=self._listen, name="docker-events", daemon=True)

    def watch(self, watch: Watch) -> OpenedContainer | None:
        """Follow a container from now on, and open it; None if it does not run yet."""
        self._watched.add(watch.container)
        self._filter.add(watch.container, watch.service)
        return _open(self._client, watch.service, watch.container)

    def start(self) -> None:
        """Begin to listen, and wait until the daemon sends; events since the follower's creation come, too."""
        self._thread.start()
        self._listening.wait(_LISTEN_WITHIN_S)

    def unwatched(self) -> Iterator[OpenedContainer]:
        """Open the project's other running containers; one that starts later comes through `started`."""
        if not self._filter.label:
            return
        listed: list[dict[str, Any]] = self._client.containers(filters={"label": self._filter.label})
        for container in listed:
            service = self._filter.service_of(container["Id"], container.get("Labels") or {})
            if service is not None and container["Id"] not in self._watched:
                opened = _open(self._client, service, container["Id"])
                if opened is not None:
                    yield opened

    def started(self) -> Iterator[OpenedContainer]:
        """Take over what has started since the last call, without waiting."""
        while True:
            try:
                yield self._started.get_nowait()
            except Empty:
                return

    def stop(self) -> None:
        """End the thread, then query once for what it may have missed."""
        self._stopping.set()
        if self._stream is not None:
            self._stream.close()
        self._thread.join(_JOIN_S)
        try:
            for message in self._messages(self._client, until_s=time.time()):
                self._take(message)
        except STREAM_ERRORS:
            return  # the daemon is gone; what it sent is written

    def _listen(self) -> None:
        client = connect_to_docker()
        for _attempt in range(_RECONNECTS):
            try:
                self._stream = self._messages(client)
                self._listening.set()
                for message in self._stream:
                    self._take(message, client)
            except STREAM_ERRORS:
                pass  # a daemon that restarts; queried again below, from the beginning, without repeating
            if self._stopping.wait(_PAUSE_S):
                return

    def _messages(self, client: APIClient, until_s: float | None = None) -> CancellableStream[Any]:
        until: Any = until_s  # the engine takes fractions of a second, the type stubs don't
        return client.events(since=self._since_s, until=until, filters=_FILTERS, decode=True)

    def _take(self, message: Mapping[str, Any], client: APIClient | None = None) -> None:
        event = self._filter.event(message)
        if event is None or event.wall_ns < self._from_ns:
            return
        key = (event.container, event.event, event.wall_ns)
        if key in self._written:
            return
        if client is not None and event.event == "start":
            opened = _open(client, event.service, event.container)  # if this fails, the event comes again
            if opened is not None:
                self._started.put(opened)
        self._written.append(key)
        event.append_to(self._path)

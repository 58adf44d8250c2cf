"""The thread that listens to Docker: writes the events, and opens containers that have started.

Those are the watched ones, and all of the project, whether their service was told or not: a worker that crashes
again and again may not run while somebody looks.

It opens them itself, because an `inspect` takes longer than a reading may.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from docker import APIClient
from docker.types.daemon import CancellableStream

from seatrial.model import Watch
from seatrial.sampler import events
from seatrial.sampler.containers import connect, open_container
from seatrial.sampler.docker_api import STREAM_ERRORS
from seatrial.sampler.reading_ import Source

_FILTERS = {"type": "container", "event": list(events.EVENTS)}
_RECONNECTS = 600
_PAUSE_S = 1.0
_LISTEN_WITHIN_S = 5.0
_JOIN_S = 2.0
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A container that has started, ready to be read."""

    service: str
    container: str
    source: Source


class Follower:
    """Follows Docker's events from the moment of its making until `stop`."""

    def __init__(self, project: str, path: Path) -> None:
        clocks = events.Clocks.now()
        self._since_s = clocks.wall_ns // 1_000_000_000
        self._from_ns = clocks.wall_ns
        self._path = path
        self._interest = events.Interest(project, clocks)
        self._told: set[str] = set()
        self._client = connect()
        self._opened: SimpleQueue[Opened] = SimpleQueue()
        self._seen: deque[tuple[str, str, int]] = deque(maxlen=_REMEMBERED)
        self._listening = threading.Event()
        self._stopping = threading.Event()
        self._stream: CancellableStream[Any] | None = None
        self._thread = threading.Thread(target=self._listen, name="docker-events", daemon=True)

    def watch(self, watch: Watch) -> Opened | None:
        """Follow a container from now on, and open it; None if it does not run yet."""
        self._told.add(watch.container)
        self._interest.add(watch.container, watch.service)
        return _open(self._client, watch.service, watch.container)

    def start(self) -> None:
        """Begin to listen, and wait until the daemon does send; what has happened since the making is told too."""
        self._thread.start()
        self._listening.wait(_LISTEN_WITHIN_S)

    def untold(self) -> Iterator[Opened]:
        """Open what runs of the project and was not told; one that starts later comes through `opened`."""
        if not self._interest.label:
            return
        listed: list[dict[str, Any]] = self._client.containers(filters={"label": self._interest.label})
        for one in listed:
            service = self._interest.service_of(one["Id"], one.get("Labels") or {})
            if service is not None and one["Id"] not in self._told:
                opened = _open(self._client, service, one["Id"])
                if opened is not None:
                    yield opened

    def opened(self) -> Iterator[Opened]:
        """Take over what has started since the last call, without waiting."""
        while True:
            try:
                yield self._opened.get_nowait()
            except Empty:
                return

    def stop(self) -> None:
        """End the thread, then ask once for what it may have missed."""
        self._stopping.set()
        if self._stream is not None:
            self._stream.close()
        self._thread.join(_JOIN_S)
        try:
            for message in _messages(self._client, self._since_s, until_s=time.time()):
                self._take(message)
        except STREAM_ERRORS:
            return  # the daemon is gone; what was heard is written

    def _listen(self) -> None:
        client = connect()
        for _attempt in range(_RECONNECTS):
            try:
                self._stream = _messages(client, self._since_s)
                self._listening.set()
                for message in self._stream:
                    self._take(message, client)
            except STREAM_ERRORS:
                pass  # a daemon that restarts; asked again below, from the beginning, without repeating
            if self._stopping.wait(_PAUSE_S):
                return

    def _take(self, message: Mapping[str, Any], client: APIClient | None = None) -> None:
        event = self._interest.event(message)
        if event is None or event.wall_ns < self._from_ns:
            return
        key = (event.container, event.event, event.wall_ns)
        if key in self._seen:
            return
        if client is not None and event.event == "start":
            opened = _open(client, event.service, event.container)  # if this fails, the event comes again
            if opened is not None:
                self._opened.put(opened)
        self._seen.append(key)
        events.append(self._path, event)


def _open(client: APIClient, service: str, container: str) -> Opened | None:
    source = open_container(client, container)
    return None if source is None else Opened(service=service, container=container, source=source)


def _messages(client: APIClient, since_s: int, until_s: float | None = None) -> CancellableStream[Any]:
    until: Any = until_s  # the engine takes fractions of a second, the type stubs don't
    return client.events(since=since_s, until=until, filters=_FILTERS, decode=True)

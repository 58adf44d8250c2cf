"""Current memory of each service, for stop rules and the progress line.

It reads what the sampler reads, once a second, from descriptors of its own. The Docker API, which takes a second
for an answer, is not asked: what only it could tell is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from docker.errors import DockerException
from requests import RequestException

from seatrial.model import Service
from seatrial.sampler.cgroup import locate
from seatrial.sampler.docker import connect_to_docker, files_of
from seatrial.sampler.host import HostReader
from seatrial.sampler.process_tree import ProcessTable, Tree
from seatrial.sampler.reading import GONE_ERRORS, Source
from seatrial.wire.streams import NULL, Reading

HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReading:
    """What a target holds now; None where its source can't tell, or there is no limit."""

    memory_bytes: int | None
    swap_bytes: int | None
    limit_bytes: int | None


class LiveReadings:
    """The open sources, by name: several for a service of several containers."""

    def __init__(self, sources: Sequence[tuple[str, Source]]) -> None:
        self._sources = list(sources)

    def held(self) -> dict[str, LiveReading]:
        """Read everything once; what has ended is left out."""
        readings: dict[str, list[Reading]] = {}
        for name, source in self._sources:
            try:
                reading = source.read()
            except OSError as error:
                if error.errno not in GONE_ERRORS:
                    raise
                continue
            if reading is not None:
                readings.setdefault(name, []).append(reading)
        return {name: _held(found) for name, found in readings.items()}

    def close(self) -> None:
        """Let go of every descriptor."""
        for _, source in self._sources:
            source.close()


@contextmanager
def live_readings(services: Sequence[Service], *, trees: bool) -> Iterator[LiveReadings]:
    """Open the host and the services; process trees only if they are wanted: to read them is dearer."""
    glance = LiveReadings([(HOST, HostReader()), *_containers(services), *(_trees(services) if trees else ())])
    try:
        yield glance
    finally:
        glance.close()


def _containers(services: Sequence[Service]) -> list[tuple[str, Source]]:
    named = [one for one in services if one.container]
    if not named:
        return []
    found: list[tuple[str, Source]] = []
    with suppress(DockerException, RequestException, OSError):  # whoever watches the stack tells what became of it
        client = connect_to_docker()
        try:
            for one in named:
                state = client.inspect_container(one.container)
                source = files_of(locate(state["Id"], int(state["State"]["Pid"])))
                found += [] if source is None else [(one.name, source)]
        finally:
            client.close()
    return found


def _trees(
    services: Sequence[Service], table: Callable[[Path], ProcessTable] = ProcessTable
) -> Iterator[tuple[str, Source]]:
    shared = table(Path("/proc"))
    for one in services:
        if one.pid:
            with suppress(OSError):
                yield one.name, Tree(one.pid, shared)


def _held(readings: Sequence[Reading]) -> LiveReading:
    used = [one.usage_bytes if one.working_set_bytes == NULL else one.working_set_bytes for one in readings]
    return LiveReading(
        memory_bytes=_sum(used),
        swap_bytes=_sum([one.swap_bytes for one in readings]),
        limit_bytes=_sum([one.limit_bytes for one in readings]),
    )


def _sum(values: Sequence[int]) -> int | None:
    return None if NULL in values else sum(values)

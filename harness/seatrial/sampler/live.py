"""Current memory of each service, for stop rules and the progress line.

Reads the sampler's sources once a second, from descriptors of its own. The Docker API, which takes a second for an
answer, is left out: a service that only it could read has no live reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from docker.errors import DockerException
from requests import RequestException

from seatrial.model import Service
from seatrial.sampler.cgroup import locate
from seatrial.sampler.docker import connect_to_docker, open_cgroup
from seatrial.sampler.host import HostReader
from seatrial.sampler.process_tree import ProcessTable, Tree
from seatrial.sampler.reading import GONE_ERRORS, Source
from seatrial.wire.streams import NULL, Reading

HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReading:
    """The memory that a target has now; None where its source can't measure it, or there is no limit."""

    memory_bytes: int | None
    swap_bytes: int | None
    limit_bytes: int | None


class LiveReadings:
    """The open sources, by name: several for a service of several containers."""

    def __init__(self, sources: Sequence[tuple[str, Source]]) -> None:
        self._sources = list(sources)

    def read(self) -> dict[str, LiveReading]:
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
        return {name: _summed(of_name) for name, of_name in readings.items()}

    def renew(self, services: Sequence[Service]) -> None:
        """Open services that were restarted in place of what was open of them."""
        names = {service.name for service in services}
        for name, source in self._sources:
            if name in names:
                source.close()
        read = {name for name, _ in self._sources}
        self._sources = [one for one in self._sources if one[0] not in names]
        again = [service for service in services if service.name in read]
        self._sources += [*_containers(again), *_trees(again)]

    def close(self) -> None:
        """Close every descriptor."""
        for _, source in self._sources:
            source.close()


@contextmanager
def live_readings(services: Sequence[Service], *, trees: bool) -> Iterator[LiveReadings]:
    """Open the host and the services; process trees only if they are needed: they are dearer to read."""
    readings = LiveReadings([(HOST, HostReader()), *_containers(services), *(_trees(services) if trees else ())])
    try:
        yield readings
    finally:
        readings.close()


def _containers(services: Sequence[Service]) -> list[tuple[str, Source]]:
    in_containers = [service for service in services if service.container]
    if not in_containers:
        return []
    sources: list[tuple[str, Source]] = []
    with suppress(DockerException, RequestException, OSError):  # a failing engine is reported by the stack's watch
        client = connect_to_docker()
        try:
            for service in in_containers:
                state = client.inspect_container(service.container)
                source = open_cgroup(locate(state["Id"], int(state["State"]["Pid"])))
                sources += [] if source is None else [(service.name, source)]
        finally:
            client.close()
    return sources


def _trees(services: Sequence[Service]) -> Iterator[tuple[str, Source]]:
    table = ProcessTable(Path("/proc"))
    for service in services:
        if service.pid:
            with suppress(OSError):
                yield service.name, Tree(service.pid, table)


def _summed(readings: Sequence[Reading]) -> LiveReading:
    used = [one.usage_bytes if one.working_set_bytes == NULL else one.working_set_bytes for one in readings]
    return LiveReading(
        memory_bytes=_sum(used),
        swap_bytes=_sum([one.swap_bytes for one in readings]),
        limit_bytes=_sum([one.limit_bytes for one in readings]),
    )


def _sum(values: Sequence[int]) -> int | None:
    return None if NULL in values else sum(values)

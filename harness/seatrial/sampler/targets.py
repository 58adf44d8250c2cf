"""Everything that is read at a tick, in an order in which slow readings delay nobody."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seatrial.sampler.reading_ import GONE_ERRORS, Source
from seatrial.sampler.stream import SampleStream

NEVER_FOUND = "none"
_ORDER = ("cgroup v1", "cgroup v2", "docker api", "host", "own process", "process tree")
"""Process trees come last: `smaps_rollup` can take milliseconds."""
_COSTS_KEPT = 50_000


@dataclass(slots=True, kw_only=True)
class _Target:
    service: str
    container: str
    source: Source
    stream: SampleStream


class Targets:
    """The live sources and their streams; a target that ends is closed, and may come back under its id."""

    def __init__(self, streams: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._folder = streams
        self._clock = clock
        self._live: list[_Target] = []
        self._streams: dict[tuple[str, str], SampleStream] = {}
        self.sources: dict[str, str] = {}
        self.container_costs_ns: deque[int] = deque(maxlen=_COSTS_KEPT)

    def expect(self, service: str) -> None:
        """Remember a service that could not be found yet."""
        self.sources.setdefault(service, NEVER_FOUND)

    def add(self, service: str, container: str, source: Source) -> None:
        """Begin to read; the same service and container continue their file, another container gets its own."""
        for target in [old for old in self._live if (old.service, old.container) == (service, container)]:
            self._end(target)
        key = (service, container)
        if key not in self._streams:
            self._streams[key] = SampleStream(self._folder, service, container)
        self.sources[service] = source.kind
        self._live.append(_Target(service=service, container=container, source=source, stream=self._streams[key]))
        self._live.sort(key=lambda target: _ORDER.index(target.source.kind))

    def sample(self) -> None:
        """Read every live target once, with a stamp before and one after."""
        clock = self._clock
        ended = []
        for target in self._live:
            source = target.source
            before = clock()
            try:
                reading = source.read()
            except OSError as error:
                if error.errno not in GONE_ERRORS:
                    raise
                ended.append(target)
                continue
            after = clock()
            if reading is not None:
                target.stream.add(before, after, reading)
                if source.kind.startswith("cgroup"):
                    self.container_costs_ns.append(after - before)
        for target in ended:
            self._end(target)

    def rows(self) -> dict[str, int]:
        """Count the rows of each service that was asked for."""
        counted: Counter[str] = Counter(dict.fromkeys(self.sources, 0))
        for (service, _), stream in self._streams.items():
            counted[service] += stream.rows
        return dict(counted)

    def flush(self) -> None:
        """Append everything that was gathered."""
        for stream in self._streams.values():
            stream.flush()

    def close(self) -> None:
        """Flush and close everything."""
        for target in list(self._live):
            self._end(target)
        for stream in self._streams.values():
            stream.close()

    def _end(self, target: _Target) -> None:
        target.source.close()
        self._live.remove(target)

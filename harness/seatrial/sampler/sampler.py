"""The sampling loop: targets, clock ticks, output streams."""

from __future__ import annotations

import gc
import itertools
import os
import re
import select
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.model import Watch
from seatrial.sampler import docker
from seatrial.sampler.host import EngineProcesses, HostReader
from seatrial.sampler.process_tree import OwnProcess, ProcessTable, Tree
from seatrial.sampler.reading import GONE_ERRORS, Source
from seatrial.sampler.session import SamplerPlan, Summary, watched
from seatrial.units import NS_PER_S
from seatrial.wire.streams import Reading, StreamWriter, samples_layout

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class SampleStream(StreamWriter):
    """Rows of one service and container, in `samples-<service>-<n>.bin` with the first `n` that is free."""

    def __init__(self, folder: Path, service: str, container: str) -> None:
        """Create the file with its header; ResultsUnwritable if that can't be."""
        layout = samples_layout(service, container)
        self._pack = layout.record.pack
        self.rows = 0
        paths = (folder / f"samples-{_UNSAFE.sub('_', service)}-{index}.bin" for index in itertools.count(1))
        super().__init__(next(path for path in paths if not path.exists()), layout.header())

    def add(self, t_ns: int, t_after_ns: int, reading: Reading) -> None:
        """Gather one row."""
        self.pending += self._pack(t_ns, t_after_ns, *reading)
        self.rows += 1


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


class SampledTargets:
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


_PERIODS_KEPT = 50_000


class TickClock:
    """A fixed grid of ticks; what was missed is skipped, never made up for in a burst."""

    def __init__(self, period_ns: int, start_ns: int) -> None:
        self._period_ns = period_ns
        self._due_ns = start_ns
        self._last_ns = 0
        self._periods_ns: deque[int] = deque(maxlen=_PERIODS_KEPT)
        self.ticks = 0
        self.missed = 0

    @property
    def due_ns(self) -> int:
        """When the next tick is due."""
        return self._due_ns

    def begin(self, now_ns: int) -> None:
        """Note that a tick begins."""
        if self.ticks:
            self._periods_ns.append(now_ns - self._last_ns)
        self._last_ns = now_ns
        self.ticks += 1

    def end(self, now_ns: int) -> None:
        """Set the next tick on the grid, after `now_ns`."""
        steps = max(1, -(-(now_ns - self._due_ns) // self._period_ns))
        self._due_ns += steps * self._period_ns
        self.missed += steps - 1

    def period_p50_p99_ns(self) -> tuple[int, int]:
        """Return the median and 99th percentile of the time between the starts of ticks."""
        p50, p99 = quantiles(self._periods_ns, 50, 99)
        return p50, p99


def quantiles(values: Iterable[int], *percents: int) -> tuple[int, ...]:
    """Return percentiles, interpolated; zeros where there are fewer than two values."""
    listed = list(values)
    if len(listed) < 2:  # noqa: PLR2004  (what the standard library asks for)
        return (0,) * len(percents)
    cuts = statistics.quantiles(listed, n=100, method="inclusive")
    return tuple(round(cuts[percent - 1]) for percent in percents)


_CHUNK = 65536


class LineInput:
    """A descriptor read by lines; `ended` once the other side has closed it, or the sampler was told to stop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._kept: list[bytes] = []
        self.ended = False

    def first_line(self, timeout_s: float) -> bytes | None:
        """Wait for one line, which may come in pieces; None if the other side ends, or is silent for the time."""
        while not self.ended:
            lines = self.receive(timeout_s)
            if lines:
                self._kept = lines[1:]
                return lines[0]
            if not self._rest:
                return None
        return None

    def receive(self, timeout_s: float) -> list[bytes]:
        """Return whole lines as soon as there are any; an empty list after the timeout, or at the end."""
        if self._kept or self.ended:
            kept, self._kept = self._kept, []
            return kept
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return []
        chunk = os.read(self._descriptor, _CHUNK)
        if not chunk:
            self.ended = True
            return []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines


if TYPE_CHECKING:
    from seatrial.sampler.docker import Follower
_FLUSH_NS = NS_PER_S // 2
"""Half of the second that a killed sampler may lose, so that a late tick does not break the promise."""


class Sampler:
    """Reads all targets of a plan until its inbox ends."""

    def __init__(self, plan: SamplerPlan, inbox: LineInput, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._plan = plan
        self._inbox = inbox
        self._clock = clock
        self._targets = SampledTargets(plan.streams, clock)
        self._table = ProcessTable(Path("/proc"), clock)
        self._follower: Follower | None = None

    def open(self) -> None:
        """Open every target, and begin to listen to Docker if there are containers."""
        docker.create(self._plan.events)
        for watch in self._plan.watches:
            self._watch(watch)
        if self._follower is not None:
            for opened in self._follower.untold():
                self._targets.add(opened.service, opened.container, opened.source)
        gc.collect()
        gc.freeze()  # what is there now stays; a later collection need not walk through it

    def run(self) -> Summary:
        """Sample until the end of the inbox; what was gathered is written, and the summary returned."""
        startup_cpu_s = time.process_time()
        start_ns = self._clock()
        pace = TickClock(round(NS_PER_S / self._plan.hz), start_ns)
        flush_ns = start_ns + _FLUSH_NS
        while not self._inbox.ended:
            now = self._clock()
            pace.begin(now)
            self._take_over()
            self._targets.sample()
            if now >= flush_ns:
                self._targets.flush()
                flush_ns = now + _FLUSH_NS
            pace.end(self._clock())
            self._wait_until(pace.due_ns)
        self._targets.sample()  # once more: the samples enclose all that happened before the stop
        cpu_s = time.process_time() - startup_cpu_s
        wall_s = (self._clock() - start_ns) / NS_PER_S
        self._close()
        return self._summary(pace, cpu_s=cpu_s, wall_s=wall_s, startup_cpu_s=startup_cpu_s)

    def _watch(self, watch: Watch) -> None:
        self._targets.expect(watch.service)
        if watch.kind == "container":
            self._watch_container(watch)
            return
        try:
            source = self._process_source(watch)
        except OSError:
            return  # it has ended already; the summary says that it was never found
        self._targets.add(watch.service, "", source)

    def _process_source(self, watch: Watch) -> Source:
        if watch.kind == "host":
            return HostReader(engine=EngineProcesses(self._table))
        if watch.kind == "sampler":
            return OwnProcess()
        return Tree(watch.pid, self._table)

    def _watch_container(self, watch: Watch) -> None:
        if self._follower is None:
            from seatrial.sampler.docker import Follower  # noqa: PLC0415  (the Docker SDK takes 25 MiB and 0.3 s)

            self._follower = Follower(self._plan.project, self._plan.events)
            self._follower.start()
        opened = self._follower.watch(watch)
        if opened is not None:
            self._targets.add(opened.service, opened.container, opened.source)

    def _take_over(self) -> None:
        if self._follower is not None:
            for opened in self._follower.opened():
                self._targets.add(opened.service, opened.container, opened.source)

    def _wait_until(self, due_ns: int) -> None:
        while (left_ns := due_ns - self._clock()) > 0 and not self._inbox.ended:
            for line in self._inbox.receive(left_ns / NS_PER_S):
                watch = watched(line)
                if watch is None:
                    self._inbox.ended = True
                    return
                self._watch(watch)

    def _close(self) -> None:
        if self._follower is not None:
            self._follower.stop()
        self._targets.close()

    def _summary(self, pace: TickClock, *, cpu_s: float, wall_s: float, startup_cpu_s: float) -> Summary:
        p50, p99 = pace.period_p50_p99_ns()
        (cost,) = quantiles(self._targets.container_costs_ns, 50)
        return Summary(
            samples=self._targets.rows(),
            sources=self._targets.sources,
            period_p50_ns=p50,
            period_p99_ns=p99,
            ticks=pace.ticks,
            missed_ticks=pace.missed,
            container_sample_p50_ns=cost,
            cpu_s=cpu_s,
            wall_s=wall_s,
            startup_cpu_s=startup_cpu_s,
        )

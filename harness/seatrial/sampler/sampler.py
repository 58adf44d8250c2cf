"""The sampling loop: targets read on a grid of ticks, their rows written to streams."""

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

from seatrial.errors import ResultsUnwritable
from seatrial.model import Watch
from seatrial.sampler.host import EngineProcesses, HostReader
from seatrial.sampler.process_tree import OwnProcess, ProcessTable, Tree
from seatrial.sampler.reading import GONE_ERRORS, Source
from seatrial.sampler.session import SamplerPlan, Summary, decode_watch
from seatrial.units import NS_PER_S
from seatrial.wire.streams import Reading, StreamWriter, samples_layout

if TYPE_CHECKING:
    from seatrial.sampler.docker import EventFollower, OpenedContainer

NEVER_FOUND = "none"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_ORDER = ("cgroup v1", "cgroup v2", "docker api", "host", "own process", "process tree")
"""Process trees come last: `smaps_rollup` can take milliseconds."""
_COSTS_KEPT = 50_000
_PERIODS_KEPT = 50_000
_CHUNK = 65536
_FLUSH_NS = NS_PER_S // 2
"""Half of the second that a killed sampler may lose, so that a late tick does not break the promise."""


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


@dataclass(slots=True, kw_only=True)
class _Target:
    service: str
    container: str
    source: Source
    stream: SampleStream


class SampledTargets:
    """The open sources and their streams; a target that ends is closed, and may be added again under its id."""

    def __init__(self, streams: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._folder = streams
        self._clock = clock
        self._live: list[_Target] = []
        self._streams: dict[tuple[str, str], SampleStream] = {}
        self.sources: dict[str, str] = {}
        self.container_costs_ns: deque[int] = deque(maxlen=_COSTS_KEPT)

    def expect(self, service: str) -> None:
        """Register a service before it is found: it has no rows yet, and the source `none`."""
        self.sources.setdefault(service, NEVER_FOUND)

    def add(self, service: str, container: str, source: Source) -> None:
        """Read a target from now on; the same service and container continue their file, others get their own."""
        for target in [one for one in self._live if (one.service, one.container) == (service, container)]:
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
        """Count the rows of each registered service."""
        rows: Counter[str] = Counter(dict.fromkeys(self.sources, 0))
        for (service, _), stream in self._streams.items():
            rows[service] += stream.rows
        return dict(rows)

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


class TickClock:
    """A fixed grid of ticks; missed ones are skipped, never made up for in a burst."""

    def __init__(self, period_ns: int, start_ns: int) -> None:
        self._period_ns = period_ns
        self.due_ns = start_ns
        self._last_ns = 0
        self._periods_ns: deque[int] = deque(maxlen=_PERIODS_KEPT)
        self.ticks = 0
        self.missed = 0

    def begin(self, now_ns: int) -> None:
        """Begin a tick."""
        if self.ticks:
            self._periods_ns.append(now_ns - self._last_ns)
        self._last_ns = now_ns
        self.ticks += 1

    def end(self, now_ns: int) -> None:
        """End the tick; `due_ns` becomes the next point of the grid after `now_ns`."""
        steps = max(1, -(-(now_ns - self.due_ns) // self._period_ns))
        self.due_ns += steps * self._period_ns
        self.missed += steps - 1

    def period_p50_p99_ns(self) -> tuple[int, ...]:
        """Return the median and 99th percentile of the time between the starts of ticks."""
        return quantiles(self._periods_ns, 50, 99)


def quantiles(values: Iterable[int], *percents: int) -> tuple[int, ...]:
    """Return percentiles, interpolated; zeros where there are fewer than two values."""
    values = list(values)
    if len(values) < 2:  # noqa: PLR2004  (the least that the standard library takes)
        return (0,) * len(percents)
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return tuple(round(cuts[percent - 1]) for percent in percents)


class LineInput:
    """A descriptor read by lines; `ended` once the other side has closed it, or the sampler is to stop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._lines: list[bytes] = []
        self.ended = False

    def first_line(self, timeout_s: float) -> bytes | None:
        """Wait for one line, which may come in pieces; None if the other side ends, or is silent for the time."""
        while not self.ended:
            lines = self.receive(timeout_s)
            if lines:
                self._lines = lines[1:]
                return lines[0]
            if not self._rest:
                return None
        return None

    def receive(self, timeout_s: float) -> list[bytes]:
        """Return whole lines as soon as there are any; an empty list after the timeout, or at the end."""
        if self._lines or self.ended:
            lines, self._lines = self._lines, []
            return lines
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return []
        chunk = os.read(self._descriptor, _CHUNK)
        if not chunk:
            self.ended = True
            return []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines


class Sampler:
    """Samples all targets of a plan until its input ends."""

    def __init__(
        self, plan: SamplerPlan, messages: LineInput, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._plan = plan
        self._messages = messages
        self._clock = clock
        self._targets = SampledTargets(plan.streams, clock)
        self._table = ProcessTable(Path("/proc"), clock)
        self._follower: EventFollower | None = None

    def open(self) -> None:
        """Open every target, and follow Docker's events if there are containers."""
        try:
            self._plan.events.touch()  # so that a run without events has an empty file
        except OSError as error:
            what = "Docker's events can't be written"
            raise ResultsUnwritable(what, where=str(self._plan.events), seen=str(error)) from error
        for watch in self._plan.watches:
            self._watch(watch)
        if self._follower is not None:
            self._add(self._follower.unwatched())
        gc.collect()
        gc.freeze()  # what is there now stays; a later collection need not walk through it

    def run(self) -> Summary:
        """Sample until the input ends, and close all; return the summary."""
        startup_cpu_s = time.process_time()
        start_ns = self._clock()
        ticks = TickClock(round(NS_PER_S / self._plan.hz), start_ns)
        flush_ns = start_ns + _FLUSH_NS
        while not self._messages.ended:
            now = self._clock()
            ticks.begin(now)
            if self._follower is not None:
                self._add(self._follower.started())
            self._targets.sample()
            if now >= flush_ns:
                self._targets.flush()
                flush_ns = now + _FLUSH_NS
            ticks.end(self._clock())
            self._wait_until(ticks.due_ns)
        self._targets.sample()  # once more: the samples enclose all that happened before the stop
        cpu_s = time.process_time() - startup_cpu_s
        wall_s = (self._clock() - start_ns) / NS_PER_S
        if self._follower is not None:
            self._follower.stop()
        self._targets.close()
        return self._summary(ticks, cpu_s=cpu_s, wall_s=wall_s, startup_cpu_s=startup_cpu_s)

    def _watch(self, watch: Watch) -> None:
        self._targets.expect(watch.service)
        if watch.kind == "container":
            self._watch_container(watch)
            return
        source: Source
        try:
            if watch.kind == "host":
                source = HostReader(engine=EngineProcesses(self._table))
            else:
                source = OwnProcess() if watch.kind == "sampler" else Tree(watch.pid, self._table)
        except OSError:
            return  # it has ended already; the summary says that it was never found
        self._targets.add(watch.service, "", source)

    def _watch_container(self, watch: Watch) -> None:
        if self._follower is None:
            # Not before: the Docker SDK takes 25 MiB and 0.3 s.
            from seatrial.sampler.docker import EventFollower  # noqa: PLC0415

            self._follower = EventFollower(self._plan.project, self._plan.events)
            self._follower.start()
        opened = self._follower.watch(watch)
        self._add([] if opened is None else [opened])

    def _add(self, containers: Iterable[OpenedContainer]) -> None:
        for opened in containers:
            self._targets.add(opened.service, opened.container, opened.source)

    def _wait_until(self, due_ns: int) -> None:
        while (left_ns := due_ns - self._clock()) > 0 and not self._messages.ended:
            for line in self._messages.receive(left_ns / NS_PER_S):
                watch = decode_watch(line)
                if watch is None:
                    self._messages.ended = True
                    return
                self._watch(watch)

    def _summary(self, ticks: TickClock, *, cpu_s: float, wall_s: float, startup_cpu_s: float) -> Summary:
        p50, p99 = ticks.period_p50_p99_ns()
        (cost,) = quantiles(self._targets.container_costs_ns, 50)
        return Summary(
            samples=self._targets.rows(),
            sources=self._targets.sources,
            period_p50_ns=p50,
            period_p99_ns=p99,
            ticks=ticks.ticks,
            missed_ticks=ticks.missed,
            container_sample_p50_ns=cost,
            cpu_s=cpu_s,
            wall_s=wall_s,
            startup_cpu_s=startup_cpu_s,
        )

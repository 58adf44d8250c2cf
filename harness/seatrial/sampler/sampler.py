"""The sampler's work: open what the plan names, read it at every tick, follow what comes and goes, sum up."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.model import Watch
from seatrial.sampler import events
from seatrial.sampler.engine import EngineProcesses
from seatrial.sampler.host import Host
from seatrial.sampler.inbox import Inbox
from seatrial.sampler.itself import Itself
from seatrial.sampler.messages import Plan, Summary, watched
from seatrial.sampler.pace import Pace, quantiles
from seatrial.sampler.process_tree import Tree
from seatrial.sampler.processes import ProcessTable
from seatrial.sampler.reading_ import Source
from seatrial.sampler.targets import Targets
from seatrial.units import NS_PER_S

if TYPE_CHECKING:
    from seatrial.sampler.docker import Follower

_FLUSH_NS = NS_PER_S // 2
"""Half of the second that a killed sampler may lose, so that a late tick does not break the promise."""


class Sampler:
    """Reads all targets of a plan until its inbox ends."""

    def __init__(self, plan: Plan, inbox: Inbox, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._plan = plan
        self._inbox = inbox
        self._clock = clock
        self._targets = Targets(plan.streams, clock)
        self._table = ProcessTable(Path("/proc"), clock)
        self._follower: Follower | None = None

    def open(self) -> None:
        """Open every target, and begin to listen to Docker if there are containers."""
        events.create(self._plan.events)
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
        pace = Pace(round(NS_PER_S / self._plan.hz), start_ns)
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
            return Host(engine=EngineProcesses(self._table))
        if watch.kind == "sampler":
            return Itself()
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

    def _summary(self, pace: Pace, *, cpu_s: float, wall_s: float, startup_cpu_s: float) -> Summary:
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

"""Measures Python clients from within: all users wait at a gate, run for a while, and wait at the gate again.

The window between consists of whole requests only, without start-up and first connections.
"""

from __future__ import annotations

import resource
import statistics
import time

import gevent
from bench.job import GIVE_UP_S, BenchFailed, Job, Measured, accepts, peak_rss_mib
from gevent.event import Event

_WARM_S = 1.1
"""More than a second: the window then has its usual share of what our client does once a second."""
_TICK_S = 0.005


class Meter:
    """Counts the requests of all users, and stops them at the window's ends."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._users = job.work.connections
        self._begin(most=job.work.most)
        self._ticks_late_s: list[float] = []
        self._failure: BaseException | None = None

    def turn(self) -> None:
        """Count a request; wait if it was the last one for now."""
        self._count += 1
        if self._shut or self._count >= self._most:
            self._arrived += 1
            if self._arrived == self._users:
                self._all_here.set()
            self._gate.wait()

    def measure(self) -> Measured:
        """Warm up, and measure one window; BenchFailed if not every user comes to its end."""
        gevent.sleep(_WARM_S)
        self._stop_all()
        opened = accepts(self._job.status_url)
        gate = self._begin(most=self._job.work.most)
        ticker = gevent.spawn(self._tick) if self._job.work.large else None
        cpu_s = _cpu_s()
        gate.set()
        self._all_here.wait(self._job.seconds)
        self._stop_all()
        cpu_s = _cpu_s() - cpu_s
        if ticker is not None:
            ticker.kill()
        return Measured(
            requests=self._count,
            body_bytes=self._count * self._job.work.body_bytes,
            cpu_s=cpu_s,
            peak_rss_mib=peak_rss_mib("self"),
            new_connections=accepts(self._job.status_url) - opened - 1,
            stall_p99_ms=self._stall_p99_ms(),
        )

    def fail(self, error: BaseException | None) -> None:
        """Give up: a user failed, and will never come to the gate."""
        self._failure = self._failure or error
        self._all_here.set()

    def _begin(self, most: int) -> Event:
        """Reset the counts; return the gate at which users wait now."""
        gate: Event = getattr(self, "_gate", Event())
        self._gate = Event()
        self._all_here = Event()
        self._shut = False
        self._count = self._arrived = 0
        self._most = most
        return gate

    def _stop_all(self) -> None:
        self._shut = True
        here = self._all_here.wait(GIVE_UP_S)
        if self._failure is not None:
            raise BenchFailed(f"a user failed: {self._failure!r}")
        if not here:
            raise BenchFailed(f"{self._users - self._arrived} of {self._users} users never ended their request")

    def _tick(self) -> None:
        """Be another user, which only sleeps 5 ms at a time; record how late each wake is."""
        while True:  # until it is killed at the window's end, which is bounded
            before = time.monotonic()
            try:
                gevent.sleep(_TICK_S)
            finally:  # also where the window's end found it still waiting
                self._ticks_late_s.append(max(time.monotonic() - before - _TICK_S, 0.0))

    def _stall_p99_ms(self) -> float | None:
        if len(self._ticks_late_s) < 2:  # what quantiles needs
            return 1000 * self._ticks_late_s[0] if self._ticks_late_s else None
        return 1000 * statistics.quantiles(self._ticks_late_s, n=100, method="inclusive")[98]


def _cpu_s() -> float:
    """Return the CPU time of this process, its threads, and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)

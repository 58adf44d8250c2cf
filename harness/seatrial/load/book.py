"""What came of the arrivals of one trial, from the load's seconds: all that belongs to it, and nothing else.

The seconds of the load processes don't begin where a trial does. But the gate is open within the trial alone, so
that every arrival between two moments in which nothing was under way belongs to it: the seconds are added up from
one such moment to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from seatrial.load.seconds import Second
from seatrial.units import NS_PER_S
from seatrial.wire import buckets


@dataclass(slots=True, kw_only=True)
class Book:
    """One trial from `begin_ns`, when the gate opens, to `end_ns`, when it shuts.

    `under_way` counts the arrivals that are neither completed nor dropped; those of before when the book is opened
    are `carried`: a stack that hangs can hold on to them for longer than anybody waits. Of those that were due by
    `seen_ns`, the end of the last second with the gate open, `unfinished` were under way then.
    """

    begin_ns: int
    end_ns: int
    carried: int = 0
    under_way: int = field(init=False)
    seconds: list[Second] = field(default_factory=list)
    idle: bool = False
    closed: bool = False
    left: int = 0
    seen_ns: int = 0
    unfinished: int = 0

    def __post_init__(self) -> None:
        self.under_way = self.carried

    def take(self, second: Second) -> None:
        """Take a second in; those that ended before the gate opened can only tell of what was carried.

        A book that is `closed` only reckons what is still under way: that was lost to the trial.
        """
        self.under_way += second.arrivals - second.arrivals_completed - second.arrivals_dropped
        if second.t_ns > self.begin_ns and not self.closed:
            self.seconds.append(second)
            if second.t_ns <= self.end_ns:
                self.seen_ns, self.unfinished = second.t_ns, max(self.under_way, 0)
        self.idle = second.t_least_ns >= self.end_ns and self.under_way <= 0 and not second.in_flight

    def close(self) -> None:
        """Take what is still under way for lost; a later second may tell when it ended."""
        self.closed, self.left = True, max(self.under_way, 0)

    @property
    def arrivals(self) -> int:
        """How many arrivals were due."""
        return sum(second.arrivals for second in self.seconds)

    @property
    def arrivals_seen(self) -> int:
        """How many of them were due by `seen_ns`."""
        return sum(second.arrivals for second in self.seconds if second.t_ns <= self.seen_ns)

    @property
    def completed(self) -> int:
        """How many tasks ended, well or not, before the book was closed."""
        return sum(second.arrivals_completed for second in self.seconds)

    @property
    def took_ns(self) -> int:
        """How long those took together, from the moments at which their arrivals were due."""
        return sum(second.arrivals_took_ns for second in self.seconds)

    @property
    def seen_s(self) -> float:
        """How long after the gate opened `seen_ns` is; 0 where no second ended while it was open."""
        return max(self.seen_ns - self.begin_ns, 0) / NS_PER_S

    @property
    def late(self) -> int:
        """How many of them found no idle user."""
        return sum(second.arrivals_late for second in self.seconds)

    @property
    def lost(self) -> int:
        """How many were dropped, or had not ended when the book was closed."""
        dropped = sum(second.arrivals_dropped for second in self.seconds)
        return dropped + (self.left if self.closed else max(self.under_way, 0))

    @property
    def failures(self) -> Mapping[str, int]:
        """How many requests failed, by endpoint."""
        found: Counter[str] = Counter()
        for second in self.seconds:
            found.update(second.failures)
        return dict(found)

    @property
    def latency(self) -> Mapping[str, Mapping[int, int]]:
        """The successes by endpoint and bucket.

        What began before this trial did is left out: it took longer than the trial has lasted.
        """
        found: dict[str, Counter[int]] = {}
        for second in self.seconds:
            since_ns = second.t_ns - self.begin_ns
            for endpoint, counts in second.by_endpoint.items():
                own = {one: count for one, count in counts.items() if self._own(one, since_ns)}
                found.setdefault(endpoint, Counter()).update(own)
        return {endpoint: dict(counts) for endpoint, counts in found.items()}

    @property
    def flows(self) -> tuple[int, int]:
        """How many flows ended, and how many of them failed."""
        return sum(one.flows for one in self.seconds), sum(one.flows_failed for one in self.seconds)

    @property
    def details(self) -> Mapping[str, Mapping[str, Mapping[int, int]]]:
        """What the flows reported of themselves, by flow, key and bucket."""
        found: dict[str, dict[str, Counter[int]]] = {}
        for second in self.seconds:
            for flow, by_key in second.details.items():
                for key, counts in by_key.items():
                    found.setdefault(flow, {}).setdefault(key, Counter()).update(counts)
        return found

    @property
    def completed_per_s(self) -> float:
        """The rate at which arrivals were completed up to the last second that ended while the gate was open.

        Where none did, over the whole trial.
        """
        within = [second for second in self.seconds if second.t_ns <= self.end_ns]
        until_ns = within[-1].t_ns if within else self.end_ns
        done = sum(second.arrivals_completed for second in within or self.seconds)
        return done * NS_PER_S / (until_ns - self.begin_ns)

    def _own(self, bucket: int, since_ns: int) -> bool:
        return not self.carried or buckets.middle_ns(bucket) <= since_ns

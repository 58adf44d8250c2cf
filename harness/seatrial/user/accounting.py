"""Request accounting: for each request its counts, flow, recorded row, and Locust's statistics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import gevent
from locust import User
from locust.env import Environment
from locust.stats import RequestStats, StatsEntry, bucket_response_time

from seatrial.http.messages import Response
from seatrial.units import NS_PER_S
from seatrial.user.flows import current_flow
from seatrial.user.recorder import Recorder
from seatrial.wire.histogram import bucket, of_detail
from seatrial.wire.streams import (
    MOST_COUNTED_DETAILS,
    MOST_DETAILS,
    NOT_FAILURES,
    NULL,
    Outcome,
    detail_ending,
    detail_numbers,
)

_NS_PER_MS = 1_000_000
_WALL_MINUS_MONOTONIC_NS = time.time_ns() - time.monotonic_ns()
PERIOD_S = 1.0
_LOCUST_LISTENER = "locust.runners"


class RequestFailed(Exception):
    """The exception of a failed request, as Locust's statistics and web UI show it."""


class Statistics:
    """Gathers requests, and feeds them to Locust's statistics once a second.

    Where the `request` event has listeners besides that of Locust's statistics, the event is fired for each
    request instead, and serves both. A duration is from the intended start where there is one, else from the
    start. With `buckets` the durations of successes are counted by bucket, too.
    """

    def __init__(self, environment: Environment, *, buckets: bool = False) -> None:
        events: Any = environment.events
        self._request: Any = events.request
        self._environment = environment
        self._gathered: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        self._buckets = buckets
        self._fired: dict[str, list[int]] = {}
        self._latency: dict[str, Counter[int]] = {}
        self._failures: Counter[str] = Counter()
        events.test_stop.add_listener(lambda **_: self.feed())
        events.quitting.add_listener(lambda **_: self.feed())

    def enter(self, response: Response, context: Any, intended_ns: int = NULL) -> None:  # noqa: ANN401  (Locust's `context` method)
        """Enter a request; `context` is its user's method of that name."""
        begun_ns = response.t_start_ns if intended_ns == NULL else intended_ns
        handlers = self._request._handlers  # noqa: SLF001  (there is no other way to see who listens)
        if len(handlers) != 1 or handlers[0].__module__ != _LOCUST_LISTENER or response.outcome is not Outcome.OK:
            self._fire(response, context, begun_ns)
            return
        key = (response.endpoint, response.method)
        rows = self._gathered.get(key)
        if rows is None:
            rows = self._gathered[key] = []
        rows.append((response.t_end_ns, response.t_end_ns - begun_ns, response.bytes_received))

    def run(self) -> None:
        """Feed Locust's statistics until killed."""
        while True:
            gevent.sleep(PERIOD_S)
            self.feed()

    def feed(self) -> None:
        """Feed the gathered requests to Locust's statistics."""
        gathered, self._gathered = self._gathered, {}
        stats = self._environment.stats
        for (endpoint, method), rows in gathered.items():
            entry = _entry(stats, endpoint, method, rows)
            stats.get(endpoint, method).extend(entry)
            stats.total.extend(entry)
            if self._buckets:
                self._latency.setdefault(endpoint, Counter()).update(bucket(row[1]) for row in rows)

    def note(self, response: Response) -> None:
        """Count a request that reached Locust's statistics by another way; without an end it has no duration."""
        self._failures[response.endpoint] += response.outcome not in NOT_FAILURES
        if self._buckets and response.ok and response.t_end_ns != NULL:
            self._fired.setdefault(response.endpoint, []).append(response.t_end_ns - response.t_start_ns)

    def latency(self) -> dict[str, dict[int, int]]:
        """Return, for each endpoint, the successes by bucket (`wire.histogram`) since the last call."""
        self.feed()
        fired, self._fired = self._fired, {}
        for endpoint, durations_ns in fired.items():
            self._latency.setdefault(endpoint, Counter()).update(map(bucket, durations_ns))
        latency, self._latency = self._latency, {}
        return {endpoint: dict(counts) for endpoint, counts in latency.items()}

    def failures(self) -> dict[str, int]:
        """Return the failed requests since the last call, of each endpoint that has any."""
        failures, self._failures = self._failures, Counter()
        return {endpoint: count for endpoint, count in failures.items() if count}

    def _fire(self, response: Response, context: Any, begun_ns: int) -> None:  # noqa: ANN401  (as in enter)
        failed = response.outcome not in NOT_FAILURES
        end_ns = response.t_end_ns
        if response.outcome is Outcome.ABORTED and response.t_first_byte_ns != NULL:
            end_ns = response.t_first_byte_ns  # when it was left is the user's doing, not the server's
        self._failures[response.endpoint] += failed
        if self._buckets and response.ok:
            self._fired.setdefault(response.endpoint, []).append(response.t_end_ns - begun_ns)
        self._request.fire(
            request_type=response.method,
            name=response.endpoint,
            response_time=(end_ns - begun_ns) / _NS_PER_MS,
            response_length=response.bytes_received,
            exception=RequestFailed(f"{response.outcome}: {response.reason}") if failed else None,
            context=context(),
            start_time=(begun_ns + _WALL_MINUS_MONOTONIC_NS) / NS_PER_S,
            response=response,
        )


def _entry(stats: RequestStats, endpoint: str, method: str, rows: list[tuple[int, int, int]]) -> Any:  # noqa: ANN401  (Locust declares times as int, and holds floats)
    """Return Locust's statistics of these requests alone (end, duration, bytes received)."""
    entry: Any = StatsEntry(stats, endpoint, method)
    durations_ns = [duration_ns for _, duration_ns, _ in rows]
    seconds = Counter([(end_ns + _WALL_MINUS_MONOTONIC_NS) // NS_PER_S for end_ns, _, _ in rows])
    entry.num_requests = len(rows)
    entry.num_reqs_per_sec.update(seconds)
    entry.total_response_time = sum(durations_ns) / _NS_PER_MS
    entry.min_response_time = min(durations_ns) / _NS_PER_MS
    entry.max_response_time = max(durations_ns) / _NS_PER_MS
    entry.total_content_length = sum(size for _, _, size in rows)
    entry.last_request_timestamp = (max(row[0] for row in rows) + _WALL_MINUS_MONOTONIC_NS) / NS_PER_S
    for tenths, count in Counter([duration_ns // 100_000 for duration_ns in durations_ns]).items():
        entry.response_times[bucket_response_time(tenths / 10)] += count
    return entry


@dataclass(slots=True)
class RequestCounts:
    """Requests of one process: in flight now, and counts since the last `take`."""

    in_flight: int = 0
    offered: int = 0
    completed: int = 0
    failed: int = 0

    def take(self) -> dict[str, int]:
        """Return the counts, and begin the next second."""
        counts = asdict(self)
        self.offered = self.completed = self.failed = 0
        return counts


class DetailCounts:
    """Counts the numbers in flows' details by bucket.

    The first MOST_DETAILS keys are kept, and MOST_COUNTED_DETAILS pairs of flow and key.
    """

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._known: set[tuple[str, str]] = set()
        self._counts: dict[str, dict[str, Counter[int]]] = {}

    def add(self, flow: str, detail: Mapping[str, object]) -> None:
        """Count the details of one flow."""
        for key, value in detail_numbers(detail).items():
            if (flow, key) not in self._known:
                full = len(self._known) >= MOST_COUNTED_DETAILS
                if full or (key not in self._keys and len(self._keys) >= MOST_DETAILS):
                    continue
                self._keys.add(key)
                self._known.add((flow, key))
            number = of_detail(detail_ending(key) or "", value)
            self._counts.setdefault(flow, {}).setdefault(key, Counter())[number] += 1

    def take(self) -> dict[str, dict[str, Counter[int]]]:
        """Return the counts since the last call: by flow, key and bucket."""
        counts, self._counts = self._counts, {}
        return counts


@dataclass(slots=True, eq=False)
class RequestAccounting:
    """Accounts for the requests of one user; the first request of a task takes the due time of its arrival."""

    user: User
    number: int
    counts: RequestCounts
    recorder: Recorder | None
    statistics: Statistics
    _due_ns: int | None = field(default=None, init=False)
    _first_due_ns: int | None = field(default=None, init=False)
    _first_by_ns: int = field(default=0, init=False)

    def intend(self, due_ns: int | None) -> None:
        """Set the moment for which the next request was intended; None for no moment."""
        self._due_ns = due_ns
        self._first_due_ns = None

    def begun(self) -> None:
        """Count a request that is on its way."""
        self.counts.in_flight += 1
        self.counts.offered += 1
        if self._due_ns is not None:
            self._first_due_ns, self._due_ns = self._due_ns, None
            self._first_by_ns = time.monotonic_ns()

    def ended(self, response: Response) -> None:
        """Count, record and enter a request that has ended."""
        counts = self.counts
        counts.in_flight -= 1
        counts.completed += 1
        counts.failed += response.outcome not in NOT_FAILURES
        flow = current_flow.get()
        if flow is not None:
            flow.ended(response)
        due_ns = NULL if self._first_due_ns is None else self._intended_ns(response)
        if self.recorder is not None:
            self.recorder.request(response, NULL if flow is None else flow.flow_id, self.number, due_ns)
        if response.outcome is not Outcome.CUT:  # Locust does not count requests cut at the end of a test
            self.statistics.enter(response, self.user.context, due_ns)

    def _intended_ns(self, response: Response) -> int:
        """Return the arrival's moment if this is the task's first request, which others may have overtaken."""
        due_ns = self._first_due_ns
        if due_ns is None or response.t_start_ns > self._first_by_ns:
            return NULL
        self._first_due_ns = None
        return due_ns

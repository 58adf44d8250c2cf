"""Locust's own statistics, fed once a second: one request at a time they cost as much as sending it."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import gevent
from locust.env import Environment
from locust.stats import RequestStats, StatsEntry, bucket_response_time

from seatrial.http.response import Response
from seatrial.units import NS_PER_S
from seatrial.wire.histogram import bucket
from seatrial.wire.streams import NULL
from seatrial.wire.tables import NOT_FAILURES, Outcome

_NS_PER_MS = 1_000_000
_WALL_MINUS_MONOTONIC_NS = time.time_ns() - time.monotonic_ns()
PERIOD_S = 1.0
_LOCUSTS_OWN = "locust.runners"


class RequestFailed(Exception):
    """What Locust's statistics and web UI show of a failed request."""


class Statistics:
    """Gathers requests for Locust's statistics; somebody else's listener is told of each at once.

    Where the `request` event has listeners besides that of Locust's statistics, the event is fired for each
    request, and serves both. A duration is from the intended start where there is one, else from the start. With
    `buckets` those of successes are kept by bucket, and failures are counted, too.
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
        events.test_stop.add_listener(self._on_end)
        events.quitting.add_listener(self._on_end)

    def enter(self, response: Response, context: Any, intended_ns: int = NULL) -> None:  # noqa: ANN401  (Locust's `context` method)
        """Take note of a request; `context` is its user's method of that name."""
        begun_ns = response.t_start_ns if intended_ns == NULL else intended_ns
        handlers = self._request._handlers  # noqa: SLF001  (there is no other way to see who listens)
        if len(handlers) != 1 or handlers[0].__module__ != _LOCUSTS_OWN or response.outcome is not Outcome.OK:
            self._fire(response, context, begun_ns)
            return
        key = (response.endpoint, response.method)
        rows = self._gathered.get(key)
        if rows is None:
            rows = self._gathered[key] = []
        rows.append((response.t_end_ns, response.t_end_ns - begun_ns, response.bytes_received))

    def run(self) -> None:
        """Feed Locust until killed."""
        while True:
            gevent.sleep(PERIOD_S)
            self.feed()

    def feed(self) -> None:
        """Give Locust what was gathered."""
        gathered, self._gathered = self._gathered, {}
        stats = self._environment.stats
        for (endpoint, method), rows in gathered.items():
            entry = _entry(stats, endpoint, method, rows)
            stats.get(endpoint, method).extend(entry)
            stats.total.extend(entry)
            if self._buckets:
                self._count(endpoint, [duration_ns for _, duration_ns, _ in rows])

    def note(self, response: Response) -> None:
        """Keep the duration of a request that Locust itself was told of; unknown if its end is."""
        self._failures[response.endpoint] += response.outcome not in NOT_FAILURES
        if self._buckets and response.ok and response.t_end_ns != NULL:
            self._fired.setdefault(response.endpoint, []).append(response.t_end_ns - response.t_start_ns)

    def latency(self) -> dict[str, dict[int, int]]:
        """Return, for each endpoint, the successes by bucket (`wire.buckets`) since the last call."""
        self.feed()
        fired, self._fired = self._fired, {}
        for endpoint, durations_ns in fired.items():
            self._count(endpoint, durations_ns)
        latency, self._latency = self._latency, {}
        return {endpoint: dict(counts) for endpoint, counts in latency.items()}

    def failures(self) -> dict[str, int]:
        """Return how many requests of each endpoint have failed since the last call, without those of none."""
        failures, self._failures = self._failures, Counter()
        return {endpoint: count for endpoint, count in failures.items() if count}

    def _count(self, endpoint: str, durations_ns: list[int]) -> None:
        self._latency.setdefault(endpoint, Counter()).update(map(bucket, durations_ns))

    def _fire(self, response: Response, context: Any, begun_ns: int) -> None:  # noqa: ANN401  (as in enter)
        self._failures[response.endpoint] += response.outcome not in NOT_FAILURES
        if self._buckets and response.ok:
            self._fired.setdefault(response.endpoint, []).append(response.t_end_ns - begun_ns)
        self._request.fire(
            request_type=response.method,
            name=response.endpoint,
            response_time=(response.t_end_ns - begun_ns) / _NS_PER_MS,
            response_length=response.bytes_received,
            exception=None if response.ok else RequestFailed(f"{response.outcome}: {response.reason}"),
            context=context(),
            start_time=(begun_ns + _WALL_MINUS_MONOTONIC_NS) / NS_PER_S,
            response=response,
        )

    def _on_end(self, **_: object) -> None:
        self.feed()


def _entry(stats: RequestStats, endpoint: str, method: str, rows: list[tuple[int, int, int]]) -> Any:  # noqa: ANN401  (Locust declares times as int, and holds floats)
    """Return what Locust's statistics would say of these requests alone (end, duration, bytes received)."""
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

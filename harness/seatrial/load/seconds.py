"""A second of the whole load: what its processes counted, summed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from seatrial.load.channel import Message
from seatrial.units import NS_PER_S
from seatrial.wire import buckets

_HEALTH = ("cpu_fraction", "loop_lag_p50_ns", "loop_lag_p99_ns", "slip_p99_ns")
_SUMMED = (
    "users offered completed failed flows flows_failed "
    "arrivals arrivals_completed arrivals_late arrivals_dropped arrivals_took_ns"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """Counts of one second over all processes, the last of which told them at `t_ns`, the first at `t_least_ns`.

    `latency` has the successes of all endpoints by bucket, `by_endpoint` those of each; `failures` counts those
    that failed; `details` has the numbers that flows reported, by flow, key and bucket. `arrivals_took_ns` sums,
    over the arrivals that were completed, the time from their moments to their ends. `in_flight` is None where
    nobody can tell, as of requests that Locust's own events tell of. `cpu_fraction` is that of the busiest
    process, lags and slip (p99) are those of the latest; None where no process could tell.
    """

    t_ns: int
    t_least_ns: int = 0
    users: int = 0
    in_flight: int | None = None
    offered: int = 0
    completed: int = 0
    failed: int = 0
    flows: int = 0
    flows_failed: int = 0
    arrivals: int = 0
    arrivals_completed: int = 0
    arrivals_late: int = 0
    arrivals_dropped: int = 0
    arrivals_took_ns: int = 0
    latency: Mapping[int, int] = field(default_factory=dict)
    by_endpoint: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Mapping[int, int]]] = field(default_factory=dict)
    cpu_fraction: float | None = None
    loop_lag_p50_ns: int | None = None
    loop_lag_p99_ns: int | None = None
    slip_p99_ns: int | None = None

    def text(self) -> str:
        """Return the counts in words, for a line that is replaced each second."""
        p95_ns = buckets.percentile_ns(self.latency, 95)
        by_flows = self.flows and not self.completed
        parts = [f"{self.flows} flows/s" if by_flows else f"{self.completed} requests/s"]
        if p95_ns is not None:
            parts.append(f"p95 {milliseconds(p95_ns)}")
        parts.append(f"{self.flows_failed if by_flows else self.failed} failed")
        parts += [f"{self.in_flight} in flight"] if self.in_flight is not None and not by_flows else []
        late, dropped = self.arrivals_late, self.arrivals_dropped
        parts += [f"{late} late"] if late else []
        parts += [f"{dropped} dropped"] if dropped else []
        return ", ".join(parts)


def milliseconds(value_ns: int) -> str:
    """Return a latency in words, as exact as a bucket is."""
    value_ms = value_ns * 1000 / NS_PER_S
    return f"{value_ms:.{0 if value_ms >= 100 else 1 if value_ms >= 10 else 2}f} ms"  # noqa: PLR2004  (three digits)


class Gathering:
    """Puts together what several workers say of about the same second; their clocks tick at different moments."""

    def __init__(self) -> None:
        self._held: dict[int, Message] = {}

    def take(self, connection: int, message: Message, living: Collection[int]) -> Second | None:
        """Take one worker's second; return the sum once every living worker has told, or one tells again."""
        if connection in self._held:
            done = _sum(self._held.values())
            self._held = {connection: message}
            return done
        self._held[connection] = message
        if set(living) <= self._held.keys():
            done = _sum(self._held.values())
            self._held = {}
            return done
        return None


def _sum(messages: Iterable[Message]) -> Second:
    latency: Counter[int] = Counter()
    by_endpoint: dict[str, Counter[int]] = {}
    failures: Counter[str] = Counter()
    told = list(messages)
    for message in told:
        failures.update(message.get("failures") or {})
        for endpoint, found in (message.get("latency") or {}).items():
            numbers = {int(number): count for number, count in found.items()}
            latency.update(numbers)
            by_endpoint.setdefault(endpoint, Counter()).update(numbers)
    stamps = [message.get("t_ns", 0) for message in told]
    counts = {name: sum(message.get(name) or 0 for message in told) for name in _SUMMED}
    flying = [message["in_flight"] for message in told if message.get("in_flight") is not None]
    return Second(
        t_ns=max(stamps),
        in_flight=sum(flying) if flying else None,
        t_least_ns=min(stamps),
        latency=dict(latency),
        by_endpoint={endpoint: dict(found) for endpoint, found in by_endpoint.items()},
        failures=dict(failures),
        details=_details(told),
        **counts,
        **{name: _most(told, name) for name in _HEALTH},
    )


def _details(messages: Iterable[Message]) -> dict[str, dict[str, Counter[int]]]:
    found: dict[str, dict[str, Counter[int]]] = {}
    for message in messages:
        for flow, by_key in (message.get("details") or {}).items():
            for key, counts in by_key.items():
                own = found.setdefault(flow, {}).setdefault(key, Counter())
                own.update({int(number): count for number, count in counts.items()})
    return found


def _most(messages: Iterable[Message], name: str) -> Any:  # noqa: ANN401  (a share, or nanoseconds)
    told = [message[name] for message in messages if message.get(name) is not None]
    return max(told, default=None)

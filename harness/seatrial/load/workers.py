"""Sums what the load processes report each second to a second of the whole load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from seatrial.load.channel import Message
from seatrial.model import LoadSecond

_WORST = ("cpu_fraction", "loop_lag_p50_ns", "loop_lag_p99_ns", "slip_p99_ns")
_SUMMED = (
    "users offered completed failed flows flows_failed "
    "arrivals arrivals_completed arrivals_late arrivals_dropped arrivals_took_ns"
).split()


class SecondAggregator:
    """Holds the reports of about the same second; the clocks of the processes tick at different moments."""

    def __init__(self) -> None:
        self._reports: dict[int, Message] = {}

    def take(self, connection: int, report: Message, living: Collection[int]) -> LoadSecond | None:
        """Take one process's report; return the sum once all that live have reported, or one does again."""
        again = connection in self._reports
        if not again:
            self._reports[connection] = report
            if not set(living) <= self._reports.keys():
                return None
        second = _summed(list(self._reports.values()))
        self._reports = {connection: report} if again else {}
        return second


def _summed(reports: Sequence[Message]) -> LoadSecond:
    latency: Counter[int] = Counter()
    by_endpoint: dict[str, Counter[int]] = {}
    failures: Counter[str] = Counter()
    details: dict[str, dict[str, Counter[int]]] = {}
    for report in reports:
        failures.update(report.get("failures") or {})
        for flow, by_key in (report.get("details") or {}).items():
            for key, counts in by_key.items():
                values = details.setdefault(flow, {}).setdefault(key, Counter())
                values.update({int(bucket): count for bucket, count in counts.items()})
        for endpoint, counts in (report.get("latency") or {}).items():
            numbers = {int(bucket): count for bucket, count in counts.items()}
            latency.update(numbers)
            by_endpoint.setdefault(endpoint, Counter()).update(numbers)
    stamps = [report.get("t_ns", 0) for report in reports]
    in_flight = [report["in_flight"] for report in reports if report.get("in_flight") is not None]
    worst: dict[str, Any] = {
        name: max((report[name] for report in reports if report.get(name) is not None), default=None)
        for name in _WORST
    }
    return LoadSecond(
        t_ns=max(stamps),
        t_least_ns=min(stamps),
        in_flight=sum(in_flight) if in_flight else None,
        latency=dict(latency),
        by_endpoint={endpoint: dict(counts) for endpoint, counts in by_endpoint.items()},
        failures=dict(failures),
        details=details,
        **{name: sum(report.get(name) or 0 for report in reports) for name in _SUMMED},
        **worst,
    )

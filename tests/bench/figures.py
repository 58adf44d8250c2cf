"""From windows to rows: medians over the rounds, and ratios within a round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TypedDict

from bench.job import Measured
from bench.works import WORKS, Work

GIB = 1 << 30
Round = Mapping[tuple[str, str], Measured]
"""The windows of one round, by work and client."""


class Row(TypedDict):
    """One client at one work.

    `min`, `median`, `max` and `ratio_to_bare` are of CPU time a GiB where the bodies are large, else of CPU time a
    request. Memory and new connections are the most of all rounds, the rest are medians; None: not measured.
    """

    work: str
    client: str
    cpu_us_per_request: float
    cpu_s_per_gib: float | None
    peak_rss_mib: float
    stall_p99_ms: float | None
    new_connections: int
    min: float
    median: float
    max: float
    ratio_to_bare: float | None


def rows(rounds: Sequence[Round]) -> list[Row]:
    """Return a row for each work and client, in the order of the first round's works."""
    asked = sorted(rounds[0], key=lambda pair: list(WORKS).index(pair[0]))
    return [_row(work, client, rounds) for work, client in asked]


def cost(work: Work, measured: Measured) -> float:
    """Return CPU seconds a GiB, or microseconds a request, as the work is told."""
    if work.large:
        return measured.cpu_s * GIB / measured.body_bytes
    return measured.cpu_s * 1e6 / measured.requests


def _row(work: str, client: str, rounds: Sequence[Round]) -> Row:
    seen = [each[work, client] for each in rounds]
    costs = [cost(WORKS[work], one) for one in seen]
    stalls = [one.stall_p99_ms for one in seen if one.stall_p99_ms is not None]
    middle = statistics.median(costs)
    return Row(
        work=work,
        client=client,
        cpu_us_per_request=statistics.median(one.cpu_s * 1e6 / one.requests for one in seen),
        cpu_s_per_gib=middle if WORKS[work].large else None,
        peak_rss_mib=max(one.peak_rss_mib for one in seen),
        stall_p99_ms=statistics.median(stalls) if stalls else None,
        new_connections=max(one.new_connections for one in seen),
        min=min(costs),
        median=middle,
        max=max(costs),
        ratio_to_bare=ratio(rounds, (work, client), (work, "bare")),
    )


def ratio(rounds: Sequence[Round], one: tuple[str, str], other: tuple[str, str]) -> float | None:
    """Return the median over the rounds of one's cost over the other's; None if one of them was not measured."""
    if one not in rounds[0] or other not in rounds[0]:
        return None
    return statistics.median(
        cost(WORKS[one[0]], each[one]) / cost(WORKS[other[0]], each[other]) for each in rounds
    )

"""Rows of figures from windows: medians over the rounds, and ratios within a round."""

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
    pairs = sorted(rounds[0], key=lambda pair: list(WORKS).index(pair[0]))
    return [_row(work, client, rounds) for work, client in pairs]


def cost(work: Work, measured: Measured) -> float:
    """Return CPU seconds a GiB, or microseconds a request, by the unit of the work."""
    if work.large:
        return measured.cpu_s * GIB / measured.body_bytes
    return measured.cpu_s * 1e6 / measured.requests


def _row(work: str, client: str, rounds: Sequence[Round]) -> Row:
    windows = [each[work, client] for each in rounds]
    costs = [cost(WORKS[work], one) for one in windows]
    stalls = [one.stall_p99_ms for one in windows if one.stall_p99_ms is not None]
    middle = statistics.median(costs)
    return Row(
        work=work,
        client=client,
        cpu_us_per_request=statistics.median(one.cpu_s * 1e6 / one.requests for one in windows),
        cpu_s_per_gib=middle if WORKS[work].large else None,
        peak_rss_mib=max(one.peak_rss_mib for one in windows),
        stall_p99_ms=statistics.median(stalls) if stalls else None,
        new_connections=max(one.new_connections for one in windows),
        min=min(costs),
        median=middle,
        max=max(costs),
        ratio_to_bare=ratio(rounds, (work, client), (work, "bare")),
    )


def ratio(rounds: Sequence[Round], pair: tuple[str, str], base: tuple[str, str]) -> float | None:
    """Return the median over the rounds of a pair's cost over that of `base`; None if one was not measured."""
    if pair not in rounds[0] or base not in rounds[0]:
        return None
    return statistics.median(
        cost(WORKS[pair[0]], each[pair]) / cost(WORKS[base[0]], each[base]) for each in rounds
    )

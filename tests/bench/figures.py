"""Figures from windows, the limits that they have to keep, and both as tables and as a page."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TypedDict

from bench.job import WORKS, Measured, Work
from rich.box import SIMPLE_HEAD
from rich.table import Table

GIB = 1 << 30
_US = "seatrial"
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


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit, and the measured value; None: the run did not measure it."""

    text: str
    limit: float
    value: float | None

    @property
    def word(self) -> str:
        """`kept`, `missed` or `not measured`."""
        if self.value is None:
            return "not measured"
        return "kept" if self.value <= self.limit else "missed"


def goals(rounds: Sequence[Round], rows: Sequence[Row]) -> list[Goal]:
    """Return every goal with its value in these rounds."""
    rows_of_client = {row["work"]: row for row in rows if row["client"] == _US}

    def own(work: str, figure: Callable[[Row], float | None]) -> float | None:
        return figure(rows_of_client[work]) if work in rows_of_client else None

    def against(work: str, peer: str) -> float | None:
        return ratio(rounds, (work, _US), (work, peer))

    return [
        Goal("a small request, over a bare gevent socket's", 2.0, against("small", "bare")),
        Goal("a small request, over hey's", 1.0, against("small", "hey")),
        Goal("a small request, over k6's", 0.5, against("small", "k6")),
        Goal("bodies drained, CPU-s/GiB", 0.25, own("drain", lambda row: row["cpu_s_per_gib"])),
        Goal("bodies read, CPU-s/GiB", 0.40, own("read", lambda row: row["cpu_s_per_gib"])),
        Goal("streams read, over a bare gevent socket's", 1.25, against("stream", "bare")),
        Goal("bodies hashed, over read plus the hash alone", 1.15, _over_read_and_hash(rows)),
        Goal("bodies hashed, stall of another user p99, ms", 10.0, own("sha256", lambda row: row["stall_p99_ms"])),
        Goal("bodies over TLS, over curl's", 1.2, against("tls", "curl")),
        Goal("peak of memory with large bodies, MiB", 60.0, _most_memory(rows)),
        Goal(
            "new connections among 1,500 kept ones", 0, own("1500 connections", lambda row: row["new_connections"])
        ),
    ]


def _over_read_and_hash(rows: Sequence[Row]) -> float | None:
    costs = {(row["work"], row["client"]): row["median"] for row in rows}
    hashed, read, alone = (costs.get(pair) for pair in (("sha256", _US), ("read", _US), ("sha256", "hashlib")))
    if hashed is None or read is None or alone is None:
        return None
    return hashed / (read + alone)


def _most_memory(rows: Sequence[Row]) -> float | None:
    peaks = [row["peak_rss_mib"] for row in rows if row["client"] == _US and row["cpu_s_per_gib"]]
    return max(peaks, default=None)


_WHAT = {
    "small": "1 KiB, 10 kept connections",
    "new connection": "1 KiB, 10 at once, a new connection for each request",
    "1500 connections": "1 KiB, 1,500 kept connections",
    "drain": "64 MiB thrown away, 4 connections",
    "read": "64 MiB through the client's buffer, 4 connections",
    "stream": "64 MiB in reads of 64 KiB that the client's program asks for, 4 connections",
    "sha256": "64 MiB hashed, 4 connections",
    "tls": "64 MiB over TLS 1.3 (AES-128-GCM), thrown away, 4 connections",
    "tls sha256": "64 MiB over TLS 1.3 (AES-128-GCM), hashed, 4 connections",
}
_INTRODUCTION = """# Performance

The costs of the client and of others, measured in one run: each on one core, against an nginx process on {server}.
`make bench` repeats the measurement on your machine, prints these tables, and writes this page and
`results/bench/latest.json`.

{facts}

Rounds: {rounds}, of {seconds:g} s for each cell, shuffled in each round. The cost is the CPU time (user
and system) of the client's process, its threads and children, without its start-up: median, least and most of the
rounds. *Ratio* is the median over the rounds of its cost over that of `bare` in the same round. *RSS* is the peak
of resident memory. *Stall* is by how much a second user, who only wants to come back after 5 ms, comes back too
late (p99). *Opened* are new connections within the window, beyond the ones it began with (the most of all rounds).

- `seatrial`: our client in a Locust user, every request recorded, Locust's statistics on.
- `bare`: a gevent socket without Locust, without HTTP but for the response's length. Its `drain` lets the kernel
  discard the bytes (`MSG_TRUNC`); its hash is computed in place, so that all others wait for it.
- `fasthttp`, `httpuser`: Locust's `FastHttpUser` and `HttpUser`; `.get()` where the body is thrown away, else
  `stream=True` and `iter_content` of 64 KiB.
- At `stream` the program that uses our client reads by `client.stream`, as a player does; `bare` reads into 64 KiB
  there, else into 256 KiB.
- `hey`, `wrk`, `curl` (`--parallel`), `k6` (`discardResponseBodies`): the programs, where they are installed. They
  read what they throw away, so that they stand at `read` and not at `drain`. wrk tries the server once by itself
  before it begins: one new connection. hey keeps at most 500 connections.
- `hashlib`: SHA-256 of a GiB alone, without any network.
"""


_GOAL_HEAD = ("goal", "at most", "seen", "")


def tables(rows: Sequence[Row], goals: Sequence[Goal]) -> list[Table]:
    """Return a table for each work, and one of the goals."""
    works = [_table(f"{work}: {title}", _head(work), body) for work, title, body in _sections(rows)]
    return [*works, _table("goals", _GOAL_HEAD, _goal_cells(goals))]


def page(
    rows: Sequence[Row], goals: Sequence[Goal], facts: Mapping[str, str], *, rounds: int, seconds: float
) -> str:
    """Return the document."""
    server = "the same core" if facts["Cores"] == "1" else "another"
    lines = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())])
    parts = [_INTRODUCTION.format(facts=lines, rounds=rounds, seconds=seconds, server=server)]
    parts += [
        f"## `{work}`\n\n{title}\n\n{_markdown(_head(work), body)}\n" for work, title, body in _sections(rows)
    ]
    parts.append(f"## Goals\n\n{_markdown(_GOAL_HEAD, _goal_cells(goals))}\n")
    return "\n".join(parts)


def _goal_cells(goals: Sequence[Goal]) -> list[list[str]]:
    return [[goal.text, f"{goal.limit:g}", _number(goal.value), goal.word] for goal in goals]


def _sections(rows: Sequence[Row]) -> list[tuple[str, str, list[list[str]]]]:
    grouped = groupby(rows, key=lambda row: row["work"])
    cheapest: Callable[[Row], float] = itemgetter("median")
    return [(work, _WHAT[work], [_cells(row) for row in sorted(own, key=cheapest)]) for work, own in grouped]


def _head(work: str) -> tuple[str, ...]:
    cost = "CPU-s/GiB" if WORKS[work].large else "CPU µs a request"
    return ("client", cost, "least", "most", "ratio", "RSS MiB", "stall p99 ms", "opened")


def _cells(row: Row) -> list[str]:
    costs = [_number(value) for value in (row["median"], row["min"], row["max"], row["ratio_to_bare"])]
    stall, opened = _number(row["stall_p99_ms"]), f"{row['new_connections']:,}"
    return [row["client"], *costs, f"{row['peak_rss_mib']:.0f}", stall, opened]


def _number(value: float | None) -> str:
    """Return three significant digits; a dash for a value that was not measured."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for at, name in enumerate(head):
        table.add_column(name, justify="right" if at else "left")
    for cells in body:
        table.add_row(*cells)
    return table


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *body))

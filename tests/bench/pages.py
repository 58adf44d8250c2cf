"""The figures as tables for the terminal, and as the page of the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from bench.figures import Row
from bench.goals import Goal
from bench.works import WORKS
from rich.box import SIMPLE_HEAD
from rich.table import Table

_WHAT = {
    "small": "1 KiB, 10 kept connections",
    "new connection": "1 KiB, 10 at once, a new connection for each request",
    "1500 connections": "1 KiB, 1,500 kept connections",
    "drain": "64 MiB thrown away, 4 connections",
    "read": "64 MiB through the client's buffer, 4 connections",
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
- `hey`, `wrk`, `curl` (`--parallel`), `k6` (`discardResponseBodies`): the programs, where they are installed. They
  read what they throw away, so that they stand at `read` and not at `drain`. wrk tries the server once by itself
  before it begins: one new connection. hey keeps at most 500 connections.
- `hashlib`: SHA-256 of a GiB alone, without any network.
"""


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


_GOAL_HEAD = ("goal", "at most", "seen", "")


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

"""The tables of the text report: which columns, in which order, and what gives way on a narrow terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from rich.box import Box
from rich.table import Table
from rich.text import Text

from seatrial.judge.budgets import Judged
from seatrial.judge.latency import Traffic
from seatrial.judge.measured import FlowDetail
from seatrial.report import numbers
from seatrial.report.contents import Placed
from seatrial.wire.tables import NOT_FAILURES

WIDE = 100
"""The width, in characters, from which every column is shown."""

_RULED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A line of dashes under the head and nothing else: the same on a terminal, in a log and in a mail."""

_MEMORY = (
    ("unreclaimable_bytes", "unrecl.", False),
    ("anon_bytes", "anon", False),
    ("kernel_bytes", "kernel", False),
    ("shmem_bytes", "shmem", False),
    ("sock_bytes", "sock", False),
    ("file_dirty_bytes", "dirty", False),
    ("file_clean_bytes", "clean", False),
    ("swap_bytes", "swap", False),
    ("usage_bytes", "usage", True),
    ("working_set_bytes", "work.set", True),
)
"""Class, its head, and whether it is left out on a narrow terminal."""

_MOMENTS = ("start", "median", "peak", "end")


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    cells: Sequence[str]
    left: bool = False


class Spans(Enum):
    """Which durations a run can tell: those of its model, or none."""

    CLOSED = "closed"
    OPEN = "open"
    SATURATED = "saturated"


def endpoints(total: Traffic, rows: Sequence[Traffic], spans: Spans, width: int) -> Table:
    """Return one row for each endpoint, and one for all; a narrow one leaves failures to the table of outcomes.

    In the open model the service time takes the place of the first byte.
    """
    shown = [*rows, total] if len(rows) > 1 else list(rows)
    counts = [column for column in _counts("endpoint", shown) if width >= WIDE or column.head != "failed"]
    first_byte = _Column("first byte", [numbers.duration(row.first_byte_ns.p50) for row in shown])
    last = [first_byte] if spans is Spans.CLOSED else []
    return _table([*counts, *_spans(shown, spans), *last, *_rates(shown, width)])


def flows(rows: Sequence[Traffic], spans: Spans, width: int) -> Table:
    """Return one row for each kind of flow; without their requests where there are none, or no room for them."""
    asked = _Column("requests", [numbers.count(row.requests) for row in rows])
    wide = width >= WIDE or spans is not Spans.OPEN
    last = [asked] if wide and any(row.requests for row in rows) else []
    return _table([*_counts("flow", rows), *_spans(rows, spans), *last, *_rates(rows, width)])


def flow_details(details: Sequence[FlowDetail]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return heads and rows of what the flows reported of themselves; the first two columns hold words."""
    heads = ("flow", "detail", "count", "mean", "p50", "p95", "max")
    return heads, [
        (
            one.flow,
            one.key,
            numbers.count(one.count),
            *(numbers.measured(value, one.unit) for value in (one.mean, one.p50, one.p95, one.max)),
        )
        for one in details
    ]


def details(found: Sequence[FlowDetail]) -> Table:
    """Return one row for each detail of each kind of flow."""
    heads, rows = flow_details(found)
    table = headed([(head, column < 2) for column, head in enumerate(heads)])  # noqa: PLR2004  (flow and detail)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def failures(rows: Sequence[Traffic]) -> Table:
    """Return one row for each endpoint or flow that did not always end well, with how often it ended how."""
    bad = [row for row in rows if any(outcome != "ok" for outcome in row.outcomes)]
    names = [*dict.fromkeys(outcome for row in bad for outcome in row.outcomes if outcome != "ok")]
    heads = [f"{name}*" if name in NOT_FAILURES else name for name in names]
    cells = [[numbers.count(row.outcomes.get(name, 0)) for row in bad] for name in names]
    return _table(
        [
            _Column("ended otherwise than ok", [row.name for row in bad], left=True),
            *(_Column(head, column) for head, column in zip(heads, cells, strict=True)),
        ]
    )


def memory(services: Sequence[Placed], width: int) -> Table:
    """Return four rows for each service: start, median, peak and end of each memory class, in MiB."""
    left_out = {name for name, _, only_wide in _MEMORY if only_wide and width < WIDE}
    if not any(placed.use.memory["swap_bytes"].peak for placed in services):
        left_out.add("swap_bytes")
    shown = [(name, head) for name, head, _ in _MEMORY if name not in left_out]
    table = headed([("service", True), ("MiB", True), *((head, False) for _, head in shown)])
    for placed in services:
        for moment in _MOMENTS:
            cells = [numbers.mebibytes(getattr(placed.use.memory[name], moment)) for name, _ in shown]
            first = moment == _MOMENTS[0]
            table.add_row(
                Text(_named(placed) if first else ""),
                moment,
                *cells,
                style="bold" if moment == "peak" else None,
            )
    return table


def work(services: Sequence[Placed], width: int) -> tuple[Table, str]:
    """Return one row for each service: CPU, what held it up, how it was watched; and words for what is empty."""
    used = [placed.use for placed in services]
    trouble = [
        _Column("throttled", [numbers.duration(use.gained["throttled_ns"]) for use in used]),
        _Column("CPU stall", [numbers.duration(use.gained["cpu_stall_ns"]) for use in used]),
        _Column("mem. stall", [numbers.duration(use.gained["memory_stall_ns"]) for use in used]),
        _Column("I/O stall", [numbers.duration(use.gained["io_stall_ns"]) for use in used]),
        _Column("limit hits", [numbers.count(use.gained["limit_hits"]) for use in used]),
        _Column("OOM", [numbers.count(use.gained["oom_kills"]) for use in used]),
    ]
    empty = [column.head for column in trouble if set(column.cells) <= {"0", numbers.UNKNOWN}]
    columns = [
        _Column("service", [use.service for use in used], left=True),
        _Column("cores", [numbers.cores(use.cpu_cores) for use in used]),
        _Column("CPU/flow", [numbers.duration(use.cpu_per_flow_ns) for use in used])
        if any(use.cpu_per_flow_ns is not None for use in used)
        else _Column("CPU/request", [numbers.duration(use.cpu_per_request_ns) for use in used]),
        *(column for column in trouble if column.head not in empty),
        _Column("samples/s", [numbers.rate(use.samples_per_s) for use in used]),
    ]
    if width >= WIDE:
        columns.append(_Column("gap p99", [numbers.duration(use.period_ns.p99) for use in used]))
    return _table(columns), f"0 or not told for every service: {', '.join(empty)}" if empty else ""


def listed(rows: Sequence[Mapping[str, object]]) -> Table:
    """Return rows of named values as they are, numbers to the right."""
    heads = list(rows[0]) if rows else []
    words = {head for head in heads if any(isinstance(row[head], str) for row in rows)}
    table = headed([(head, head in words) for head in heads])
    for row in rows:
        table.add_row(*(Text(_as_word(row[head])) for head in heads))
    return table


def budgets(judged: Sequence[Judged]) -> Table:
    """Return one row for each budget: the word, and what was measured with its interval."""
    return _table(
        [
            _Column("verdict", [str(one.word).upper() for one in judged], left=True),
            _Column("budget", [one.budget.text for one in judged], left=True),
            _Column("measured", [one.reason for one in judged], left=True),
        ]
    )


def pairs(rows: Sequence[tuple[str, str]]) -> Table:
    """Return two columns, words before words."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    return table


def _counts(head: str, rows: Sequence[Traffic]) -> list[_Column]:
    return [
        _Column(head, [row.name for row in rows], left=True),
        _Column("count", [numbers.count(row.count) for row in rows]),
        _Column("failed", [numbers.count(row.failures) for row in rows]),
    ]


def _spans(rows: Sequence[Traffic], spans: Spans) -> list[_Column]:
    if spans is Spans.SATURATED:
        return [_Column("latency", [spans.value for _ in rows])]
    columns = [
        _Column("p50", [numbers.duration(row.latency_ns.p50) for row in rows]),
        _Column("p95", [numbers.duration(row.latency_ns.p95) for row in rows]),
        _Column("p99", [numbers.duration(row.latency_ns.p99) for row in rows]),
        _Column("max", [numbers.duration(row.latency_ns.max) for row in rows]),
    ]
    if spans is Spans.OPEN:
        columns.append(_Column("service p95", [numbers.duration(row.service_ns.p95) for row in rows]))
    return columns


def _rates(rows: Sequence[Traffic], width: int) -> list[_Column]:
    columns = [_Column("per s", [numbers.rate(row.per_s) for row in rows])]
    if width >= WIDE:
        columns.append(_Column("MB/s", [numbers.megabytes_per_s(row.bytes_per_s) for row in rows]))
    return columns


def _table(columns: Sequence[_Column]) -> Table:
    table = headed([(column.head, column.left) for column in columns])
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(cell) for cell in cells))
    return table


def headed(heads: Sequence[tuple[str, bool]]) -> Table:
    """Return an empty table; of each head whether its column holds words, which go to the left and may wrap."""
    table = Table(box=_RULED, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for head, left in heads:
        table.add_column(head, justify="left" if left else "right", no_wrap=not left, overflow="fold")
    return table


def _as_word(value: object) -> str:
    if value is None:
        return "-"
    return numbers.count(value) if isinstance(value, int) else str(value)


def _named(placed: Placed) -> str:
    return f"{placed.use.service} ({placed.place})" if placed.place else placed.use.service

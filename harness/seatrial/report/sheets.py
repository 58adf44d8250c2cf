"""The tables of the page: the terminal's own tables, column by column, so that both say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from seatrial.judge.validity import RESERVED
from seatrial.report import tables, words
from seatrial.report.contents import Review


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table, explained by `said`; its first `words` columns hold words, its last `told` ones sentences."""

    name: str
    title: str
    said: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    told: int = 0
    bold: tuple[int, ...] = ()


def of_run(review: Review) -> Iterator[Sheet]:
    """Yield the tables of one run, those that have rows."""
    wide = tables.WIDE
    if review.budgets:
        yield _sheet("budgets", "Budgets", "judged by this run alone, with 95 %", tables.budgets(review.budgets))
    if review.endpoints:
        yield _sheet(
            "requests",
            "Requests",
            words.traffic_explained(review),
            tables.endpoints(review.total, review.endpoints, words.spans(review), wide),
        )
    if review.flows:
        said = "a flow is one task of a user, such as a whole pull"
        yield _sheet("flows", "Flows", said, tables.flows(review.flows, words.spans(review), wide))
    if review.details:
        yield _sheet("details", "Flow details", words.DETAILS_EXPLAINED, tables.details(review.details))
    otherwise = [row for row in (*review.endpoints, *review.flows) if set(row.outcomes) - {"ok"}]
    if otherwise:
        said = "* is not a failure: given up on purpose (aborted), or by the end of the run (cut)"
        yield _sheet("outcomes", "Outcomes", said, tables.failures(otherwise))
    stack = [placed for placed in review.services if placed.use.service not in RESERVED]
    if stack:
        said = "in MiB; unrecl. = anon + kernel + shmem + sock + dirty; clean: cache that can be taken back"
        yield _sheet("memory", "Memory", said, tables.memory(stack, wide))
    if review.services:
        said = "CPU in the window; stall: time in which some task waited; gap: time between two samples"
        table, empty = tables.work(review.services, wide)
        yield _sheet("work", "Work", f"{said}. {empty}" if empty else said, table)


def of_facts(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return nested values as named lines: `host.kernel`, `6.1`; lists in one line, nothing for nothing."""
    return tuple((name.removeprefix("."), text) for name, text in _flat("", facts) if text)


def _sheet(name: str, title: str, said: str, table: Table) -> Sheet:
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    left = [column.justify == "left" for column in table.columns]
    heads = [str(column.header) for column in table.columns]
    return Sheet(
        name=name,
        title=title,
        said=said,
        heads=tuple(heads),
        rows=tuple(zip(*columns, strict=True)),
        words=left.index(False) if False in left else len(left),
        bold=tuple(index for index, row in enumerate(table.rows) if row.style == "bold"),
    )


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  (any JSON value)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield name, ", ".join(str(one) for one in value)
    else:
        yield name, "" if value is None else str(value)

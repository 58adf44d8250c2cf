"""Reports for the terminal: run, experiment, capacity search, lists and doctor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from seatrial.analysis.results import ExperimentResult, RunResult
from seatrial.compare.capacity import CapacityResult, CapacityWord
from seatrial.measure.range_answers import in_words
from seatrial.measure.ranges import RangeReport
from seatrial.report import capacity_sections, experiment_sections, numbers, range_sections, run_sections
from seatrial.report.tables import Section, Table, TableColumn, TableColumnKind

_INDENT = 2
_WIDTH_OF_A_FILE = 100
_EXPERIMENT_COLOURS = {"KEPT": "green", "INCONCLUSIVE": "yellow"}
_CAPACITY_COLOURS = {CapacityWord.VALIDATED: "green"} | dict.fromkeys(
    (CapacityWord.NOT_DECIDED, CapacityWord.BOUNDS_ONLY, CapacityWord.NO_BOUNDS), "yellow"
)
_FINE = "ok"
_STATE_COLOURS = {"ok": "green", "distorts": "yellow", "lacks": "red"}


def standard_output() -> Console:
    """Return the console of standard output; if that is no terminal, wide enough for the tables."""
    console = Console()
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(width=_WIDTH_OF_A_FILE)


def show_run(result: RunResult, console: Console | None = None) -> None:
    """Print the report of a run; plain text without a terminal."""
    out, word = console or standard_output(), run_sections.word(result)
    _print(
        [
            _verdict(word, "green" if word == "VALID" else "red", run_sections.title(result)),
            Text(run_sections.headline(result)),
            *(Text(reason, style="red") for reason in run_sections.reasons(result)),
            *_sections(run_sections.sections(result), out.width),
        ],
        out,
    )


def show_experiment(result: ExperimentResult, console: Console | None = None) -> None:
    """Print the report of an experiment; plain text without a terminal."""
    out, colour = console or standard_output(), _EXPERIMENT_COLOURS.get(result.word, "red")
    _print(
        [
            _verdict(result.word, colour, experiment_sections.title(result)),
            *([Text(result.plan.question, style="italic")] if result.plan.question else []),
            *(Text(f"- {reason}") for reason in experiment_sections.reasons(result)),
            *_sections(experiment_sections.sections(result), out.width),
        ],
        out,
    )


def show_ranges(report: RangeReport, console: Console | None = None) -> None:
    """Print every range case of one server."""
    out, colour = console or standard_output(), "green" if report.plays else "red"
    _print(
        [
            _verdict(range_sections.word(report), colour, range_sections.title(report)),
            Text(f"{in_words(report)}\n"),
            range_sections.all_cases(report).to_rich(out.width),
        ],
        out,
    )


def show_capacities(results: Sequence[CapacityResult], console: Console | None = None) -> None:
    """Print the capacity of each variant; of several an overview first."""
    out = console or standard_output()
    parts = [capacity_sections.overview(results).to_rich(out.width)] if len(results) > 1 else []
    for result in results:
        parts += [
            _verdict(result.word, _CAPACITY_COLOURS.get(result.word, "red"), capacity_sections.title(result)),
            *map(Text, capacity_sections.reasons(result)),
            *_sections(capacity_sections.sections(result), out.width),
            Text(f"\n{capacity_sections.spent(result)}", style="dim"),
        ]
    _print(parts, out)


def table(rows: Sequence[Mapping[str, object]], console: Console | None = None) -> str:
    """Return rows of named values, such as the list of runs, as a table."""
    if not rows:
        return "nothing there yet"
    columns = []
    for head in rows[0]:
        values = [row[head] for row in rows]
        kind = TableColumnKind.WORDS if any(isinstance(value, str) for value in values) else TableColumnKind.NUMBER
        cells = [
            numbers.count(value) if value is None or isinstance(value, int) else str(value) for value in values
        ]
        columns.append(TableColumn(head, cells, kind))
    out = console or standard_output()
    with out.capture() as captured:
        out.print(Table(tuple(columns)).to_rich(out.width), highlight=False, end="")
    return captured.get().rstrip("\n")


def doctor(findings: Sequence[Mapping[str, str]], console: Console | None = None) -> str:
    """Return the doctor's findings; `why` and `mend` only where the `state` is not ok."""
    out = console or standard_output()
    grid = Grid(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for overflow in (False, False, True):
        grid.add_column(no_wrap=not overflow, overflow="fold")
    for finding in findings:
        state, mend = finding["state"], finding["mend"]
        grid.add_row(Text(state, style=_STATE_COLOURS[state]), finding["name"], Text(finding["seen"]))
        if state != _FINE:
            for line in filter(None, (finding["why"], f"-> {mend}" if mend else "")):
                grid.add_row("", "", Text(line))
    bad = sum(finding["state"] != _FINE for finding in findings)
    summary = "everything is there" if not bad else f"{bad} of {len(findings)} want a look"
    with out.capture() as captured:
        out.print(grid, highlight=False)
        out.print(Text(f"\n{summary}", style="bold"), end="")
    return captured.get()


def _verdict(word: str, colour: str, title: str) -> Text:
    return Text.assemble(Text(f" {word} ", style=f"bold reverse {colour}"), " ", (title, "bold"))


def _sections(sections: Iterable[Section], width: int) -> Iterator[RenderableType]:
    for section in sections:
        caption = (f"  {section.caption}" if section.caption else "", "dim")
        body = section.table.to_rich(width - _INDENT)
        if section.footnote:
            body = Group(body, Text(section.footnote, style="dim"))
        yield Text.assemble("\n", (section.title, "bold cyan"), caption)
        yield Padding(body, (0, 0, 0, _INDENT), expand=False)


def _print(parts: Iterable[RenderableType], console: Console) -> None:
    with console.capture() as captured:
        for part in parts:
            console.print(part, highlight=False)
    # cells are padded to their column, which would leave trailing blanks in a log
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())

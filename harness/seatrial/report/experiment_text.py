"""The report of an experiment that a person reads in a terminal: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seatrial.report import experiment_cells, fitting, tables
from seatrial.report import experiment_words as words
from seatrial.report.console import standard_output
from seatrial.report.experiment_cells import Cells
from seatrial.report.weighed import Weighed

_COLOURS = {"KEPT": "green", "INCONCLUSIVE": "yellow"}
_LEFT = frozenset({"metric", "budget", "measured", "how its runs ended", "why it is not used", "so"})
_WHOLE = frozenset({"variant", "verdict"})
"""Words that stay on one line: the other columns give way."""

_INDENT = 2


def show(weighed: Weighed) -> None:
    """Print the report to standard output."""
    render(weighed, standard_output())


def render(weighed: Weighed, console: Console) -> None:
    """Print the report to `console`, as wide as that is; without a terminal it is plain text."""
    with console.capture() as captured:
        for part in _parts(weighed, console.width):
            console.print(part, highlight=False)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _parts(weighed: Weighed, width: int) -> Iterator[RenderableType]:
    word = Text(f" {weighed.word} ", style="bold reverse " + _COLOURS.get(weighed.word, "red"))
    yield Text.assemble(word, " ", (words.title(weighed), "bold"))
    if weighed.plan.question:
        yield Text(weighed.plan.question, style="italic")
    yield Group(*(Text(f"- {reason}") for reason in words.reasons(weighed)))
    for title, said, cells in _tables(weighed):
        if cells.rows:
            yield _titled(title, said, fitting.fitted(_table(cells), width - _INDENT))
    yield _titled("How it was measured", "", tables.pairs(words.how(weighed)))


def _tables(weighed: Weighed) -> Iterator[tuple[str, str, Cells]]:
    gated = weighed.comparison.gated if weighed.comparison else ()
    said = f"change against {weighed.base}; {experiment_cells.EXPLAINED}"
    yield "Verdicts", said, experiment_cells.verdicts(gated)
    yield "Values", "mean over the blocks that are used", experiment_cells.values(weighed)
    yield "Budgets", "with 95 %", experiment_cells.budgets(weighed)
    yield "Endings", "", experiment_cells.endings(weighed)
    said = "kept and shown, not used; found from the generator and the machine, never from a result"
    yield "Left out", said, experiment_cells.left_out(weighed)
    said = "between equal runs, and the smallest change that the planned blocks can see"
    yield "Noise floor of this machine", said, experiment_cells.floors(weighed)
    said = "to look at, nothing is decided by it; * stands out (one in ten of these is chance)"
    yield "Exploratory", said, experiment_cells.exploratory(weighed)


def _titled(title: str, said: str, body: RenderableType) -> RenderableType:
    head = Text.assemble("\n", (title, "bold cyan"), (f"  {said}" if said else "", "dim"))
    return Group(head, Padding(body, (0, 0, 0, _INDENT), expand=False))


def _table(cells: Cells) -> Table:
    table = tables.headed([(head, head in _LEFT) for head in cells.heads])
    for column, head in zip(table.columns, cells.heads, strict=True):
        if head in _WHOLE:
            column.justify, column.no_wrap = "left", True
    for row in cells.rows:
        table.add_row(*map(Text, row))
    return table

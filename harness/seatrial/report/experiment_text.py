"""The report of an experiment that a person reads in a terminal: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seatrial.report import experiment_words as words
from seatrial.report import tables
from seatrial.report.console import standard_output
from seatrial.report.experiment_words import Cells
from seatrial.report.weighed import Weighed

_COLOURS = {"KEPT": "green", "INCONCLUSIVE": "yellow"}
_LEFT = frozenset({"metric", "budget", "measured", "how its runs ended", "why it is not used", "so"})
_WHOLE = frozenset({"variant", "verdict"})
"""Words that are not broken: the other columns give way."""


def show(weighed: Weighed) -> None:
    """Print the report to standard output."""
    render(weighed, standard_output())


def render(weighed: Weighed, console: Console) -> None:
    """Print the report to `console`, as wide as that is; without a terminal it is plain text."""
    with console.capture() as captured:
        for part in _parts(weighed):
            console.print(part, highlight=False)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _parts(weighed: Weighed) -> Iterator[RenderableType]:
    word = Text(f" {weighed.word} ", style="bold reverse " + _COLOURS.get(weighed.word, "red"))
    yield Text.assemble(word, " ", (words.title(weighed), "bold"))
    if weighed.plan.question:
        yield Text(weighed.plan.question, style="italic")
    yield Group(*(Text(f"- {reason}") for reason in words.reasons(weighed)))
    gated = weighed.comparison.gated if weighed.comparison else ()
    yield from _section("Verdicts", f"change against {weighed.base}; {words.EXPLAINED}", words.verdicts(gated))
    yield from _section("Values", "mean over the blocks that are used", words.values(weighed))
    yield from _section("Budgets", "with 95 %", words.budgets(weighed))
    yield from _section("Endings", "", words.endings(weighed))
    said = "kept and shown, not used; found from the generator and the machine, never from a result"
    yield from _section("Left out", said, words.left_out(weighed))
    said = "between equal runs, and the smallest change that the planned blocks can see"
    yield from _section("Noise floor of this machine", said, words.floors(weighed))
    said = "to look at, nothing is decided by it; * stands out (one in ten of these is chance)"
    yield from _section("Exploratory", said, words.exploratory(weighed))
    yield _titled("How it was measured", "", tables.pairs(words.how(weighed)))


def _section(title: str, said: str, cells: Cells) -> Iterator[RenderableType]:
    if cells.rows:
        yield _titled(title, said, _table(cells))


def _titled(title: str, said: str, body: RenderableType) -> RenderableType:
    head = Text.assemble("\n", (title, "bold cyan"), (f"  {said}" if said else "", "dim"))
    return Group(head, Padding(body, (0, 0, 0, 2), expand=False))


def _table(cells: Cells) -> Table:
    table = tables.headed([(head, head in _LEFT) for head in cells.heads])
    for column, head in zip(table.columns, cells.heads, strict=True):
        if head in _WHOLE:
            column.justify, column.no_wrap = "left", True
    for row in cells.rows:
        table.add_row(*map(Text, row))
    return table

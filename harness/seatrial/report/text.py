"""The report that a person reads in a terminal, a log or a mail: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from seatrial.judge.validity import RESERVED
from seatrial.model import Note
from seatrial.report import numbers, run_lines, tables, words
from seatrial.report.console import standard_output
from seatrial.report.contents import Happened, Review
from seatrial.report.mends import mend

_MOST_EVENTS = 20


def show(review: Review) -> None:
    """Print the report to standard output."""
    render(review, standard_output())


def table(rows: Sequence[Mapping[str, object]], console: Console | None = None) -> str:
    """Return rows of named values, such as the list of runs, as a table; words if there is none."""
    if not rows:
        return "nothing there yet"
    out = console or standard_output()
    with out.capture() as captured:
        out.print(tables.listed(rows), highlight=False, end="")
    return captured.get().rstrip("\n")


def render(review: Review, console: Console) -> None:
    """Print the report to `console`, as wide as that is; without a terminal it is plain text."""
    with console.capture() as captured:
        for part in _parts(review, console.width):
            console.print(part, highlight=False)
    lines = captured.get().splitlines()
    # cells are padded to their column; in a log or a mail that would be trailing blanks
    console.file.writelines(f"{line.rstrip()}\n" for line in lines)


def _parts(review: Review, width: int) -> Iterator[RenderableType]:
    yield _verdict(review)
    spans = words.spans(review)
    if review.budgets:
        yield _section("Budgets", "judged by this run alone, with 95 %", tables.budgets(review.budgets))
    if review.endpoints:
        yield _section(
            "Requests",
            words.traffic_explained(review),
            tables.endpoints(review.total, review.endpoints, spans, width),
        )
    if review.flows:
        yield _section(
            "Flows", "a flow is one task of a user, such as a whole pull", tables.flows(review.flows, spans, width)
        )
    ended_otherwise = [row for row in (*review.endpoints, *review.flows) if set(row.outcomes) - {"ok"}]
    if ended_otherwise:
        said = "* is not a failure: given up on purpose (aborted), or by the end of the run (cut)"
        yield _section("Outcomes", said, tables.failures(ended_otherwise))
    yield from _services(review, width)
    if review.events:
        yield _section("Events", "from the start of the window", _events(review.events))
    if review.notes:
        yield _section("Notes", "what to keep in mind, and what to do about it", _notes(review.notes))
    yield _section("Run", "", tables.pairs(run_lines.lines(review)))


def _verdict(review: Review) -> RenderableType:
    word = Text(" VALID " if review.valid else " INVALID ", style="bold reverse " + _colour(review.valid))
    first = Text.assemble(word, " ", (words.title(review), "bold"))
    reasons = [Text(reason, style="red") for reason in words.reasons(review)]
    return Group(first, Text(words.result(review)), *reasons)


def _services(review: Review, width: int) -> Iterator[RenderableType]:
    stack = [placed for placed in review.services if placed.use.service not in RESERVED]
    if stack:
        said = "unrecl. = anon + kernel + shmem + sock + dirty; clean: cache that can be taken back"
        yield _section("Memory", said, tables.memory(stack, width))
    if review.services:
        said = "CPU in the window; stall: time in which some task waited; gap: time between two samples"
        table, empty = tables.work(review.services, width)
        yield _section("Work", said, Group(table, Text(empty, style="dim")) if empty else table)


def _events(events: Sequence[Happened]) -> RenderableType:
    rows = [
        (numbers.moment(event.after_ns), " ".join((event.service, event.event, *words.detail(event))))
        for event in events[:_MOST_EVENTS]
    ]
    if len(events) > _MOST_EVENTS:
        rows.append(("...", f"{len(events) - _MOST_EVENTS} more in events.jsonl"))
    return tables.pairs(rows)


def _notes(notes: Sequence[Note]) -> RenderableType:
    rows = []
    for note in notes:
        rows.append((("! " if note.invalidates else "  ") + note.kind, note.text))
        if advice := mend(note.kind):
            rows.append(("", f"-> {advice}"))
    return tables.pairs(rows)


def _section(title: str, said: str, body: RenderableType) -> RenderableType:
    head = Text.assemble("\n", (title, "bold cyan"), (f"  {said}" if said else "", "dim"))
    return Group(head, Padding(body, (0, 0, 0, 2), expand=False))


def _colour(valid: bool) -> str:  # noqa: FBT001  (a yes or no is what the colour says)
    return "green" if valid else "red"

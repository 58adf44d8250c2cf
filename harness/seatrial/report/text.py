"""The report that a person reads in a terminal, a log or a mail: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from seatrial.judge.validity import RESERVED
from seatrial.model import Note
from seatrial.report import fitting, numbers, run_lines, tables, words
from seatrial.report.console import standard_output
from seatrial.report.contents import Happened, Review
from seatrial.report.mends import mend

_MOST_EVENTS = 20
_INDENT = 2


def show(review: Review) -> None:
    """Print the report to standard output."""
    render(review, standard_output())


def table(rows: Sequence[Mapping[str, object]], console: Console | None = None) -> str:
    """Return rows of named values, such as the list of runs, as a table; words if there is none."""
    if not rows:
        return "nothing there yet"
    out = console or standard_output()
    with out.capture() as captured:
        out.print(fitting.fitted(tables.listed(rows), out.width), highlight=False, end="")
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
    yield from _traffic(review, width)
    yield from _services(review, width)
    if review.events:
        yield _section("Events", "from the start of the window", _events(review.events))
    if review.notes:
        yield _section("Notes", "what to keep in mind, and what to do about it", _notes(review.notes))
    yield _section("Run", "", tables.pairs(run_lines.lines(review)))


def _verdict(review: Review) -> RenderableType:
    told = words.word(review)
    word = Text(f" {told} ", style=f"bold reverse {'green' if told == 'VALID' else 'red'}")
    first = Text.assemble(word, " ", (words.title(review), "bold"))
    reasons = [Text(reason, style="red") for reason in words.reasons(review)]
    return Group(first, Text(words.result(review)), *reasons)


def _traffic(review: Review, width: int) -> Iterator[RenderableType]:
    spans, room = words.spans(review), width - _INDENT
    if review.budgets:
        told = tables.budgets(review.budgets)
        yield _section("Budgets", "judged by this run alone, with 95 %", fitting.fitted(told, room))
    if review.endpoints:
        asked = tables.endpoints(review.total, review.endpoints, spans, width)
        yield _section("Requests", words.traffic_explained(review), fitting.fitted(asked, room))
    if review.flows:
        done = tables.flows(review.flows, spans, width)
        said = "a flow is one task of a user, such as a whole pull"
        yield _section("Flows", said, fitting.fitted(done, room))
    if review.details:
        told = tables.details(review.details)
        yield _section("Flow details", words.DETAILS_EXPLAINED, fitting.fitted(told, room))
    otherwise = [row for row in (*review.endpoints, *review.flows) if set(row.outcomes) - {"ok"}]
    if otherwise:
        said = "* is not a failure: given up on purpose (aborted), or by the end of the run (cut)"
        yield _section("Outcomes", said, fitting.fitted(tables.failures(otherwise), room))


def _services(review: Review, width: int) -> Iterator[RenderableType]:
    stack = [placed for placed in review.services if placed.use.service not in RESERVED]
    if stack:
        said = "unrecl. = anon + kernel + shmem + sock + dirty; clean: cache that can be taken back"
        yield _section("Memory", said, fitting.fitted(tables.memory(stack, width), width - _INDENT))
    if review.services:
        said = "CPU in the window; stall: time in which some task waited; gap: time between two samples"
        table, empty = tables.work(review.services, width)
        fits = fitting.fitted(table, width - _INDENT)
        yield _section("Work", said, Group(fits, Text(empty, style="dim")) if empty else fits)


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
    return Group(head, Padding(body, (0, 0, 0, _INDENT), expand=False))

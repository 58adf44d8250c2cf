"""What a search for capacity found, for a terminal, a log or a mail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seatrial.judge.capacity import TrialResult
from seatrial.judge.carrying import Carries, Word
from seatrial.report import capacity_words as words
from seatrial.report import numbers
from seatrial.report.console import standard_output
from seatrial.report.tables import headed

_GOOD = frozenset({Word.VALIDATED})
_BAD = frozenset({Word.NOT_VALIDATED, Word.NO_RATE, Word.GENERATOR_LIMITED, Word.INVALID, Word.INTERRUPTED})


def show(found: Sequence[Carries], console: Console | None = None) -> None:
    """Print the result of all variants: those of several in a table first."""
    out = console or standard_output()
    with out.capture() as captured:
        for part in _parts(found):
            out.print(part, highlight=False)
    out.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _parts(found: Sequence[Carries]) -> Iterator[RenderableType]:
    if len(found) > 1:
        yield _overview(found)
    for one in found:
        colour = "green" if one.word in _GOOD else "red" if one.word in _BAD else "yellow"
        word = Text(f" {one.word} ", style=f"bold reverse {colour}")
        yield Group(Text.assemble(word, " ", (words.first(one), "bold")), *map(Text, words.reasons(one)))
        explained = f"{words.curve(one)} from the scheduled start; lost: no user served it in time"
        yield _section("Trials", explained, _curve(one))
        if one.validation is not None:
            said = [line.text for line in one.validation.budgets]
            yield _section("Validation", words.per_s(one.validation.rate_per_s), Group(*map(Text, said)))
            held = [words.memory(line) for line in one.validation.memory]
            yield _section("Memory", "that can't be taken back, in that window", Group(*map(Text, held)))
        yield Text(_spent(one), style="dim")


def _overview(found: Sequence[Carries]) -> Table:
    table = headed([("variant", True), ("lower", False), ("upper", False), ("validated", False), ("word", True)])
    for one in found:
        validated = None if one.validation is None else one.validation.rate_per_s
        rates = [one.lower_per_s, one.upper_per_s, validated]
        said = [numbers.UNKNOWN if rate is None else words.per_s(rate) for rate in rates]
        table.add_row(Text(one.variant), *said, one.word)
    return table


def _curve(found: Carries) -> Table:
    """Return a row for each trial, in the order of the rates."""
    heads = ("offered", "for", "arrivals", "completed", words.curve(found), "failed", "lost", "budgets")
    table = headed([(head, head == heads[-1]) for head in heads])
    for one in sorted(found.trials, key=lambda one: (one.rate_per_s, one.after_s)):
        table.add_row(
            words.per_s(one.rate_per_s),
            f"{one.duration_s:g} s",
            numbers.count(one.arrivals),
            words.per_s(one.completed_per_s),
            numbers.duration(one.latency_ns),
            numbers.count(one.failed),
            numbers.count(one.lost),
            Text(_kept(one)),
        )
    return table


def _kept(one: TrialResult) -> str:
    if one.invalid:
        return f"invalid: {one.invalid}"
    return "kept" if one.kept else "broken: flows pile up" if one.piled else "broken"


def _spent(one: Carries) -> str:
    spent = f"{one.trial_s:.0f} s together, {one.search_s:.0f} s with the rests between them"
    return f"\n{len(one.trials)} trials of {spent}"


def _section(title: str, said: str, body: RenderableType) -> RenderableType:
    head = Text.assemble("\n", (title, "bold cyan"), (f"  {said}" if said else "", "dim"))
    return Group(head, Padding(body, (0, 0, 0, 2), expand=False))

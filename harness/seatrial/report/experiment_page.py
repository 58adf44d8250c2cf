"""The page of an experiment: verdicts in words, then their charts, then each variant over time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bokeh.models import CrosshairTool
from bokeh.plotting import figure

from seatrial.report import charts, comparison_charts, embedding, experiment_cells, page, run_lines, sheets, words
from seatrial.report import experiment_words as said
from seatrial.report.comparison import Comparison
from seatrial.report.contents import Happened
from seatrial.report.curves import Chart
from seatrial.report.experiment_cells import Cells
from seatrial.report.page import Shown
from seatrial.report.sheets import Sheet
from seatrial.report.timeline import in_words
from seatrial.report.weighed import Weighed

_SENTENCES = frozenset({"measured", "how its runs ended", "why it is not used"})
_MOST_EVENTS = 50
_WORDS = frozenset({"variant", "metric", "verdict", "budget", "block", "so"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One run that stands for its variant, and why it is this one."""

    variant: str
    said: str
    shown: Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    anchor: str
    name: str
    said: str
    word: str
    result: str
    reasons: Sequence[str]
    notes: Sequence[str]
    events: Sequence[str]
    run: Sequence[tuple[str, str]]
    charts: Sequence[Chart] = field(default_factory=tuple)


def render(
    weighed: Weighed, comparison: Comparison, members: Sequence[Member], plan: Mapping[str, Any] | None = None
) -> str:
    """Return the page; `plan` is what plan.json holds."""
    compared = list(comparison_charts.of(comparison))
    parts = [_part(number, member) for number, member in enumerate(members)]
    timed = [chart for part in parts for chart in part.charts]
    _share_time(timed)
    text: str = page.template("experiment.html.j2").render(
        word=weighed.word,
        title=comparison.title,
        question=weighed.plan.question,
        said=comparison.said,
        sheets=list(_sheets(weighed)),
        compared=compared,
        members=parts,
        timed=bool(timed),
        marked=any(member.shown.curves.events for member in members),
        window=page.ends(timed, members[0].shown.curves) if timed else None,
        how=said.how(weighed),
        plan=sheets.of_facts(plan or {}),
        facts=sheets.of_facts(members[0].shown.facts) if members else (),
        drawn=embedding.drawn([*compared, *timed]),
    )
    return text


def _sheets(weighed: Weighed) -> Iterator[Sheet]:
    gated = weighed.comparison.gated if weighed.comparison else ()
    about = f"change against {weighed.base}; {experiment_cells.EXPLAINED}"
    kept = "kept and shown; found from generator and machine alone"
    floor = "what the planned blocks can see on this machine"
    chance = "nothing is decided by it; * stands out"
    for name, title, explained, cells in (
        ("verdicts", "Verdicts", about, experiment_cells.verdicts(gated)),
        ("values", "Values", "mean over the blocks that are used", experiment_cells.values(weighed)),
        ("budgets", "Budgets", "with 95 %", experiment_cells.budgets(weighed)),
        ("endings", "How runs ended", "", experiment_cells.endings(weighed)),
        ("lost", "Not used", kept, experiment_cells.left_out(weighed)),
        ("floors", "Noise floor", floor, experiment_cells.floors(weighed)),
        ("more-exploratory", "Exploratory", chance, experiment_cells.exploratory(weighed)),
    ):
        if cells.rows:
            yield _sheet(name, title, explained, cells)


def _sheet(name: str, title: str, explained: str, cells: Cells) -> Sheet:
    heads = cells.heads
    count = next((place for place, head in enumerate(heads) if head not in _WORDS), len(heads))
    told = 1 if heads[-1] in _SENTENCES else 0
    return Sheet(name=name, title=title, said=explained, heads=heads, rows=cells.rows, words=count, told=told)


def _part(number: int, member: Member) -> _Part:
    review = member.shown.review
    drawn = charts.of_time(member.shown.curves)
    return _Part(
        anchor=f"run-{number}-{re.sub(r'[^a-z0-9-]', '-', member.variant.lower())}",
        name=member.variant,
        said=member.said,
        word=words.word(review),
        result=words.result(review),
        reasons=words.reasons(review),
        notes=[f"{note.kind}: {note.text}" for note in review.notes if not note.invalidates],
        events=_events(member.shown.curves.events),
        run=run_lines.lines(review),
        charts=[
            replace(one, name=f"{one.name}-{number}", title=f"{member.variant}: {one.title}") for one in drawn
        ],
    )


def _events(happened: Sequence[Happened]) -> list[str]:
    told = [in_words(one) for one in sorted(happened, key=lambda one: one.after_ns)]
    more = len(told) - _MOST_EVENTS
    return [*told[:_MOST_EVENTS], f"{more} more in events.jsonl"] if more > 0 else told


def _share_time(drawn: Sequence[Chart]) -> None:
    """Give all charts one range and one crosshair: one moment after the start stands in one column everywhere."""
    if not drawn:
        return
    first = drawn[0].figure
    line = _crosshair(first).overlay
    alike = [one.figure for one in drawn if one.figure.xaxis[0].axis_label == first.xaxis[0].axis_label]
    begin, end = (
        choose(getattr(one.x_range, side) for one in alike) for choose, side in ((min, "start"), (max, "end"))
    )
    shared = first.x_range
    shared.update(start=begin, end=end, bounds=(begin, end))
    for one in alike:
        one.x_range = shared
        _crosshair(one).overlay = line


def _crosshair(drawn: figure) -> CrosshairTool:
    return next(tool for tool in drawn.tools if isinstance(tool, CrosshairTool))

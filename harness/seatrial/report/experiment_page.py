"""The page of an experiment: verdicts in words, then their charts, then each variant over time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bokeh.models import CrosshairTool
from bokeh.plotting import figure

from seatrial.report import charts, comparison_charts, embedding, page, sheets, words
from seatrial.report import experiment_words as said
from seatrial.report.comparison import Comparison
from seatrial.report.curves import Chart
from seatrial.report.experiment_words import Cells
from seatrial.report.page import Shown
from seatrial.report.sheets import Sheet
from seatrial.report.weighed import Weighed

_SENTENCES = frozenset({"measured", "how its runs ended", "why it is not used"})
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
    valid: bool
    result: str
    reasons: Sequence[str]
    charts: Sequence[Chart] = field(default_factory=tuple)


def render(
    weighed: Weighed, comparison: Comparison, members: Sequence[Member], plan: Mapping[str, Any] | None = None
) -> str:
    """Return the page; `plan` is what plan.json holds."""
    compared = list(comparison_charts.of(comparison))
    parts = [_part(number, member) for number, member in enumerate(members)]
    _share_time([chart for part in parts for chart in part.charts])
    text: str = page.template("experiment.html.j2").render(
        word=weighed.word,
        title=comparison.title,
        question=weighed.plan.question,
        said=comparison.said,
        sheets=list(_sheets(weighed)),
        compared=compared,
        members=parts,
        how=said.how(weighed),
        plan=sheets.of_facts(plan or {}),
        facts=sheets.of_facts(members[0].shown.facts) if members else (),
        drawn=embedding.drawn([*compared, *(chart for part in parts for chart in part.charts)]),
    )
    return text


def _sheets(weighed: Weighed) -> Iterator[Sheet]:
    gated = weighed.comparison.gated if weighed.comparison else ()
    about = f"change against {weighed.base}; {said.EXPLAINED}"
    for name, title, explained, cells in (
        ("verdicts", "Verdicts", about, said.verdicts(gated)),
        ("values", "Values", "mean over the blocks that are used", said.values(weighed)),
        ("budgets", "Budgets", "with 95 %", said.budgets(weighed)),
        ("endings", "How runs ended", "", said.endings(weighed)),
        ("lost", "Not used", "kept and shown; found from generator and machine alone", said.left_out(weighed)),
        ("floors", "Noise floor", "what the planned blocks can see on this machine", said.floors(weighed)),
        ("more-exploratory", "Exploratory", "nothing is decided by it; * stands out", said.exploratory(weighed)),
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
        valid=review.valid,
        result=words.result(review),
        reasons=words.reasons(review),
        charts=[
            replace(one, name=f"{one.name}-{number}", title=f"{member.variant}: {one.title}") for one in drawn
        ],
    )


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

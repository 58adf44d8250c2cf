"""The page of an experiment: verdicts in words, then their charts, then each variant over time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bokeh.models import CrosshairTool
from bokeh.plotting import figure

from seatrial.analysis.results import Weighed
from seatrial.measure.series import Rise
from seatrial.report import comparison_charts, embedding, experiment_cells, page, words
from seatrial.report import experiment_sections as experiment_words
from seatrial.report import run_charts as charts
from seatrial.report import run_sections as run_lines
from seatrial.report.curves import Chart
from seatrial.report.page import Shown


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
    result: Weighed, rises: Sequence[Rise], members: Sequence[Member], plan: Mapping[str, Any] | None = None
) -> str:
    """Return the page; `rises` are the latencies of each variant, `plan` is what plan.json holds."""
    compared = list(comparison_charts.of_experiment(result, rises))
    parts = [_part(number, member) for number, member in enumerate(members)]
    timed = [chart for part in parts for chart in part.charts]
    _share_time(timed)
    text: str = page.template("experiment.html.j2").render(
        word=result.word,
        title=experiment_words.title(result),
        question=result.plan.question,
        said=list(experiment_words.reasons(result)),
        sections=experiment_cells.sections(result),
        compared=compared,
        members=parts,
        timed=bool(timed),
        marked=any(member.shown.curves.events for member in members),
        window=page.ends(timed, members[0].shown.curves) if timed else None,
        plan=run_lines.facts(plan or {}),
        facts=run_lines.facts(members[0].shown.facts) if members else (),
        drawn=embedding.drawn([*compared, *timed]),
    )
    return text


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
        events=page.event_lines(member.shown.curves.events),
        run=run_lines.run_lines(review),
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

"""The page: one HTML file that holds all it needs. Words and tables need no script; charts come after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from seatrial.analysis.contents import Happened, Review
from seatrial.compare.carrying import Carries
from seatrial.report import capacity_sections as capacity_words
from seatrial.report import comparison_charts, embedding, words
from seatrial.report import run_charts as charts
from seatrial.report import run_sections as run_lines
from seatrial.report.curves import Chart, Curves
from seatrial.report.mends import MENDS
from seatrial.report.timeline import in_words

_MOST_EVENTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One run as the page shows it; `facts` and `plan` are what run.json and plan.json hold."""

    review: Review
    curves: Curves
    facts: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)


def render(shown: Shown, capacities: Sequence[Carries] = (), title: str = "") -> str:
    """Return the page of a run, below the capacities that were found with it, under their own title."""
    result = shown.review
    capacity = comparison_charts.capacity(capacities)
    timed = list(charts.of_time(shown.curves))
    by = "Latency by endpoint" if shown.curves.work == "requests" else "Latency by flow"
    spread = charts.distribution(shown.curves.rises, title=by) if shown.curves.latency_told else None
    text: str = template("page.html.j2").render(
        result=result,
        title=words.title(result),
        summary=words.result(result),
        word=words.word(result),
        reasons=words.reasons(result),
        capacities=capacity_words.sentences(capacities),
        capacity_title=title,
        capacity=capacity,
        sections=run_lines.sections(result),
        mends=MENDS,
        events=event_lines(result.events),
        timed=timed,
        marked=bool(shown.curves.events),
        spread=spread,
        window=ends(timed, shown.curves),
        facts=run_lines.facts(shown.facts),
        plan=run_lines.facts(shown.plan),
        drawn=embedding.drawn([chart for chart in (capacity, *timed, spread) if chart]),
    )
    return text


def event_lines(events: Sequence[Happened]) -> list[str]:
    """Return the first events, each in a line, and how many more there are."""
    lines = [in_words(event) for event in sorted(events, key=lambda event: event.after_ns)]
    more = len(lines) - _MOST_EVENTS
    return [*lines[:_MOST_EVENTS], f"{more} more in events.jsonl"] if more > 0 else lines


def ends(timed: Sequence[Chart], curves: Curves) -> tuple[float, float] | None:
    """Return where the window begins and ends on the shared axis."""
    if not timed:
        return None
    window = curves.window
    return 0.0, charts.axis_of(curves).at(window.until_ns)


def template(name: str) -> Any:  # noqa: ANN401  (jinja2's own type is a Template)
    """Return one of the templates, in which everything is taken for text."""
    environment = Environment(
        loader=PackageLoader("seatrial.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)

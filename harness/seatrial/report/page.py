"""The page: one HTML file that holds all it needs. Words and tables need no script; charts come after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from seatrial.report import charts, comparison_charts, comparison_sheets, embedding, run_lines, sheets, words
from seatrial.report.comparison import Comparison
from seatrial.report.contents import Review
from seatrial.report.curves import Chart, Curves
from seatrial.report.mends import mend
from seatrial.report.timeline import in_words

_MOST_EVENTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One run as the page shows it; `facts` and `plan` are what run.json and plan.json hold."""

    review: Review
    curves: Curves
    facts: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)


def render(shown: Shown, comparison: Comparison | None = None) -> str:
    """Return the page of a run, below the verdicts of the comparison that it belongs to, if there is one."""
    review = shown.review
    compared = list(comparison_charts.of(comparison)) if comparison else []
    timed = list(charts.of_time(shown.curves))
    by = "Latency by endpoint" if shown.curves.work == "requests" else "Latency by flow"
    drawn_rises = charts.distribution(shown.curves.rises, title=by)
    spread = [drawn_rises] if drawn_rises and shown.curves.latency_told else []
    drawn = embedding.drawn([*compared, *timed, *spread])
    text: str = template("page.html.j2").render(
        review=review,
        title=words.title(review),
        result=words.result(review),
        word=words.word(review),
        reasons=words.reasons(review),
        comparison=comparison,
        verdicts=comparison_sheets.verdicts(comparison) if comparison else None,
        compared=compared,
        sheets=list(sheets.of_run(review)),
        notes=[(note, mend(note.kind)) for note in review.notes],
        events=[in_words(event) for event in review.events[:_MOST_EVENTS]],
        more_events=max(0, len(review.events) - _MOST_EVENTS),
        timed=timed,
        marked=bool(shown.curves.events),
        spread=spread,
        window=ends(timed, shown.curves),
        run=run_lines.lines(review),
        facts=sheets.of_facts(shown.facts),
        plan=sheets.of_facts(shown.plan),
        drawn=drawn,
    )
    return text


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

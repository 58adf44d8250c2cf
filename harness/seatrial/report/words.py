"""Sentences about a run that every form of its report says in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from seatrial.judge.budgets import Judged, Kept
from seatrial.judge.latency import Traffic
from seatrial.report import numbers, run_lines
from seatrial.report.contents import Happened, Review
from seatrial.report.tables import Spans
from seatrial.wire.tables import Outcome

DETAILS_EXPLAINED = "what the flows in the window reported of themselves; - : too few to tell"


def title(review: Review) -> str:
    """Return what was run: scenario, variant, where, under which load."""
    about = review.about
    return " · ".join((about.scenario, about.variant, run_lines.place(about), run_lines.load_model(about)))


def word(review: Review) -> str:
    """Return the whole in one or two words; one that can't be trusted keeps or breaks no budget."""
    if not review.valid:
        return "INVALID"
    return "BUDGET BROKEN" if _broken(review) else "VALID"


def result(review: Review) -> str:
    """Return how much was asked, over which time, and how much of it failed."""
    where = (
        f"in a window of {numbers.duration(review.window.length_ns)}"
        if review.window.opened
        else "in all; no window was opened"
    )
    if not review.total.count and review.flows:
        return f"{_flow_count(review.flows)} {where}; {_failed(*_counts(review.flows))}"
    asked = f"{numbers.counted(review.total.count, 'request')} and {_flow_count(review.flows)}"
    return f"{asked} {where}; {_failed(*_counts([review.total]))}"


def reasons(review: Review) -> list[str]:
    """Return why the run is not to be trusted, and which budgets it broke; empty if nothing says so."""
    found = [f"not to be trusted: {note.kind}: {note.text}" for note in review.notes if note.invalidates]
    if review.about.status != "complete" and not found:
        found.append(f"the run did not come to its end: {review.about.status}")
    return [*found, *([review.about.error] if review.about.error else []), *(one.text for one in _broken(review))]


def spans(review: Review) -> Spans:
    """Return which durations the tables can show."""
    if review.saturated:
        return Spans.SATURATED
    return Spans.OPEN if review.open_model else Spans.CLOSED


def traffic_explained(review: Review) -> str:
    """Return what the columns of the requests mean."""
    if review.saturated:
        return "no latency: arrivals piled up, and waited as long as the run let them"
    whose = "latency of the successes, " if review.total.failures else "latency "
    if review.open_model:
        return f"{whose}from the scheduled start; service: from the real"
    begin = "start" if review.total.failures else "from start"
    return f"{whose}{begin} to last byte; first byte: p50; - : too few to tell"


def detail(event: Happened) -> list[str]:
    """Return what is known of an event besides its name, without the image's name."""
    return [f"{name}={value}" for name, value in event.detail.items() if name != "image"]


def _broken(review: Review) -> list[Judged]:
    return [one for one in review.budgets if one.word is Kept.BROKEN]


def _flow_count(flows: Sequence[Traffic]) -> str:
    """Say how many ran: an arrival that was dropped is counted as a failure, but nothing was done."""
    done = sum(flow.count - flow.outcomes.get(Outcome.DROPPED, 0) for flow in flows)
    return numbers.counted(done, "flow")


def _counts(rows: Sequence[Traffic]) -> tuple[int, int]:
    return sum(row.count for row in rows), sum(row.failures for row in rows)


def _failed(count: int, failures: int) -> str:
    if not count:
        return "nothing was asked"
    if not failures:
        return "no failures"
    return f"{numbers.count(failures)} failed ({numbers.percent(failures / count)})"

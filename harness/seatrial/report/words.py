"""Sentences about a run that every form of its report says in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from seatrial.analysis.contents import Happened, Review
from seatrial.compare.budgets import Judged, Kept
from seatrial.measure.latency import Traffic
from seatrial.model import EngineName
from seatrial.report import numbers
from seatrial.wire.tables import Outcome


def title(review: Review) -> str:
    """Return what was run: scenario, variant, where, under which load."""
    about = review.about
    # a recording of Locust alone has no engine that is known
    place = f"{about.engine} engine" if about.engine in tuple(EngineName) else "no stack watched"
    load = "no load" if about.users is None else numbers.counted(about.users, "user")
    if about.rate:
        load = f"{about.rate}, at most {numbers.counted(about.users or 0, 'user')}"
    return f"{about.scenario} · {about.variant} · {place} · {load}"


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
    untrusted = [f"not to be trusted: {note.kind}: {note.text}" for note in review.notes if note.invalidates]
    if review.about.status != "complete" and not untrusted:
        untrusted.append(f"the run did not come to its end: {review.about.status}")
    return [
        *untrusted,
        *([review.about.error] if review.about.error else []),
        *(one.text for one in _broken(review)),
    ]


def traffic_explained(review: Review) -> str:
    """Return what the columns of the requests mean."""
    if review.saturated:
        return "no latency: arrivals piled up, and waited as long as the run let them"
    whose = "latency of the successes, " if review.total.failures else "latency "
    if review.open_model:
        return f"{whose}from the scheduled start; service: from the real"
    begin = "start" if review.total.failures else "from start"
    return f"{whose}{begin} to last byte; first byte: p50; - : too few to tell"


def event(happened: Happened) -> str:
    """Return what happened to which service, with what is known of it besides the image's name."""
    detail = (f"{name}={value}" for name, value in happened.detail.items() if name != "image")
    return " ".join((happened.service, happened.event, *detail))


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

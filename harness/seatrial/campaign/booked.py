"""What the load told of one trial, as the judges of a search want it."""

from __future__ import annotations

from seatrial.judge.backlog import Flows
from seatrial.judge.capacity import Trial as Made
from seatrial.judge.carrying import Tried
from seatrial.judge.excess import Observed
from seatrial.judge.strain import Health
from seatrial.load.book import Book


def observed(book: Book) -> Observed:
    """Return what came of its requests."""
    return Observed(
        arrivals=book.arrivals,
        lost=book.lost,
        failures=book.failures,
        latency=book.latency,
        details=book.details,
        flows=book.flows[0],
        flows_failed=book.flows[1],
    )


def flows(book: Book, rate_per_s: float) -> Flows:
    """Return what came of its arrivals as wholes."""
    return Flows(
        rate_per_s=rate_per_s,
        completed=book.completed,
        took_ns=book.took_ns,
        arrivals=book.arrivals_seen,
        under_way=book.unfinished,
        after_s=book.seen_s,
    )


def health(book: Book) -> list[Health]:
    """Return how the load did in the seconds in which the gate was open."""
    return [
        Health(
            arrivals=one.arrivals,
            cpu_fraction=one.cpu_fraction,
            loop_lag_p50_ns=one.loop_lag_p50_ns,
            loop_lag_p99_ns=one.loop_lag_p99_ns,
            slip_p99_ns=one.slip_p99_ns,
        )
        for one in book.seconds
        if one.arrivals
    ]


def made(tried: Tried) -> Made:
    """Return what the search has to know of a trial."""
    return Made(
        rate_per_s=tried.rate_per_s,
        duration_s=tried.duration_s,
        excess=tried.excess,
        completed_per_s=tried.completed_per_s,
        invalid=tried.invalid,
    )

"""What the warm-up tells before a search: whether the stack answers, to what, and how long its flows are."""

from __future__ import annotations

import math

from seatrial.campaign import booked
from seatrial.errors import MeasurementInvalid, UsageError
from seatrial.judge import backlog, excess
from seatrial.judge.capacity import Effort
from seatrial.judge.excess import Divided
from seatrial.load.book import Book
from seatrial.load.stages import CALM_WITHIN_S


def check(book: Book, budgets: Divided, effort: Effort) -> None:
    """Refuse what a search would tell nothing true of, before its first trial.

    MeasurementInvalid for a stack that answers nothing well at the lowest rate; UsageError for a budget of what is
    never asked for, and for trials that are too short for the flows.
    """
    if not book.arrivals:
        return
    answered = any(count for found in book.latency.values() for count in found.values())
    if not answered and (book.failures or not book.completed):
        raise _silent(book, effort.first_per_s)
    _refuse_strangers(book, budgets)
    flow_s = booked.flows(book, effort.first_per_s).mean_s
    if flow_s is None or effort.trial_s < backlog.LEAST_FLOWS * flow_s:
        raise _too_short(flow_s, effort)


def _silent(book: Book, rate_per_s: float) -> MeasurementInvalid:
    failed = sum(book.failures.values())
    return MeasurementInvalid(
        "the stack does not answer: nothing that was asked of it ended well",
        where=f"the warm-up, at {rate_per_s:g} arrivals a second",
        seen=f"{book.arrivals} arrivals: {failed} requests failed, {book.lost} arrivals never came to an end",
        expected="answers at the lowest rate: there is no capacity without any",
        hint="the services' own words are in logs/; try one user first: seatrial run SCENARIO --users 1",
    )


def _refuse_strangers(book: Book, budgets: Divided) -> None:
    """Refuse a budget of what is never asked for: it would be kept by every rate."""
    asked = sorted({*book.latency, *book.failures})
    strangers = excess.unknown(budgets.searched, asked)
    if strangers:
        raise UsageError(
            f"no request is named {', '.join(map(repr, strangers))}",
            where="budgets",
            seen=f"in the warm-up: {', '.join(asked)}",
            expected="the endpoints of requests: latency and failures of a trial are theirs, not those of flows",
        )
    unreported = excess.unreported(budgets.searched, booked.observed(book))
    if unreported:
        reported = sorted(f"{key} of {flow}" for flow, by_key in book.details.items() for key in by_key)
        raise UsageError(
            f"no flow reported what {', '.join(unreported)} asks for",
            where="budgets",
            seen=f"in the warm-up: {', '.join(reported) or 'no detail at all'}",
            expected='a number that each flow of that name reports: flow.detail["startup_s"] = 0.8',
        )


def _too_short(flow_s: float | None, effort: Effort) -> UsageError:
    took = f"took {flow_s:.2g} s" if flow_s is not None else f"did not end within {CALM_WITHIN_S:g} s"
    longer_s = math.ceil(backlog.GOOD_FLOWS * (flow_s or CALM_WITHIN_S))
    times = longer_s / effort.trial_s
    whole = f"--sum {math.ceil(effort.sum_s * times)}s --limit {math.ceil(effort.limit_s * times / 60)}m"
    return UsageError(
        "the trials are too short for the flows: what they begin can't end within them",
        where=f"the warm-up, at {effort.first_per_s:g} arrivals a second",
        seen=f"a flow {took}; a trial takes {effort.trial_s:g} s",
        expected=f"trials as long as {backlog.LEAST_FLOWS:g} flows, better {backlog.GOOD_FLOWS:g}",
        hint=f"--trial {longer_s}s {whole}",
    )

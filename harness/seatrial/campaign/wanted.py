"""What is asked of a search for capacity, and what that makes of budgets, load and rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from seatrial.campaign.request import Request
from seatrial.errors import UsageError
from seatrial.judge import budgets, excess, stopping
from seatrial.judge.capacity import Effort
from seatrial.judge.excess import Divided
from seatrial.model import Load
from seatrial.scenario import shipped
from seatrial.wire.rates import Rate, Stretch

LEAST_USERS = 200
"""The pool: at a budget of 100 ms it carries 2,000 requests a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a search: variants, budgets in their language, its effort, and how long it validates.

    `budgets` empty: the scenario's. `spacing` (constant, poisson) None: the scenario's, else constant. `users`
    None: those of the scenario, at least LEAST_USERS.
    """

    request: Request
    variants: tuple[str, ...]
    budgets: tuple[str, ...] = ()
    spacing: str | None = None
    users: int | None = None
    validate_s: float = 60.0
    effort: Effort = field(default_factory=Effort)


def effort(options: Mapping[str, Any]) -> Effort:
    """Return the effort that the options of the command line ask for; UsageError if it can't be made."""
    asked = {name: float(options[name]) for name in ("trial_s", "sum_s", "most_per_s", "limit_s")}
    width = float(options["width"]) / 100
    short = [name for name, value in asked.items() if value <= 0]
    if short or not 0 < width < 1 or asked["sum_s"] < asked["trial_s"]:
        raise UsageError(
            "a search can't be made like this",
            seen=", ".join(f"{name} {value:g}" for name, value in {**asked, "width": width}.items()),
            expected="times and rates above 0, a width from 0 to 100 per cent, and a sum of at least one trial",
        )
    return Effort(
        trial_s=asked["trial_s"],
        sum_s=asked["sum_s"],
        width=width,
        first_per_s=min(Effort().first_per_s, asked["most_per_s"]),
        most_per_s=asked["most_per_s"],
        probe_s=min(Effort().probe_s, asked["trial_s"]),
        limit_s=asked["limit_s"],
    )


def divided(wanted: Wanted) -> Divided:
    """Return the budgets that the search keeps, and those of the validation; UsageError if it can't."""
    scenario = wanted.request.scenario
    texts = wanted.budgets or scenario.budgets
    try:
        return excess.divided([budgets.parse(text) for text in texts])
    except ValueError as error:
        raise UsageError(
            "the highest rate that keeps which budgets?" if not texts else "a search can't keep these budgets",
            where=str(scenario.path),
            seen=str(error),
            expected="at least one budget of latency, failures or a detail of flows",
            hint=f"seatrial capacity {shipped.word(scenario.path)} --budget 'p95 of \"NAME\" < 150ms'",
        ) from error


def load(wanted: Wanted) -> Load:
    """Return the load of the search: an open one that begins at the lowest rate."""
    asked = wanted.request.scenario.load
    poisson = wanted.spacing == "poisson"
    if wanted.spacing is None:
        poisson = asked.rate is not None and asked.rate.poisson
    least = wanted.effort.first_per_s
    return replace(
        asked,
        users=wanted.users or max(asked.users, LEAST_USERS),
        rate=Rate((Stretch(math.inf, least, least),), poisson),
        stable=False,
        warmup_s=max(min(asked.warmup_s, 30.0), 1.0),
        duration_s=wanted.validate_s,
    )


def guards(rules: tuple[str, ...]) -> tuple[str, ...]:
    """Return the rules that may end a search: those of memory. Latency and failures are what it provokes."""
    return tuple(text for text in rules if stopping.parse(text).metric is None)

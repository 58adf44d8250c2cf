"""What a report shows: the values that every form of it (text, JSON) is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seatrial.compare.budgets import Judged, Kept
from seatrial.errors import ExitCode
from seatrial.measure.generator import GeneratorUse
from seatrial.measure.latency import Traffic
from seatrial.measure.services import ServiceUse
from seatrial.measure.validity import RESERVED
from seatrial.measure.values import FlowDetail
from seatrial.measure.window import Window
from seatrial.model import Note

_PLACES = ("proxy", "app", "store")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What was run, how, and where its data lies.

    `users` is None for a run without load; `rate` is the schedule of the open model, which at most `users` served
    at once, and empty in the closed one. `show` is the word by which `seatrial show` finds the run again; `rows`
    counts the rows of each table. `pinning` has the cores of `generator` and `stack`, as far as they are known.
    """

    scenario: str
    question: str
    variant: str
    block: int
    engine: str
    engine_reason: str
    url_via: str
    status: str
    error: str
    began_utc: str
    users: int | None
    rate: str
    pinning: Mapping[str, Sequence[int] | None]
    show: str
    folder: str
    files: tuple[str, ...]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One service with its place on the request's way (`proxy`, `app`, `store`; empty if not named)."""

    place: str
    use: ServiceUse


_PLACES = ("proxy", "app", "store")


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One event; `after_ns` counts from the start of the window, and is negative before it."""

    after_ns: int
    service: str
    event: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long the parts around the load took; None where a stamp is missing."""

    command_to_first_request_ns: int | None
    last_request_to_end_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One run, judged over its window.

    If it was `saturated`, latency and service time tell how long the run was, and no report shows them.
    """

    about: About
    valid: bool
    saturated: bool
    window: Window
    total: Traffic
    endpoints: tuple[Traffic, ...]
    flows: tuple[Traffic, ...]
    services: tuple[Placed, ...]
    generator: GeneratorUse
    events: tuple[Happened, ...]
    notes: tuple[Note, ...]
    times: Times
    budgets: tuple[Judged, ...] = ()
    details: tuple[FlowDetail, ...] = ()

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """Return whether the run can be trusted and its budgets are kept; undecided ones count if `strict`."""
        words = {judged.word for judged in self.budgets}
        if not self.valid:
            return ExitCode.INVALID
        if Kept.BROKEN in words:
            return ExitCode.BROKEN
        return ExitCode.NOT_DECIDED if strict and Kept.NOT_DECIDED in words else ExitCode.KEPT

    @property
    def open_model(self) -> bool:
        """Whether requests came by a schedule, so that latency and service time differ."""
        return self.generator.arrivals is not None


def placed(used: Sequence[ServiceUse], tiers: Mapping[str, Any]) -> tuple[Placed, ...]:
    """Order the services along the request's way, the stack's others after them, what is not the stack last."""
    places = {name: tier.get("place", "") if isinstance(tier, Mapping) else tier for name, tier in tiers.items()}
    order = list(places)

    def rank(one: Placed) -> tuple[int, int, str]:
        name = one.use.service
        if name in RESERVED:
            return (len(_PLACES) + 1, ("generator", "host", "sampler").index(name), "")
        where = _PLACES.index(one.place) if one.place in _PLACES else len(_PLACES)
        return (where, order.index(name) if name in order else len(order), name)

    return tuple(sorted((Placed(place=places.get(use.service, ""), use=use) for use in used), key=rank))

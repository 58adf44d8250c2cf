"""RunResult and ExperimentResult: what every report shows, with its word and exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seatrial.compare.budgets import BudgetResult, BudgetWord
from seatrial.compare.comparison import Comparison, NoiseFloor, Overall
from seatrial.compare.pairing import FINISHED, BlockMean, BlockValues, RunValues
from seatrial.errors import ExitCode
from seatrial.measure.generator import GeneratorUse
from seatrial.measure.metric import Metric
from seatrial.measure.requests import Traffic
from seatrial.measure.services import ServiceUse
from seatrial.measure.tables import Window
from seatrial.measure.validity import RESERVED
from seatrial.measure.values import FlowDetail
from seatrial.model import ExperimentPlan, Note

COMPARES = frozenset({"compare", "selfcheck"})
"""The commands whose runs say nothing alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """The newest sealed run of one variant in one block.

    `run` is what is judged of it; `folder` its path, `began_ns` the wall clock at its start (None: not told),
    `readable` whether its tables can be read.
    """

    variant: str
    block: int
    run: RunValues
    folder: str
    began_ns: int | None = None
    notes: tuple[Note, ...] = ()
    error: str = ""
    readable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstBase:
    """The stored experiment that stands for the base, and what differs: name, there, here."""

    experiment: str
    subject: tuple[tuple[str, str, str], ...] = ()
    environment: tuple[tuple[str, str, str], ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentResult:
    """All that is said about one experiment.

    `comparison` is None where there is nothing to compare, and `why_not` says why; `blocks` are those that are
    judged, numbered by `numbers`; `unfinished` the planned trials without a run that counts. `budgets` are judged
    for each variant. `metrics` are all that have values, by their text; `levels` what they were, by variant and
    text; `floors`, of a check of the machine with itself, what it can see. `commit` is that of the user's checkout
    (empty: not known), `notes` what could not be read. `stopped` says why the experiment
    ended, empty while it goes on.
    """

    name: str
    folder: str
    plan: ExperimentPlan
    comparison: Comparison | None
    why_not: str = ""
    blocks: Sequence[BlockValues] = ()
    numbers: tuple[int, ...] = ()
    unfinished: tuple[tuple[str, int], ...] = ()
    taken: tuple[StoredRun, ...] = ()
    budgets: Mapping[str, tuple[BudgetResult, ...]] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, BlockMean]] = field(default_factory=dict)
    floors: tuple[NoiseFloor, ...] = ()
    against: AgainstBase | None = None
    commit: str = ""
    began_ns: int | None = None
    notes: tuple[str, ...] = ()
    stopped: str = ""

    @property
    def base(self) -> str:
        """The name of the side that the others are compared with."""
        return self.comparison.base if self.comparison else self.plan.base

    @property
    def word(self) -> str:
        """The whole in one or two words."""
        code, regressed = self.exit_code(strict=True), self._overall is Overall.REGRESSION
        words = {
            ExitCode.INVALID: Overall.INVALID,
            ExitCode.BROKEN: Overall.REGRESSION if regressed else "BUDGET BROKEN",
            ExitCode.NOT_DECIDED: Overall.INCONCLUSIVE,
        }
        return str(words.get(code, Overall.KEPT))

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """Return what comparison and budgets come to; what is not decided counts if `strict`."""
        budgets = {judged.word for each in self.budgets.values() for judged in each}
        if self._overall is Overall.INVALID:
            return ExitCode.INVALID
        if self._overall is Overall.REGRESSION or BudgetWord.BROKEN in budgets:
            return ExitCode.BROKEN
        is_open = self._overall is Overall.INCONCLUSIVE or BudgetWord.NOT_DECIDED in budgets
        return ExitCode.NOT_DECIDED if strict and is_open else ExitCode.KEPT

    @property
    def _overall(self) -> Overall:
        """What the comparison comes to; a run that needs none is KEPT if it can be trusted."""
        if self.comparison is not None:
            return self.comparison.overall
        return Overall.KEPT if self._alone() else Overall.INVALID

    def _alone(self) -> bool:
        """Tell whether this is a run that needs no other, and that can be trusted."""
        needs = self.plan.command in COMPARES or self.plan.against
        return not needs and any(
            not one.run.invalid and not one.error and one.run.ended == FINISHED for one in self.taken
        )


_PLACES = ("proxy", "app", "store")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
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
class ServiceResult:
    """One service with its place on the request's way (`proxy`, `app`, `store`; empty if not named)."""

    place: str
    use: ServiceUse


_PLACES = ("proxy", "app", "store")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event; `after_ns` counts from the start of the window, and is negative before it."""

    after_ns: int
    service: str
    event: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """How long the parts around the load took; None where a stamp is missing."""

    command_to_first_request_ns: int | None
    last_request_to_end_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run, judged over its window.

    If it was `saturated`, latency and service time tell how long the run was, and no report shows them.
    """

    about: RunInfo
    valid: bool
    saturated: bool
    window: Window
    total: Traffic
    endpoints: tuple[Traffic, ...]
    flows: tuple[Traffic, ...]
    services: tuple[ServiceResult, ...]
    generator: GeneratorUse
    events: tuple[Event, ...]
    notes: tuple[Note, ...]
    times: Overheads
    budgets: tuple[BudgetResult, ...] = ()
    details: tuple[FlowDetail, ...] = ()

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """Return whether the run can be trusted and its budgets are kept; undecided ones count if `strict`."""
        words = {judged.word for judged in self.budgets}
        if not self.valid:
            return ExitCode.INVALID
        if BudgetWord.BROKEN in words:
            return ExitCode.BROKEN
        return ExitCode.NOT_DECIDED if strict and BudgetWord.NOT_DECIDED in words else ExitCode.KEPT

    @property
    def open_model(self) -> bool:
        """Whether requests came by a schedule, so that latency and service time differ."""
        return self.generator.arrivals is not None


def placed(used: Sequence[ServiceUse], tiers: Mapping[str, Any]) -> tuple[ServiceResult, ...]:
    """Order the services along the request's way, the stack's others after them, what is not the stack last."""
    places = {name: tier.get("place", "") if isinstance(tier, Mapping) else tier for name, tier in tiers.items()}
    order = list(places)

    def rank(one: ServiceResult) -> tuple[int, int, str]:
        name = one.use.service
        if name in RESERVED:
            return (len(_PLACES) + 1, ("generator", "host", "sampler").index(name), "")
        where = _PLACES.index(one.place) if one.place in _PLACES else len(_PLACES)
        return (where, order.index(name) if name in order else len(order), name)

    return tuple(sorted((ServiceResult(place=places.get(use.service, ""), use=use) for use in used), key=rank))

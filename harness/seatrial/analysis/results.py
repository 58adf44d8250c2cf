"""The results of a run and of an experiment: the values that every report shows, with their exit codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seatrial.compare.budgets import BudgetResult, BudgetWord
from seatrial.compare.comparison import Comparison, NoiseFloor, Overall
from seatrial.compare.pairing import FINISHED, BlockMean, BlockValues, RunValues
from seatrial.errors import ExitCode
from seatrial.measure.experience import ViewerExperience
from seatrial.measure.generator import GeneratorUse
from seatrial.measure.metric import Metric
from seatrial.measure.origin import OriginUse
from seatrial.measure.ranges import RangeReport
from seatrial.measure.requests import FlowDetail, Traffic
from seatrial.measure.services import ServiceUse
from seatrial.measure.tables import Window
from seatrial.model import ExperimentPlan, Note

COMPARES = frozenset({"compare", "selfcheck"})
"""The commands that compare variants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """The newest sealed run of one variant in one block.

    `measured` is what is compared of it, `folder` its path, `began_ns` the wall clock at its start (None:
    unknown); `readable` is False if its tables can't be read. `ranges` are the range cases asked before the load.
    """

    variant: str
    block: int
    measured: RunValues
    folder: str
    began_ns: int | None = None
    error: str = ""
    readable: bool = True
    ranges: RangeReport | None = None

    @property
    def usable(self) -> bool:
        """Whether the run finished and its values can be trusted."""
        return not self.measured.invalid and self.measured.ended == FINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstBase:
    """The stored experiment that is the base, the facts that differ (name, there, here), and the lost metrics."""

    experiment: str
    subject: tuple[tuple[str, str, str], ...] = ()
    environment: tuple[tuple[str, str, str], ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentResult:
    """The result of one experiment.

    `comparison` is None where there is nothing to compare; `why_not` is the reason. `blocks` are the whole
    blocks, `numbers` their numbers, and `unfinished` the planned trials (variant, block) without a sealed run.
    `budgets` are by variant, `metrics` (all that have a value) by their text, `levels` (means over the blocks) by
    variant and text. `floors` is the noise floor that a selfcheck found. `commit` is that of the user's checkout
    (empty: unknown), `notes` are the run folders that can't be read, and `stopped` is why the experiment ended
    (empty while it goes on).
    """

    name: str
    folder: str
    plan: ExperimentPlan
    comparison: Comparison | None
    why_not: str = ""
    blocks: Sequence[BlockValues] = ()
    numbers: tuple[int, ...] = ()
    unfinished: tuple[tuple[str, int], ...] = ()
    runs: tuple[StoredRun, ...] = ()
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
        """The overall verdict in one or two words."""
        code, regressed = self.exit_code(strict=True), self._overall is Overall.REGRESSION
        words = {
            ExitCode.INVALID: Overall.INVALID,
            ExitCode.BROKEN: Overall.REGRESSION if regressed else "BUDGET BROKEN",
            ExitCode.NOT_DECIDED: Overall.INCONCLUSIVE,
        }
        return str(words.get(code, Overall.KEPT))

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """Return the outcome of comparison and budgets; what is not decided counts if `strict`."""
        budgets = {judged.word for each in self.budgets.values() for judged in each}
        if self._overall is Overall.INVALID:
            return ExitCode.INVALID
        if self._overall is Overall.REGRESSION or BudgetWord.BROKEN in budgets:
            return ExitCode.BROKEN
        is_open = self._overall is Overall.INCONCLUSIVE or BudgetWord.NOT_DECIDED in budgets
        return ExitCode.NOT_DECIDED if strict and is_open else ExitCode.KEPT

    @property
    def _overall(self) -> Overall:
        """The comparison's outcome; a plain run that finished and is valid is KEPT."""
        if self.comparison is not None:
            return self.comparison.overall
        alone = self.plan.command not in COMPARES and not self.plan.against
        trusted = any(run.usable and not run.error for run in self.runs)
        return Overall.KEPT if alone and trusted else Overall.INVALID


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What was run, how, and where its data lies.

    `users` is None for a run without load. `rate` is the schedule of the open model, empty in the closed one.
    `show` is the argument with which `seatrial show` finds the run; `rows` counts the rows of each table;
    `pinning` has the cores of `generator` and `stack`, as far as they are known.
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
    """What one service used, and its tier: `proxy`, `app`, `store`, or empty if the scenario names none."""

    place: str
    use: ServiceUse


ACTION = "action"
"""The event of an action that the scenario asked for; every other one is Docker's, or the kernel's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event; `after_ns` counts from the start of the window, and is negative before it."""

    after_ns: int
    service: str
    event: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """How long starting and stopping took around the load; None where a stamp is missing."""

    command_to_first_request_ns: int | None
    last_request_to_end_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of one run over its window.

    If the run was `saturated`, latency and service time grow with its length, and no report shows them.
    """

    info: RunInfo
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
    overheads: Overheads
    budgets: tuple[BudgetResult, ...] = ()
    details: tuple[FlowDetail, ...] = ()
    viewers: tuple[ViewerExperience, ...] = ()
    origin: tuple[OriginUse, ...] = ()
    ranges: RangeReport | None = None

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """Return whether the run is valid and keeps its budgets; undecided budgets count if `strict`."""
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

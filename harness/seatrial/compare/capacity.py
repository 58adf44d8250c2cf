"""The capacity search, its trials, its bounds and the verdict on them.

The search is MLRsearch (IETF draft-ietf-bmwg-mlrsearch, PyPI package MLRsearch): a rate is a lower or an upper
bound by the share of trial time that was bad, so that one disturbed trial decides nothing. Its *loss* is here the
share of requests that fail or exceed their budget, on the scale of the strictest budget (`TrialResult.excess`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from seatrial.compare.budgets import BudgetWord
from seatrial.errors import ExitCode
from seatrial.measure.services import Slope

GOAL = 0.01
"""The loss ratio at which a trial is called bad: an `excess` of 1, by the scaling in `_loss`."""
_COUNTS = 1_000_000
_LEAST_PER_S = 0.2
_SEARCH_LIMIT_S = 3_600.0
"""MLRsearch's own limit by the clock; ours is the number of seconds of trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The result of one trial: arrivals at `rate_per_s` for `duration_s`.

    `after_s` is when it began, from the first; `completed_per_s` the rate at which arrivals were completed;
    `latency_ns` the percentile of the curve, None where it is not known. `excess` is the largest, over the
    budgets, of the share of requests that broke it over the share that may (`capacity_trial.budget_excess`), and
    `text` names that budget; `piled`: it was none, but flows did not end as fast as they began
    (`capacity_trial.backlog_excess`). `invalid` is why the trial does not measure the stack. `carried` arrivals
    were under way from the trial before.
    """

    after_s: float
    rate_per_s: float
    duration_s: float
    arrivals: int
    completed_per_s: float
    failed: int
    lost: int
    latency_ns: int | None
    excess: float
    text: str
    invalid: str = ""
    carried: int = 0
    piled: bool = False

    @property
    def kept(self) -> bool:
        """Whether all budgets were kept."""
        return self.excess <= 1.0


Measure = Callable[[float, float], TrialResult]
"""Takes a rate (arrivals a second) and a duration (seconds), and makes one trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Settings of the search: `width` is the relative distance at which the bounds are close enough.

    The defaults found a simulated ceiling with a spread of 3 to 4 % in about 110 s of trials.
    """

    trial_s: float = 5.0
    sum_s: float = 30.0
    width: float = 0.04
    first_per_s: float = 4.0
    most_per_s: float = 20_000.0
    probe_s: float = 2.0
    limit_s: float = 360.0
    tries: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The bounds that a search found.

    `lower_per_s` kept the budgets; `upper_per_s` did not (None: nothing tried was too much). `limited_by` is empty
    if the stack is the limit, else the reason why no higher rate could be tried.
    """

    lower_per_s: float | None
    upper_per_s: float | None
    trials: tuple[TrialResult, ...]
    limited_by: str = ""

    @property
    def trial_s(self) -> float:
        """Seconds spent in trials."""
        return sum((trial.duration_s for trial in self.trials), 0.0)


class _Limited(Exception):
    """Ends the search where no trial can be made any more."""


class _Measurer:
    """Makes the trials that MLRsearch asks for (its `AbstractMeasurer`), and keeps them."""

    def __init__(self, measure: Measure, effort: Effort) -> None:
        self.trials: list[TrialResult] = []
        self._measure = measure
        self._effort = effort

    def measure(self, intended_duration: float, intended_load: float) -> Any:  # noqa: ANN401  (untyped library)
        from MLRsearch import MeasurementResult  # noqa: PLC0415  (see `_searched`)

        trial = self.valid_trial(intended_load, intended_duration)
        return MeasurementResult(
            intended_duration=intended_duration,
            intended_load=intended_load,
            offered_count=_COUNTS,
            loss_count=round(_loss(trial) * _COUNTS),
        )

    def valid_trial(self, rate_per_s: float, duration_s: float) -> TrialResult:
        """Make one trial; an invalid one is made again."""
        for _ in range(self._effort.tries):
            if sum(trial.duration_s for trial in self.trials) + duration_s > self._effort.limit_s:
                raise _Limited(f"the search took more than {self._effort.limit_s:g} s of trials")
            trial = self._measure(rate_per_s, duration_s)
            self.trials.append(trial)
            if not trial.invalid:
                return trial
        raise _Limited(trial.invalid)


def search(measure: Measure, effort: Effort | None = None) -> Capacity:
    """Search the highest rate at which `measure` keeps the budgets.

    The rate is doubled in short probes until one breaks twice, so that the search proper begins at no more than
    about twice the ceiling: a stack that is flooded may need long to recover.
    """
    effort = effort or Effort()
    measurer = _Measurer(measure, effort)
    first = effort.first_per_s
    limited_by = ""
    try:
        while True:
            lower, upper = _probe(measurer, effort, first)
            if upper is None:
                limited_by = f"nothing broke up to {lower:g}/s, the highest rate tried"
                break
            lower, upper = _search_between(measurer, effort, upper)
            if upper is not None or lower is None or lower >= effort.most_per_s:
                break
            first = lower  # what broke a probe was not the stack: go on from there
    except _Limited as reason:
        return partial_capacity(measurer.trials, str(reason))
    return Capacity(lower_per_s=lower, upper_per_s=upper, trials=tuple(measurer.trials), limited_by=limited_by)


def _probe(measurer: _Measurer, effort: Effort, first_per_s: float) -> tuple[float | None, float | None]:
    """Return the highest rate that was kept, and the one above that broke twice: None if none did.

    A probe that breaks is made a second time: at 8 requests a second one stall of the machine is enough.
    """
    low, rate = 0.0, first_per_s
    while any(measurer.valid_trial(rate, effort.probe_s).kept for _ in range(2)):
        if rate >= effort.most_per_s:
            return rate, None
        low, rate = rate, min(2 * rate, effort.most_per_s)
    return low, rate


def _search_between(measurer: _Measurer, effort: Effort, high: float) -> tuple[float | None, float | None]:
    # A tenth of a second that only a search needs, not all that reads its results.
    from MLRsearch import Config, MultipleLossRatioSearch, SearchGoal  # noqa: PLC0415

    goal = SearchGoal(
        loss_ratio=GOAL,
        exceed_ratio=0.5,
        relative_width=effort.width,
        initial_trial_duration=effort.trial_s,
        final_trial_duration=effort.trial_s,
        duration_sum=effort.sum_s,
        preceding_targets=2,
        expansion_coefficient=2,
        fail_fast=False,
    )
    config = Config()
    config.goals = (goal,)
    config.min_load = min(_LEAST_PER_S, high / 4)
    config.max_load = high * 1.25  # a probe that broke by bad luck leaves room above it
    config.search_duration_max = _SEARCH_LIMIT_S
    config.warmup_duration = 0.0
    result = MultipleLossRatioSearch(config).search(measurer=measurer, debug=lambda _: None)[goal]
    lower, upper = result.relevant_lower_bound, result.relevant_upper_bound
    return (None if lower is None else float(lower)), (None if upper is None else float(upper))


def _loss(trial: TrialResult) -> float:
    """Return the loss that MLRsearch gets.

    Up to an excess of 1 it is that times the goal. Above, MLRsearch guesses the next rate from it: the rate at
    which arrivals were completed, but at least a quarter of the rate that was tried.
    """
    if trial.kept:
        return trial.excess * GOAL
    completed = trial.completed_per_s / trial.rate_per_s
    return min(max(1.0 - completed, 2 * GOAL), 0.75)


def partial_capacity(trials: Sequence[TrialResult], limited_by: str) -> Capacity:
    """Return the bounds by the trials made so far, where the search did not come to its end."""
    valid = [trial for trial in trials if not trial.invalid]
    broken = [trial.rate_per_s for trial in valid if not trial.kept]
    upper = min(broken) if broken else None
    kept = [trial.rate_per_s for trial in valid if trial.kept and (upper is None or trial.rate_per_s < upper)]
    lower = max(kept) if kept else None
    return Capacity(lower_per_s=lower, upper_per_s=upper, trials=tuple(trials), limited_by=limited_by)


SearchStatus = Literal["complete", "interrupted"]


class CapacityWord(StrEnum):
    """The verdict on a capacity."""

    VALIDATED = "VALIDATED"
    NOT_VALIDATED = "NOT VALIDATED"
    NOT_DECIDED = "NOT DECIDED"
    BOUNDS_ONLY = "BOUNDS ONLY"
    NO_RATE = "NO RATE KEEPS THE BUDGETS"
    NO_BOUNDS = "NO BOUNDS"
    GENERATOR_LIMITED = "GENERATOR-LIMITED"
    INVALID = "INVALID"
    INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetVerdict:
    """The verdict on one budget in the validation, in one sentence."""

    budget: str
    word: BudgetWord
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The long window below the lower bound: its budgets and its memory.

    `invalid` is why the window can't be trusted, `saturated` how arrivals piled up in it; `strained` how the
    generator was late or busy although no budget broke: that can only have made the figures worse.
    """

    rate_per_s: float
    duration_s: float
    budgets: tuple[BudgetVerdict, ...] = ()
    memory: tuple[Slope, ...] = ()
    saturated: str = ""
    strained: str = ""
    invalid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityResult:
    """The capacity of one variant: the highest rate that kept the budgets, and one that did not.

    `percentile` and `of` name the latency of the curve (`of` None: of all requests); `limited_by` is why the
    search did not come to its end, and `generator` whether that was the generator; `shared` names the cores that
    load and stack had in common. `search_s` is how long the trials took, with the rests between them. `flow_s` is
    how long one flow took where nothing queued (None: none ended), `too_high` the share by which the bounds may be
    above the truth because the trials are only a few flows long (`capacity_trial.overestimate`); `silent` is how
    the stack did not answer. A search whose `status` is not `complete` was cut short: its bounds are those of
    single trials, and no result.
    """

    variant: str
    budgets: tuple[str, ...]
    percentile: int
    of: str | None
    lower_per_s: float | None
    upper_per_s: float | None
    trials: tuple[TrialResult, ...]
    search_s: float
    trial_s: float
    users: int
    limited_by: str = ""
    generator: bool = False
    shared: str = ""
    validation: Validation | None = None
    flow_s: float | None = None
    too_high: float = 0.0
    silent: str = ""
    status: SearchStatus = "complete"

    @property
    def word(self) -> CapacityWord:
        """The verdict, the gravest that holds."""
        validation = self.validation
        budgets = () if validation is None else tuple(budget.word for budget in validation.budgets)
        saturated = validation is not None and bool(validation.saturated)
        cases = (
            (self.status != "complete", CapacityWord.INTERRUPTED),
            (self.generator, CapacityWord.GENERATOR_LIMITED),
            (bool(self.silent), CapacityWord.INVALID),
            (validation is not None and bool(validation.invalid), CapacityWord.INVALID),
            (self.lower_per_s is None and self.upper_per_s is not None, CapacityWord.NO_RATE),
            (saturated or BudgetWord.BROKEN in budgets, CapacityWord.NOT_VALIDATED),
            (None in (self.lower_per_s, self.upper_per_s) or bool(self.limited_by), CapacityWord.NO_BOUNDS),
            (validation is None, CapacityWord.BOUNDS_ONLY),
            (BudgetWord.NOT_DECIDED in budgets, CapacityWord.NOT_DECIDED),
        )
        return next((word for holds, word in cases if holds), CapacityWord.VALIDATED)

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """Return the verdict's exit code; NOT_DECIDED only if `strict`."""
        return EXIT_CODES.get(self.word, ExitCode.NOT_DECIDED if strict else ExitCode.KEPT)


EXIT_CODES = {
    CapacityWord.VALIDATED: ExitCode.KEPT,
    CapacityWord.BOUNDS_ONLY: ExitCode.KEPT,
    CapacityWord.NOT_VALIDATED: ExitCode.BROKEN,
    CapacityWord.NO_RATE: ExitCode.BROKEN,
    CapacityWord.GENERATOR_LIMITED: ExitCode.INVALID,
    CapacityWord.INVALID: ExitCode.INVALID,
    CapacityWord.INTERRUPTED: ExitCode.INVALID,
}

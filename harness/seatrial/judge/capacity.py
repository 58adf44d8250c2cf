"""The highest rate that keeps the budgets, searched by short trials.

The search is MLRsearch (IETF draft-ietf-bmwg-mlrsearch, PyPI package MLRsearch): a rate is a lower or an upper
bound by the share of trial time that was bad, so that one disturbed trial decides nothing. Its *loss* is here the
share of requests that fail or exceed their budget, on the scale of the strictest budget (`Trial.excess`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from MLRsearch import Config, MeasurementResult, MultipleLossRatioSearch, SearchGoal
from MLRsearch.trial_measurement import AbstractMeasurer

GOAL = 0.01
"""The loss ratio at which a trial is called bad: an `excess` of 1, by the scaling in `_loss`."""

_COUNTS = 1_000_000
_LEAST_PER_S = 0.2
_SEARCH_LIMIT_S = 3_600.0
"""MLRsearch's own limit by the clock; ours is the number of seconds of trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial: arrivals at `rate_per_s` for `duration_s`.

    `excess` is the largest, over the budgets, of the share of requests that broke it divided by the share that
    may: up to 1.0 all budgets are kept. `completed_per_s` is the rate at which requests ended well. `invalid`
    names the reason if the generator, not the stack, was what was slow.
    """

    rate_per_s: float
    duration_s: float
    excess: float
    completed_per_s: float
    invalid: str = ""

    @property
    def kept(self) -> bool:
        """Whether all budgets were kept."""
        return self.excess <= 1.0


Measure = Callable[[float, float], Trial]
"""Takes a rate (arrivals a second) and a duration (seconds), and makes one trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How the search is made: `width` is the relative distance at which the bounds are close enough.

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
    """What the search found.

    `lower_per_s` kept the budgets; `upper_per_s` did not (None: nothing tried was too much). `limited_by` is empty
    if the stack was what limits, else the reason why no higher rate could be tried.
    """

    lower_per_s: float | None
    upper_per_s: float | None
    trials: tuple[Trial, ...]
    limited_by: str = ""

    @property
    def trial_s(self) -> float:
        """Seconds spent in trials."""
        return sum(trial.duration_s for trial in self.trials)


class _Limited(Exception):
    """Ends the search where no trial can be made any more."""


@dataclass
class _Measurer(AbstractMeasurer):  # type: ignore[misc]
    """Makes the trials that MLRsearch asks for, and keeps them."""

    trial: Measure
    effort: Effort
    trials: list[Trial] = field(default_factory=list)

    def measure(self, intended_duration: float, intended_load: float) -> MeasurementResult:
        trial = self.once(intended_load, intended_duration)
        loss = round(_loss(trial) * _COUNTS)
        return MeasurementResult(
            intended_duration=intended_duration,
            intended_load=intended_load,
            offered_count=_COUNTS,
            loss_count=loss,
        )

    def once(self, rate_per_s: float, duration_s: float) -> Trial:
        """Make one trial; one whose generator was the limit is made again, it says nothing of the stack."""
        for _ in range(self.effort.tries):
            if sum(one.duration_s for one in self.trials) + duration_s > self.effort.limit_s:
                raise _Limited(f"the search took more than {self.effort.limit_s:g} s of trials")
            trial = self.trial(rate_per_s, duration_s)
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
    try:
        while True:
            low, high = _doubled(measurer, effort, first)
            if high is None:
                return _found(measurer, low, None, f"nothing broke up to {low:g}/s, the highest rate tried")
            lower, upper = _searched(measurer, effort, high)
            if upper is not None or lower is None or lower >= effort.most_per_s:
                return _found(measurer, lower, upper)
            first = lower  # what broke a probe was not the stack: go on from there
    except _Limited as reason:
        return so_far(measurer.trials, str(reason))


def _doubled(measurer: _Measurer, effort: Effort, first_per_s: float) -> tuple[float, float | None]:
    """Return the highest rate that was kept, and the one above that broke twice: None if none did."""
    low, rate = 0.0, first_per_s
    while _kept_once(measurer, rate, effort.probe_s):
        if rate >= effort.most_per_s:
            return rate, None
        low, rate = rate, min(2 * rate, effort.most_per_s)
    return low, rate


def _kept_once(measurer: _Measurer, rate_per_s: float, duration_s: float) -> bool:
    """Try a second time where the first breaks: at 8 requests a second one stall of the machine is enough."""
    return any(measurer.once(rate_per_s, duration_s).kept for _ in range(2))


def _searched(measurer: _Measurer, effort: Effort, high: float) -> tuple[float | None, float | None]:
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


def _loss(trial: Trial) -> float:
    """Return the loss that MLRsearch is told.

    Up to an excess of 1 it is that times the goal. Above, MLRsearch guesses the next rate from it: what it should
    come to is the rate that went through well, and a quarter at most of a step away from what was tried.
    """
    if trial.kept:
        return trial.excess * GOAL
    through = trial.completed_per_s / trial.rate_per_s
    return min(max(1.0 - through, 2 * GOAL), 0.75)


def _found(measurer: _Measurer, lower: float | None, upper: float | None, limited_by: str = "") -> Capacity:
    return Capacity(lower_per_s=lower, upper_per_s=upper, trials=tuple(measurer.trials), limited_by=limited_by)


def so_far(trials: Sequence[Trial], limited_by: str) -> Capacity:
    """Return what the trials made so far allow to say, where the search did not come to its end."""
    told = [trial for trial in trials if not trial.invalid]
    broken = [trial.rate_per_s for trial in told if not trial.kept]
    upper = min(broken) if broken else None
    kept = [trial.rate_per_s for trial in told if trial.kept and (upper is None or trial.rate_per_s < upper)]
    lower = max(kept) if kept else None
    return Capacity(lower_per_s=lower, upper_per_s=upper, trials=tuple(trials), limited_by=limited_by)

"""The highest rate that keeps the budgets, searched by short trials.

The search is MLRsearch (IETF draft-ietf-bmwg-mlrsearch, PyPI package MLRsearch): a rate is a lower or an upper
bound by the share of trial time that was bad, so that one disturbed trial decides nothing. Its *loss* is here the
share of requests that fail or exceed their budget, on the scale of the strictest budget (`TrialResult.excess`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

GOAL = 0.01
"""The loss ratio at which a trial is called bad: an `excess` of 1, by the scaling in `_loss`."""

_COUNTS = 1_000_000
_LEAST_PER_S = 0.2
_SEARCH_LIMIT_S = 3_600.0
"""MLRsearch's own limit by the clock; ours is the number of seconds of trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """One trial: arrivals at `rate_per_s` for `duration_s`, and what came of them.

    `after_s` is when it began, from the first; `completed_per_s` the rate at which arrivals were completed;
    `latency_ns` the percentile of the curve, None where it is not known. `excess` is the largest, over the
    budgets, of the share of requests that broke it over the share that may (`judge.excess`), and `text` names that
    budget; `piled` says that it was none, but that flows did not end as fast as they began (`judge.backlog`).
    `invalid` is why the trial says nothing of the stack. `carried` arrivals were under way from the trial before.
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
        """Make one trial; an invalid one, which says nothing of the stack, is made again."""
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
            lower, upper = _doubled(measurer, effort, first)
            if upper is None:
                limited_by = f"nothing broke up to {lower:g}/s, the highest rate tried"
                break
            lower, upper = _searched(measurer, effort, upper)
            if upper is not None or lower is None or lower >= effort.most_per_s:
                break
            first = lower  # what broke a probe was not the stack: go on from there
    except _Limited as reason:
        return so_far(measurer.trials, str(reason))
    return Capacity(lower_per_s=lower, upper_per_s=upper, trials=tuple(measurer.trials), limited_by=limited_by)


def _doubled(measurer: _Measurer, effort: Effort, first_per_s: float) -> tuple[float | None, float | None]:
    """Return the highest rate that was kept, and the one above that broke twice: None if none did.

    A probe that breaks is made a second time: at 8 requests a second one stall of the machine is enough.
    """
    low, rate = 0.0, first_per_s
    while any(measurer.valid_trial(rate, effort.probe_s).kept for _ in range(2)):
        if rate >= effort.most_per_s:
            return rate, None
        low, rate = rate, min(2 * rate, effort.most_per_s)
    return low, rate


def _searched(measurer: _Measurer, effort: Effort, high: float) -> tuple[float | None, float | None]:
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

    Up to an excess of 1 it is that times the goal. Above, MLRsearch guesses the next rate from it: what it should
    come to is the rate that went through well, and a quarter at most of a step away from what was tried.
    """
    if trial.kept:
        return trial.excess * GOAL
    through = trial.completed_per_s / trial.rate_per_s
    return min(max(1.0 - through, 2 * GOAL), 0.75)


def so_far(trials: Sequence[TrialResult], limited_by: str) -> Capacity:
    """Return what the trials made so far allow to say, where the search did not come to its end."""
    valid = [trial for trial in trials if not trial.invalid]
    broken = [trial.rate_per_s for trial in valid if not trial.kept]
    upper = min(broken) if broken else None
    kept = [trial.rate_per_s for trial in valid if trial.kept and (upper is None or trial.rate_per_s < upper)]
    lower = max(kept) if kept else None
    return Capacity(lower_per_s=lower, upper_per_s=upper, trials=tuple(trials), limited_by=limited_by)

"""The search for capacity, on simulated queues whose ceiling is known, and the verdict on its bounds."""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import comparisons
import pytest
from comparisons import tried

from seatrial.compare.budgets import BudgetWord
from seatrial.compare.capacity import BudgetVerdict, CapacityWord, Effort, Measure, TrialResult, Validation, search

WORKERS, SERVICE_S, LIMIT_S = 2, 0.02, 0.1
CEILING_PER_S = WORKERS / SERVICE_S


def _queue(seed: int, *, jitter: float = 0.0) -> Measure:
    """First come, first served by two workers; `jitter` is the spread of the machine's speed between trials."""
    rng = random.Random(seed)  # noqa: S311  (a simulated queue)

    def measure(rate_per_s: float, duration_s: float) -> TrialResult:
        speed = rng.lognormvariate(0.0, jitter)
        free = [0.0] * WORKERS
        late = done = 0
        count = max(int(rate_per_s * duration_s), 1)
        for number in range(count):
            due_s = number / rate_per_s
            end_s = max(due_s, heapq.heappop(free)) + SERVICE_S / speed
            heapq.heappush(free, end_s)
            late += end_s - due_s > LIMIT_S
            done += end_s <= duration_s
        excess = late / count / 0.05
        return tried(rate_per_s, duration_s, excess=excess, completed_per_s=done / duration_s)

    return measure


def test_finds_the_ceiling_of_a_quiet_stack() -> None:
    """Within the width of the search, W workers of a known service time carry W over that time."""
    found = search(_queue(1))

    assert found.lower_per_s == pytest.approx(CEILING_PER_S, rel=0.05)
    assert found.upper_per_s is not None
    assert found.upper_per_s > CEILING_PER_S * 0.99
    # a flooded stack needs long to recover
    assert max(trial.rate_per_s for trial in found.trials) <= 2.6 * CEILING_PER_S
    assert found.limited_by == ""


def test_repeats_within_four_per_cent_on_a_noisy_machine_in_two_minutes() -> None:
    """Trials whose speed differs by 3 % still give one answer: the median decides, not the worst trial."""
    found = [search(_queue(seed, jitter=0.03)) for seed in range(20)]
    rates = [one.lower_per_s or 0.0 for one in found]

    assert statistics.stdev(rates) / statistics.mean(rates) < 0.04
    assert statistics.median(rates) == pytest.approx(CEILING_PER_S, rel=0.05)
    assert statistics.median(one.trial_s for one in found) < 120


def test_a_generator_that_is_the_limit_is_told_and_its_trials_are_not_bad() -> None:
    """What the generator can't send says nothing about the stack."""
    honest = _queue(1)

    def measure(rate_per_s: float, duration_s: float) -> TrialResult:
        if rate_per_s <= 40:
            return honest(rate_per_s, duration_s)
        return tried(rate_per_s, duration_s, excess=50.0, completed_per_s=40.0, invalid="CPU at 100 %")

    found = search(measure)

    assert found.limited_by == "CPU at 100 %"
    assert (found.lower_per_s, found.upper_per_s) == (32.0, None)


def _disturbed(changes: Mapping[int, Mapping[str, Any]]) -> tuple[Measure, list[float]]:
    """Return trials of a queue, some of which come out differently, and the list of their rates."""
    honest, rates = _queue(1), list[float]()

    def measure(rate_per_s: float, duration_s: float) -> TrialResult:
        rates.append(rate_per_s)
        return replace(honest(rate_per_s, duration_s), **changes.get(len(rates), {}))

    return measure, rates


@pytest.mark.parametrize(
    ("changes", "first_rates"),
    [
        ({3: {"invalid": "late"}}, [4.0, 8.0, 16.0, 16.0]),
        ({2: {"excess": 9.0}}, [4.0, 8.0, 8.0, 16.0]),
        ({2: {"excess": 9.0}, 3: {"excess": 9.0}}, [4.0, 8.0, 8.0]),
    ],
)
def test_a_trial_that_is_invalid_or_a_probe_that_breaks_by_chance_is_made_again(
    changes: Mapping[int, Mapping[str, Any]], first_rates: list[float]
) -> None:
    """It is no verdict; where two bad probes end the doubling too early, it is taken up again."""
    measure, rates = _disturbed(changes)
    found = search(measure)

    assert rates[: len(first_rates)] == first_rates
    assert found.lower_per_s == pytest.approx(CEILING_PER_S, rel=0.05)
    assert found.upper_per_s is not None
    assert found.limited_by == ""


def test_a_stack_that_nothing_breaks_or_that_keeps_no_budget_has_one_bound_only() -> None:
    """A lower one and the reason why there is no other; or an upper one."""
    best = search(lambda rate, duration: tried(rate, duration, excess=0.0), Effort(most_per_s=1000.0))
    worst = search(lambda rate, duration: tried(rate, duration, excess=20.0, completed_per_s=0.0))

    assert (best.lower_per_s, best.upper_per_s) == (1000.0, None)
    assert "1000/s" in best.limited_by
    assert worst.lower_per_s is None
    assert worst.upper_per_s is not None


def test_the_search_ends_in_bounded_time() -> None:
    """A stack that is good one time and bad the next never gives bounds; the search ends all the same."""
    rng = random.Random(5)  # noqa: S311  (a simulated stack)
    found = search(lambda rate, s: tried(rate, s, excess=rng.choice((5.0, 0.5))), Effort(limit_s=200.0))
    assert found.trial_s <= 200.0


def _validated(word: BudgetWord = BudgetWord.KEPT, *, saturated: str = "", invalid: str = "") -> Validation:
    verdict = BudgetVerdict(budget="failures < 1%", word=word, text="")
    return Validation(rate_per_s=92.0, duration_s=60.0, budgets=(verdict,), saturated=saturated, invalid=invalid)


@pytest.mark.parametrize(
    ("changes", "word", "code", "strict"),
    [
        ({}, CapacityWord.VALIDATED, 0, 0),
        ({"validation": _validated(BudgetWord.BROKEN)}, CapacityWord.NOT_VALIDATED, 1, 1),
        ({"validation": _validated(saturated="300 of 500")}, CapacityWord.NOT_VALIDATED, 1, 1),
        ({"validation": _validated(BudgetWord.NOT_DECIDED)}, CapacityWord.NOT_DECIDED, 0, 7),
        ({"validation": None}, CapacityWord.BOUNDS_ONLY, 0, 0),
        ({"validation": _validated(invalid="a restart")}, CapacityWord.INVALID, 5, 5),
        ({"limited_by": "CPU at 100 %", "generator": True}, CapacityWord.GENERATOR_LIMITED, 5, 5),
        ({"lower_per_s": None, "validation": None}, CapacityWord.NO_RATE, 1, 1),
        ({"upper_per_s": None}, CapacityWord.NO_BOUNDS, 0, 7),
        ({"lower_per_s": None, "validation": None, "silent": "none ended well"}, CapacityWord.INVALID, 5, 5),
        ({"status": "interrupted"}, CapacityWord.INTERRUPTED, 5, 5),
        ({"limited_by": "more than 360 s of trials"}, CapacityWord.NO_BOUNDS, 0, 7),
    ],
)
def test_each_outcome_has_its_word_and_its_exit_code(
    changes: dict[str, Any], word: CapacityWord, code: int, strict: int
) -> None:
    """Under --strict what was not decided is no success."""
    result = replace(comparisons.carries("base", 97.0), **{"validation": _validated(), **changes})
    assert result.word is word
    assert (result.exit_code(), result.exit_code(strict=True)) == (code, strict)

"""The validation of a capacity, from a sealed run: budgets, memory, and what a late generator can't spoil."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import factories
import pytest

from seatrial.compare import budgets, capacity_trial
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.capacity import Validation
from seatrial.experiment import capacity_trials
from seatrial.measure.services import Growth
from seatrial.record import documents
from seatrial.record.seal import seal

CROWDED = {
    "subject": {},
    "environment": {"host": {"cores": 2}},
    "sampler": {"sources": dict.fromkeys(factories.TIERS, "cgroup v2")},
}


def _judged(folder: Path, *texts: str, cpu_fraction: float = 0.3, **changes: Any) -> Validation:  # noqa: ANN401  (fields of RunDocument)
    run = factories.run(folder, [factories.Asked(start_s=index * 0.042) for index in range(1000)], **changes)
    seconds = (factories.second(number, cpu_fraction=cpu_fraction) for number in range(42))
    factories.write_lines(run.streams, "generator", seconds, table="generator")
    host = [one | {"stolen_ns": 0} for one in factories.readings(cores=1.5)]
    factories.write_samples(run.streams, "host", host)
    seal(run, documents.load_document(run))
    asked = capacity_trial.search_budgets([budgets.parse(text) for text in texts])
    return capacity_trials.validation(asked, run, 23.0, 30.0)


def test_budgets_and_memory_of_the_window_are_judged(tmp_path: Path) -> None:
    """Each budget in words, those of memory, too; the registry of this run grows by 0.5 MiB a second."""
    found = _judged(tmp_path, 'p95 of "blob" < 100ms', "peak unreclaimable of registry < 10MiB")
    slopes = {slope.service: slope for slope in found.memory}

    assert [one.word for one in found.budgets] == [BudgetWord.KEPT, BudgetWord.BROKEN]
    assert "peak unreclaimable of registry" in found.budgets[1].text
    assert (found.invalid, found.saturated, found.strained) == ("", "", "")
    assert set(slopes) == {"nginx", "registry"}
    assert slopes["nginx"].word is not Growth.GROWING
    assert slopes["registry"].per_s is None or slopes["registry"].per_s == pytest.approx(0.5 * (1 << 20), rel=0.1)


def test_a_busy_generator_does_not_question_budgets_that_were_kept(tmp_path: Path) -> None:
    """Its lateness is in the latency from the intended start: without it the figures would be better still."""
    found = _judged(tmp_path, 'p95 of "blob" < 100ms', cpu_fraction=0.97)

    assert found.invalid == ""
    assert "generator busy" in found.strained


def test_a_busy_generator_does_not_question_what_was_only_not_decided(tmp_path: Path) -> None:
    """Of 714 requests none failed: fewer than 0.1 % can't be told from so few, with whatever generator."""
    found = _judged(tmp_path, 'p95 of "blob" < 100ms', "failures < 0.1%", cpu_fraction=0.97)

    assert [one.word for one in found.budgets] == [BudgetWord.KEPT, BudgetWord.NOT_DECIDED]
    assert found.invalid == ""
    assert "generator busy" in found.strained


def test_a_busy_generator_may_be_why_a_budget_broke(tmp_path: Path) -> None:
    """Then nothing is said of the stack."""
    found = _judged(tmp_path, 'p95 of "blob" < 5ms', cpu_fraction=0.97)

    assert "generator busy" in found.invalid
    assert found.strained == ""


@pytest.mark.parametrize(("limit", "reason"), [("100ms", "strained"), ("5ms", "invalid")])
def test_other_programs_may_only_be_why_a_budget_broke(tmp_path: Path, limit: str, reason: str) -> None:
    """Kept beside them, it is kept without them, too."""
    found = _judged(tmp_path, f'p95 of "blob" < {limit}', facts=CROWDED)
    told = {"strained": found.strained, "invalid": found.invalid}

    assert told.pop(reason).startswith("foreign CPU: other programs used 49.6%")
    assert list(told.values()) == [""]


def test_without_a_window_there_is_no_validation(tmp_path: Path) -> None:
    """Of a search that was broken off."""
    found = _judged(tmp_path, 'p95 of "blob" < 100ms', spans=factories.SPANS[:1])

    assert found.invalid == "the window was never opened"

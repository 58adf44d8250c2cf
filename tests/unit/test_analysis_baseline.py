"""Stored runs as the base of a comparison (`--against`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiments import Truth, experiment

from seatrial.analysis.experiment import analyse
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.verdicts import Word
from seatrial.errors import UsageError
from seatrial.measure.metric import Kind


def stored(results: Path, blocks: int, **changes: Any) -> Path:  # noqa: ANN401  (fields of the plan)
    """Make an experiment of plain runs."""
    return experiment(results / "old", {"base": Truth()}, blocks=blocks, command="run", **changes)


def test_stored_runs_stand_for_the_base(tmp_path: Path) -> None:
    """A slower variant is a regression against them."""
    old = stored(tmp_path, 5)
    result = analyse(experiment(tmp_path / "new", {"head": Truth(took_ms=26)}, blocks=5, against=str(old)))

    assert result.comparison
    (p95,) = (each for each in result.comparison.gated if each.metric.text == 'p95 of "blob"')
    assert p95.word is Word.REGRESSION
    assert result.against
    assert result.against.experiment == old.name


def test_stored_blocks_are_paired_by_their_number(tmp_path: Path) -> None:
    """A stored run that can't be read leaves a hole, and moves none of the others."""
    old = stored(tmp_path, 4)
    (sorted((old / "runs").iterdir())[1] / "run.json").unlink()
    result = analyse(experiment(tmp_path / "new", {"head": Truth()}, blocks=4, against=str(old)))

    assert [sorted(block) for block in result.blocks] == [["base", "head"], ["head"], *[["base", "head"]] * 2]


def test_on_another_host_only_cpu_and_memory_are_gated(tmp_path: Path) -> None:
    """No budget relative to the base is decided by latency; an absolute one is."""
    facts = {"environment": {"host": {"cores": 64}, "seed": 7}, "sampler": {"sources": {}}}
    budgets = ('p95 of "blob" < 150ms', 'p95 of "blob" within 50% of base')
    head = {"head": Truth(changes={"facts": facts})}
    against = str(stored(tmp_path, 4))
    result = analyse(
        experiment(tmp_path / "new", head, blocks=4, against=against, varies=("host",), budgets=budgets)
    )

    assert result.comparison
    assert {each.metric.kind for each in result.comparison.gated} == {Kind.CPU, Kind.MEMORY}
    assert [budget.word for budget in result.budgets["head"]] == [BudgetWord.KEPT, BudgetWord.NOT_DECIDED]
    assert result.budgets["head"][1].reason == 'p95 of "blob" can\'t be compared across what differs: host'


def test_a_stored_run_beside_other_programs_is_invalid(tmp_path: Path) -> None:
    """Although it was a plain run, which may share its host."""
    old = stored(tmp_path, 1, crowded=[("base", 1)])
    (block,) = analyse(experiment(tmp_path / "new", {"head": Truth()}, blocks=1, against=str(old))).blocks

    assert block["base"].invalid.startswith("foreign CPU")
    assert block["head"].invalid == ""


def test_a_stored_experiment_that_was_deleted_is_an_error(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(UsageError, match="stored experiment is not there"):
        analyse(experiment(tmp_path, blocks=1, against="yesterday"))

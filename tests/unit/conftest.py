"""Fixtures that several unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import scenario_files
from experiments import EVERYTHING, experiment

from seatrial.analysis.experiment import analyse
from seatrial.analysis.results import ExperimentResult


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an experiment with every kind of verdict, and a run that is not used; tests must not change it."""
    return experiment(tmp_path_factory.mktemp("everything"), EVERYTHING, spoiled=[("slow", 4)])


@pytest.fixture(scope="session")
def everything_result(everything: Path) -> ExperimentResult:
    """Analyse it once."""
    return analyse(everything)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a scenario is to be written, beside what it names, in a folder with a blank in its name."""
    return scenario_files.make(tmp_path / "my scenarios")

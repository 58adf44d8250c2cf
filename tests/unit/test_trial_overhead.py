"""The time of a comparison besides its load, from a stored experiment: tests/trials/overhead.py."""

from __future__ import annotations

from pathlib import Path

import experiments
import overhead
import pytest
from overhead import Took

from seatrial.record import documents
from seatrial.record.documents import ExperimentProgress


def test_loads_are_timed_by_phases_and_blocks_by_the_saved_progress(tmp_path: Path) -> None:
    """The made-up runs have load for 6 s each; two variants in two blocks."""
    folder = experiments.experiment(tmp_path, blocks=2)
    documents.save_progress(
        folder, ExperimentProgress(blocks=2, stopped="decided", lasted_s=39.0, blocks_s=(21.0, 18.0))
    )

    took = overhead.took(folder, whole_s=40.0)

    assert took == Took(whole_s=40.0, blocks_s=(21.0, 18.0), loads_s=((6.0, 6.0), (6.0, 6.0)))
    lines = list(overhead.table(took))
    assert lines[1].split() == ["1", "2", "21.0", "12.0", "4.5"]
    assert "median 3.8 s, at most 4.5 s" in lines[3]
    assert "40 s for 24 s of load: +67%" in lines[4]


def test_a_block_without_its_runs_is_an_error(tmp_path: Path) -> None:
    """A table without it would look too good."""
    folder = experiments.experiment(tmp_path, blocks=2)
    documents.save_progress(folder, ExperimentProgress(blocks=3, blocks_s=(21.0, 18.0, 20.0)))

    with pytest.raises(ValueError, match=r"shorter|longer"):
        list(overhead.table(overhead.took(folder, whole_s=40.0)))

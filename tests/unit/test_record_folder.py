"""Where runs lie, and how a person's word finds one."""

from __future__ import annotations

from pathlib import Path

import factories
import pytest

from seatrial.errors import ResultsUnwritable, UsageError
from seatrial.record import documents
from seatrial.record.folder import (
    RunFolder,
    create_experiment,
    create_for_kept_stack,
    create_run,
    find_run,
    list_runs,
)

A_MINUTE_NS = 60 * 10**9


def _run(results: Path, *, minutes: int = 0) -> RunFolder:
    wall_ns = factories.WALL_NS + minutes * A_MINUTE_NS
    folder = create_run(create_experiment(results, "registry-pull", wall_ns), "base", 1, wall_ns)
    documents.save_document(folder, factories.document())
    return folder


def test_an_experiment_is_named_after_time_and_scenario(tmp_path: Path) -> None:
    """The name sorts by time and says what was run."""
    assert create_experiment(tmp_path, "registry-pull", factories.WALL_NS).name == "20261121T061500Z-registry-pull"


def test_two_experiments_of_one_second_are_two_folders(tmp_path: Path) -> None:
    """The second one gets a number."""
    create_experiment(tmp_path, "a", factories.WALL_NS)
    assert create_experiment(tmp_path, "a", factories.WALL_NS).name == "20261121T061500Z-a-2"


def test_a_run_has_room_for_streams_and_logs(tmp_path: Path) -> None:
    """Both folders exist before any process writes."""
    folder = _run(tmp_path)
    assert folder.root.name == "20261121T061500Z-base-b1"
    assert (folder.streams.is_dir(), folder.logs.is_dir()) == (True, True)


def test_a_name_with_a_slash_stays_one_folder(tmp_path: Path) -> None:
    """A scenario's name can't lead out of the results."""
    assert create_experiment(tmp_path, "../x/y", factories.WALL_NS).parent == tmp_path


def test_latest_is_the_newest_run(tmp_path: Path) -> None:
    """The newest experiment wins, whatever its folder's change time."""
    newest = _run(tmp_path, minutes=1)
    _run(tmp_path)
    assert find_run(tmp_path, "latest") == newest


def test_a_run_is_found_by_every_name_of_it(tmp_path: Path) -> None:
    """Experiment name, run name, experiment folder and run folder all mean the run."""
    run = _run(tmp_path)
    names = (run.experiment.name, run.root.name, str(run.experiment), str(run.root))
    assert {find_run(tmp_path, name) for name in names} == {run}


def test_an_unknown_run_is_answered_with_those_there_are(tmp_path: Path) -> None:
    """The message lists what could have been meant."""
    _run(tmp_path)
    with pytest.raises(UsageError, match="no run 'yesterday'") as raised:
        find_run(tmp_path, "yesterday")
    assert raised.value.seen == "20261121T061500Z-base-b1"


def test_without_any_run_the_hint_makes_one(tmp_path: Path) -> None:
    """A results folder that does not exist is no error of its own."""
    with pytest.raises(UsageError, match="no run yet") as raised:
        find_run(tmp_path / "none", "latest")
    assert raised.value.hint == "seatrial run registry-pull"


def test_a_standing_stack_is_not_a_run(tmp_path: Path) -> None:
    """What `up` leaves behind is not listed among the runs."""
    standing = create_for_kept_stack(tmp_path, "registry-pull")
    assert standing.logs.is_dir()
    assert list_runs(tmp_path) == []


def test_results_that_can_not_be_made_are_told(tmp_path: Path) -> None:
    """A file in the place of the folder gives an error with where, seen and a hint."""
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsUnwritable) as raised:
        create_experiment(tmp_path / "results", "a", factories.WALL_NS)
    assert raised.value.seen == "File exists"
    assert "--results" in raised.value.hint

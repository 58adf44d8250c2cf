"""Run folders: creating and finding them, writing their files whole or not at all, and run.json."""

from __future__ import annotations

import errno
from pathlib import Path

import factories
import pytest

from seatrial.errors import ResultsUnwritable, UsageError
from seatrial.model import Note, NoteKind
from seatrial.record import documents
from seatrial.record.documents import load_document, save_document
from seatrial.record.folder import (
    RunFolder,
    create_experiment,
    create_for_kept_stack,
    create_run,
    find_run,
    list_runs,
    replacing,
    writing,
)

A_MINUTE_NS = 60 * 10**9


def _run(results: Path, *, minutes: int = 0) -> RunFolder:
    wall_ns = factories.WALL_NS + minutes * A_MINUTE_NS
    folder = create_run(create_experiment(results, "registry-pull", wall_ns), "base", 1, wall_ns)
    documents.save_document(folder, factories.document())
    return folder


def test_folders_are_named_after_time_and_scenario_or_variant(tmp_path: Path) -> None:
    """Names sort by time; a second folder of the same second gets a number, and a slash leads nowhere else."""
    folder = _run(tmp_path)
    assert folder.experiment.name == "20261121T061500Z-registry-pull"
    assert folder.root.name == "20261121T061500Z-base-b1"
    assert (folder.streams.is_dir(), folder.logs.is_dir()) == (True, True)
    assert _run(tmp_path).experiment.name == "20261121T061500Z-registry-pull-2"
    assert create_experiment(tmp_path, "../x/y", factories.WALL_NS).parent == tmp_path


def test_a_run_is_found_by_every_name_of_it(tmp_path: Path) -> None:
    """`latest` is the newest one, whatever the change times; an experiment's name or folder is its run."""
    run = _run(tmp_path, minutes=1)
    _run(tmp_path)
    names = ("latest", run.experiment.name, run.root.name, str(run.experiment), str(run.root))
    assert {find_run(tmp_path, name) for name in names} == {run}


def test_an_unknown_run_is_answered_with_those_there_are(tmp_path: Path) -> None:
    """Where there is none, the hint is a command that makes one."""
    _run(tmp_path)
    with pytest.raises(UsageError, match="no run 'yesterday'") as raised:
        find_run(tmp_path, "yesterday")
    assert raised.value.seen == "20261121T061500Z-base-b1"
    with pytest.raises(UsageError, match="no run yet") as raised:
        find_run(tmp_path / "none", "latest")
    assert raised.value.hint == "seatrial run registry-pull"


def test_the_folder_of_a_kept_stack_is_not_a_run(tmp_path: Path) -> None:
    """`up` makes it for the logs."""
    assert create_for_kept_stack(tmp_path, "registry-pull").logs.is_dir()
    assert list_runs(tmp_path) == []


def test_results_that_can_not_be_created_are_refused(tmp_path: Path) -> None:
    """A file in the place of the folder gives an error with where, seen and a hint."""
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsUnwritable) as raised:
        create_experiment(tmp_path / "results", "a", factories.WALL_NS)
    assert raised.value.seen == "File exists"
    assert "--results" in raised.value.hint


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A full disk in the middle of writing keeps the last good content, and no part of a file is left."""
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(OSError, match="No space"), replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"run.json": "old"}


@pytest.mark.parametrize(
    ("code", "seen", "hint"),
    [(errno.ENOSPC, "No space left on device", "df -h"), (errno.EACCES, "Permission denied", "ls -ld")],
)
def test_a_refused_write_has_a_hint(tmp_path: Path, code: int, seen: str, hint: str) -> None:
    """A full disk and a missing permission have different hints and one exit code."""
    with pytest.raises(ResultsUnwritable) as raised, writing(tmp_path):
        raise OSError(code, "x")
    assert (raised.value.seen, raised.value.exit_code) == (seen, 8)
    assert hint in raised.value.hint


def test_a_document_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """With its spans, notes and facts; a path becomes text."""
    note = Note(kind=NoteKind.SHARED_CORES, text="2 cores")
    before = factories.document(notes=(note,), rows={"requests": 3}, scenario={"locustfile": "/a/b.py"})
    save_document(RunFolder(tmp_path), before)
    assert load_document(RunFolder(tmp_path)) == before
    save_document(RunFolder(tmp_path), factories.document(scenario={"locustfile": Path("/a/b.py")}))
    assert load_document(RunFolder(tmp_path)).scenario == {"locustfile": "/a/b.py"}


def test_a_field_of_a_later_version_is_ignored(tmp_path: Path) -> None:
    """Within one schema version fields may be added."""
    folder = RunFolder(tmp_path)
    folder.document.write_text('{"schema_version": 1, "status": "complete", "scenario_name": "a", "new": 1}')
    assert load_document(folder).scenario_name == "a"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "no run.json"),
        ('{"schema_version": 99}', "newer Seatrial"),
        *((text, "can't be read") for text in ("{", "[]", '{"status": "complete"}', '{"schema_version": "1"}')),
    ],
)
def test_a_document_that_can_not_be_used_is_refused(tmp_path: Path, text: str | None, what: str) -> None:
    """Missing, damaged, incomplete and too new are different messages."""
    folder = RunFolder(tmp_path)
    if text is not None:
        folder.document.write_text(text)
    with pytest.raises(UsageError, match=what):
        load_document(folder)

"""run.json keeps what a run was."""

from __future__ import annotations

import errno
from pathlib import Path

import factories
import pytest

from seatrial.errors import ResultsUnwritable, UsageError
from seatrial.model import Note, NoteKind
from seatrial.record.documents import load_document, save_document
from seatrial.record.folder import RunFolder, replacing, writing


def test_a_document_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """Spans, notes and facts survive."""
    note = Note(kind=NoteKind.SHARED_CORES, text="2 cores")
    before = factories.document(notes=(note,), rows={"requests": 3})
    save_document(RunFolder(tmp_path), before)
    assert load_document(RunFolder(tmp_path)) == before


def test_a_path_in_a_scenario_is_saved_as_text(tmp_path: Path) -> None:
    """A resolved scenario may name files."""
    save_document(RunFolder(tmp_path), factories.document(scenario={"locustfile": Path("/a/b.py")}))
    assert load_document(RunFolder(tmp_path)).scenario == {"locustfile": "/a/b.py"}


def test_a_field_of_a_later_writer_is_ignored(tmp_path: Path) -> None:
    """Within one schema version fields may be added."""
    folder = RunFolder(tmp_path)
    folder.document.write_text('{"schema_version": 1, "status": "complete", "scenario_name": "a", "new": 1}')
    assert load_document(folder).scenario_name == "a"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "no run.json"),
        ("{", "can't be read"),
        ("[]", "can't be read"),
        ('{"status": "complete"}', "can't be read"),
        ('{"schema_version": 99}', "newer Seatrial"),
        ('{"schema_version": "1"}', "can't be read"),
    ],
)
def test_what_is_wrong_with_a_document_is_said(tmp_path: Path, text: str | None, what: str) -> None:
    """Missing, damaged, incomplete and too new are told apart."""
    folder = RunFolder(tmp_path)
    if text is not None:
        folder.document.write_text(text)
    with pytest.raises(UsageError, match=what):
        load_document(folder)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A full disk in the middle of writing keeps the last good content and no remains."""
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(OSError, match="No space"), replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"run.json": "old"}


@pytest.mark.parametrize(
    ("code", "seen", "hint"),
    [(errno.ENOSPC, "No space left on device", "df -h"), (errno.EACCES, "Permission denied", "ls -ld")],
)
def test_what_the_disk_refuses_is_told_with_its_mend(tmp_path: Path, code: int, seen: str, hint: str) -> None:
    """A full disk and a missing permission have different hints and one exit code."""
    with pytest.raises(ResultsUnwritable) as raised, writing(tmp_path):
        raise OSError(code, "x")
    assert (raised.value.seen, raised.value.exit_code) == (seen, 8)
    assert hint in raised.value.hint

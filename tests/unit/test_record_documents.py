"""Saving and loading run.json; plan, progress and capacity are tested where they are made."""

from __future__ import annotations

from pathlib import Path

import factories
import pytest

from seatrial.errors import UsageError
from seatrial.model import Note, NoteKind
from seatrial.record.documents import load_document, save_document
from seatrial.record.folder import RunFolder


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
        ("{", "can't be read"),
        ("[]", "can't be read"),
        ('{"status": "complete"}', "can't be read"),
        ('{"schema_version": 99}', "newer Seatrial"),
        ('{"schema_version": "1"}', "can't be read"),
    ],
)
def test_a_document_that_can_not_be_used_is_refused(tmp_path: Path, text: str | None, what: str) -> None:
    """Missing, damaged, incomplete and too new are different messages."""
    folder = RunFolder(tmp_path)
    if text is not None:
        folder.document.write_text(text)
    with pytest.raises(UsageError, match=what):
        load_document(folder)

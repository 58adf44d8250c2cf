"""Whatever a kill, a crash or a full disk left behind can be sealed."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import factories
import pandas as pd
import pytest
from factories import Asked, at

from seatrial.errors import ResultsUnwritable
from seatrial.model import NoteKind
from seatrial.record import documents
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder, list_runs
from seatrial.record.seal import seal
from seatrial.wire.streams import TABLES


def test_a_torn_last_record_is_left_out_and_noted(tmp_path: Path) -> None:
    """A kill in the middle of a write costs that record only."""
    folder = factories.run(tmp_path)
    with (folder.streams / "requests-0.bin").open("ab") as stream:
        stream.write(b"\x00" * 11)
    with (folder.streams / "flows-0.jsonl").open("ab") as stream:
        stream.write(b'{"flow_id": 4')
    sealed = seal(folder, documents.load_document(folder))
    assert (sealed.rows["requests"], sealed.rows["flows"]) == (1000, 200)
    assert [note.text for note in sealed.notes] == [
        "left out, because cut off while being written: requests-0.bin (11 bytes), flows-0.jsonl (1 lines)"
    ]


def test_a_stream_without_a_header_costs_nothing_else(tmp_path: Path) -> None:
    """A process killed before its first write leaves an empty or torn file."""
    folder = factories.run(tmp_path)
    (folder.streams / "requests-1.bin").write_bytes(b"")
    (folder.streams / "samples-late.bin").write_bytes(b'{"magic": "seat')
    sealed = seal(folder, documents.load_document(folder))
    assert sealed.rows["requests"] == 1000
    assert [note.kind for note in sealed.notes] == [NoteKind.TORN_RECORDS]


def test_without_spans_everything_is_warm_up(tmp_path: Path) -> None:
    """After a kill before the window nothing counts as measured."""
    folder = factories.sealed_run(tmp_path, spans=())
    assert set(pd.read_parquet(folder.table("requests"))["phase"]) == {"warmup"}


@pytest.mark.parametrize("status", ["recovered", "interrupted", "failed"])
def test_the_phases_of_a_run_that_was_cut_short_end_with_its_last_stamp(tmp_path: Path, status: str) -> None:
    """Killed at 25 s of 42: the window is 15 s long, and there was no drain."""
    sealed = _cut_at(25, tmp_path, status)
    assert [(span.phase, span.until_ns) for span in sealed.spans] == [("warmup", at(10)), ("window", at(25) + 1)]
    assert documents.load_document(_only_run(tmp_path)).spans == sealed.spans


def test_a_window_that_never_began_is_no_window(tmp_path: Path) -> None:
    """Killed in the warm-up: run.json keeps the phases that were."""
    assert [span.phase for span in _cut_at(4, tmp_path, "recovered").spans] == ["warmup"]


def test_the_phases_of_a_complete_run_are_as_they_were_told(tmp_path: Path) -> None:
    """Silence at the end is part of what was measured."""
    assert _cut_at(25, tmp_path, "complete").spans == factories.SPANS


def test_a_run_without_any_stamp_has_no_phases(tmp_path: Path) -> None:
    """Killed before anything was written."""
    folder = factories.run(tmp_path, status="recovered")
    for path in folder.streams.iterdir():
        path.unlink()
    assert seal(folder, documents.load_document(folder)).spans == ()


def test_sealing_twice_changes_nothing(tmp_path: Path) -> None:
    """A sealed run stays as it is, whatever document comes the second time."""
    folder = factories.sealed_run(tmp_path)
    before = {name: folder.table(name).read_bytes() for name in TABLES}
    again = seal(folder, factories.document(status="recovered"))
    assert again.status == "complete"
    assert {name: folder.table(name).read_bytes() for name in TABLES} == before


def test_a_crash_between_tables_and_document_is_made_good(tmp_path: Path) -> None:
    """With the streams still there, sealing starts again and replaces what was half done."""
    folder = factories.run(tmp_path)
    folder.table("requests").write_bytes(b"half a table")
    assert seal(folder, documents.load_document(folder)).rows["requests"] == 1000


def test_tables_are_never_replaced_by_empty_ones(tmp_path: Path) -> None:
    """A stale run.json beside finished tables, the streams gone: the tables stay."""
    folder = factories.sealed_run(tmp_path)
    documents.save_document(folder, factories.document(sealed=False))
    assert seal(folder, documents.load_document(folder)).rows["requests"] == 1000


def test_a_full_disk_keeps_the_streams(tmp_path: Path) -> None:
    """When a table can't be written, nothing is removed and no part of a table is left."""
    folder = factories.run(tmp_path)
    with _largest_file(4096), pytest.raises(ResultsUnwritable) as raised:
        seal(folder, documents.load_document(folder))
    assert raised.value.seen == "File too large"
    assert folder.streams.exists()
    assert not list(folder.root.glob("*.part"))
    assert seal(folder, documents.load_document(folder)).rows["requests"] == 1000


def _cut_at(end_s: float, results: Path, status: str) -> RunDocument:
    """Seal a run whose last request ended, and whose last sample was taken, at `end_s`."""
    folder = factories.run(results, [Asked(start_s=1), Asked(start_s=end_s - 0.5, took_ms=500)], status=status)
    for path in folder.streams.glob("samples-*"):
        path.unlink()
    factories.write_samples(folder.streams, "nginx", factories.readings(seconds=end_s))
    return seal(folder, documents.load_document(folder))


def _only_run(results: Path) -> RunFolder:
    (folder,) = list_runs(results)
    return folder


@contextmanager
def _largest_file(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

"""Sealing makes the public tables of the streams, after a kill, a crash or a full disk as well."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import factories
import pandas as pd
import pyarrow.parquet as pq
import pytest
from factories import Asked, at

from seatrial.errors import ResultsUnwritable
from seatrial.model import NoteKind
from seatrial.record import documents
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder, list_runs
from seatrial.record.seal import seal
from seatrial.wire.streams import TABLES

REQUESTS = """
    t_intended_ns t_start_ns t_first_byte_ns t_end_ns endpoint method status outcome phase bytes_received
    bytes_sent connection flow_id user worker
""".split()
SAMPLES = """
    t_ns t_after_ns service container phase usage_bytes working_set_bytes anon_bytes file_clean_bytes
    file_dirty_bytes shmem_bytes kernel_bytes sock_bytes swap_bytes limit_bytes cpu_ns throttled_ns oom_kills
    limit_hits cpu_stall_ns memory_stall_ns io_stall_ns major_faults read_bytes written_bytes rx_bytes tx_bytes
    processes stolen_ns engine_ns
""".split()
ERROR = {"t_ns": 1, "what": "KeyError: 'layers'", "traceback": "Traceback ..."}


def _seal(folder: RunFolder) -> RunDocument:
    return seal(folder, documents.load_document(folder))


def _requests(folder: RunFolder) -> pd.DataFrame:
    return pd.read_parquet(folder.table("requests"))


def test_a_sealed_folder_has_the_documented_tables_and_no_streams(tmp_path: Path) -> None:
    """Names, order of columns, numbers of rows; requests by their phase, and details of flows as JSON."""
    folder = factories.sealed_run(tmp_path)
    requests, flow = _requests(folder), pq.read_table(folder.table("flows")).to_pylist()[3]
    assert list(requests.columns) == REQUESTS
    assert requests["phase"].astype(str).value_counts().to_dict() == {"warmup": 239, "window": 714, "drain": 47}
    assert (flow["flow_id"], flow["phase"], json.loads(flow["detail"])) == (3, "warmup", {"layers": 3})
    assert list(pd.read_parquet(folder.table("samples")).columns) == SAMPLES
    document = documents.load_document(folder)
    counts = {"requests": 1000, "flows": 200, "samples": 2100, "generator": 42, "tiers": 0, "errors": 0}
    assert (document.sealed, document.rows) == (True, counts)
    assert not folder.streams.exists()


def test_a_scheduled_request_has_the_phase_of_its_intended_start(tmp_path: Path) -> None:
    """A late request belongs to the moment at which it should have been sent."""
    folder = factories.sealed_run(tmp_path, [Asked(start_s=41, intended_s=39), Asked(start_s=41)])
    assert list(_requests(folder)["phase"]) == ["window", "drain"]


def test_rows_of_several_workers_come_in_the_order_of_their_start(tmp_path: Path) -> None:
    """The labels of each worker get common codes, and its number is a column."""
    folder = factories.run(tmp_path, [Asked(start_s=3, endpoint="token"), Asked(start_s=1, endpoint="blob")])
    other = [Asked(start_s=2, endpoint="catalogue")]
    factories.write_requests(folder.streams, other, worker=1, endpoints=("catalogue", "blob"))
    _seal(folder)
    table = _requests(folder)
    assert list(table["endpoint"]) == ["blob", "catalogue", "token"]
    assert list(table["worker"]) == [0, 1, 0]


def test_what_did_not_happen_is_null(tmp_path: Path) -> None:
    """A refused request has no first byte, a closed model no intended start, a source without swap no swap."""
    folder = factories.sealed_run(tmp_path, [Asked(start_s=1, outcome="refused", status=0)])
    row = pq.read_table(folder.table("requests")).to_pylist()[0]
    assert (row["t_first_byte_ns"], row["t_intended_ns"], row["t_end_ns"]) == (None, None, at(1.01))
    assert pq.read_table(folder.table("samples"))["limit_bytes"].null_count == 2100


@pytest.mark.parametrize("status", ["complete", "recovered"])
def test_a_folder_without_streams_gets_empty_tables(tmp_path: Path, status: str) -> None:
    """A run that failed before any process wrote can be read like any other; recovered, it has no phases."""
    folder = factories.run(tmp_path, status=status)
    for path in folder.streams.iterdir():
        path.unlink()
    sealed = _seal(folder)
    assert set(sealed.rows.values()) == {0}
    assert list(_requests(folder).columns) == REQUESTS
    assert sealed.spans == (factories.SPANS if status == "complete" else ())


@pytest.mark.parametrize(
    ("reported", "rows", "count", "text"),
    [
        (0, [ERROR, ERROR], 2, "2 exceptions, 1 kind; see logs/task-errors.jsonl; first: KeyError: 'layers'"),
        (58, [ERROR], 58, "58 exceptions, 1 kind; see logs/task-errors.jsonl; first: KeyError: 'layers'"),
        (1, [], 1, "1 exception, none of which was written down"),
    ],
    ids=["a process that was killed has written rows only", "each kind is written once", "without a traceback"],
)
def test_exceptions_in_tasks_are_kept_and_noted(
    tmp_path: Path, reported: int, rows: list[dict[str, Any]], count: int, text: str
) -> None:
    """They are mistakes of the load, and invalidate the run."""
    folder = factories.run(tmp_path, rows={"errors": reported})
    if rows:
        factories.write_lines(folder.streams, "errors", rows, table="errors")
    sealed = _seal(folder)
    assert sealed.rows["errors"] == count
    assert [(note.kind, note.invalidates, note.text) for note in sealed.notes] == [
        (NoteKind.TASK_EXCEPTION, True, text)
    ]


def test_the_summary_of_the_sampler_becomes_a_fact(tmp_path: Path) -> None:
    """It is among the streams, which are removed."""
    folder = factories.run(tmp_path, facts={"subject": {}, "environment": {}})
    (folder.streams / "sampler.json").write_text('{"ticks": 420}')
    assert _seal(folder).facts["sampler"] == {"ticks": 420}


def test_a_torn_last_record_is_left_out_and_noted(tmp_path: Path) -> None:
    """A kill in the middle of a write costs that record only."""
    folder = factories.run(tmp_path)
    with (folder.streams / "requests-0.bin").open("ab") as stream:
        stream.write(b"\x00" * 11)
    with (folder.streams / "flows-0.jsonl").open("ab") as stream:
        stream.write(b'{"flow_id": 4')
    sealed = _seal(folder)
    assert (sealed.rows["requests"], sealed.rows["flows"]) == (1000, 200)
    assert [note.text for note in sealed.notes] == [
        "left out, because cut off while being written: requests-0.bin (11 bytes), flows-0.jsonl (1 lines)"
    ]


def test_a_stream_without_a_header_costs_nothing_else(tmp_path: Path) -> None:
    """A process killed before its first write leaves an empty or torn file."""
    folder = factories.run(tmp_path)
    (folder.streams / "requests-1.bin").write_bytes(b"")
    (folder.streams / "samples-late.bin").write_bytes(b'{"magic": "seat')
    sealed = _seal(folder)
    assert sealed.rows["requests"] == 1000
    assert [note.kind for note in sealed.notes] == [NoteKind.TORN_RECORDS]


@pytest.mark.parametrize("status", ["recovered", "interrupted", "failed"])
def test_the_phases_of_a_run_that_was_cut_short_end_with_its_last_stamp(tmp_path: Path, status: str) -> None:
    """Killed at 25 s of 42: the window is 15 s long, and there was no drain."""
    sealed = _cut_at(25, tmp_path, status)
    assert [(span.phase, span.until_ns) for span in sealed.spans] == [("warmup", at(10)), ("window", at(25) + 1)]
    (folder,) = list_runs(tmp_path)
    assert documents.load_document(folder).spans == sealed.spans


def test_phases_that_never_began_are_left_out_of_a_run_that_was_cut_short(tmp_path: Path) -> None:
    """A complete run keeps them: silence at its end was measured."""
    assert [span.phase for span in _cut_at(4, tmp_path, "recovered").spans] == ["warmup"]
    assert _cut_at(25, tmp_path, "complete").spans == factories.SPANS


def test_sealing_twice_changes_nothing(tmp_path: Path) -> None:
    """A sealed run stays as it is, whatever document comes the second time."""
    folder = factories.sealed_run(tmp_path)
    before = {name: folder.table(name).read_bytes() for name in TABLES}
    again = seal(folder, factories.document(status="recovered"))
    assert again.status == "complete"
    assert {name: folder.table(name).read_bytes() for name in TABLES} == before


def test_a_crash_between_tables_and_document_is_repaired(tmp_path: Path) -> None:
    """With the streams still there a half table is replaced; without them finished tables stay."""
    folder = factories.run(tmp_path)
    folder.table("requests").write_bytes(b"half a table")
    assert _seal(folder).rows["requests"] == 1000
    documents.save_document(folder, factories.document(sealed=False))
    assert _seal(folder).rows["requests"] == 1000


def test_a_full_disk_keeps_the_streams(tmp_path: Path) -> None:
    """When a table can't be written, nothing is removed and no part of a table is left."""
    folder = factories.run(tmp_path)
    with _largest_file(4096), pytest.raises(ResultsUnwritable) as raised:
        _seal(folder)
    assert raised.value.seen == "File too large"
    assert folder.streams.exists()
    assert not list(folder.root.glob("*.part"))
    assert _seal(folder).rows["requests"] == 1000


def _cut_at(end_s: float, results: Path, status: str) -> RunDocument:
    """Seal a run whose last request ended, and whose last sample was taken, at `end_s`."""
    folder = factories.run(results, [Asked(start_s=1), Asked(start_s=end_s - 0.5, took_ms=500)], status=status)
    for path in folder.streams.glob("samples-*"):
        path.unlink()
    factories.write_samples(folder.streams, "nginx", factories.readings(seconds=end_s))
    return _seal(folder)


@contextmanager
def _largest_file(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

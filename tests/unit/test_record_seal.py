"""Sealing makes the public tables of the streams, and loses nothing on the way."""

from __future__ import annotations

import json
from pathlib import Path

import factories
import pandas as pd
import pyarrow.parquet as pq
from factories import Asked, at

from seatrial.model import NoteKind
from seatrial.record import documents
from seatrial.record.seal import seal

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


def test_the_rows_of_every_table_are_counted(tmp_path: Path) -> None:
    """run.json holds how many rows each table has."""
    folder = factories.sealed_run(tmp_path)
    assert documents.load_document(folder).rows == {
        "requests": 1000,
        "flows": 200,
        "samples": 2100,
        "generator": 42,
        "tiers": 0,
        "errors": 0,
    }


def test_pandas_reads_requests_and_samples_with_the_documented_columns(tmp_path: Path) -> None:
    """The tables are the public interface: their names and order are fixed."""
    folder = factories.sealed_run(tmp_path)
    assert list(pd.read_parquet(folder.table("requests")).columns) == REQUESTS
    assert list(pd.read_parquet(folder.table("samples")).columns) == SAMPLES


def test_the_streams_go_when_the_run_is_sealed(tmp_path: Path) -> None:
    """A sealed folder holds tables only."""
    folder = factories.sealed_run(tmp_path)
    assert not folder.streams.exists()
    assert documents.load_document(folder).sealed


def test_each_request_has_the_phase_of_its_start(tmp_path: Path) -> None:
    """1000 requests at even distances fall into warm-up, window and drain by time."""
    table = pd.read_parquet(factories.sealed_run(tmp_path).table("requests"))
    found = table["phase"].value_counts()
    assert {name: int(found[name]) for name in ("warmup", "window", "drain")} == {
        "warmup": 239,
        "window": 714,
        "drain": 47,
    }


def test_a_request_of_a_schedule_has_the_phase_of_its_intended_start(tmp_path: Path) -> None:
    """A late request belongs to the moment at which it should have been sent."""
    folder = factories.sealed_run(tmp_path, [Asked(start_s=41, intended_s=39), Asked(start_s=41)])
    assert list(pd.read_parquet(folder.table("requests"))["phase"]) == ["window", "drain"]


def test_rows_of_several_workers_come_in_the_order_of_their_start(tmp_path: Path) -> None:
    """Each worker's own labels get one meaning, and its number a column."""
    folder = factories.run(tmp_path, [Asked(start_s=3, endpoint="token"), Asked(start_s=1, endpoint="blob")])
    other = [Asked(start_s=2, endpoint="catalogue")]
    factories.write_requests(folder.streams, other, worker=1, endpoints=("catalogue", "blob"))
    seal(folder, documents.load_document(folder))
    table = pd.read_parquet(folder.table("requests"))
    assert list(table["endpoint"]) == ["blob", "catalogue", "token"]
    assert list(table["worker"]) == [0, 1, 0]


def test_what_did_not_happen_is_null(tmp_path: Path) -> None:
    """A refused request has no first byte, a closed model no intended start, a source without swap no swap."""
    folder = factories.sealed_run(tmp_path, [Asked(start_s=1, outcome="refused", status=0)])
    row = pq.read_table(folder.table("requests")).to_pylist()[0]
    assert (row["t_first_byte_ns"], row["t_intended_ns"], row["t_end_ns"]) == (None, None, at(1.01))
    assert pq.read_table(folder.table("samples"))["limit_bytes"].null_count == 2100


def test_the_detail_of_a_flow_is_json(tmp_path: Path) -> None:
    """What only one kind of flow has can be read back."""
    row = pq.read_table(factories.sealed_run(tmp_path).table("flows")).to_pylist()[3]
    assert (row["flow_id"], row["phase"], json.loads(row["detail"])) == (3, "warmup", {"layers": 3})


def test_a_folder_without_streams_gets_empty_tables(tmp_path: Path) -> None:
    """A run that failed before any process wrote can be read like any other."""
    folder = factories.run(tmp_path)
    for path in folder.streams.iterdir():
        path.unlink()
    sealed = seal(folder, documents.load_document(folder))
    assert set(sealed.rows.values()) == {0}
    assert list(pd.read_parquet(folder.table("requests")).columns) == REQUESTS


def test_exceptions_in_tasks_are_kept_and_noted(tmp_path: Path) -> None:
    """An exception in a task is a bug of the load: it invalidates, and its words are in the logs."""
    folder = factories.run(tmp_path)
    error = {"t_ns": 1, "what": "KeyError: 'layers'", "traceback": "Traceback ..."}
    factories.write_lines(folder.streams, "errors", [error, error], table="errors")
    sealed = seal(folder, documents.load_document(folder))
    assert sealed.rows["errors"] == 2
    assert (sealed.notes[0].kind, sealed.notes[0].invalidates) == (NoteKind.TASK_EXCEPTION, True)
    assert sealed.notes[0].text == "2 exceptions, 1 kind; see logs/task-errors.jsonl; first: KeyError: 'layers'"


def test_the_total_of_exceptions_is_what_the_generator_told(tmp_path: Path) -> None:
    """It writes each kind once, and tells at the end how many there were."""
    folder = factories.run(tmp_path, rows={"errors": 58})
    error = {"t_ns": 1, "what": "KeyError: 'layers'", "traceback": "Traceback ..."}
    factories.write_lines(folder.streams, "errors", [error], table="errors")
    sealed = seal(folder, documents.load_document(folder))
    assert sealed.rows["errors"] == 58
    assert sealed.notes[0].text == "58 exceptions, 1 kind; see logs/task-errors.jsonl; first: KeyError: 'layers'"


def test_exceptions_that_were_told_but_not_written_are_noted(tmp_path: Path) -> None:
    """A total without a traceback is still a mistake of the load."""
    folder = factories.run(tmp_path, rows={"errors": 1})
    sealed = seal(folder, documents.load_document(folder))
    assert [note.text for note in sealed.notes] == ["1 exception, none of which was written down"]


def test_what_the_sampler_says_of_itself_becomes_a_fact(tmp_path: Path) -> None:
    """The summary lies among the streams, and would go with them."""
    folder = factories.run(tmp_path, facts={"subject": {}, "environment": {}})
    (folder.streams / "sampler.json").write_text('{"ticks": 420}')
    assert seal(folder, documents.load_document(folder)).facts["sampler"] == {"ticks": 420}

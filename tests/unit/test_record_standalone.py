"""A recording of plain Locust becomes a run: its windows, how it ended, and values that events do not have."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factories import at

from seatrial.analysis.run import analyse_run
from seatrial.errors import UsageError
from seatrial.experiment import maintenance
from seatrial.http.messages import Response
from seatrial.model import NoteKind
from seatrial.record import documents, read
from seatrial.record.folder import RunFolder, find_run
from seatrial.user.recorder import Recorder
from seatrial.wire.streams import NULL, UNKNOWN_USER

CLEAN: list[dict[str, int | None]] = [
    {"from_ns": at(0), "stopping_ns": at(10), "until_ns": at(11)},
    {"from_ns": at(20), "stopping_ns": at(30), "until_ns": at(31)},
]


def _recording(
    root: Path, tests: Sequence[Mapping[str, int | None]] = CLEAN, *, ended: bool = True, killed: bool = False
) -> RunFolder:
    """Make the folder of a recording with 60 requests, one at each half second; a second process made none."""
    folder = RunFolder(root)
    folder.streams.mkdir(parents=True)
    (folder.streams / "lock").touch()
    recorder = Recorder(folder.streams, 0, ())
    for half_seconds in range(60):
        response = Response("OTHER", f"name {half_seconds % 3}", at(half_seconds / 2))
        response.t_end_ns = response.t_start_ns + 1_000_000
        response.bytes_received, response.bytes_sent, response.connection = 7, NULL, ""
        recorder.learn(response.endpoint)
        recorder.request(response, NULL, UNKNOWN_USER if half_seconds % 2 else half_seconds)
    recorder.end()
    other = Recorder(folder.streams, 1, ())
    other.close() if killed else other.end()
    content: dict[str, Any] = {"clock": {"wall_ns": 1, "monotonic_ns": 0}, "locustfile": "plain.py"}
    content |= {"locust": "2", "host": "http://h", "users": 4, "user_classes": ["U"]}
    content |= {"options": ["-f"], "source": "locust events", "tests": tests, "ended": ended}
    folder.recording.write_text(json.dumps(content))
    return folder


def test_each_test_of_the_web_ui_is_a_window(tmp_path: Path) -> None:
    """Requests between two tests belong to neither."""
    folder = maintenance.recover(_recording(tmp_path))
    phases = pd.read_parquet(folder.table("requests"))["phase"].astype(str).value_counts().to_dict()
    assert phases == {"window": 40, "drain": 2, "idle": 18}
    run = analyse_run(folder)
    assert (run.valid, run.total.count, run.window.length_ns) == (True, 40, 20_000_000_000)
    assert not folder.recording.exists()


def test_a_recording_whose_process_was_killed_ends_with_its_last_stamp(tmp_path: Path) -> None:
    """The end of its last test was not written."""
    tests = [CLEAN[0], {"from_ns": at(20), "stopping_ns": None, "until_ns": None}]
    folder = maintenance.recover(_recording(tmp_path, tests, ended=False))
    document = documents.load_document(folder)
    assert (document.status, document.spans[-1].until_ns) == ("recovered", at(29.5) + 1_000_001)
    assert "recovered" in {note.kind for note in document.notes}


def test_a_process_that_was_killed_invalidates_a_recording_that_ended(tmp_path: Path) -> None:
    """Its later arrivals are lost; a process that ends by itself leaves a mark."""
    folder = maintenance.recover(_recording(tmp_path, killed=True))
    document = documents.load_document(folder)
    (lost,) = (note for note in document.notes if note.kind is NoteKind.WORKER_LOST)
    assert (document.status, lost.text.endswith("load processes 1")) == ("complete", True)
    assert not analyse_run(folder).valid


def test_a_value_that_events_do_not_have_is_null_in_the_table(tmp_path: Path) -> None:
    """Not zero, which would be a measured value; each third name began a file of its own."""
    assert len(list(_recording(tmp_path).streams.glob("requests-0*.bin"))) == 4
    maintenance.recover(RunFolder(tmp_path))
    table = pd.read_parquet(tmp_path / "requests.parquet")
    unknown = ["t_intended_ns", "t_first_byte_ns", "bytes_sent", "connection", "flow_id"]
    assert table[unknown].isna().all().all()
    assert table["user"].isna().sum() == 30
    assert table["endpoint"].value_counts().to_dict() == {"name 0": 20, "name 1": 20, "name 2": 20}


def test_a_recording_that_was_not_sealed_has_a_hint(tmp_path: Path) -> None:
    """It is the command that seals it."""
    _recording(tmp_path / "rec")
    folder = find_run(tmp_path / "results", str(tmp_path / "rec"))
    with pytest.raises(UsageError) as raised:
        analyse_run(folder)
    assert raised.value.hint == f"seatrial recover {tmp_path / 'rec'}"


def test_a_recording_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    """Each process that may still write holds the lock."""
    folder = _recording(tmp_path)
    with (folder.streams / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(UsageError, match="still going on"):
            maintenance.recover(folder)
    assert folder.streams.exists()


def test_a_damaged_recording_is_refused(tmp_path: Path) -> None:
    """Its streams stay as they are."""
    folder = _recording(tmp_path)
    folder.recording.write_text('{"clock": ')
    with pytest.raises(UsageError, match=r"recording\.json can't be read"):
        maintenance.recover(folder)
    assert folder.streams.exists()


def test_columns_that_came_later_read_as_null(tmp_path: Path) -> None:
    """Tables of earlier versions have no counts of arrivals."""
    folder = maintenance.recover(_recording(tmp_path))
    before = pd.DataFrame({"t_ns": [1], "worker": [0], "users": [3], "in_flight": [0], "offered": [1]})
    before = before.assign(completed=1, cpu_fraction=0.1, loop_lag_p50_ns=1, loop_lag_p99_ns=1, slip_p99_ns=1)
    before.assign(phase=pd.Categorical(["window"])).to_parquet(folder.table("generator"))
    assert read.generator(folder).arrivals_dropped.tolist() == [NULL]

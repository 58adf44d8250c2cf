"""The record files: what is appended can be read back, also after a write that failed; labels have a limit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from factories import read_lines, read_requests, response

from seatrial.errors import ResultsUnwritable, UsageError
from seatrial.user.recorder import DECLARED_LIMIT, Recorder
from seatrial.wire.streams import NULL, Outcome

STAMPS: dict[str, Any] = {"t_start_ns": 100, "t_first_byte_ns": 200, "t_end_ns": 300}
FIELDS: dict[str, Any] = {"method": "HEAD", "status": 503, "connection": "replaced"}
SIZES: dict[str, Any] = {"bytes_received": 5_000_000_000, "bytes_sent": 17}
RESPONSE = response("basket", outcome=Outcome.STATUS, **STAMPS, **FIELDS, **SIZES)


def test_requests_are_read_back(tmp_path: Path) -> None:
    """Every column holds what the response held; a request of the closed model has no intended start."""
    recorder = Recorder(tmp_path, 3, ("front page", "basket"))
    recorder.request(RESPONSE, flow_id=(3 << 40) + 1, user=9, intended_ns=42)
    recorder.request(RESPONSE, NULL, 0)
    recorder.close()
    open_row, closed_row = read_requests(tmp_path / "requests-3.bin")
    ids = {"t_intended_ns": 42, "flow_id": (3 << 40) + 1, "user": 9, "worker": 3}
    assert open_row == STAMPS | FIELDS | SIZES | ids | {"endpoint": "basket", "outcome": "status"}
    assert (closed_row["t_intended_ns"], closed_row["flow_id"]) == (NULL, NULL)


def test_lines_are_read_back(tmp_path: Path) -> None:
    """Flows, seconds and errors are JSON lines, whatever their text holds."""
    recorder = Recorder(tmp_path, 0, ())
    row = {"flow": "pull", "detail": {"image": "a\nb \u00e9"}}
    recorder.flow(row)
    recorder.error({"what": "x"})
    recorder.flush()
    assert read_lines(tmp_path / "flows-0.jsonl")[1] == [row]
    assert read_lines(tmp_path / "errors-0.jsonl")[0].table == "errors"
    recorder.close()


def test_a_full_disk_loses_nothing_that_can_be_written_later(tmp_path: Path) -> None:
    """The flush fails, the rows stay, and the next flush writes them once."""
    recorder = Recorder(tmp_path, 0, ("basket",))
    stream = recorder._requests
    disk, full = os.dup(stream._file), os.open("/dev/full", os.O_WRONLY)
    recorder.request(RESPONSE, NULL, 0)
    os.dup2(full, stream._file)
    with pytest.raises(ResultsUnwritable, match="records can't be written"):
        recorder.flush()
    os.dup2(disk, stream._file)
    recorder.close()
    assert len(read_requests(tmp_path / "requests-0.bin")) == 1
    os.close(disk)
    os.close(full)


def test_records_of_another_process_are_never_overwritten(tmp_path: Path) -> None:
    """A second recorder of the same worker is refused."""
    recorder = Recorder(tmp_path, 0, ())
    with pytest.raises(ResultsUnwritable, match="can't be opened"):
        Recorder(tmp_path, 0, ())
    recorder.close()


def test_what_waits_for_the_disk_has_a_limit(tmp_path: Path) -> None:
    """64 MiB over all streams may be held in memory, not a byte more."""
    recorder = Recorder(tmp_path, 0, ())
    recorder._requests.pending += bytes(60 * 1024 * 1024)
    recorder._flows.pending += bytes(4 * 1024 * 1024)
    assert not recorder.overflowing
    recorder._flows.pending += b"x"
    assert recorder.overflowing
    for stream in recorder._streams:
        stream.pending.clear()
    recorder.close()


def test_a_label_that_is_learned_begins_a_file_that_knows_it(tmp_path: Path) -> None:
    """Also after a kill every file has the labels of its rows; each row is in one of them."""
    recorder = Recorder(tmp_path, 0, ("front page",))
    with pytest.raises(KeyError):
        recorder.request(RESPONSE, NULL, 0)
    recorder.learn("basket")
    recorder.request(RESPONSE, NULL, 0)
    recorder.learn("till")
    recorder.learn("basket")
    recorder.request(RESPONSE, NULL, 0)
    recorder.flush()
    labels = {
        path.name: [row["endpoint"] for row in read_requests(path)] for path in tmp_path.glob("requests-0*.bin")
    }
    assert labels == {"requests-0.bin": [], "requests-0.1.bin": ["basket"], "requests-0.2.bin": ["basket"]}
    recorder.close()


def test_too_many_labels_are_refused(tmp_path: Path) -> None:
    """Before the first row: a code of 16 bits would overflow in the middle of a run."""
    labels = [f"item {number}" for number in range(DECLARED_LIMIT + 1)]
    with pytest.raises(UsageError, match="more than 1000 endpoint labels") as caught:
        Recorder(tmp_path, 0, labels)
    assert caught.value.seen == "1001, such as 'item 0', 'item 1', 'item 2', 'item 3'"
    assert not list(tmp_path.iterdir())
    Recorder(tmp_path, 0, labels[1:]).close()

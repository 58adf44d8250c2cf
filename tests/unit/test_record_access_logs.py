"""Bytes from the origin are read from access logs line by line, and counted where their requests began."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import factories
import pandas as pd
import pytest
from factories import WALL_NS, at

from seatrial.model import NoteKind
from seatrial.record import documents, read
from seatrial.record.access_logs import OriginLogs
from seatrial.record.documents import RunDocument
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S

DECLARED = {"file": "access.log", "origin": "upstream_bytes_received", "time": "msec", "took": "request_time"}


def _ended(after_s: float) -> str:
    """Return the end of a request so many seconds after the run began, as nginx writes it."""
    return f"{WALL_NS / NS_PER_S + after_s:.3f}"


def _pairs(after_s: float, counts: str, *, took: str = "0.000", quote: str = "") -> str:
    return (
        f"msec={_ended(after_s)} status=206 bytes_sent=4096 request_time={took} "
        f"upstream_bytes_received={quote}{counts}{quote} upstream_addr=10.0.0.2:8000 cache=MISS"
    )


def _json(after_s: float, counts: Any, took: Any = 0) -> str:  # noqa: ANN401  (any JSON value)
    values = {"msec": _ended(after_s), "request_time": took, "upstream_bytes_received": counts, "status": 206}
    return json.dumps(values)


def _document(**declared: str) -> RunDocument:
    return factories.document(scenario={"logs": {"nginx": DECLARED | declared}})


def _read(folder: Path, *lines: str, name: str = "nginx-access.log") -> OriginLogs:
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return OriginLogs(folder, _document())


@pytest.mark.parametrize(
    ("line", "count"),
    [
        (_pairs(11, "123"), 123),
        (_pairs(11, "123, 456"), 579),
        (_pairs(11, "123, 456 : 1000"), 1579),
        (_pairs(11, "123, 456", quote='"'), 579),
        (_pairs(11, "-"), 0),
        (_pairs(11, "-, 77"), 77),
        (_json(11, "123, 456 : 1000"), 1579),
        (_json(11, 123, 0.5), 123),
        (_json(11, "-"), 0),
    ],
)
def test_all_servers_that_were_asked_count(line: str, count: int, tmp_path: Path) -> None:
    """After a retry or an internal redirect nginx writes several numbers; what was served from the cache is 0."""
    logs = _read(tmp_path, line)
    (row,) = logs.rows()
    assert (row["service"], row["counter"], row["value"], logs.unread) == ("nginx", "origin_bytes", count, [])


@pytest.mark.parametrize(
    "line",
    [
        _pairs(11, "9" * 5000),
        _json(11, "9" * 5000),
        _pairs(11, "5").replace("msec=", "msec=" + "9" * 400),
        _json(11, "5", took="9" * 10).replace(_ended(11), "0"),
        '{"msec":' + "[" * 30_000,
    ],
    ids=["count", "count in JSON", "end", "beginning", "depth"],
)
def test_a_line_with_numbers_that_can_not_be_is_passed_over(line: str, tmp_path: Path) -> None:
    """A log may have anything in it; the lines after it count."""
    (row,) = _read(tmp_path, line, _pairs(11, "7")).rows()
    assert row["value"] == 7


def test_a_request_counts_where_it_began(tmp_path: Path) -> None:
    """One that lasts from the warm-up into the window belongs to the warm-up; a second is cut by a phase."""
    logs = _read(tmp_path, _pairs(12.0, "5", took="3.500"), _pairs(10.2, "7", took="0.300"), _pairs(10.2, "11"))
    rows = logs.rows()
    assert [row["value"] for row in rows] == [5, 7, 11]
    assert [row["t_ns"] for row in rows] == pytest.approx([at(8.5), at(9.9), at(10.2)], abs=1000)


def test_lines_of_one_second_are_one_row(tmp_path: Path) -> None:
    """However many they are; the stamp is that of the last one."""
    logs = _read(tmp_path, *(_pairs(20 + n / 1000, "10") for n in range(900)))
    (row,) = logs.rows()
    assert (row["value"], row["t_ns"]) == (9000, pytest.approx(at(20.899), abs=1000))


@pytest.mark.parametrize(
    "line",
    [
        "2026/11/21 [error] 7#7: *1 upstream timed out",
        _pairs(11, "12x4").replace("12x4", "many"),
        _pairs(11, "5").replace("msec=", "mseconds="),
        _json(11, [1, 2]),
        _json(11, "5")[:-4],
        "",
        "x" * 200_000 + _pairs(11, "5"),
        '{"upstream_bytes_received": "5", "msec": "yesterday"}',
    ],
)
def test_other_lines_are_passed_over(line: str, tmp_path: Path) -> None:
    """Errors, torn lines and endless ones; a log without any other is named."""
    logs = _read(tmp_path, line, _pairs(12, "5"))
    assert [row["value"] for row in logs.rows()] == [5]
    alone = _read(tmp_path, line)
    assert (alone.rows(), len(alone.unread)) == ([], 1)
    assert "nginx: no line of nginx-access.log in logs/ has both msec and upstream_bytes" in alone.unread[0]


def test_every_container_of_the_service_is_read_and_no_other(tmp_path: Path) -> None:
    """Replicas are numbered; a service whose name begins alike is another."""
    for name in ("nginx-1-access.log", "nginx-2-access.log", "nginx-cache-access.log", "nginx.log"):
        logs = _read(tmp_path, _pairs(12, "5"), name=name)
    assert [row["value"] for row in logs.rows()] == [10]


def test_standard_output_is_the_log_of_a_service_without_a_file(tmp_path: Path) -> None:
    """And fields have other names where the scenario says so."""
    line = _pairs(12, "5").replace("upstream_bytes_received", "from").replace("msec", "at")
    (tmp_path / "nginx.log").write_text(line)
    logs = OriginLogs(tmp_path, _document(file="", origin="from", time="at"))
    assert [row["value"] for row in logs.rows()] == [5]


def test_sealing_writes_them_with_their_phase(tmp_path: Path) -> None:
    """In the table `tiers`, in the order of time."""
    folder = factories.run(tmp_path, scenario={"tiers": factories.TIERS, "logs": {"nginx": DECLARED}})
    folder.logs.mkdir(exist_ok=True)
    lines = [_pairs(41, "3"), _pairs(5, "1"), _pairs(15, "2")]
    (folder.logs / "nginx-access.log").write_text("\n".join(lines))
    sealed = seal(folder, documents.load_document(folder))
    table = pd.read_parquet(folder.table("tiers"))
    assert list(table.columns) == ["t_ns", "phase", "service", "counter", "value"]
    assert list(zip(table.phase, table.value, strict=True)) == [("warmup", 1), ("window", 2), ("drain", 3)]
    assert (sealed.rows["tiers"], read.tiers(folder).value.tolist()) == (3, [1, 2, 3])


def test_a_log_that_tells_nothing_is_noted(tmp_path: Path) -> None:
    """A budget of it is broken then, and the note says why."""
    folder = factories.sealed_run(tmp_path, scenario={"tiers": factories.TIERS, "logs": {"nginx": DECLARED}})
    (note,) = documents.load_document(folder).notes
    assert (note.kind, note.invalidates) == (NoteKind.LOG_UNREAD, False)

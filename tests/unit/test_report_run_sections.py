"""The report of a run as text: verdict, tables and lines, for closed and open loads."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import factories
import pytest
from factories import MIB, Asked
from rich.console import Console

from seatrial.analysis.run import analyse_run
from seatrial.model import Note, NoteKind
from seatrial.record import documents
from seatrial.record.documents import NO_ENGINE
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.report import text
from seatrial.report.run_sections import ADVICE


def printed(folder: RunFolder, width: int = 100) -> list[str]:
    """Return the lines of the report, blanks collapsed."""
    out = io.StringIO()
    text.show_run(analyse_run(folder), Console(file=out, width=width))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def row_after(lines: Sequence[str], head: str) -> str:
    """Return the first row of the table with this head."""
    return lines[next(index for index, line in enumerate(lines) if line.startswith(head)) + 2]


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "VALID registry-pull · base · compose engine · 8 users"),
        ({"engine": NO_ENGINE}, "VALID registry-pull · base · no stack watched · 8 users"),
        ({"requests": [], "scenario": {}}, "VALID registry-pull · base · compose engine · no load"),
    ],
)
def test_the_verdict_and_what_was_run_come_first(tmp_path: Path, changes: dict[str, Any], title: str) -> None:
    """A recording of Locust alone has no engine, an observed stack no load."""
    assert printed(factories.sealed_run(tmp_path, **changes))[0] == title


def test_the_headline_counts_the_window(tmp_path: Path) -> None:
    """Requests, flows, and the share of failures."""
    headline = "714 requests and 150 flows in a window of 30.0 s; 72 failed (10.1 %)"
    assert printed(factories.sealed_run(tmp_path))[1] == headline


def test_an_invalid_run_has_its_reasons_below_the_headline(tmp_path: Path) -> None:
    """And the advice among the notes."""
    note = Note(kind=NoteKind.INTERRUPTED, text="stopped by the user")
    lines = printed(factories.sealed_run(tmp_path, status="interrupted", notes=(note,)))

    assert lines[0].startswith("INVALID")
    assert lines[2] == "not to be trusted: interrupted: stopped by the user"
    assert any(line.startswith("-> run it again to the end") for line in lines)


def test_every_kind_of_note_has_advice() -> None:
    """Torn records have two causes, and both are named."""
    assert set(ADVICE) == set(NoteKind)
    assert all(ADVICE.values())
    assert "or the disk was full" in ADVICE[NoteKind.TORN_RECORDS]


@pytest.mark.parametrize(
    ("pinning", "expected"),
    [
        ({"generator": [3], "stack": [0, 1, 2]}, ["cores load on 3, stack on 0, 1, 2: apart"]),
        ({"generator": [0, 1], "stack": [1, 2]}, ["cores load on 0, 1, stack on 1, 2: shared"]),
        ({"generator": [0, 1], "stack": None}, []),
        (None, []),
    ],
)
def test_cores_are_named_where_they_are_known(tmp_path: Path, pinning: object, expected: list[str]) -> None:
    """Those of load and stack."""
    lines = printed(factories.sealed_run(tmp_path, facts={"environment": {"pinning": pinning}}))
    assert [line for line in lines if line.startswith("cores load")] == expected


@pytest.mark.parametrize(("changes", "shown"), [({}, True), ({"timing": {}}, False)])
def test_overheads_without_stamps_have_no_line(tmp_path: Path, changes: dict[str, Any], shown: bool) -> None:  # noqa: FBT001
    """A recording has no command and no teardown."""
    lines = printed(factories.sealed_run(tmp_path, **changes))
    assert any(line.startswith("to first request") for line in lines) is shown


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
def test_a_narrow_terminal_has_fewer_columns(tmp_path: Path, is_open: bool) -> None:  # noqa: FBT001
    """MB/s and failures of endpoints are left out; in the open model service time replaces the first byte."""
    folder = factories.sealed_open_run(tmp_path) if is_open else factories.sealed_run(tmp_path)
    narrow, wide = printed(folder, 80), printed(folder, 100)
    last = "service p95" if is_open else "first byte"

    assert f"endpoint count p50 p95 p99 max {last} per s" in narrow
    assert f"endpoint count failed p50 p95 p99 max {last} per s MB/s" in wide
    service, asked = ("service p95 ", "") if is_open else ("", "requests ")
    assert f"flow count failed p50 p95 p99 max {service}{asked}per s" in narrow
    assert f"flow count failed p50 p95 p99 max {service}requests per s MB/s" in wide


def test_percentiles_of_too_few_requests_are_dashes(tmp_path: Path) -> None:
    """Five requests have no p95."""
    lines = printed(factories.sealed_run(tmp_path, [Asked(start_s=11 + n) for n in range(5)]))
    assert row_after(lines, "endpoint count") == "blob 5 0 10.0 ms - - 10.0 ms 5.00 ms 0.17 0.0002"


def test_outcomes_are_counted_for_each_endpoint(tmp_path: Path) -> None:
    """A request that the end of the run cut off is marked as no failure."""
    asked = [Asked(start_s=11), Asked(start_s=12, outcome="timeout"), Asked(start_s=13, outcome="cut")]
    lines = printed(factories.sealed_run(tmp_path, asked))
    assert row_after(lines, "ended otherwise than ok timeout cut*") == "blob 1 1"


@pytest.mark.parametrize(("swapped", "shown"), [(0, False), (MIB, True)])
def test_memory_has_four_moments_and_swap_where_there_is_some(tmp_path: Path, swapped: int, shown: bool) -> None:  # noqa: FBT001
    """A service without a tier has its plain name."""
    folder = factories.run(tmp_path, scenario={"tiers": {"nginx": "proxy"}})
    readings = [{**reading, "swap_bytes": swapped} for reading in factories.readings()]
    factories.write_samples(folder.streams, "nginx", readings, container=factories.NGINX)
    seal(folder, documents.load_document(folder))
    lines = printed(folder, 100)
    head = next(index for index, line in enumerate(lines) if line.startswith("service MiB unrecl."))
    rows = [line.split() for line in lines[head + 2 : head + 10]]

    assert ("swap" in lines[head].split()) is shown
    assert [row[-9 - shown] for row in rows[4:]] == ["26.8", "34.2", "41.7", "41.7"]
    assert [row[: -10 - shown] for row in rows] == [["nginx", "(proxy)"], [], [], [], ["registry"], [], [], []]


def test_events_have_their_moment_in_the_window(tmp_path: Path) -> None:
    """12.5 s after the begin is 2.5 s into the window."""
    assert "+2.5 s nginx health_status health=healthy" in printed(factories.sealed_run(tmp_path))


@pytest.mark.parametrize(
    ("answered_ns", "text"), [(2_100_000_000, "answered after 2.10 s"), (None, "no answer before the end")]
)
def test_an_action_is_told_in_words(tmp_path: Path, answered_ns: int | None, text: str) -> None:
    """How late it was, how long it took, and when the service answered again."""
    folder = factories.sealed_run(tmp_path)
    detail = {"action": "restart", "late_ns": 210_000, "took_ns": 1_300_000_000, "answered_after_ns": answered_ns}
    line = {"t_ns": factories.at(14), "service": "nginx", "event": "action", "detail": detail}
    folder.events.write_text(json.dumps(line) + "\n")

    assert f"+4.0 s nginx action: restart (210 µs late, took 1.30 s, {text})" in printed(folder, 200)


def test_the_last_lines_name_the_data_and_the_command(tmp_path: Path) -> None:
    """`seatrial show` prints the report again."""
    folder = factories.sealed_run(tmp_path)
    lines = printed(folder, 200)

    assert f"see it again seatrial show {folder.root}" in lines
    assert any(line.startswith("requests.parquet") for line in lines)


def test_an_open_run_names_its_schedule_and_what_became_of_it(tmp_path: Path) -> None:
    """29 whole seconds of the window, with one late arrival in each."""
    lines = printed(factories.sealed_open_run(tmp_path, late=1), 200)
    counts = "1,450 offered (50.0/s), 1,450 completed (50.0/s); 29 found no idle user, 0 dropped in the window"

    assert lines[0].endswith("compose engine · 50/s, at most 20 users")
    assert f"arrivals in 29 whole seconds of 30.0 s: {counts}" in lines
    assert any(line.endswith("loop lag p99 at most 900 µs, schedule slip p99 at most 1.25 ms") for line in lines)
    assert "Requests latency from the scheduled start; service: from the real" in lines
    assert "30.0 ms 30.0 ms 30.0 ms 30.0 ms 10.0 ms 50.0" in row_after(lines, "endpoint count")
    assert "80.0 ms 80.0 ms 80.0 ms 80.0 ms 60.0 ms" in row_after(lines, "flow count")


def test_a_saturated_run_shows_no_latency(tmp_path: Path) -> None:
    """It would be as long as the run; counts and rates stay."""
    lines = printed(factories.sealed_open_run(tmp_path, completed=40), 120)
    reason = "not to be trusted: saturated: 1,450 arrivals were offered (50.0/s) and 1,160 completed"

    assert lines[0].startswith("INVALID")
    assert lines[2].startswith(reason)
    assert "Requests no latency: arrivals piled up, and waited as long as the run let them" in lines
    assert row_after(lines, "endpoint count failed latency per s MB/s") == "blob 1,500 0 saturated 50.0 0.05"
    assert row_after(lines, "flow count failed latency requests per s MB/s").startswith("pull 150 0 saturated 600")


def test_dropped_arrivals_are_failures_but_no_flows(tmp_path: Path) -> None:
    """They never ran, and stand among the outcomes."""
    lines = printed(factories.sealed_open_run(tmp_path, completed=49, dropped=1))

    assert lines[1].startswith("1,500 requests and 150 flows in a window")
    assert row_after(lines, "ended otherwise than ok dropped") == "arrival 1"

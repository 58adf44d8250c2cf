"""The report in a terminal, in a log, and for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import factories
import pytest
from click.testing import CliRunner
from factories import Asked
from rich.console import Console

from seatrial import cli
from seatrial.analysis.run import analyse_run
from seatrial.model import Note, NoteKind
from seatrial.progress import Progress
from seatrial.record.documents import NO_ENGINE
from seatrial.record.folder import RunFolder
from seatrial.report import json_export, text
from seatrial.report.run_sections import ADVICE


def _printed(folder: RunFolder, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    text.show_run(analyse_run(folder), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=terminal)


def _said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_verdict_comes_first(tmp_path: Path) -> None:
    """Valid or not, what was run, how much, how it went."""
    lines = _printed(factories.sealed_run(tmp_path)).splitlines()
    assert lines[:2] == [
        " VALID  registry-pull · base · compose engine · 8 users",
        "714 requests and 150 flows in a window of 30.0 s; 72 failed (10.1 %)",
    ]


def test_a_recording_without_a_stack_says_so(tmp_path: Path) -> None:
    """There is no engine whose name would mean anything."""
    folder = factories.sealed_run(tmp_path, engine=NO_ENGINE)
    assert _printed(folder).splitlines()[0] == " VALID  registry-pull · base · no stack watched · 8 users"


def test_stamps_that_nobody_took_leave_no_line(tmp_path: Path) -> None:
    """A recording has no command and no teardown."""
    assert "to first request" in _printed(factories.sealed_run(tmp_path / "a"))
    assert "to first request" not in _printed(factories.sealed_run(tmp_path / "b", timing={}))


def test_a_run_without_load_says_so(tmp_path: Path) -> None:
    """It was only watched."""
    folder = factories.sealed_run(tmp_path, [], scenario={})
    assert _printed(folder).splitlines()[0] == " VALID  registry-pull · base · compose engine · no load"


@pytest.mark.parametrize(
    ("pinning", "said"),
    [
        ({"generator": [3], "stack": [0, 1, 2]}, ["cores load on 3, stack on 0, 1, 2: apart"]),
        ({"generator": [0, 1], "stack": [1, 2]}, ["cores load on 0, 1, stack on 1, 2: shared"]),
        ({"generator": [0, 1], "stack": None}, []),
        (None, []),
    ],
)
def test_it_says_who_ran_on_which_cores(tmp_path: Path, pinning: object, said: list[str]) -> None:
    """Where it is known."""
    folder = factories.sealed_run(tmp_path, facts={"environment": {"pinning": pinning}})
    lines = [" ".join(line.split()) for line in _printed(folder).splitlines()]
    assert [line for line in lines if line.startswith("cores load")] == said


def test_an_invalid_run_says_why_in_its_head(tmp_path: Path) -> None:
    """The reason stands under the verdict, and its mend among the notes."""
    note = Note(kind=NoteKind.INTERRUPTED, text="stopped by the user")
    printed = _printed(factories.sealed_run(tmp_path, status="interrupted", notes=(note,)))
    assert printed.startswith(" INVALID ")
    assert printed.splitlines()[2] == "not to be trusted: interrupted: stopped by the user"
    assert "-> run it again to the end" in printed


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal_or_ends_in_blanks(tmp_path: Path, width: int) -> None:
    """A log or a mail gets plain text: no escape codes, no line drawing."""
    printed = _printed(factories.sealed_run(tmp_path), width)
    assert max(len(line) for line in printed.splitlines()) <= width
    assert not [line for line in printed.splitlines() if line != line.rstrip()]
    assert "\x1b" not in printed
    assert "│" not in printed


def test_percentiles_that_can_not_be_told_are_dashes(tmp_path: Path) -> None:
    """Five requests have no p95."""
    printed = _printed(factories.sealed_run(tmp_path, [Asked(start_s=11 + n) for n in range(5)]))
    row = next(line.split() for line in printed.splitlines() if line.startswith("  blob"))
    assert row == ["blob", "5", "0", "10.0", "ms", "-", "-", "10.0", "ms", "5.00", "ms", "0.17", "0.0002"]


def test_every_moment_of_memory_is_shown(tmp_path: Path) -> None:
    """Start, median, peak and end of what can't be taken back: 25.0 MiB of anonymous memory at first."""
    rows = _printed(factories.sealed_run(tmp_path)).splitlines()
    begin = next(index for index, line in enumerate(rows) if line.startswith("  registry (app)"))
    assert [line.split()[-9] for line in rows[begin : begin + 4]] == ["26.8", "34.2", "41.7", "41.7"]


def test_how_requests_ended_is_told_by_outcome(tmp_path: Path) -> None:
    """What was cut by the end of the run is marked as no failure."""
    asked = [Asked(start_s=11), Asked(start_s=12, outcome="timeout"), Asked(start_s=13, outcome="cut")]
    printed = _printed(factories.sealed_run(tmp_path, asked)).splitlines()
    begin = next(index for index, line in enumerate(printed) if "ended otherwise" in line)
    assert printed[begin].split()[-2:] == ["timeout", "cut*"]
    assert printed[begin + 2].split() == ["blob", "1", "1"]


def test_events_stand_on_the_time_axis(tmp_path: Path) -> None:
    """12.5 s after the begin is 2.5 s into the window."""
    assert "  +2.5 s  nginx health_status health=healthy" in _printed(factories.sealed_run(tmp_path)).splitlines()


def test_it_says_where_the_data_lies_and_how_to_see_it_again(tmp_path: Path) -> None:
    """The last lines lead on."""
    folder = factories.sealed_run(tmp_path)
    printed = _printed(folder, 200)
    assert f"seatrial show {folder.root}" in printed
    assert "requests.parquet" in printed


def test_the_same_numbers_as_json(tmp_path: Path) -> None:
    """Keys name their units, and the whole is JSON."""
    values = json.loads(json.dumps(json_export.run_json(analyse_run(factories.sealed_run(tmp_path)))))
    assert (values["verdict"], values["window_ns"], values["requests"]["count"]) == ("valid", 30_000_000_000, 714)
    assert values["requests"]["failures"] == 72
    assert values["endpoints"][0]["latency_ns"] == {
        "count": 214,
        "p50": 29_000_000,
        "p95": 51_000_000,
        "p99": 53_000_000,
        "max": 53_000_000,
    }
    assert [service["service"] for service in values["services"][:2]] == ["nginx", "registry"]


def test_every_kind_of_note_has_a_mend() -> None:
    """A warning without a way out is not allowed."""
    assert set(ADVICE) == set(NoteKind)
    assert all(ADVICE.values())


def test_a_full_disk_is_named_where_records_are_torn() -> None:
    """A kill is not the only cause."""
    assert "or the disk was full" in ADVICE[NoteKind.TORN_RECORDS]


def test_rows_become_a_table_of_plain_text() -> None:
    """The list of runs; numbers stand to the right."""
    rows = [{"run": "a/b", "requests": 1200}, {"run": "c", "requests": 3}]
    assert [line.rstrip() for line in text.table(rows, _console()).splitlines()] == [
        "run  requests",
        "-------------",
        "a/b     1,200",
        "c           3",
    ]
    assert text.table([]) == "nothing there yet"


def test_progress_without_a_terminal_is_plain_lines() -> None:
    """Every step, and of what goes on one line in ten seconds, so that a log is not filled."""
    console = _console()
    seconds = iter((0.0, 5.0, 9.9, 10.0))
    with Progress(console=console, clock=lambda: next(seconds)) as progress:
        progress.say("seeding")
        for text_of_second in ("0 s", "5 s", "9.9 s", "10 s"):
            progress.live(text_of_second)
        progress.say("done [1/2]")
    assert _said(console) == "seeding\n0 s\n10 s\ndone [1/2]\n"


def test_progress_on_a_terminal_shows_the_running_line() -> None:
    """What goes on now is visible, and gone at the end."""
    console = _console(terminal=True)
    with Progress(console=console) as progress:
        progress.live("12 requests/s")
        progress.live("13 requests/s")
    assert "13 requests/s" in _said(console)


def test_quiet_progress_says_nothing() -> None:
    """--quiet leaves the terminal to the report."""
    console = _console(terminal=True)
    with Progress(quiet=True, console=console) as progress:
        progress.say("seeding")
        progress.live("12 requests/s")
    assert _said(console) == ""


def test_the_doctor_tells_why_and_how_to_mend_only_what_is_amiss() -> None:
    """What is fine takes one line."""
    docker = {"name": "Docker", "state": "ok", "seen": "20.10", "why": "", "mend": ""}
    files = {
        "name": "files",
        "state": "distorts",
        "seen": "1024",
        "why": "runs end early",
        "mend": "ulimit -n 65536",
    }
    said = text.doctor([docker, files], _console())
    assert [line.rstrip() for line in said.splitlines()] == [
        "ok        Docker  20.10",
        "distorts  files   1024",
        "                  runs end early",
        "                  -> ulimit -n 65536",
        "",
        "1 of 2 want a look",
    ]


def test_the_doctor_speaks_json() -> None:
    """The same findings for programs."""
    findings = json.loads(CliRunner().invoke(cli.seatrial, ["doctor", "--json"], standalone_mode=False).output)
    assert findings
    assert {tuple(finding) for finding in findings} == {("name", "state", "seen", "why", "mend")}
    assert {finding["state"] for finding in findings} <= {"ok", "lacks", "distorts"}

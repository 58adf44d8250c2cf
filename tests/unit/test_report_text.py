"""Reports in a terminal or a log: width, plain text, lists and the doctor."""

from __future__ import annotations

import io
import json
from pathlib import Path

import factories
import pytest
from click.testing import CliRunner
from rich.console import Console

from seatrial import cli
from seatrial.analysis.run import analyse_run
from seatrial.progress import Progress
from seatrial.report import text


def _console(*, width: int = 80, terminal: bool = False) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, force_terminal=terminal), out


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("completed", [None, 50, 30], ids=["closed", "open", "saturated"])
def test_no_line_is_wider_than_the_terminal_or_ends_in_blanks(
    tmp_path: Path, width: int, completed: int | None
) -> None:
    """A log gets plain text: no escape codes, no line drawing."""
    console, out = _console(width=width)
    text.show_run(
        analyse_run(
            factories.sealed_run(tmp_path)
            if completed is None
            else factories.sealed_open_run(tmp_path, completed=completed, dropped=1)
        ),
        console,
    )
    lines = out.getvalue().splitlines()

    assert max(map(len, lines)) <= width
    assert not [line for line in lines if line != line.rstrip()]
    assert not {"\x1b", "│"} & set(out.getvalue())


def test_rows_become_a_table_of_plain_text() -> None:
    """The list of runs; numbers stand to the right."""
    rows = [{"run": "a/b", "requests": 1200}, {"run": "c", "requests": 3}]

    assert [line.rstrip() for line in text.table(rows, _console()[0]).splitlines()] == [
        "run  requests",
        "-------------",
        "a/b     1,200",
        "c           3",
    ]
    assert text.table([]) == "nothing there yet"


def test_progress_without_a_terminal_is_plain_lines() -> None:
    """Every step, and the running line once in ten seconds, so that a log is not filled."""
    console, out = _console()
    seconds = iter((0.0, 5.0, 9.9, 10.0))
    with Progress(console=console, clock=lambda: next(seconds)) as progress:
        progress.say("seeding")
        for line in ("0 s", "5 s", "9.9 s", "10 s"):
            progress.live(line)
        progress.say("done [1/2]")

    assert out.getvalue() == "seeding\n0 s\n10 s\ndone [1/2]\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_on_a_terminal_shows_the_running_line(quiet: bool) -> None:  # noqa: FBT001  (a parameter)
    """Unless it is quiet."""
    console, out = _console(terminal=True)
    with Progress(quiet=quiet, console=console) as progress:
        progress.live("12 requests/s")
        progress.live("13 requests/s")

    assert ("13 requests/s" in out.getvalue()) is not quiet
    assert bool(out.getvalue()) is not quiet


def test_the_doctor_explains_only_what_is_not_ok() -> None:
    """What is ok takes one line."""
    docker = {"name": "Docker", "state": "ok", "seen": "20.10", "why": "", "mend": ""}
    files = {
        "name": "files",
        "state": "distorts",
        "seen": "1024",
        "why": "runs end early",
        "mend": "ulimit -n 65536",
    }

    assert [line.rstrip() for line in text.doctor([docker, files], _console()[0]).splitlines()] == [
        "ok        Docker  20.10",
        "distorts  files   1024",
        "                  runs end early",
        "                  -> ulimit -n 65536",
        "",
        "1 of 2 want a look",
    ]


def test_the_doctor_has_json() -> None:
    """The same findings for programs."""
    findings = json.loads(CliRunner().invoke(cli.seatrial, ["doctor", "--json"], standalone_mode=False).output)

    assert {tuple(finding) for finding in findings} == {("name", "state", "seen", "why", "mend")}
    assert {finding["state"] for finding in findings} <= {"ok", "lacks", "distorts"}

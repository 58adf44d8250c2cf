"""Sessions are exported as P.1203's tools read them; what these do not cover is flagged, or left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import factories
import pytest
from click.testing import CliRunner, Result

from seatrial import cli
from seatrial.errors import UsageError
from seatrial.record.folder import RunFolder

GOLDEN = Path(__file__).parent / "data" / "p1203-session.json"
WHOLE: Mapping[str, Any] = {
    "startup_s": 0.81234,
    "played_s": 61.5,
    "stalls": [[31.25, 0.5], [12.0, 2.25]],
    "stalls_count": 2,
    "seeks_count": 0,
    "bitrate_kbps": 4000.5,
    "resolution": "1280x720",
    "fps": 25,
    "media_s": 300.0,
}


def _run(results: Path, *details: Mapping[str, Any], **changes: Any) -> RunFolder:  # noqa: ANN401  (fields of RunDocument)
    flows = [factories.flow(n, 12 + n, flow="play", detail=dict(detail)) for n, detail in enumerate(details)]
    before = factories.flow(99, 5, flow="play", detail=dict(WHOLE))
    return factories.sealed_run(results, [], [*flows, before, factories.flow(100, 13)], **changes)


def _show(folder: RunFolder, *options: str) -> Result:
    argv = ["show", str(folder.root), "--format", "p1203", *options]
    return CliRunner().invoke(cli.seatrial, argv, standalone_mode=False)


def _refused(done: Result) -> str:
    """Return the error of a command that printed nothing."""
    assert isinstance(done.exception, UsageError)
    assert done.stdout == ""
    return str(done.exception)


def _lines(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _problems(session: Mapping[str, Any]) -> list[str]:
    """Return where a session differs from the documented input: keys, their types, the order of stalls."""
    segment_keys = {"bitrate", "codec", "duration", "fps", "resolution", "start"}
    numbers = {"bitrate", "duration", "fps", "start"}
    wrong = [key for key in ("I11", "I13", "I23") if not isinstance(session[key]["streamId"], int)]
    wrong += [key for key in ("I11", "I13") if not isinstance(session[key]["segments"], list)]
    for segment in session["I13"]["segments"]:
        wrong += segment_keys ^ set(segment)
        wrong += [key for key in numbers if not _number(segment[key])]
        width, height = segment["resolution"].split("x")
        wrong += [one for one in (width, height) if not one.isdigit()]
    stalls = session["I23"]["stalling"]
    wrong += [str(one) for one in stalls if len(one) != 2 or not all(map(_number, one))]
    wrong += ["order"] if stalls != sorted(stalls) or stalls[0][0] != 0 else []
    wrong += ["device"] if session["IGen"]["device"] not in ("pc", "mobile") else []
    return wrong + ["display"] * (session["IGen"]["displaySize"].count("x") != 1)


def test_a_session_is_what_the_tools_read(tmp_path: Path) -> None:
    """Initial loading is the stall at 0; others stand in order; the segment is as long as what was played."""
    done = _show(_run(tmp_path, WHOLE))
    assert done.return_value == 0, done.output
    (session,) = _lines(done)
    assert session == json.loads(GOLDEN.read_text())
    assert _problems(session) == []
    assert done.stderr == "1 session for P.1203\n"


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"played_s": 12.5, "stalls": []}, ["shorter than 30 s"]),
        ({"played_s": 301}, ["longer than 300 s"]),
        ({"seeks_count": 2, "stalls": []}, ["with seeks"]),
        ({"played_s": 300, "device": "mobile", "display": "2560x1440", "codec": "hevc"}, []),
    ],
)
def test_what_p1203_does_not_cover_is_flagged(changes: dict[str, Any], flags: list[str], tmp_path: Path) -> None:
    """The session is exported all the same, and the count is told."""
    done = _show(_run(tmp_path, {**WHOLE, **changes}))
    (session,) = _lines(done)
    assert (session["seatrial"]["outside_scope"], _problems(session)) == (flags, [])
    assert done.stderr == "; ".join(["1 session for P.1203", *(f"1 flagged: {one}" for one in flags)]) + "\n"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"played_s": 0}, "left out: never played"),
        ({"startup_s": None, "abandoned_ratio": 1}, "left out: never played"),
        ({"resolution": "720p"}, "left out: without a right resolution"),
        ({"resolution": None, "fps": 0}, "left out: without a right fps, resolution"),
        ({"bitrate_kbps": "fast"}, "left out: without a right bitrate_kbps"),
        ({"stalls": [[1.0]]}, "left out: without a right stalls"),
        ({"stalls": [[1.0, -2.0]]}, "left out: without a right stalls"),
        ({"stalls": None}, "left out: without a right stalls"),
        ({"seeks_count": 1}, "left out: stalls after a seek have no place in the time of the session"),
    ],
)
def test_what_can_not_be_exported_is_left_out(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    """Beside others it is counted; alone it is an error."""
    bad = {key: value for key, value in {**WHOLE, **changes}.items() if value is not None}
    done = _show(_run(tmp_path / "both", bad, WHOLE))
    assert [session["seatrial"]["flow_id"] for session in _lines(done)] == [1]
    assert done.stderr == f"1 session for P.1203; 1 {why}\n"
    assert f"1 {why}" in _refused(_show(_run(tmp_path / "alone", bad)))


def test_a_run_without_viewers_says_what_is_expected(tmp_path: Path) -> None:
    """As the details of flows."""
    error = _refused(_show(factories.sealed_run(tmp_path)))
    assert "no flow that reports startup_s and stalls" in error
    assert "bitrate_kbps, resolution" in error


def test_a_folder_gets_one_file_a_session(tmp_path: Path) -> None:
    """As the reference implementation takes them; never mixed with those of another run."""
    folder, output = _run(tmp_path / "results", WHOLE, WHOLE), tmp_path / "out" / "sessions"
    done = _show(folder, "--output", str(output), "--quiet")
    assert (done.return_value, done.output) == (0, "")
    assert sorted(path.name for path in output.iterdir()) == ["play-0.json", "play-1.json"]
    assert json.loads((output / "play-0.json").read_text()) == json.loads(GOLDEN.read_text())
    assert "the folder is not empty" in _refused(_show(folder, "--output", str(output)))


def test_the_exit_code_is_that_of_the_run(tmp_path: Path) -> None:
    """Of one that was cut short, whose window never opened, all sessions are exported."""
    done = _show(_run(tmp_path, WHOLE, status="interrupted", spans=()))
    assert (done.return_value, len(_lines(done))) == (5, 2)


def test_output_is_for_sessions_alone(tmp_path: Path) -> None:
    """Other forms go to standard output."""
    done = _show(_run(tmp_path, WHOLE), "--format", "csv", "--output", str(tmp_path / "x"))
    assert "--format p1203 alone" in _refused(done)

"""Preflight: which file is asked, and how a stack that players can't use is reported and compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import experiments
import pytest
import range_server
from experiments import Truth

from seatrial.analysis.experiment import analyse
from seatrial.errors import UsageError
from seatrial.experiment import preflight
from seatrial.measure.range_answers import RangeJudge
from seatrial.measure.ranges import RangeReport, RangeTarget, cases
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.report import ci_exports, experiment_sections

TARGET = RangeTarget(size=range_server.SIZE, plain=range_server.whole())


def report(*, ranges: bool) -> RangeReport:
    """Return the report of a server that answers ranges by the RFC, or everything with the whole file."""
    judge = RangeJudge(TARGET)
    answers = ((case, range_server.answer(case) if ranges else range_server.whole()) for case in cases(TARGET))
    results = tuple(judge.judge(case, answer) for case, answer in answers)
    return RangeReport(url="http://x/clip.mp4", size=range_server.SIZE, results=results)


def test_the_error_names_every_broken_case_with_its_rule() -> None:
    """And what is permitted instead."""
    error = preflight.broken(report(ranges=False))

    assert error.exit_code == 3
    assert error.what.endswith(": 0-, 0-1, middle, -500, last byte, past the end, start = size, repeated")
    assert "0-1 (bytes=0-1): 200: the range is ignored (RFC 9110, 14.2, SHOULD)" in error.seen.splitlines()
    assert "start = size: 416 bytes */5000" in error.expected.splitlines()
    assert "seatrial ranges URL" in error.hint


def test_the_first_clip_of_the_catalogue_is_asked(tmp_path: Path) -> None:
    """Where the scenario names no file."""
    catalogue = tmp_path / "catalogue.json"
    catalogue.write_text(json.dumps({"clips": [{"path": "/media/a.mp4"}, {"path": "/media/b.mp4"}]}))
    assert preflight.first_clip(catalogue) == "/media/a.mp4"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (None, "nothing was seeded"),
        ("{}", "no clips"),
        ('{"clips": []}', "no clips"),
        ("[]", "no clips"),
        ('{"clips": [{"path": "a.mp4"}]}', "the path 'a.mp4'"),
        ("{", "Expecting property name"),
    ],
)
def test_without_a_clip_the_scenario_has_to_name_a_file(tmp_path: Path, text: str | None, seen: str) -> None:
    """It says how."""
    catalogue = None if text is None else tmp_path / "catalogue.json"
    if catalogue is not None and text is not None:
        catalogue.write_text(text)
    with pytest.raises(UsageError) as caught:
        preflight.first_clip(catalogue)

    assert seen in caught.value.seen
    assert "preflight: {ranges: /media/clip-0.mp4}" in caught.value.hint


def test_a_variant_that_players_can_not_use_is_broken_not_slow(tmp_path: Path) -> None:
    """Its runs ended so; the section of every report has its cases beside those of the base."""
    error = preflight.broken(report(ranges=False))
    failure = {"type": "PreflightFailed", "what": error.what, "seen": error.seen}
    lost = Truth(changes={"status": "failed", "error": str(error), "failure": failure, "spans": ()})
    folder = experiments.experiment(tmp_path, {"base": Truth(), "whole": lost}, blocks=3)
    for root in (folder / "runs").iterdir():
        documents.save_ranges(RunFolder(root), report(ranges="-base-" in root.name))
    result = analyse(folder)
    (section,) = [one for one in experiment_sections.sections(result) if one.name == "ranges"]
    rows = {(row[0], row[2]): row for row in section.table.rows}

    assert "whole: LIKELY REGRESSION: can't be played from in 3 of 3" in "\n".join(
        experiment_sections.reasons(result)
    )
    assert rows["base", "24 cases"][1] == "OK"
    assert rows["whole", "0-1"][1:5] == ("BROKEN", "0-1", "200", "14.2 SHOULD")
    assert "<summary>Ranges: " in ci_exports.markdown(result)


def test_a_report_is_stored_and_read_again(tmp_path: Path) -> None:
    """As it was; a newer or a damaged one is refused, and most runs have none."""
    folder, whole = RunFolder(tmp_path), report(ranges=True)
    assert documents.load_ranges(folder) is None
    documents.save_ranges(folder, whole)
    assert documents.load_ranges(folder) == whole
    assert documents.load_ranges(folder) != replace(whole, size=1)
    for damaged in ('{"schema_version": 2}', "[]", '{"schema_version": 1, "results": [{}]}'):
        (tmp_path / documents.RANGES_FILE).write_text(damaged)
        with pytest.raises(UsageError):
            documents.load_ranges(folder)


@pytest.mark.parametrize(
    "url",
    ["x", "ftp://127.0.0.1/x", "http:///x", "http://127.0.0.1:0/x", "http://127.0.0.1:99999/x", "http://[::1/x"],
)
def test_what_is_no_url_is_not_asked(url: str) -> None:
    """A usage error, before any connection."""
    with pytest.raises(UsageError, match="no URL to ask"):
        preflight.ask_alone(url, ())


def test_hosts_beyond_loopback_have_to_be_confirmed() -> None:
    """The hint has the command; the address may hold a password, and is not shown."""
    with pytest.raises(UsageError, match="nothing is asked of example") as caught:
        preflight.ask_alone("http://me:word@example.org/x", ("example.com",))
    assert "--yes-load example.org" in caught.value.hint
    assert "word" not in str(caught.value)

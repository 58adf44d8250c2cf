"""Preflight of a trial: range cases of its media, asked before the load; a stack that players can't use fails."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seatrial.errors import PreflightFailed, UsageError
from seatrial.experiment.run_record import RunRecord
from seatrial.measure.range_answers import in_words
from seatrial.measure.ranges import RangeReport, RangeResult, RangeWord
from seatrial.model import NoteKind, Preflight
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.stack import ranges
from seatrial.wire.redaction import masked_url, may_load

_HINT = "`seatrial ranges URL` asks a server alone; docs/reference/ranges.md has all cases"


def check_ranges(
    preflight: Preflight | None, url: str, catalogue: Path | None, record: RunRecord, progress: Progress
) -> None:
    """Ask the range cases at the front door `url`, and keep the results in the run's folder.

    PreflightFailed if a case fails that players rely on; other deviations become a note. UsageError where no file
    is named.
    """
    if preflight is None:
        return
    report = ranges.ask_ranges(url + (preflight.ranges or first_clip(catalogue)))
    documents.save_ranges(record.folder, report)
    progress.say(f"preflight: {in_words(report)}")
    deviating = report.of(RangeWord.DEVIATES)
    if deviating:
        told = "; ".join(f"{result.name} ({rule(result)}): {result.reason}" for result in deviating)
        record.note(NoteKind.RANGE_DEVIATIONS, told)
    if not report.plays:
        raise broken(report)


def ask_alone(url: str, confirmed: Collection[str]) -> RangeReport:
    """Ask the range cases of a URL on loopback or a confirmed host; UsageError for another, or without a file."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "") if parts.scheme in {"http", "https"} and parts.port != 0 else ""
    except ValueError:  # a port that is no number, or too large; an address that is none
        host = ""
    if not host:
        raise UsageError("this is no URL to ask", seen=masked_url(url), expected="http://HOST:PORT/FILE")
    if not may_load(host, confirmed):
        raise UsageError(
            f"nothing is asked of {host}",
            expected="loopback, or a host that is confirmed",
            hint=f"seatrial ranges --yes-load {host} URL",
        )
    try:
        return ranges.ask_ranges(url)
    except PreflightFailed as error:
        raise UsageError(error.what, where=error.where, seen=error.seen, expected=error.expected) from error


def broken(report: RangeReport) -> PreflightFailed:
    """Return the error of a stack that fails cases which players rely on."""
    failed = report.of(RangeWord.BROKEN)
    return PreflightFailed(
        f"players can't use this stack: range cases fail: {', '.join(result.name for result in failed)}",
        where=f"GET {report.url}",
        seen="\n".join(f"{one.name} ({one.asked}): {one.seen}: {one.reason} ({rule(one)})" for one in failed),
        expected="\n".join(f"{one.name}: {one.permitted}" for one in failed),
        hint=_HINT,
    )


def rule(result: RangeResult) -> str:
    """Return the rule that an answer breaks: `RFC 9110, 14.2, SHOULD`."""
    return f"RFC 9110, {result.section}, {result.force}"


def first_clip(catalogue: Path | None) -> str:
    """Return the path of the first clip in a catalogue: `{"clips": [{"path": "/media/clip-0.mp4"}, ...]}`.

    UsageError without a catalogue, or for one without clips.
    """
    seen = "nothing was seeded"
    if catalogue is not None:
        try:
            values: Any = json.loads(catalogue.read_bytes())
            path = values["clips"][0]["path"]
            if isinstance(path, str) and path.startswith("/"):
                return path
            seen = f"the path {path!r}"
        except (OSError, ValueError) as error:
            seen = str(error)
        except (KeyError, IndexError, TypeError):
            seen = "no clips"
    raise UsageError(
        "the preflight has no file to ask ranges of",
        where="" if catalogue is None else str(catalogue),
        seen=seen,
        expected='a catalogue such as {"clips": [{"path": "/media/clip-0.mp4"}]}',
        hint="name the file in the scenario: preflight: {ranges: /media/clip-0.mp4}",
    )

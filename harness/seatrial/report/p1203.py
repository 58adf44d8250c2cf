"""Sessions of viewers as the JSON that tools for Recommendation ITU-T P.1203 (01/2019) read, one object a session.

The keys are those of the standard's interfaces, as the reference implementation's README documents them
(https://github.com/itu-p1203/itu-p1203): I11 audio segments, I13 video segments, I23 stalls as `[position,
duration]` in seconds of media, IGen the device. Initial loading is the stall at position 0. Without audio segments
the tools take audio of constant high quality. A key of our own, `seatrial`, names the flow, and what of it P.1203
does not cover.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from seatrial.errors import UsageError
from seatrial.measure.experience import is_viewer
from seatrial.model import Phase
from seatrial.record import read
from seatrial.record.folder import RunFolder
from seatrial.record.read import FlowRow
from seatrial.report import numbers

SHORTEST_S, LONGEST_S = 30.0, 300.0
"""Sessions of half a minute to five minutes are what the model was made for (P.1203, scope)."""
_RESOLUTION = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}\Z")
_PAIR = 2
_DECIMALS = 3


@dataclass(slots=True)
class Exported:
    """How many sessions were exported, how many of them `flagged` for what, and how many `left_out` and why."""

    sessions: int = 0
    flagged: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        """Return both in a sentence."""
        parts = [
            f"{count} {why}" for counts in (self.flagged, self.left_out) for why, count in sorted(counts.items())
        ]
        return "; ".join((f"{numbers.counted(self.sessions, 'session')} for P.1203", *parts))


def export(folder: RunFolder, done: Exported, *, opened: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each session of the window (all, unless one was opened), with a name for its file; count in `done`.

    UsageError if there is none that can be exported, with what its flows lack.
    """
    for row in read.flow_rows(folder):
        if (opened and row.phase != Phase.WINDOW) or not is_viewer(row.detail):
            continue
        if why := _unusable(row.detail):
            done.left_out[why] += 1
            continue
        done.sessions += 1
        values = _session(row, done.sessions)
        done.flagged.update(f"flagged: {one}" for one in values["seatrial"]["outside_scope"])
        yield f"{re.sub(r'[^A-Za-z0-9_-]+', '-', row.flow)}-{row.flow_id}", values
    if not done.sessions:
        raise UsageError(
            "no session of this run can be exported for P.1203",
            where=str(folder.root),
            seen=done.text() if done.left_out else "no flow that reports startup_s and stalls",
            expected='flows with startup_s, played_s, stalls, bitrate_kbps, resolution ("1280x720") and fps',
            hint="docs/reference/command-line.md has what each of them is",
        )


def _unusable(detail: Mapping[str, Any]) -> str:
    """Return why a session can't be exported; empty if it can."""
    if not _number(detail.get("startup_s")) or not _above_zero(detail.get("played_s")):
        return "left out: never played"
    right = {
        "bitrate_kbps": _above_zero(detail.get("bitrate_kbps")),
        "fps": _above_zero(detail.get("fps")),
        "resolution": bool(_RESOLUTION.match(str(detail.get("resolution", "")))),
        "stalls": _pairs(detail.get("stalls")),
    }
    if lacking := sorted(key for key, is_right in right.items() if not is_right):
        return f"left out: without a right {', '.join(lacking)}"
    if detail["stalls"] and detail.get("seeks_count"):
        return "left out: stalls after a seek have no place in the time of the session"
    return ""


def _session(row: FlowRow, number: int) -> dict[str, Any]:
    detail = row.detail
    lasts_s = round(float(detail["played_s"]), _DECIMALS)
    segment = {
        "bitrate": detail["bitrate_kbps"],
        "codec": str(detail.get("codec", "h264")),
        "duration": lasts_s,
        "fps": detail["fps"],
        "resolution": detail["resolution"],
        "start": 0,
    }
    stalls = [[0, round(float(detail["startup_s"]), _DECIMALS)]]
    stalls += [[round(at_s, _DECIMALS), round(took_s, _DECIMALS)] for at_s, took_s in sorted(detail["stalls"])]
    return {
        "I11": {"segments": [], "streamId": number},
        "I13": {"segments": [segment], "streamId": number},
        "I23": {"stalling": stalls, "streamId": number},
        "IGen": {
            "device": "mobile" if detail.get("device") == "mobile" else "pc",
            "displaySize": str(detail.get("display", "1920x1080")),
            "viewingDistance": "150cm",
        },
        "seatrial": {
            "flow": row.flow,
            "flow_id": row.flow_id,
            "t_start_ns": row.t_start_ns,
            "outside_scope": list(_outside_scope(lasts_s, detail)),
        },
    }


def _outside_scope(lasts_s: float, detail: Mapping[str, Any]) -> Iterable[str]:
    """Yield what P.1203 does not cover of a session; its length is that of what was played."""
    if lasts_s < SHORTEST_S:
        yield f"shorter than {SHORTEST_S:g} s"
    if lasts_s > LONGEST_S:
        yield f"longer than {LONGEST_S:g} s"
    if detail.get("seeks_count"):
        yield "with seeks"


def _number(value: object) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= 0


def _above_zero(value: object) -> bool:
    return _number(value) and bool(value)


def _pairs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, list) and len(one) == _PAIR and all(map(_number, one)) for one in value
    )

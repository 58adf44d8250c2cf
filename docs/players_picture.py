"""The picture of how players ask for an MP4, drawn from captured sessions.

`python docs/players_picture.py > docs/explanation/players.svg` draws one panel for each player and case: time to
the right, offset in the file upwards. Each request is a line in the colour of its connection, from where it began
along the bytes that the player took, dotted while it took none; a cross is where it dropped it, the grey line is
the playhead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "explanation" / "players.svg"
SESSIONS = ROOT / "tests" / "locustfiles" / "data" / "players"
PLAYERS = ("ffmpeg", "chromium", "firefox")
CASES = (
    ("seek-back-60s-moov-last-unlimited", "moov last, unlimited: play, seek to 42 s, seek back to 2 s"),
    ("pause-60s-moov-first-unlimited", "moov first, unlimited: play, pause for 20 s, play on"),
    ("seek-back-60s-moov-first-1MB", "moov first, 1 MB/s: play, seek to 42 s, seek back to 2 s"),
)

_PANEL, _PLOT, _GAP, _MARGIN = 372, 190, 24, 44
_TITLE, _LINE = 24, 14
_SHORT_S = 20.0
_COLOURS = ("#1b6ca8", "#c4532d", "#3d8b4f", "#8250a0", "#b08b1e", "#5b7083")
_STYLE = (
    "text{font:11px sans-serif;fill:#222}.case{font-size:14px;font-weight:bold}.player{font-weight:bold}"
    ".axis{fill:none;stroke:#999}.act{stroke:#888;stroke-dasharray:3 3}.small{font-size:10px;fill:#555}"
    ".asked{font:10.5px monospace}.played{fill:none;stroke:#aaa;stroke-width:1.5;stroke-dasharray:5 3}"
    ".taken{fill:none;stroke-width:2}.held{fill:none;stroke-width:1;stroke-dasharray:1 3}"
)
_DO = {"seek": "seek", "pause": "pause", "resume": "play", "stop": "stop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One session and where it is drawn; times in seconds, offsets in bytes."""

    session: dict[str, Any]
    x: float
    y: float
    until_s: float

    def across(self, at_s: float) -> float:
        """Return the horizontal place of a time."""
        return self.x + _MARGIN + max(at_s, 0.0) / self.until_s * (_PANEL - _MARGIN)

    def up(self, offset: float) -> float:
        """Return the vertical place of an offset in the file."""
        share = offset / self.session["clip"]["size"]
        return float(self.y + _PLOT - share * _PLOT)


def _session(player: str, case: str) -> dict[str, Any]:
    session: dict[str, Any] = json.loads((SESSIONS / player / f"{case}.json").read_text(encoding="utf-8"))
    return session


def _first(request: dict[str, Any]) -> int:
    told = request["content_range"]
    return int(told.removeprefix("bytes ").partition("-")[0]) if told else 0


def _plot(panel: Panel) -> Iterator[str]:
    session, left, bottom = panel.session, panel.across(0), panel.y + _PLOT
    yield f'<path class="axis" d="M{left:g},{panel.y:g} V{bottom:g} H{panel.x + _PANEL:g}"/>'
    size = session["clip"]["size"]
    for megabytes in range(0, int(size / 1e6) + 1, 10):
        y = panel.up(megabytes * 1e6) + 4
        yield f'<text class="small" x="{left - 4:g}" y="{y:g}" text-anchor="end">{megabytes} MB</text>'
    step = 5 if panel.until_s <= _SHORT_S else 10
    for seconds in range(0, int(panel.until_s) + 1, step):
        x = panel.across(seconds)
        yield f'<text class="small" x="{x:g}" y="{bottom + 12:g}" text-anchor="middle">{seconds} s</text>'
    for action in session["actions"]:
        if action["what"] in _DO and action["what"] != "stop":
            x = panel.across(action["at_s"])
            yield f'<path class="act" d="M{x:g},{panel.y:g} V{bottom:g}"/>'
            yield f'<text class="small" x="{x + 3:g}" y="{panel.y + 9:g}">{_DO[action["what"]]}</text>'
    yield from _playhead(panel)
    for number, request in enumerate(session["requests"], start=1):
        yield from _request(panel, number, request)


def _playhead(panel: Panel) -> Iterator[str]:
    """Draw where the media that is seen lies in the file, at the mean bit rate."""
    clip, points = panel.session["clip"], []
    told = [*panel.session["events"], *panel.session["actions"]]
    marks = sorted((one for one in told if one["what"] in {"playing", "packet", "seek", "pause", "stop"}), key=_at)
    since_s, media_s, going = 0.0, 0.0, panel.session["player"] == "ffmpeg"
    for mark in marks:
        now_s = media_s + (mark["at_s"] - since_s if going else 0.0)
        points.append((mark["at_s"], now_s))
        since_s, media_s = mark["at_s"], now_s
        if mark["what"] in {"playing", "packet", "seek"}:
            media_s = mark["media_s"]
            points.append((mark["at_s"], media_s))
        going = mark["what"] in {"playing", "packet"}
    offset = clip["mdat_offset"], clip["bitrate_bps"] / 8
    path = " L".join(f"{panel.across(at):.1f},{panel.up(offset[0] + s * offset[1]):.1f}" for at, s in points)
    yield f'<path class="played" d="M{path}"/>'


def _at(one: dict[str, Any]) -> float:
    return float(one["at_s"])


def _request(panel: Panel, number: int, request: dict[str, Any]) -> Iterator[str]:
    colour, first = _COLOURS[(request["connection"] - 1) % len(_COLOURS)], _first(request)
    points = [(request["at_s"], 0), *request["taken_over_time"]]
    places = [(panel.across(at_s), panel.up(first + taken)) for at_s, taken in points]
    path = " L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<path class="taken" stroke="{colour}" d="M{path}"/>'
    (x, y), (end_x, end_y) = places[0], places[-1]
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    label_y = y - 4 if y > panel.y + _LINE else y + _LINE  # not into the title
    yield f'<text x="{x + 4:.1f}" y="{label_y:.1f}" style="fill:{colour}">{number}</text>'
    if request["ended"] != "complete" and request["taken"] < request["length"]:
        left, end_x = end_x, panel.across(request["ended_s"])
        yield f'<path class="held" stroke="{colour}" d="M{left:.1f},{end_y:.1f} H{end_x:.1f}"/>'
    if request["ended"] == "by the client":
        d = f"M{end_x - 3:.1f},{end_y - 3:.1f} l6,6 m0,-6 l-6,6"
        yield f'<path class="taken" stroke="{colour}" d="{d}"/>'


def _listed(panel: Panel, y: float) -> Iterator[str]:
    for number, request in enumerate(panel.session["requests"], start=1):
        colour = _COLOURS[(request["connection"] - 1) % len(_COLOURS)]
        names = {name.lower() for name, _ in panel.session["header_sets"][request["headers"]]}
        ended = {"by the client": "dropped", "complete": "complete"}.get(request["ended"], "open")
        words = [
            f"{number} {request['range']}",
            "If-Range" if "if-range" in names else "",
            f"c{request['connection']}{' again' if request['reused'] else ''}",
            f"{request['taken'] / 1e6:.1f} MB, {ended}",
        ]
        text = escape(" ".join(word for word in words if word))
        place = f'x="{panel.x + 6:g}" y="{y + number * _LINE:g}"'
        yield f'<text class="asked" {place} style="fill:{colour}">{text}</text>'


def drawn() -> str:
    """Return the picture as SVG."""
    width = len(PLAYERS) * (_PANEL + _GAP) + _GAP
    lines, y = [], float(_GAP)
    for case, title in CASES:
        sessions = [_session(player, case) for player in PLAYERS]
        until_s = max(one["actions"][-1]["at_s"] for one in sessions)
        lines.append(f'<text class="case" x="{_GAP}" y="{y + 6:g}">{escape(title)}</text>')
        top = y + _TITLE + 16
        for number, session in enumerate(sessions):
            panel = Panel(session=session, x=_GAP + number * (_PANEL + _GAP), y=top, until_s=until_s)
            name = f"{session['player']} {session['version']}"
            lines.append(f'<text class="player" x="{panel.x + _MARGIN:g}" y="{top - 8:g}">{escape(name)}</text>')
            lines += [*_plot(panel), *_listed(panel, top + _PLOT + 16)]
        y = top + _PLOT + 16 + _LINE * (1 + max(len(one["requests"]) for one in sessions)) + _GAP
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y:g}">',
        f"<style>{_STYLE}</style>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    return "\n".join([*head, *lines, "</svg>", ""])


if __name__ == "__main__":
    sys.stdout.write(drawn())

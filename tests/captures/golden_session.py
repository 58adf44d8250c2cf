"""A captured session of one player: what it asked, how much it took, and what it was told to do, as a small file.

Times are seconds since the first request; bytes are those of bodies. `taken` is what the player's process has read
from its socket, `arrived` what its kernel has confirmed (socket_bytes.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cases import PLAY, RESUME, SEEK
from logging_proxy import Exchange, Headers

FORMAT = 1
PAUSE_S = 0.5
"""A player that takes no byte for so long, while some wait for it, pauses."""
_POINTS = 24
_TOLD_S = 0.5
MOST_STALLED_S = 1.0
"""A player that waited longer than this did not show its own conduct, but that of a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFacts:
    """The file that was played; offsets and sizes in bytes."""

    made_by: str  # seatrial (a test clip of seatrial.media, of which `spec` makes each byte) or ffmpeg
    duration_s: float
    bitrate_bps: float
    size: int
    moov: str  # first or last
    moov_offset: int
    moov_size: int
    mdat_offset: int
    timescale: int  # of the video track, ticks a second
    spec: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request and its response."""

    at_s: float
    connection: int
    reused: bool
    method: str
    target: str
    range: str | None
    headers: int  # which of the session's sets of headers
    status: int
    content_range: str | None
    length: int
    first_byte_s: float
    arrived: int
    taken: int
    ended: str  # complete, by the client, by the server, by the end of the capture
    ended_s: float
    pauses: list[tuple[float, float, int]]  # from, until, bytes taken before
    taken_over_time: list[tuple[float, int]]

    @property
    def first(self) -> int:
        """The offset in the file of the body's first byte."""
        if self.content_range is None:
            return 0
        return int(self.content_range.removeprefix("bytes ").partition("-")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Something that the player was told to do, or that it told."""

    at_s: float
    what: str
    media_s: float | None = None
    offset: int | None = None  # of the sync sample at or before the target of a seek


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One session with one player."""

    player: str
    version: str
    driver: str
    case: str
    server: str
    rate: float | None  # bytes a second of each connection, null: unlimited
    clip: ClipFacts
    validators: dict[str, str | None]
    header_sets: list[Headers]
    actions: list[Done]
    events: list[Done]
    requests: list[Asked]
    variant: str = ""  # what is unlike the usual: another kind of clip or server
    format: int = field(default=FORMAT)

    @property
    def name(self) -> str:
        """The name of its file, without suffix."""
        return session_name(self.case, self.clip, self.rate, self.variant)

    @property
    def stalled_s(self) -> float:
        """How long a browser waited for data, after it had begun to play and since the last thing it was told.

        All captures have at least twice the clip's bit rate: it is the machine that was too busy to play.
        """
        waited_s, since_s = 0.0, None
        for event in self.events:
            if event.what == "waiting" and not self._is_told(event.at_s):
                since_s = event.at_s
            elif event.what == "playing" and since_s is not None:
                waited_s, since_s = waited_s + event.at_s - since_s, None
        return waited_s

    def _is_told(self, at_s: float) -> bool:
        begin = (one.at_s for one in self.actions if one.what in {PLAY, SEEK, RESUME})
        return any(abs(at_s - one) < _TOLD_S for one in begin)

    def write(self, folder: Path) -> Path:
        """Write it as JSON, one line for each request, action and event; return the file."""
        path = folder / self.player / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(asdict(self)), encoding="utf-8")
        return path


def session_name(case: str, clip: ClipFacts, rate: float | None, variant: str) -> str:
    """Return the name of such a session's file, without suffix."""
    speed = "unlimited" if rate is None else f"{rate / 1e6:g}MB"
    return f"{case}-{clip.duration_s:.0f}s-moov-{clip.moov}-{speed}{f'-{variant}' if variant else ''}"


def read(path: Path) -> Session:
    """Read a file that `write` wrote; ValueError for another format."""
    document = json.loads(path.read_text(encoding="utf-8"))
    if document["format"] != FORMAT:
        raise ValueError(f"{path}: format {document['format']}, this reads {FORMAT}")
    document["clip"] = ClipFacts(**document["clip"])
    document["header_sets"] = [[(name, value) for name, value in one] for one in document["header_sets"]]
    for key in ("actions", "events"):
        document[key] = [Done(**one) for one in document[key]]
    document["requests"] = [_asked(one) for one in document["requests"]]
    return Session(**document)


def _asked(one: Mapping[str, Any]) -> Asked:
    pauses = [(begin, end, taken) for begin, end, taken in one["pauses"]]
    return Asked(
        **{**one, "pauses": pauses, "taken_over_time": [(t, taken) for t, taken in one["taken_over_time"]]}
    )


def _text(document: Mapping[str, Any]) -> str:
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_value(value)}" for key, value in document.items()) + "\n}\n"


def _value(value: object) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(f"  {json.dumps(one)}" for one in value) + "\n]"


def requests(exchanges: Sequence[Exchange], start_s: float, stop_s: float) -> tuple[list[Asked], list[Headers]]:
    """Return the requests of a session that began and was stopped at these times, and their sets of headers.

    What ended after the stop, ended by it.
    """
    sets: list[Headers] = []
    found = []
    for one in exchanges:
        headers = [(name, value) for name, value in one.headers if name.lower() not in {"range", "host"}]
        if headers not in sets:
            sets.append(headers)
        taken = [(round(at - start_s, 3), count) for at, _, count in one.samples if at <= stop_s]
        found.append(
            Asked(
                at_s=round(one.at_s - start_s, 3),
                connection=one.connection,
                reused=one.nth > 1,
                method=one.method,
                target=one.target,
                range=one.header("range"),
                headers=sets.index(headers),
                status=one.status,
                content_range=one.answered("content-range"),
                length=one.length,
                first_byte_s=round(one.first_byte_s - start_s, 3),
                arrived=one.arrived,
                taken=taken[-1][1] if taken and one.ended_s > stop_s else one.taken,
                ended="by the end of the capture" if one.ended_s > stop_s else one.ended,
                ended_s=round(min(one.ended_s, stop_s) - start_s, 3),
                pauses=[
                    (round(a - start_s, 3), round(b - start_s, 3), count) for a, b, count in _pauses(one, stop_s)
                ],
                taken_over_time=_thinned(taken),
            )
        )
    return found, sets


def _pauses(one: Exchange, stop_s: float) -> Iterator[tuple[float, float, int]]:
    """Yield the spans in which bytes waited and none was taken."""
    since, taken, waiting = one.first_byte_s, 0, False
    for at, arrived, count in [*one.samples, (min(one.ended_s, stop_s), one.arrived, -1)]:
        if count == taken:
            waiting = arrived > taken
            continue
        if waiting and at - since > PAUSE_S:
            yield since, at, taken
        since, taken, waiting = at, count, arrived > count


def _thinned(points: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return some of the points, evenly spread over time and count, with the first and the last."""
    if len(points) <= _POINTS:
        return points
    (t0, c0), (t1, c1) = points[0], points[-1]
    span, bytes_ = max(t1 - t0, 1e-9), max(c1 - c0, 1)
    kept, last = [points[0]], -1
    for t, c in points[1:-1]:
        slot = int(((t - t0) / span + (c - c0) / bytes_) / 2 * (_POINTS - 2))
        if slot != last:
            kept.append((t, c))
            last = slot
    return [*kept, points[-1]]

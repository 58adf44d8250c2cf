"""Watch MP4 clips as players do: byte ranges, read-ahead, back-pressure, seeks, and proof of every answer.

    locust -f media_playback.py --host http://127.0.0.1:8000 --media-url /clip.mp4
    locust -f media_playback.py --host http://127.0.0.1:8000 --media-catalogue catalogue.json --media-player mix

A user is a viewer with one player; a flow `play` is one clip that it watches.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import gevent
from locust import events, task

import _players
from _options import Option, declare, wrong_number
from _player import Ask
from _proof import Proof
from _session import Session, Stream, Unplayable
from _viewer import Habits, Step, cumulated, patience_s, watching, zipf
from seatrial.errors import Mp4Error
from seatrial.media.catalogue import Entry, load
from seatrial.media.mp4 import Index, IndexReader
from seatrial.user import LeanUser
from seatrial.user.flows import Flow

ENDPOINTS = ("opening", "probe", "tail", "range", "seek")
_KEPT_INDEXES = 64
_P1203_CODECS = {"avc1": "h264", "avc3": "h264", "hev1": "h265", "hvc1": "h265", "vp09": "vp9"}
"""Sample entries of MP4 (ISO/IEC 14496-15), and the names of codecs in P.1203's input."""
_HABITS = Habits()
OPTIONS: tuple[Option, ...] = (
    ("url", "", "the path of a clip to watch"),
    ("catalogue", "", "a catalogue.json of clips to choose from, whose bytes are proved"),
    ("player", "chrome", f"{', '.join(_players.MODELS)}, mix, or shares such as chrome:3,safari:1"),
    ("wait", 1.0, "seconds between two clips of a viewer"),
    ("begin-within", 0.0, "seconds over which the users' first clips begin, instead of all at once"),
    ("receive-buffer", 65_536, "SO_RCVBUF of each connection in bytes; 0: the kernel's"),
    ("zipf", 0.9, "exponent of the popularity by rank, where the catalogue tells none"),
    ("completes", _HABITS.completes, "share of viewers who watch to the end"),
    ("watch", _HABITS.watch_mean_s, "mean seconds after which the others leave"),
    ("watch-most", _HABITS.watch_most_s, "the longest that is watched, in seconds; 0: no limit"),
    ("seeks", _HABITS.seeks_per_min, "seeks a minute of playing"),
    ("seek-distance", _HABITS.seek_s, "median distance of a seek in seconds"),
    ("forward", _HABITS.forward, "share of seeks that go forward"),
    ("pauses", _HABITS.pauses_per_min, "pauses a minute of playing"),
    ("pause", _HABITS.pause_s, "mean seconds of a pause"),
    ("patience", _HABITS.patience_s, "seconds of start-up that all viewers bear; 0: any start-up"),
)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser class is not public)
    declare(parser, OPTIONS)


class MediaUser(LeanUser):
    """A user who has clips to choose from, and one player."""

    abstract = True
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS
    options: ClassVar[tuple[Option, ...]] = OPTIONS
    """What `prepare` looks through for numbers that can't be."""

    def prepare(self) -> None:
        """Read the options."""
        options: Any = self.environment.parsed_options
        if wrong := wrong_number(options, self.options):
            self.refuse("a number is out of range", where=wrong[0], seen=wrong[1], expected="0 or more")
        self._wait_s: float = options.media_wait
        self.habits = self._habits(options)
        try:
            shares = _players.chosen(options.media_player)
        except ValueError as error:
            known = ", ".join([*_players.MODELS, "mix"])
            self.refuse("a player is not known", where="--media-player", seen=str(error), expected=known)
        (self.player,) = self.random.choices(list(shares), weights=list(shares.values()))
        self._clips = self._choice(options.media_catalogue, options.media_url)
        told = [clip.popularity for clip in self._clips]
        weights = [weight for weight in told if weight is not None]
        ranked = len(weights) < len(told) or not sum(weights)
        self._weights = zipf(len(told), options.media_zipf) if ranked else cumulated(weights)
        self.user_agent = _players.MODELS[self.player].user_agent
        self.receive_buffer_bytes = options.media_receive_buffer or None

    def _habits(self, options: Any) -> Habits:  # noqa: ANN401  (Locust's namespace)
        habits = Habits(
            completes=options.media_completes,
            watch_mean_s=options.media_watch,
            watch_most_s=options.media_watch_most,
            seeks_per_min=options.media_seeks,
            seek_s=options.media_seek_distance,
            forward=options.media_forward,
            pauses_per_min=options.media_pauses,
            pause_s=options.media_pause,
            patience_s=options.media_patience,
        )
        if min(habits.watch_mean_s, habits.seek_s, habits.pause_s) <= 0:
            self.refuse("a mean time or distance has to be above 0", where="--media-watch, -seek-distance, -pause")
        if max(habits.completes, habits.forward) > 1:
            self.refuse("a share is from 0 to 1", where="--media-completes, --media-forward")
        return habits

    def _choice(self, catalogue: str, url: str) -> tuple[Entry, ...]:
        if not (url or catalogue):
            self.refuse(
                "no clip to watch was named",
                expected="--media-url /PATH, or --media-catalogue FILE",
                hint="locust -f media_playback.py --host http://127.0.0.1:8000 --media-url /clip.mp4",
            )
        if url:
            if not url.startswith("/"):
                self.refuse("a clip is named by its path on the host", where="--media-url", seen=repr(url))
            return (Entry(url),)
        return load(catalogue)

    def on_start(self) -> None:
        """Begin within the time that is given: players that fill their buffers all at once are another load."""
        within_s: float = self.environment.parsed_options.media_begin_within
        if within_s > 0:
            gevent.sleep(self.random.uniform(0.0, within_s))

    def wait_time(self) -> float:
        """Seconds between two clips."""
        return self._wait_s

    def pick(self) -> Entry:
        """Choose a clip by its popularity."""
        (clip,) = self.random.choices(self._clips, cum_weights=self._weights)
        return clip

    def watch(self, flow: Flow, clip: Entry, acts: Iterable[Step]) -> Session:
        """Watch a clip within a flow, and put into its details what that was like."""
        model = _players.MODELS[self.player]
        session = Session(
            model(f"{self.random.getrandbits(128):032X}"),
            lambda total: _Reader((str(self.host), clip.path), total),
            Proof(clip.proof(), clip.size, clip.etag),
            acts,
            opened=lambda ask, headers: self._opened(clip.path, ask, headers, fresh=model.fresh),
            clock=time.monotonic,
            sleep=gevent.sleep,
            patience_s=patience_s(self.habits, self.random),
        )
        try:
            stop = session.run()
            if stop.outcome and flow.ok:
                flow.fail(stop.outcome)
            found = session.first_finding
            if reason := (found.reason if found else "") or stop.reason:
                flow.detail["reason"] = reason
        finally:
            flow.detail.update(session.details(), clip=clip.name, **_picture(session.index))
        return session

    @contextmanager
    def _opened(self, path: str, ask: Ask, headers: Mapping[str, str], *, fresh: bool) -> Iterator[Stream]:
        """Open a request of the player's; a 200 is taken, and judged by the session."""
        if ask.if_range:
            headers = {**headers, "If-Range": ask.if_range}
        asked = (ask.first, ask.last) if ask.ranged else None
        expect = (206, 200) if ask.ranged else (200,)
        with self.client.stream(
            path, endpoint=ask.label, range=asked, headers=headers, expect=expect, fresh=fresh
        ) as stream:
            yield stream


class Viewer(MediaUser):
    """Watches one clip after the other, with seeks and pauses."""

    @task
    def play(self) -> None:
        """Watch a clip."""
        with self.flow("play", profile=self.player) as flow:
            self.watch(flow, self.pick(), watching(self.habits, self.random))


_indexes: dict[tuple[object, ...], Index] = {}


class _Reader:
    """Reads an index for one session; sessions of one clip share the result."""

    def __init__(self, clip: tuple[str, str], total: int | None) -> None:
        self._clip = clip
        try:
            self._reader = IndexReader(total)
        except Mp4Error as error:
            raise _unplayable(error) from error

    @property
    def missing(self) -> tuple[int, int] | None:
        return self._reader.missing

    @property
    def index(self) -> Index | None:
        index = self._reader.index
        if index is None:
            return None
        if index.duration_s <= 0 or not any(track.tables for track in index.tracks):
            raise Unplayable("the MP4 file has no samples that could be played")
        key = (*self._clip, index.size, index.moov_offset, index.moov_size, index.duration_s)
        if key not in _indexes and len(_indexes) >= _KEPT_INDEXES:
            _indexes.clear()
        return _indexes.setdefault(key, index)

    def feed(self, offset: int, view: bytes | memoryview) -> None:
        try:
            self._reader.feed(offset, view)
        except Mp4Error as error:
            raise _unplayable(error) from error

    def ended(self) -> None:
        try:
            self._reader.ended()
        except Mp4Error as error:
            raise _unplayable(error) from error


def _picture(index: object) -> dict[str, Any]:
    """Return what P.1203 wants to know of the video track besides its bit rate; empty: there is none."""
    for track in index.tracks if isinstance(index, Index) else ():
        if track.handler == "vide" and track.width and track.samples_per_s:
            size = f"{track.width}x{track.height}"
            codec = _P1203_CODECS.get(track.codec, track.codec)
            return {"resolution": size, "fps": round(track.samples_per_s, 3), "codec": codec}
    return {}


def _unplayable(error: Mp4Error) -> Unplayable:
    return Unplayable(f"{error.what}, {error.where}" if error.where else error.what)

"""Replays a captured session with the player's model, on a virtual network of the same rate, in the same form.

The clip's bytes are computed from its spec, so the index is read as in a real session. A connection is used again
where Seatrial's HTTP client would: the body was read to its end, and neither side closes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf

from cases import PAUSE, PLAY, RESUME, SEEK, STOP
from golden_session import Asked, Done, Session
from session_compare import BY_CLIENT, BY_END

import _players
from _player import Ask
from _proof import Proof
from _session import Session as Viewing
from _viewer import Act, Step
from seatrial.media.clip import Clip
from seatrial.media.mp4 import IndexReader

MODELS = {"chromium": "chrome", "firefox": "firefox", "ffmpeg": "ffmpeg"}
_UNLIMITED = 200e6
_ROUND_TRIP_S = 0.001
_TICK_S = 1e-6
"""A moment that is given in whole nanoseconds has passed by then."""
_KERNEL_BYTES = 256 * 1024
"""What the client's kernel holds unread; the rest waits at the server."""
_LEAST_BYTES = 48 * 1024
"""What has to be there before a waiting read returns, as packets bring it."""


@dataclass(slots=True)
class _Answer:
    """The head of an answer."""

    status: int
    headers: Mapping[str, str]
    outcome: str = "ok"
    reason: str = ""


@dataclass(slots=True)
class _Network:
    """The clock, the clip and what has been asked."""

    clip: Clip
    etag: str
    rate: float
    now_s: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    header_sets: list[list[tuple[str, str]]] = field(default_factory=list)
    connections: int = 0
    kept: bool = False

    @contextmanager
    def opened(self, ask: Ask, headers: Mapping[str, str]) -> Iterator[_Stream]:
        """Answer as a server of ranges does."""
        fields = [*headers.items(), *([("If-Range", ask.if_range)] if ask.if_range else [])]
        if fields not in self.header_sets:
            self.header_sets.append(fields)
        reused, self.kept = self.kept, False
        self.connections += not reused
        at_s = self.now_s
        self.now_s += _ROUND_TRIP_S
        stream = _Stream(self, ask)
        try:
            yield stream
        finally:
            self.kept = stream.complete and "close" not in headers.get("Connection", "")
            self.asked.append(stream.row(at_s, self.connections, reused, self.header_sets.index(fields)))

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


class _Stream:
    """An open request."""

    def __init__(self, network: _Network, ask: Ask) -> None:
        self._network, self._ask = network, ask
        self._waiting, self._at_s = 0.0, network.now_s
        self._opened_s = network.now_s
        self.position = ask.first
        self.total: int | None = network.clip.size
        self._end = network.clip.size if ask.last is None else ask.last + 1
        self.response = _Answer(206 if ask.ranged else 200, {"etag": network.etag})

    @property
    def ok(self) -> bool:
        """Whether nothing has failed."""
        return self.response.outcome == "ok"

    @property
    def complete(self) -> bool:
        """Whether the body has been read to its end."""
        return self.position >= self._end

    def read(self, limit: int, until_ns: int | None = None) -> memoryview | None:
        """Return what has arrived, or let time pass until something has."""
        if self.complete:
            return memoryview(b"")
        least = min(limit, _LEAST_BYTES, self._end - self.position)
        self._fill()
        if self._waiting < least:
            due_s = self._network.now_s + (least - self._waiting) / self._network.rate
            if until_ns is not None and due_s > until_ns / 1e9:
                self._network.now_s = max(self._network.now_s, until_ns / 1e9) + _TICK_S
                return None
            self._network.now_s = due_s
            self._fill()
        count = min(limit, max(int(self._waiting), least), self._end - self.position)
        self._waiting -= count
        self.position += count
        return memoryview(self._network.clip.read(self.position - count, count))

    def fail(self, outcome: str, reason: str) -> None:
        """Record a failure."""
        self.response.outcome, self.response.reason = outcome, reason

    def row(self, at_s: float, connection: int, reused: bool, headers: int) -> Asked:  # noqa: FBT001
        """Return the request as a capture has it."""
        ask, last = self._ask, self._end - 1
        return Asked(
            at_s=at_s,
            connection=connection,
            reused=reused,
            method="GET",
            target="",
            range=f"bytes={ask.first}-{'' if ask.last is None else ask.last}" if ask.ranged else None,
            headers=headers,
            status=self.response.status,
            content_range=f"bytes {ask.first}-{last}/{self.total}" if ask.ranged else None,
            length=self._end - ask.first,
            first_byte_s=self._opened_s,
            arrived=self.position - ask.first,
            taken=self.position - ask.first,
            ended="complete" if self.complete else BY_CLIENT,
            ended_s=self._network.now_s,
            pauses=[],
            taken_over_time=[],
        )

    def _fill(self) -> None:
        now_s = self._network.now_s
        self._waiting += (now_s - self._at_s) * self._network.rate
        self._waiting = min(self._waiting, float(_KERNEL_BYTES), float(self._end - self.position))
        self._at_s = now_s


def replayed(golden: Session) -> Session:
    """Return the session of this player's model, told to do the same; ValueError without a clip's spec."""
    if golden.clip.spec is None:
        raise ValueError("only sessions with a test clip can be replayed")
    clip = Clip.from_spec(golden.clip.spec)
    network = _Network(clip, golden.validators["etag"] or "", _reached(golden))
    viewing = Viewing(
        _players.MODELS[MODELS[golden.player]](),
        IndexReader,
        Proof(),
        _acts(golden),
        opened=network.opened,
        clock=lambda: network.now_s,
        sleep=network.sleep,
    )
    viewing.run()
    rows = [*network.asked]
    if rows and rows[-1].ended == BY_CLIENT:
        rows[-1] = replace(rows[-1], ended=BY_END)
    return replace(golden, driver="model", requests=rows, header_sets=network.header_sets)


def _reached(golden: Session) -> float:
    """Return the rate of a session's connections; a busy machine does not always reach the one that was set."""
    if golden.rate is None:
        return _UNLIMITED
    taken = sum(one.taken for one in golden.requests)
    waited_s = sum(end_s - begin_s for one in golden.requests for begin_s, end_s, _ in one.pauses)
    open_s = sum(one.ended_s - one.first_byte_s for one in golden.requests) - waited_s
    return min(golden.rate, taken / max(open_s, 1.0))


def _acts(golden: Session) -> Iterator[Step]:
    """Yield the actions as steps after seconds of playing, from and to the same places in the media.

    Playing begins with the event that tells it; ffmpeg has none, and plays at once.
    """
    position_s, since_s = 0.0, _playing_s(golden, 0.0)
    for action in golden.actions:
        if action.what == PLAY:
            continue
        if action.what == RESUME:
            since_s = _playing_s(golden, action.at_s)
            continue
        played_s = max(action.at_s - since_s, 0.0)
        position_s += played_s
        if action.what == SEEK and action.media_s is not None:
            yield Step(Act.SEEK, played_s, action.media_s - position_s)
            position_s, since_s = action.media_s, _playing_s(golden, action.at_s)
        elif action.what == PAUSE:
            yield Step(Act.PAUSE, played_s, _resumed_s(golden, action) - action.at_s)
        elif action.what == STOP:
            yield Step(Act.LEAVE, played_s)


def _playing_s(golden: Session, from_s: float) -> float:
    return next(
        (event.at_s for event in golden.events if event.what == "playing" and event.at_s >= from_s), from_s
    )


def _resumed_s(golden: Session, pause: Done) -> float:
    return next((one.at_s for one in golden.actions if one.what == RESUME and one.at_s > pause.at_s), inf)

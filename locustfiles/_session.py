"""One viewer's session: a player model, a buffer and a viewer's acts, over streams that the caller opens.

Pure but for what it is given: `opened` opens a request, `clock` returns seconds of CLOCK_MONOTONIC, `sleep` waits.
Nothing of the clip is kept but its index and the intervals of offsets that came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from math import inf
from typing import Any, Protocol

from _buffer import Buffer, State
from _player import NEVER, PARTIAL, WHOLE, Action, Ask, Head, Hold, Player, Read, Situation, Stop
from _proof import Finding, Proof
from _ranges import Ranges
from _viewer import Act, Step

READ_BYTES = 128 * 1024
_NS = 1_000_000_000
_BITS = 8
_BODY_STATUSES = frozenset({WHOLE, PARTIAL})
_TICK_S = 0.001
"""So much later than due a session looks, so that rounding does not make it look twice."""


class Answer(Protocol):
    """What a session reads of a response."""

    status: int
    headers: Mapping[str, str]
    outcome: Any
    reason: str


class Stream(Protocol):
    """An open request, as `Client.stream` yields it."""

    position: int
    total: int | None

    @property
    def response(self) -> Answer:
        """The response."""

    @property
    def ok(self) -> bool:
        """Whether nothing has failed."""

    @property
    def complete(self) -> bool:
        """Whether the body has been read to its end."""

    def read(self, limit: int, until_ns: int | None = None) -> memoryview | None:
        """Return the next bytes; empty: the end, or a failure; None: `until_ns` passed."""

    def fail(self, outcome: str, reason: str) -> None:
        """Record a failure."""


class Index(Protocol):
    """Where the media of a clip lie."""

    @property
    def duration_s(self) -> float:
        """How long it plays."""

    @property
    def bitrate_bps(self) -> float:
        """Bits of media for each second, in the mean."""

    def offset_at(self, seconds: float) -> int:
        """Return the offset of the sync sample at or before a moment."""

    def seconds_at(self, offset: int) -> float:
        """Return up to which moment everything lies before an offset."""


class IndexReader(Protocol):
    """Takes the index from the bytes that come; Unplayable where there is none to be had."""

    @property
    def missing(self) -> tuple[int, int] | None:
        """The first and last byte that it needs next."""

    @property
    def index(self) -> Index | None:
        """The index, once it is complete."""

    def feed(self, offset: int, view: bytes | memoryview) -> None:
        """Take bytes."""

    def ended(self) -> None:
        """Take the end of a file whose length was not known."""


Opened = Callable[[Ask, Mapping[str, str]], AbstractContextManager[Stream]]


class Unplayable(Exception):
    """What the server sends is no media that can be played."""


class Session:
    """One viewing of one clip."""

    def __init__(
        self,
        player: Player,
        reader: Callable[[int | None], IndexReader],
        proof: Proof,
        acts: Iterable[Step],
        *,
        opened: Opened,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
        patience_s: float = inf,
    ) -> None:
        self.player = player
        self.buffer = Buffer(clock(), player.start_s, player.resume_s)
        self.distinct = Ranges()
        self.received_bytes = 0
        self.requests = 0
        self.abandoned = False
        self.index: Index | None = None
        self._make_reader = reader
        self._reader: IndexReader | None = None
        self._proof = proof
        self._acts = iter(acts)
        self._opened = opened
        self._clock = clock
        self._sleep = sleep
        self._leaves_s = self.buffer.began_s + patience_s
        self._frontier = 0
        self._situation = Situation()
        self._paused_at_s = self._hold_s = inf
        self._left = False
        self._finding: Finding | None = None
        self.first_finding: Finding | None = None
        self._unplayable = ""
        self._next_act()

    # --- the loop

    def run(self) -> Stop:
        """Play until the viewer leaves or the player gives up; return why it ended."""
        action: Action = self._decide()
        try:
            while not isinstance(action, Stop):
                action = self._request(action) if isinstance(action, Ask) else self._hold(action)
        finally:
            self.buffer.stop(max(self._clock(), self.buffer.now_s))
        return action

    def _decide(self) -> Action:
        """Return what the player does next, in the situation of this moment."""
        if self._unplayable:
            return Stop("rejected", self._unplayable)
        if self._left or self.buffer.state is State.ENDED:
            return Stop()
        self._look()
        return self.player.next(self._situation)

    def _look(self) -> None:
        """Bring the situation up to date."""
        situation, buffer = self._situation, self.buffer
        situation.ahead_s = buffer.ahead_s
        situation.seeking = buffer.state is State.SEEKING
        situation.paused_s = self._clock() - self._paused_at_s if buffer.state is State.PAUSED else 0.0
        if self.index is None:
            missing = self._reader.missing if self._reader else None
            situation.wanted, last = missing or (situation.wanted or 0, 0)
            situation.wanted_until = last + 1
        else:
            complete = situation.total is not None and self._frontier >= situation.total
            situation.wanted = None if complete else self._frontier

    def _hold(self, hold: Hold | Read) -> Action:
        """Let time pass until the buffer has sunk to the player's level, or the viewer acts."""
        buffer, now_s = self.buffer, self._clock()
        due_s = self._due_s()
        if isinstance(hold, Hold) and hold.ahead_s != NEVER and buffer.state is State.PLAYING:
            due_s = min(due_s, buffer.now_s + max(buffer.ahead_s - hold.ahead_s, 0.0))
        if buffer.state is State.PAUSED and self._situation.position is not None:
            due_s = min(due_s, self._paused_at_s + self.player.pause_s)
        if due_s == inf:
            return Stop("rejected", "the player waits for data that it does not ask for")
        self._sleep(max(due_s - now_s, 0.0) + _TICK_S)
        self._live()
        return self._decide()

    def _request(self, ask: Ask) -> Action:
        """Ask, and follow the player until it needs another connection, or none."""
        if ask.after_s:
            self._rest(self._clock() + ask.after_s)
            if self._left:
                return Stop()
        situation = self._situation
        self._finding = None
        self.requests += 1
        with self._opened(ask, self.player.request_headers()) as stream:
            action = self._headed(stream, ask)
            while situation.position is not None and not isinstance(action, (Ask, Stop)):
                if isinstance(action, Read):
                    action = self._read(stream, action.until)
                elif action.drop:
                    break
                else:
                    action = self._hold(action)
            if self._finding is not None:
                self.first_finding = self.first_finding or self._finding
                stream.fail(self._finding.outcome, self._finding.reason)
        situation.position = None
        return action

    def _rest(self, until_s: float) -> None:
        """Wait before a request, while the viewer may act."""
        while not self._left and (now_s := self._clock()) < until_s:
            self._sleep(max(min(until_s, self._due_s()) - now_s, 0.0) + _TICK_S)
            self._live()

    # --- answers

    def _headed(self, stream: Stream, ask: Ask) -> Action:
        """Take the head of an answer."""
        self._live()
        situation, response = self._situation, stream.response
        if not stream.ok or response.status not in _BODY_STATUSES:
            self._look()
            return self.player.failed(situation, str(response.outcome), response.reason)
        found = self._proof.head(response.headers, response.status, stream.total, ranged=ask.ranged)
        self._finding = found
        changed = found is not None and found.outcome == "changed"
        etag, control = response.headers.get("etag", ""), response.headers.get("cache-control", "")
        stop = self.player.head(Head(response.status, stream.position, stream.total, changed, etag, control))
        if stop is not None:
            return stop
        if situation.total is None:
            situation.total = stream.total
        if self._reader is None and ask.label != "probe":
            try:
                self._reader = self._make_reader(situation.total)
            except Unplayable as error:
                return Stop("rejected", str(error))
        situation.position = stream.position
        situation.whole = ask.ranged and response.status == WHOLE
        return Read(ask.last + 1) if ask.label == "probe" and ask.last is not None else self._decide()

    def _read(self, stream: Stream, until: int) -> Action:
        """Read up to an offset, or until the viewer acts or the body ends."""
        situation = self._situation
        while situation.position is not None and situation.position < until:
            limit = min(until - situation.position, READ_BYTES)
            due_s = self._due_s()
            view = stream.read(limit, None if due_s == inf else int((due_s + _TICK_S) * _NS))
            if view is None:
                self._live()
                return self._decide()
            if not view:
                return self._ended(stream)
            self._take(situation.position, view)
            situation.position += len(view)
            if self.index is None or self._clock() >= due_s:
                break
        if stream.complete:
            return self._ended(stream)
        self._live()
        return self._decide()

    def _ended(self, stream: Stream) -> Action:
        """Take the end of a body."""
        self._live()
        situation = self._situation
        if stream.complete and situation.total is None and self.player.open_ended:
            self._found_end(situation.position or 0)
        situation.position = None
        if self._left or self._unplayable or self.buffer.state is State.ENDED:
            return self._decide()
        self._look()
        if stream.complete:
            return self.player.ended(situation)
        outcome = str(stream.response.outcome)
        return self.player.failed(situation, outcome, stream.response.reason)

    def _found_end(self, total: int) -> None:
        """Take the length of a clip from the end of an open-ended body."""
        self._situation.total = total
        self._finding = self._finding or self._proof.end(total)
        reader, index = self._reader, None
        if reader is not None:
            try:
                reader.ended()
                index = reader.index
            except Unplayable as error:
                self._unplayable = str(error)
                self._finding = self._finding or Finding("rejected", str(error))
        if index is not None:
            self._learned(index, total, total)
        self._arrived()

    def _take(self, first: int, view: memoryview) -> None:
        """Take bytes of the clip: prove them, and tell index, buffer and player."""
        end = first + len(view)
        self.received_bytes += len(view)
        self.distinct.add(first, end)
        held = self._situation.held
        if held.first_missing(first) < end:  # else a server that cuts each body short would be asked for ever
            self.player.received()
        held.add(first, end)
        if self._finding is None:
            self._finding = self._proof.body(first, view)
        if self.index is None:
            self._learn(first, view)
        elif first <= self._frontier < end:
            self._frontier = self._situation.held.first_missing(end)
            self._arrived()

    def _learn(self, first: int, view: memoryview) -> None:
        reader = self._reader
        if reader is None:
            return
        missing = reader.missing
        try:
            if missing is not None and first <= missing[1]:
                reader.feed(first, view)
            index = reader.index
        except Unplayable as error:
            self._unplayable = str(error)
            self._finding = self._finding or Finding("rejected", str(error))
            return
        if index is not None:
            self._learned(index, first, first + len(view))

    def _learned(self, index: Index, first: int, end: int) -> None:
        """Begin with the media; `first` to `end` are the bytes that came last."""
        self.index, self._reader = index, None
        self.buffer.duration_s = index.duration_s
        self._situation.opening = False
        self._situation.bytes_per_s = index.bitrate_bps / _BITS
        if not self.player.keeps_opening:
            self._situation.held.keep(first, end)
        self._to(index.offset_at(self.buffer.position_s))

    def _to(self, cursor: int) -> None:
        """Read on from the sample at this offset."""
        self._frontier = self._situation.held.first_missing(cursor)
        self._arrived()

    def _arrived(self) -> None:
        if self.index is not None:
            now_s = max(self._clock(), self.buffer.now_s)
            total = self._situation.total
            complete = total is not None and self._frontier >= total
            seconds = inf if complete else self.index.seconds_at(self._frontier)
            self.buffer.arrived(now_s, seconds)

    # --- the viewer

    def _next_act(self) -> None:
        """Look what the viewer does next, and from which moment that counts."""
        self._act = next(self._acts, Step(Act.LEAVE, inf))
        self._act_from_s = self.buffer.now_s
        self._act_played_s = self.buffer.played_s

    def _due_s(self) -> float:
        """Return when the viewer acts, if nothing changes until then."""
        buffer, act = self.buffer, self._act
        if not buffer.started:
            return self._leaves_s
        if buffer.state is State.PAUSED:
            return self._hold_s
        if act.by_clock:
            return self._act_from_s + act.after_s
        if buffer.state is State.PLAYING:
            left_s = act.after_s - (buffer.played_s - self._act_played_s)
            return buffer.now_s + min(max(left_s, 0.0), max(buffer.duration_s - buffer.position_s, 0.0))
        return inf

    def _live(self) -> None:
        """Let time pass up to now, and have the viewer do what is due."""
        buffer = self.buffer
        now_s = max(self._clock(), buffer.now_s)
        buffer.advance(now_s)
        if not buffer.started:
            if now_s >= self._leaves_s:
                self.abandoned = self._left = True
            return
        if buffer.state is State.PAUSED:
            if now_s >= self._hold_s:
                buffer.resume(now_s)
                self._act_from_s = now_s
            return
        if self._act_due(now_s):
            self._do(now_s)

    def _act_due(self, now_s: float) -> bool:
        act = self._act
        if act.by_clock:
            return now_s - self._act_from_s >= act.after_s
        return self.buffer.state is not State.SEEKING and self.buffer.played_s - self._act_played_s >= act.after_s

    def _do(self, now_s: float) -> None:
        act, buffer = self._act, self.buffer
        if act.act is Act.LEAVE:
            self._left = True
            return
        if act.act is Act.PAUSE:
            self._paused_at_s, self._hold_s = now_s, now_s + act.value
            buffer.pause(now_s)
        elif buffer.state is not State.ENDED:
            self._seek(now_s, buffer.position_s + act.value)
        self._next_act()

    def _seek(self, now_s: float, to_s: float) -> None:
        if self.index is None:
            return
        before = self.index.offset_at(self.buffer.position_s)
        self.buffer.seek(now_s, to_s)
        cursor = self.index.offset_at(self.buffer.position_s)
        self._situation.held.keep(*self.player.kept(self._situation, before, self._frontier, cursor))
        self._to(cursor)

    # --- what it was like

    def details(self) -> dict[str, Any]:
        """Return the figures of the session for its flow."""
        buffer = self.buffer
        rate = self._situation.bytes_per_s
        played_bytes = min(round(buffer.distinct_played_s() * rate), self.distinct.count)
        received = self.received_bytes
        detail: dict[str, Any] = {
            "startup_s": buffer.startup_s if buffer.started else None,
            "stalls_count": len(buffer.stalls),
            "stalled_s": buffer.stalled_s,
            "stall_ratio": buffer.stall_ratio,
            "seeks_count": buffer.seeks,
            "seek_s": buffer.seek_s,
            "abandoned_ratio": float(self.abandoned),
            "played_s": buffer.played_s,
            "paused_s": buffer.spent_s[State.PAUSED],
            "received_bytes": received,
            "distinct_bytes": self.distinct.count,
            "played_bytes": played_bytes,
            "waste_ratio": 1.0 - played_bytes / received if received else None,
            "stalls": [[round(at_s, 3), round(length_s, 3)] for at_s, length_s in buffer.stalls],
            "bitrate_kbps": round(rate * _BITS / 1000, 1),
            "media_s": self.index.duration_s if self.index else None,
        }
        return {name: value for name, value in detail.items() if value is not None}

"""What a player of progressive MP4 does next: the contract of the player models, and what they have in common.

The media engine wants a byte (`Situation.wanted`); a player gets it over one open request at a time: it reads on,
holds (does not read, so that the server feels it), drops the connection, asks anew, or stops. A model is a module
`_player_NAME.py` with one subclass of `Player`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import ClassVar

from _ranges import Ranges

PARTIAL, WHOLE = 206, 200
NEVER = -1.0
"""As `Hold.ahead_s`: the level of the buffer does not end it."""
_OPENING_BYTES = 32 * 1024
"""What a demuxer reads at once while it looks for the index."""
_FATAL = frozenset({"status", "range", "protocol", "whole", "changed", "rejected", "too_large"})
"""Outcomes that another try would not mend: the server has answered."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for the bytes from `first` to `last` (None: to the end), after a wait; any open request is dropped.

    Not `ranged`: without a Range header. `if_range`: a validator to send as If-Range; "": none.
    """

    label: str
    first: int
    last: int | None = None
    ranged: bool = True
    if_range: str = ""
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Read:
    """Read on up to this offset."""

    until: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Read nothing until no more than `ahead_s` is buffered, or the viewer acts; `drop`: without a connection."""

    ahead_s: float
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Give up; `outcome` is that of the flow ("": nothing failed), `reason` goes into its details."""

    outcome: str = ""
    reason: str = ""


Action = Ask | Read | Hold | Stop


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer: its status, the first offset of its body, the complete length (None: not known).

    `changed`: a validator or the total is not that of the session's first answer. `etag`, `cache_control`: fields.
    """

    status: int
    first: int
    total: int | None
    changed: bool = False
    etag: str = ""
    cache_control: str = ""


@dataclass(slots=True)
class Situation:
    """What a player knows when it is asked what to do.

    `position` is the next byte of the open request (None: none is open), `whole` whether that began at 0 although
    a later byte was asked for. `wanted` is the first byte that the media engine has to have and does not
    (None: it has all), `wanted_until` where its need ends, as far as it is known. `opening`: the index is not
    complete. `seeking`: a seek waits for data. `ahead_s` is contiguous media ahead of the playhead,
    `bytes_per_s` the mean bit rate in bytes (0: not known), `paused_s` how long the viewer's pause has lasted,
    `held` the offsets that the player has.
    """

    position: int | None = None
    whole: bool = False
    wanted: int | None = 0
    wanted_until: int = 1
    total: int | None = None
    opening: bool = True
    seeking: bool = False
    ahead_s: float = 0.0
    bytes_per_s: float = 0.0
    paused_s: float = 0.0
    held: Ranges = field(default_factory=Ranges)


class Player:
    """One player in one session; subclasses have the figures of a real one, and its peculiarities.

    - `start_s`, `resume_s`: media to have before playing, and after a stall.
    - `high_s`, `low_s`: the buffer is filled up to the one, and again from below the other.
    - `block_bytes`: requests begin at a multiple. `least_read_bytes`: so much is read at once.
    - `skip_bytes`: so far ahead it reads on rather than ask anew.
    - `keeps_behind_bytes`: so much of what was played is there after a seek; `keeps_ahead`: so is what was read
      ahead; `keeps_opening`: what it read while it looked for the index is there when it plays.
    - `discards`: a 200 is read through up to the byte it wants. `fresh`: a connection for each request.
    - `retries` in a row without a byte, the first after `retry_s`, each later one after `retry_step_s` more, at
      most `retry_most_s`; a body cut short is asked for again after `short_s`.
    - `pause_s`: a pause that lasts so long ends the connection, if the buffer is full.
    """

    user_agent: ClassVar[str] = ""
    headers: ClassVar[Mapping[str, str]] = {}
    start_s: ClassVar[float] = 0.2
    resume_s: ClassVar[float] = 2.0
    high_s: ClassVar[float] = 10.0
    low_s: ClassVar[float] = 10.0
    block_bytes: ClassVar[int] = 1
    least_read_bytes: ClassVar[int] = 64 * 1024
    skip_bytes: ClassVar[int] = 0
    keeps_behind_bytes: ClassVar[int] = 0
    keeps_ahead: ClassVar[bool] = True
    keeps_opening: ClassVar[bool] = True
    discards: ClassVar[bool] = False
    fresh: ClassVar[bool] = False
    retries: ClassVar[int] = 0
    retry_s: ClassVar[float] = 0.0
    retry_step_s: ClassVar[float] = 0.0
    retry_most_s: ClassVar[float] = 60.0
    short_s: ClassVar[float] = 0.0
    pause_s: ClassVar[float] = inf

    def __init__(self, session: str = "") -> None:
        self.session = session
        self.asked: Ask | None = None
        self._filling = True
        self._failures = 0
        self._ranges = True

    @property
    def open_ended(self) -> bool:
        """Whether the request that was asked last goes on to the end of the clip."""
        return self.asked is not None and self.asked.last is None

    def request_headers(self) -> Mapping[str, str]:
        """Return the header fields of every request, Range and User-Agent apart."""
        return self.headers

    def limits(self, situation: Situation) -> tuple[float, float]:
        """Return up to which level (seconds ahead) the buffer is filled, and from which on it is filled again."""
        del situation
        return self.high_s, self.low_s

    def next(self, situation: Situation) -> Action:
        """Return what to do now; called whenever something has changed."""
        if situation.wanted is None:
            return Hold(NEVER, drop=True)
        full, low_s = self._full(situation)
        if situation.position is None:
            return Hold(low_s) if full else self._ask(situation)
        if not self.reaches(situation, situation.position, situation.wanted):
            return Hold(low_s, drop=True) if full else self._ask(situation)
        if full:
            return Hold(low_s, drop=situation.paused_s >= self.pause_s)
        return Read(self._until(situation))

    def reaches(self, situation: Situation, position: int, wanted: int) -> bool:
        """Return whether the open request is read on until it brings the wanted byte."""
        if self.asked is not None and self.asked.last is not None and wanted > self.asked.last:
            return False
        return position <= wanted and (situation.whole or wanted - position <= self.skip_bytes)

    def ask(self, situation: Situation, wanted: int) -> Ask:
        """Return the request for a byte."""
        first = wanted - wanted % self.block_bytes
        opening = "tail" if first else "opening"
        media = "seek" if situation.seeking else "range"
        return Ask(opening if situation.opening else media, first)

    def head(self, head: Head) -> Stop | None:
        """Take the head of an answer; return why the player can't go on with it."""
        asked = self.asked
        if head.status == WHOLE and asked is not None and asked.ranged:
            self._ranges = False
            if asked.first and not self.discards:
                return Stop("whole", "the whole where a later part was asked for")
        return None

    def received(self) -> None:
        """Bytes came: what failed before is forgotten."""
        self._failures = 0

    def ended(self, situation: Situation) -> Action:
        """Return what to do after the end of a whole body."""
        return self.next(situation)

    def failed(self, situation: Situation, outcome: str, reason: str) -> Action:
        """Return what to do after a request has failed: try again, or stop."""
        self._failures += 1
        if outcome in _FATAL or self._failures > self.retries or situation.wanted is None:
            return Stop(outcome, reason)
        after_s = self.short_s if outcome == "truncated" else self._pause_s()
        again = self.ask(situation, situation.wanted)
        return self._opened(replace(again, after_s=after_s))

    def kept(self, situation: Situation, cursor: int, frontier: int, target: int) -> tuple[int, int]:
        """Return from which to which byte the player still has what it read, when it seeks to `target`.

        `cursor` is the byte at the playhead, up to `frontier` it has everything.
        """
        del situation, target
        return cursor - self.keeps_behind_bytes, frontier if self.keeps_ahead else cursor

    def _pause_s(self) -> float:
        return min(self.retry_s + self.retry_step_s * (self._failures - 1), self.retry_most_s)

    def _ask(self, situation: Situation) -> Ask | Stop:
        wanted = situation.wanted or 0
        if wanted and not self._ranges and not self.discards:
            return Stop("whole", "the server has no ranges, and the player has to have a later part")
        return self._opened(self.ask(situation, wanted))

    def _opened(self, asked: Ask) -> Ask:
        self.asked = asked
        return asked

    def _full(self, situation: Situation) -> tuple[bool, float]:
        high_s, low_s = self.limits(situation)
        if situation.opening:
            return False, low_s
        full = situation.ahead_s >= high_s if self._filling else situation.ahead_s > low_s
        self._filling = not full
        return full, low_s

    def _until(self, situation: Situation) -> int:
        wanted = situation.wanted or 0
        if situation.opening:
            return max(situation.wanted_until, wanted + _OPENING_BYTES)
        high_s, _ = self.limits(situation)
        missing = int((high_s - situation.ahead_s) * situation.bytes_per_s)
        return wanted + max(missing, self.least_read_bytes)

"""A player's buffer in media seconds: when it plays, stalls, seeks and pauses, and what its viewer sees.

Between two calls nothing but time passes, so the state at any moment follows from the last one: no ticks. Stalls
are counted without the waits of start-up and seeks; the stall ratio is stalled / (playing + stalled).
"""

from __future__ import annotations

from enum import Enum
from math import inf
from statistics import median


class State(Enum):
    """What the viewer sees."""

    STARTING = "starting"
    PLAYING = "playing"
    STALLED = "stalled"
    SEEKING = "seeking"
    PAUSED = "paused"
    ENDED = "ended"


WAITING = frozenset({State.STARTING, State.STALLED, State.SEEKING})
"""States that data ends."""
_EPSILON_S = 1e-6


class Buffer:
    """The buffer of one session, begun at `now_s`; all stamps come from one clock and do not go back.

    `start_s` of media begin the playing, and end the wait after a seek; `resume_s` end a stall; so does the clip's
    end. `playable_s` is the media time up to which everything from the playhead on has arrived.
    """

    def __init__(self, now_s: float, start_s: float, resume_s: float) -> None:
        self.state = State.STARTING
        self.position_s = 0.0
        self.playable_s = 0.0
        self.duration_s = inf
        self.began_s = self.now_s = now_s
        self.spent_s = dict.fromkeys(State, 0.0)
        self.stalls: list[tuple[float, float]] = []
        self.seek_waits_s: list[float] = []
        self.seeks = 0
        self.played: list[tuple[float, float]] = []
        """Stretches of media that were played, as (from, to) in media seconds, in their order."""
        self._start_s = start_s
        self._resume_s = resume_s
        self._since_s = now_s
        self._started = False
        self._played_from_s = 0.0

    @property
    def ahead_s(self) -> float:
        """Media seconds ahead of the playhead."""
        return max(self.playable_s - self.position_s, 0.0)

    @property
    def dry_s(self) -> float:
        """When what is there has been played; never unless it plays."""
        return self.now_s + self.ahead_s if self.state is State.PLAYING else inf

    def advance(self, now_s: float) -> None:
        """Let time pass."""
        if self.state is State.PLAYING and now_s >= self.dry_s - _EPSILON_S:
            at_s = min(max(self.dry_s, self.now_s), now_s)
            self.position_s = max(self.playable_s, self.position_s)
            self._spend(at_s)
            ended = self.position_s >= self.duration_s - _EPSILON_S
            self._enter(State.ENDED if ended else State.STALLED)
        elif self.state is State.PLAYING:
            self.position_s += now_s - self.now_s
        self._spend(now_s)

    def arrived(self, now_s: float, playable_s: float) -> None:
        """Let time pass; from now on everything up to `playable_s` is there."""
        self.advance(now_s)
        self.playable_s = min(playable_s, self.duration_s)
        if self.state in WAITING and self._enough():
            self._enter(State.PLAYING)

    def seek(self, now_s: float, to_s: float) -> None:
        """Move the playhead, to where nothing may be there yet; before the start that is no wait of its own."""
        self.advance(now_s)
        self._close_played()
        self.seeks += 1
        self.position_s = self._played_from_s = min(max(to_s, 0.0), self.duration_s)
        self.playable_s = self.position_s
        if self.state is not State.STARTING:
            self._enter(State.SEEKING)

    def pause(self, now_s: float) -> None:
        """Stop playing; where it waits for data, it waits on behind the pause."""
        self.advance(now_s)
        if self.state is not State.ENDED:
            self._enter(State.PAUSED)

    def resume(self, now_s: float) -> None:
        """Go on after a pause."""
        self.advance(now_s)
        if self.state is State.PAUSED:
            enough = self.ahead_s > _EPSILON_S or self.position_s >= self.duration_s
            going = State.PLAYING if enough else State.STALLED
            self._enter(going if self._started else State.STARTING)
            if not self._started and self._enough():
                self._enter(State.PLAYING)

    def stop(self, now_s: float) -> None:
        """End: the viewer has gone."""
        self.advance(now_s)
        if self.state is not State.ENDED:
            self._enter(State.ENDED)
        self._close_played()

    @property
    def started(self) -> bool:
        """Whether it has ever played."""
        return self._started

    @property
    def startup_s(self) -> float:
        """The time from the beginning to the first frame."""
        return self.spent_s[State.STARTING]

    @property
    def played_s(self) -> float:
        """Seconds of playing."""
        return self.spent_s[State.PLAYING]

    @property
    def stalled_s(self) -> float:
        """Seconds of waiting for data while it should play."""
        return self.spent_s[State.STALLED]

    @property
    def stall_ratio(self) -> float:
        """Stalled / (playing + stalled)."""
        both_s = self.played_s + self.stalled_s
        return self.stalled_s / both_s if both_s else 0.0

    @property
    def seek_s(self) -> float | None:
        """The median wait after a seek; None without one that ended."""
        return median(self.seek_waits_s) if self.seek_waits_s else None

    def distinct_played_s(self) -> float:
        """Return the media seconds that were played at least once."""
        total_s, until_s = 0.0, 0.0
        for first_s, end_s in sorted(self.played):
            total_s += max(end_s - max(first_s, until_s), 0.0)
            until_s = max(until_s, end_s)
        return total_s

    def _enough(self) -> bool:
        needed_s = self._resume_s if self.state is State.STALLED else self._start_s
        ahead_s = self.playable_s - self.position_s
        return self.playable_s >= self.duration_s or (ahead_s > _EPSILON_S and ahead_s >= needed_s)

    def _spend(self, now_s: float) -> None:
        self.spent_s[self.state] += now_s - self.now_s
        self.now_s = now_s

    def _enter(self, state: State) -> None:
        if self.state is State.STALLED:
            self.stalls.append((self.position_s, self.now_s - self._since_s))
        elif self.state is State.SEEKING and state is State.PLAYING:
            self.seek_waits_s.append(self.now_s - self._since_s)
        if self.state is State.SEEKING and state is State.SEEKING:
            return  # a drag through the timeline is one wait, from its first seek on
        self.state = state
        self._since_s = self.now_s
        self._started = self._started or state is State.PLAYING

    def _close_played(self) -> None:
        if self.position_s > self._played_from_s:
            self.played.append((self._played_from_s, self.position_s))
        self._played_from_s = self.position_s

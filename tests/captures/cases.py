"""The cases of the captures: what a player is told to do in a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PLAY, PRELOAD, SEEK, PAUSE, RESUME, STOP = "play", "preload", "seek", "pause", "resume", "stop"
FAR = 0.7
"""A seek beyond what is buffered goes to this share of the clip."""
MOOVS = ("first", "last")
DURATIONS_S = (60, 300)
RATES = (None, 1_000_000.0)


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do, and the seconds to wait after it."""

    what: str
    wait_s: float
    media_s: float | None = None  # the target of a seek


def _play(_: float) -> list[Step]:
    return [Step(PLAY, 15.0)]


def _seek_ahead(duration_s: float) -> list[Step]:
    return [Step(PLAY, 5.0), Step(SEEK, 6.0, FAR * duration_s)]


def _seek_within(_: float) -> list[Step]:
    return [Step(PLAY, 5.0), Step(SEEK, 5.0, 8.0)]


def _seek_back(duration_s: float) -> list[Step]:
    return [Step(PLAY, 5.0), Step(SEEK, 5.0, FAR * duration_s), Step(SEEK, 8.0, 2.0)]


def _pause(_: float) -> list[Step]:
    return [Step(PLAY, 5.0), Step(PAUSE, 20.0), Step(RESUME, 6.0)]


def _metadata(_: float) -> list[Step]:
    return [Step(PRELOAD, 5.0)]


CASES: dict[str, Callable[[float], list[Step]]] = {
    "play": _play,
    "seek-ahead": _seek_ahead,
    "seek-within": _seek_within,
    "seek-back": _seek_back,
    "pause": _pause,
    "metadata": _metadata,
}

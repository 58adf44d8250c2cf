"""What a drive is told, whom it tells, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seatrial.load.steering import Steering
from seatrial.load.warmup import Warmup
from seatrial.model import Load, LoadSecond, NoteKind, Phase, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What one child is to do and where; `streams` takes its records, `log` its own words.

    `hosts` are those that it may connect to besides loopback.
    """

    load: Load
    target: str
    folder: Path
    streams: Path
    log: Path
    secrets: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    hosts: tuple[str, ...] = ()


def _nothing(*_: object) -> None:
    """Heed nothing."""


def _never() -> bool:
    """Let the load go on to its end."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Whom to tell what: the child's pid, the phases as soon as they are known, and each second's counts.

    `noted` takes warnings when they arise. `steered` gets the reins before the gate opens, and may keep them: what
    it changes holds until the drive itself changes it, as it does at the beginning of the window of an open load.
    Once `enough` says so, warm-up and window end where they are, and the load drains.
    """

    started: Callable[[int], None]
    phases: Callable[[tuple[Span, ...]], None]
    second: Callable[[Phase, LoadSecond], None]
    noted: Callable[[NoteKind, str], None] = _nothing
    steered: Callable[[Steering], None] = _nothing
    enough: Callable[[], bool] = _never


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """How a drive went: its phases as they were, and how many exceptions the user model raised.

    `warmup` tells of a warm-up that lasted until latency was stable.
    """

    spans: tuple[Span, ...]
    errors: int
    warmup: Warmup | None = None


def spans_from(opened_ns: int, window_ns: int, drain_ns: int, end_ns: int) -> tuple[Span, ...]:
    """Return the phases of a run, each beginning where the one before ends."""
    return (
        Span(phase=Phase.WARMUP, from_ns=opened_ns, until_ns=window_ns),
        Span(phase=Phase.WINDOW, from_ns=window_ns, until_ns=drain_ns),
        Span(phase=Phase.DRAIN, from_ns=drain_ns, until_ns=max(end_ns, drain_ns)),
    )

"""course.json: what became of an experiment's plan: its looks, why it ended, and how long that took."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from seatrial.record.durable import replacing, writing

NAME = "course.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One look: after so many blocks, at this level, and what was advised."""

    blocks: int
    alpha: float
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How far an experiment has come; `stopped` says why it ended, empty while it goes on.

    `lasted_s` is the time of all blocks, those before an interruption too, and what was interrupted of one;
    `blocks_s` has how long each took that came to its end.
    """

    blocks: int
    stopped: str = ""
    looks: tuple[Looked, ...] = ()
    lasted_s: float = 0.0
    blocks_s: tuple[float, ...] = ()


def save(experiment: Path, course: Course) -> None:
    """Write course.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    text = json.dumps(asdict(course), indent=1)
    path = experiment / NAME
    with writing(path), replacing(path) as stream:
        stream.write(text.encode() + b"\n")


def load(experiment: Path) -> Course:
    """Read course.json; one without a block where there is none, or none that can be read."""
    try:
        values = json.loads((experiment / NAME).read_bytes())
        looks = tuple(Looked(**one) for one in values.pop("looks", ()))
        blocks_s = tuple(float(one) for one in values.pop("blocks_s", ()))
        return Course(**values, looks=looks, blocks_s=blocks_s)
    except (OSError, ValueError, TypeError, AttributeError):
        return Course(blocks=0)

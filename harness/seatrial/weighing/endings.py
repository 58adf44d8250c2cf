"""How a run ended, in a few words: an outcome of the variant, or a reason why it says nothing about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from seatrial.judge.categories import FINISHED
from seatrial.model import Note, NoteKind

KILLED = "killed for memory"
FAILED = "failed"

_OUTCOMES = {
    NoteKind.SATURATED: "did not keep up with the rate",
    NoteKind.STOPPED_EARLY: "was stopped early",
}
"""What invalidates a single run, and yet is what the variant did: never a reason to leave its block out."""

_TOLD: tuple[tuple[tuple[str, ...], str], ...] = (
    (("no space left",), "ran out of space"),
    (("images could not be built", "image can't be built", "can't be pulled"), "could not be built"),
    (("is not ready", "are not running after"), "never became ready"),
    (("seeding",), "could not be seeded"),
    (("is not running", "exited", "did not end within", "ended with exit code"), "a service exited"),
)
_KILLED = re.compile(
    r"(?<![\w/.-])(killed for want of memory|out of memory|oom|exit code 137|exited \(137\))(?![\w/-])",
    re.IGNORECASE,
)
"""Looked for in the first line only: paths and logs stand in the others. 137 is 128 and SIGKILL."""

_QUOTED = re.compile(r"(?<!\w)'[^']*'(?!\w)")
_STATUS = re.compile(r"(?<![\w/.-])exited \(137\)", re.IGNORECASE)
"""What Docker says of a container, in any line."""

_NOT_ITS_FAULT = (
    "load generator",
    "control socket",
    "docker daemon",
    "no compose",
    "run folder can't be written",
    "dead-man",
    "is in use",
    "server programs",
    "sampler",
    "out of date",
)


@dataclass(frozen=True, slots=True)
class End:
    """`ended` is an outcome, and `invalid` why the run can't be used; an invalid one is taken as finished."""

    ended: str = FINISHED
    invalid: str = ""


def of(status: str, error: str, notes: Sequence[Note]) -> End:
    """Tell how a run with this status, error and notes ended.

    The stack's end is an outcome; what befell generator, daemon, disk or sampler is not.
    """
    if status == "failed":
        return _failed(error, notes)
    kinds = {note.kind for note in notes}
    if {NoteKind.OOM_KILL, NoteKind.SERVICE_RESTARTED} <= kinds:
        return End(KILLED)
    invalid = next((note for note in notes if note.invalidates and note.kind not in _OUTCOMES), None)
    if invalid is not None:
        return End(invalid=f"{invalid.kind}: {invalid.text}")
    return End(next((words for kind, words in _OUTCOMES.items() if kind in kinds), FINISHED))


def _failed(error: str, notes: Sequence[Note]) -> End:
    if any(note.kind is NoteKind.STOPPED_EARLY for note in notes):
        return End(_OUTCOMES[NoteKind.STOPPED_EARLY])
    what = error.partition("\n")[0]
    if any(word in what.lower() for word in _NOT_ITS_FAULT):
        return End(invalid=what)
    if any(note.kind is NoteKind.OOM_KILL for note in notes) or _was_killed(what, error):
        return End(KILLED)
    text = error.lower()
    return End(next((said for words, said in _TOLD if any(word in text for word in words)), FAILED))


def _was_killed(what: str, error: str) -> bool:
    return _KILLED.search(_QUOTED.sub("", what)) is not None or _STATUS.search(error) is not None

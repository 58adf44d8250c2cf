"""How a run ended, in a few words: an outcome of the variant, or a reason why it says nothing about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seatrial.analysis import failures
from seatrial.analysis.failures import Failure
from seatrial.compare.categories import FINISHED
from seatrial.model import Note, NoteKind

_OUTCOMES = {
    NoteKind.SATURATED: "did not keep up with the rate",
    NoteKind.STOPPED_EARLY: "was stopped early",
}
"""What invalidates a single run, and yet is what the variant did: never a reason to leave its block out."""


@dataclass(frozen=True, slots=True)
class RunEnding:
    """`ended` is an outcome, and `invalid` why the run can't be used; an invalid one is taken as finished.

    `why` is what was seen of an outcome other than FINISHED.
    """

    ended: str = FINISHED
    invalid: str = ""
    why: str = ""


def of(
    status: str,
    error: str,
    notes: Sequence[Note],
    *,
    failure: Mapping[str, str] | None = None,
    alone: bool = False,
) -> RunEnding:
    """Tell how a run with this status, error (in its parts: `failure`) and notes ended.

    The stack's end is an outcome; what befell generator, daemon, disk or sampler is not. Nor is what others did to
    the host, unless the run stands `alone`, set against nothing.
    """
    if status == "failed":
        return _failed(failures.of(error, failure or {}), notes)
    kinds = {note.kind for note in notes}
    if {NoteKind.OOM_KILL, NoteKind.SERVICE_RESTARTED} <= kinds:
        return RunEnding(failures.KILLED)
    grave = [note for note in notes if (note.invalidates if alone else note.disqualifies)]
    invalid = next((note for note in grave if note.kind not in _OUTCOMES), None)
    if invalid is not None:
        return RunEnding(invalid=f"{invalid.kind}: {invalid.text}")
    outcome = next((note for kind in _OUTCOMES for note in notes if note.kind is kind), None)
    return RunEnding() if outcome is None else RunEnding(_OUTCOMES[outcome.kind], why=outcome.text)


def _failed(failure: Failure, notes: Sequence[Note]) -> RunEnding:
    stopped = next((note for note in notes if note.kind is NoteKind.STOPPED_EARLY), None)
    if stopped is not None:
        return RunEnding(_OUTCOMES[stopped.kind], why=stopped.text)
    if not failures.is_its_own(failure):
        return RunEnding(invalid=failure.what)
    killed = any(note.kind is NoteKind.OOM_KILL for note in notes) or failures.was_killed(failure)
    return RunEnding(failures.KILLED if killed else failures.ended(failure), why=failure.what)

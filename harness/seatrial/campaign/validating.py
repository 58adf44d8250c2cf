"""The validation of a capacity: one long window below the bound, its budgets, and its memory."""

from __future__ import annotations

from seatrial import review
from seatrial.judge import budgets, growth, within_run
from seatrial.judge.budgets import Kept
from seatrial.judge.carrying import Said, Validation
from seatrial.judge.excess import Divided
from seatrial.judge.validity import RESERVED
from seatrial.model import DISTURBED, Note, NoteKind
from seatrial.record import windowed
from seatrial.record.folder import RunFolder
from seatrial.review import Judged

_LATE = DISTURBED | {NoteKind.GENERATOR_LATE, NoteKind.GENERATOR_BUSY}
"""What can only make a latency from the intended start look worse: it is no matter where no budget broke."""


def judged(divided: Divided, folder: RunFolder, rate_per_s: float, lasted_s: float) -> Validation:
    """Judge the window of a sealed run: its budgets, and whether memory that can't be taken back grew."""
    seen = review.judge(folder)
    said = _budgets(divided, folder, seen)
    saturated = next((note.text for note in seen.review.notes if note.kind is NoteKind.SATURATED), "")
    broken = bool(saturated) or any(one.word is Kept.BROKEN for one in said)
    reasons = [note for note in seen.review.notes if note.disqualifies and note.kind is not NoteKind.SATURATED]
    grave = [] if seen.review.window.opened else ["the window was never opened"]
    grave += [_in_words(note) for note in reasons if broken or note.kind not in _LATE]
    return Validation(
        rate_per_s=rate_per_s,
        duration_s=lasted_s,
        budgets=said,
        memory=_memory(seen),
        saturated=saturated,
        strained=next((_in_words(note) for note in reasons if not broken and note.kind in _LATE), ""),
        invalid=grave[0] if grave else "",
    )


def _in_words(note: Note) -> str:
    return f"{note.kind}: {note.text}"


def _budgets(divided: Divided, folder: RunFolder, seen: Judged) -> tuple[Said, ...]:
    recorded = seen.recorded
    tables = windowed.tables(
        folder,
        seen.review.window,
        flows=recorded.flows,
        samples=recorded.samples,
        details=recorded.details,
    )
    said = [budgets.judge(one, [within_run.reading(one.metric, tables)]) for one in divided.validated]
    return tuple(Said(budget=one.budget.text, word=one.word, text=one.text) for one in said)


def _memory(seen: Judged) -> tuple[growth.Slope, ...]:
    samples = seen.recorded.samples
    inside = seen.review.window.rows(samples.phase)
    names = [name for name in samples.service.counts() if name not in RESERVED]
    return tuple(growth.of_service(name, samples, inside) for name in names)

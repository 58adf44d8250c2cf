"""The runs of an experiment that count: for each variant and block the newest one that came to an end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seatrial.errors import UsageError
from seatrial.judge import measured, pairing, within_run
from seatrial.judge.budgets import Budget
from seatrial.judge.categories import FINISHED
from seatrial.judge.measured import Tables
from seatrial.judge.metric import Kind, Metric
from seatrial.judge.within_run import Reading
from seatrial.model import Note
from seatrial.record import document as documents
from seatrial.record import windowed
from seatrial.record.document import RunDocument
from seatrial.record.folder import RunFolder
from seatrial.report.weighed import Taken
from seatrial.review import Judged, judge
from seatrial.weighing import endings, metrics

COUNTS = frozenset({"complete", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A run that counts, with what was read of it; `readings` by the text of a budget."""

    taken: Taken
    document: RunDocument
    shown: Sequence[Metric] = ()
    readings: Mapping[str, Reading] = field(default_factory=dict)


def newest(experiment: Path) -> tuple[list[tuple[RunFolder, RunDocument]], list[str]]:
    """Return the newest run of each variant and block that came to an end, in the order of the blocks.

    Also what was passed over: folders that can't be read, with why.
    """
    kept: dict[tuple[int, str], tuple[RunFolder, RunDocument]] = {}
    passed: list[str] = []
    for root in sorted((experiment / "runs").glob("*")):
        folder = RunFolder(root)
        try:
            document = documents.load(folder)
        except UsageError as error:
            passed.append(f"{root.name}: {error.what}")
            continue
        if not document.sealed or document.status not in COUNTS:
            continue
        place = (document.block, document.variant)
        if place not in kept or _after(document, kept[place][1]):
            kept[place] = (folder, document)
    return [kept[place] for place in sorted(kept, key=lambda one: one[0])], passed


def found(
    folder: RunFolder,
    document: RunDocument,
    asked: Sequence[Metric],
    budgets: Sequence[Budget],
    *,
    alone: bool = False,
) -> Found:
    """Read one run: how it ended and, if its tables can be read, the value of every metric.

    One that stands `alone`, set against nothing, need not have had the host to itself.
    """
    if document.status == "failed":
        end = endings.of(document.status, document.error, document.notes, failure=document.failure)
        run = pairing.Run(ended=end.ended, invalid=end.invalid, why=end.why)
        return Found(taken=_taken(folder, document, run, readable=False), document=document)
    try:
        judged = judge(folder)
        tables = windowed.tables(
            folder,
            judged.review.window,
            flows=judged.recorded.flows,
            samples=judged.recorded.samples,
            details=judged.recorded.details,
            spans=document.spans,
        )
    except UsageError as error:
        return Found(
            taken=_taken(folder, document, pairing.Run(invalid=error.what), readable=False), document=document
        )
    end = endings.of(document.status, document.error, judged.review.notes, alone=alone)
    return _read(folder, judged, tables, asked, budgets, end)


def _read(
    folder: RunFolder,
    judged: Judged,
    tables: Tables,
    asked: Sequence[Metric],
    budgets: Sequence[Budget],
    end: endings.End,
) -> Found:
    document, review = judged.document, judged.review
    invalid = end.invalid or ("" if review.window.opened else "its window was never opened")
    shown = metrics.told_by(tables)
    wanted = (*asked, *(one.metric for one in budgets if one.limit is None), *shown)
    timed = _timed(wanted, end)
    run = pairing.Run(
        values=metrics.values(timed, tables),
        rounding=metrics.rounded(timed, tables),
        ended=end.ended,
        why=end.why,
        invalid=invalid,
        requests=review.total.count,
        counts=_counts(wanted, tables),
    )
    readings = {one.text: within_run.reading(one.metric, tables) for one in budgets if one.limit is not None}
    return Found(
        taken=_taken(folder, document, run, review.notes), document=document, shown=shown, readings=readings
    )


def _counts(asked: Iterable[Metric], tables: Tables) -> Mapping[str, int]:
    """Return how many requests or flows are behind each share of failures."""
    shares = {one.text: one for one in asked if one.kind is Kind.FAILURES}
    return {text: len(measured.asked(one.of, tables).t_start_ns) for text, one in shares.items()}


def _timed(asked: Iterable[Metric], end: endings.End) -> list[Metric]:
    """Leave nothing to be read of a run whose figures say how long it was, and nothing of the stack."""
    return [] if end.ended != FINISHED else list(asked)


def _taken(
    folder: RunFolder,
    document: RunDocument,
    run: pairing.Run,
    notes: Sequence[Note] = (),
    *,
    readable: bool = True,
) -> Taken:
    return Taken(
        variant=document.variant,
        block=document.block,
        run=run,
        folder=str(folder.root),
        began_ns=document.clock.get("wall_ns"),
        notes=tuple(notes or document.notes),
        error=document.error,
        readable=readable,
    )


def _after(one: RunDocument, other: RunDocument) -> bool:
    """Tell which of two was made later; within one boot by a clock that nobody can set."""
    same = _boot(one) is not None and _boot(one) == _boot(other)
    clock = "monotonic_ns" if same else "wall_ns"
    return one.clock.get(clock, 0) >= other.clock.get(clock, 0)


def _boot(document: RunDocument) -> str | None:
    host = (document.facts.get("environment") or {}).get("host") or {}
    boot: str | None = host.get("boot_id")
    return boot

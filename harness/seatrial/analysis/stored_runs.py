"""The runs of an experiment that count: for each variant and block the newest one that came to an end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from seatrial.analysis import endings
from seatrial.analysis import run as review
from seatrial.analysis.results import Taken
from seatrial.analysis.run import RecordedRun
from seatrial.compare.budgets import Budget
from seatrial.compare.categories import FINISHED
from seatrial.compare.pairing import Run
from seatrial.errors import UsageError
from seatrial.measure import metrics, within_run
from seatrial.measure import values as measured
from seatrial.measure.metric import Kind, Metric
from seatrial.measure.values import Tables
from seatrial.measure.within_run import Reading
from seatrial.model import Note
from seatrial.record import documents
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder

COUNTS = frozenset({"complete", "failed"})

KEPT_ROWS = 2_000_000
"""Requests of so many rows take 90 MB; a comparison of that many is drawn without reading any of it again."""

_Version: TypeAlias = tuple[str, int, int, int]
"""A run folder, and which run.json is in it: each is written as a new file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is asked of every run of an experiment.

    Runs that stand `alone`, set against nothing, need not have had the host to themselves.
    """

    gate: tuple[Metric, ...] = ()
    budgets: tuple[Budget, ...] = ()
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysedRun:
    """A run that counts, and what was measured of it; `readings` by the text of a budget."""

    taken: Taken
    document: RunDocument
    shown: Sequence[Metric] = ()
    readings: Mapping[str, Reading] = field(default_factory=dict)

    @property
    def shared_cores(self) -> bool:
        """Whether load and stack had cores in common."""
        pinning = (self.document.facts.get("environment") or {}).get("pinning") or {}
        return bool(set(pinning.get("generator") or ()) & set(pinning.get("stack") or ()))

    @property
    def commit(self) -> str:
        """The commit of the user's checkout; empty where it is not known."""
        return str((self.document.facts.get("subject") or {}).get("git_commit") or "")


class RunCache:
    """The stored runs that one command has read, so that none is read or analysed twice while it stays as it is.

    What was measured is kept of every run, the tables of those used last that have `rows` requests together.
    """

    def __init__(self, rows: int = KEPT_ROWS) -> None:
        self._rows = rows
        self._recorded: OrderedDict[_Version, RecordedRun] = OrderedDict()
        self._analysed: dict[tuple[_Version, Rules], AnalysedRun] = {}

    def recorded(self, folder: RunFolder) -> RecordedRun:
        """Return the run in `folder`; UsageError if it can't be read or was not sealed."""
        version = _version(folder)
        run = self._recorded.pop(version, None) or review.load(folder)
        self._recorded[version] = run
        while len(self._recorded) > 1 and sum(map(_rows, self._recorded.values())) > self._rows:
            self._recorded.popitem(last=False)
        return run

    def analysed(self, folder: RunFolder, document: RunDocument, rules: Rules) -> AnalysedRun:
        """Return how the run ended and, if its tables can be read, the value of every metric."""
        key = (_version(folder), rules)
        if key not in self._analysed:
            self._analysed[key] = self._analyse(folder, document, rules)
        return self._analysed[key]

    def _analyse(self, folder: RunFolder, document: RunDocument, rules: Rules) -> AnalysedRun:
        if document.status == "failed":
            end = endings.of(document.status, document.error, document.notes, failure=document.failure)
            run = Run(ended=end.ended, invalid=end.invalid, why=end.why)
            return AnalysedRun(taken=_taken(folder, document, run, readable=False), document=document)
        try:
            return _measured(self.recorded(folder), rules)
        except UsageError as error:
            run = Run(invalid=error.what)
            return AnalysedRun(taken=_taken(folder, document, run, readable=False), document=document)


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


def _measured(run: RecordedRun, rules: Rules) -> AnalysedRun:
    document, result = run.document, review.run_result(run)
    tables = run.tables
    end = endings.of(document.status, document.error, result.notes, alone=rules.alone)
    shown = metrics.told_by(tables)
    asked = (*rules.gate, *(budget.metric for budget in rules.budgets if budget.limit is None), *shown)
    # the figures of a run that did not finish say how long it was, and nothing of the stack
    timed = asked if end.ended == FINISHED else ()
    values = Run(
        values=metrics.values(timed, tables),
        rounding=metrics.rounded(timed, tables),
        ended=end.ended,
        why=end.why,
        invalid=end.invalid or ("" if run.window.opened else "its window was never opened"),
        requests=result.total.count,
        counts=_counts(asked, tables),
    )
    limited = [budget for budget in rules.budgets if budget.limit is not None]
    return AnalysedRun(
        taken=_taken(run.folder, document, values, result.notes),
        document=document,
        shown=shown,
        readings={budget.text: within_run.reading(budget.metric, tables) for budget in limited},
    )


def _counts(asked: Iterable[Metric], tables: Tables) -> Mapping[str, int]:
    """Return how many requests or flows are behind each share of failures."""
    shares = {one.text: one for one in asked if one.kind is Kind.FAILURES}
    return {text: len(measured.asked(one.of, tables).t_start_ns) for text, one in shares.items()}


def _taken(
    folder: RunFolder, document: RunDocument, run: Run, notes: Sequence[Note] = (), *, readable: bool = True
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


def _version(folder: RunFolder) -> _Version:
    stat = folder.document.stat()
    return str(folder.root), stat.st_ino, stat.st_mtime_ns, stat.st_size


def _rows(run: RecordedRun) -> int:
    return len(run.requests.t_start_ns) + len(run.other_requests.t_start_ns)


def _after(one: RunDocument, other: RunDocument) -> bool:
    """Tell which of two was made later; within one boot by a clock that nobody can set."""
    same = _boot(one) is not None and _boot(one) == _boot(other)
    clock = "monotonic_ns" if same else "wall_ns"
    return one.clock.get(clock, 0) >= other.clock.get(clock, 0)


def _boot(document: RunDocument) -> str | None:
    host = (document.facts.get("environment") or {}).get("host") or {}
    boot: str | None = host.get("boot_id")
    return boot

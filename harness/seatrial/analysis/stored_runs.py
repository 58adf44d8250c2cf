"""The stored runs of an experiment: the newest of each variant and block, how it ended, and its metric values."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from seatrial import errors
from seatrial.analysis.results import StoredRun
from seatrial.analysis.run import RecordedRun, load_run, run_result
from seatrial.compare import facts
from seatrial.compare.budgets import Budget
from seatrial.compare.pairing import FINISHED, RunValues
from seatrial.errors import SeatrialError, StackFailed, StoppedEarly, UsageError
from seatrial.measure import values as metric_values
from seatrial.measure.metric import Kind, Metric
from seatrial.measure.values import MetricEstimate
from seatrial.model import Note, NoteKind
from seatrial.record import documents
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder

KILLED = "killed for memory"
FAILED = "failed"
_OUTCOMES: Mapping[type[SeatrialError], str] = {
    errors.ImageMissing: "could not be built",
    errors.SeedFailed: "could not be seeded",
    errors.NotReady: "never became ready",
    errors.ServiceExited: "a service exited",
    errors.PreflightFailed: "can't be played from",
}
_TEXTS: tuple[tuple[tuple[str, ...], type[SeatrialError]], ...] = (
    (("images could not be built", "image can't be built", "can't be pulled"), errors.ImageMissing),
    (("is not ready", "are not running after"), errors.NotReady),
    (("seeding",), errors.SeedFailed),
    (("is not running", "exited", "did not end within", "ended with exit code"), errors.ServiceExited),
)
_NOT_THE_STACK = (
    "load generator",
    "control socket",
    "docker daemon",
    "no compose",
    "run folder can't be written",
    "dead-man",
    "watchdog",
    "is in use",
    "is taken",
    "server programs",
    "sampler",
    "out of date",
)
"""Both are matched with the first line, without quoted names, where run.json has no type or only a general one."""
_KILLED = re.compile(
    r"(?<![\w/.-])(killed for want of memory|out of memory|oom|exit code 137|exited \(137\))(?![\w/-])",
    re.IGNORECASE,
)
"""Matched with the first line only, because the others quote paths and logs. 137 is 128 + SIGKILL."""
_QUOTED = re.compile(r"(?<!\w)'[^']*'(?!\w)")
_KILLED_STATUS = re.compile(r"(?<![\w/.-])exited \(137\)", re.IGNORECASE)
"""Docker's status of a container, in any line."""
_NO_SPACE = "no space left on device"
"""The message of ENOSPC in errno(3), as a whole: services write about other kinds of space, too."""


_OUTCOME_NOTES = {
    NoteKind.SATURATED: "did not keep up with the rate",
    NoteKind.STOPPED_EARLY: "was stopped early",
}
"""Notes that invalidate a single run but are an outcome of its variant: such a run stays in its block."""


@dataclass(frozen=True, slots=True)
class RunEnding:
    """How a run ended: `ended` is an outcome, `why` its reason; `invalid` is why the run can't be used, if so."""

    ended: str = FINISHED
    invalid: str = ""
    why: str = ""


def ending_of(
    status: str,
    error: str,
    notes: Sequence[Note],
    *,
    failure: Mapping[str, str] | None = None,
    alone: bool = False,
) -> RunEnding:
    """Return how a run with this status, error (`failure`: its parts) and notes ended.

    A failure of the stack is an outcome; one of generator, daemon, disk or sampler makes the run invalid. So do
    other programs on the host, unless the run stands `alone` and is compared with nothing.
    """
    if status == "failed":
        return _failed(_Failure.read(error, failure or {}), notes)
    kinds = {note.kind for note in notes}
    if {NoteKind.OOM_KILL, NoteKind.SERVICE_RESTARTED} <= kinds:
        return RunEnding(KILLED)
    grave = [note for note in notes if (note.invalidates if alone else note.disqualifies)]
    invalid = next((note for note in grave if note.kind not in _OUTCOME_NOTES), None)
    if invalid is not None:
        return RunEnding(invalid=f"{invalid.kind}: {invalid.text}")
    outcome = next((note for kind in _OUTCOME_NOTES for note in notes if note.kind is kind), None)
    return RunEnding() if outcome is None else RunEnding(_OUTCOME_NOTES[outcome.kind], why=outcome.text)


@dataclass(frozen=True, slots=True)
class _Failure:
    """What failed, in one line, and what was seen; `kind` is the error's class, None if it is unknown."""

    what: str
    seen: str
    kind: type[SeatrialError] | None

    @classmethod
    def read(cls, error: str, parts: Mapping[str, str]) -> _Failure:
        """Return the failure in run.json: from its parts, else from the text of the error."""
        first, _, rest = error.partition("\n")
        named = getattr(errors, parts.get("type", ""), None)
        known = isinstance(named, type) and issubclass(named, SeatrialError)
        what = parts.get("what", first).partition("\n")[0]
        return cls(what, parts.get("seen", rest), named if known else None)

    @property
    def text(self) -> str:
        """What failed, in small letters and without quoted names."""
        return _QUOTED.sub("", self.what).lower()

    @property
    def by_stack(self) -> bool:
        """Whether the stack failed, and not generator, daemon, disk or sampler."""
        if self.kind is None or self.kind is StackFailed:
            return not any(text in self.text for text in _NOT_THE_STACK)
        ours = (errors.EngineUnavailable, errors.PortTaken)
        return issubclass(self.kind, (StackFailed, StoppedEarly)) and not issubclass(self.kind, ours)

    @property
    def outcome(self) -> str:
        """The outcome of a variant whose stack failed so.

        ENOSPC counts only if a service ended; the log of a service that is still running is no reason.
        """
        kind = self.kind
        if kind in (None, StackFailed):
            kind = next((named for texts, named in _TEXTS if any(text in self.text for text in texts)), None)
        if kind is not errors.NotReady and _NO_SPACE in self.seen.lower():
            return "ran out of space"
        return _OUTCOMES.get(kind, FAILED) if kind is not None else FAILED


def _failed(failure: _Failure, notes: Sequence[Note]) -> RunEnding:
    stopped = next((note for note in notes if note.kind is NoteKind.STOPPED_EARLY), None)
    if stopped is not None:
        return RunEnding(_OUTCOME_NOTES[stopped.kind], why=stopped.text)
    if not failure.by_stack:
        return RunEnding(invalid=failure.what)
    killed = (
        any(note.kind is NoteKind.OOM_KILL for note in notes)
        or _KILLED.search(failure.text) is not None
        or _KILLED_STATUS.search(failure.seen) is not None
    )
    return RunEnding(KILLED if killed else failure.outcome, why=failure.what)


COUNTED_STATUSES = frozenset({"complete", "failed"})
KEPT_ROWS = 2_000_000
"""The tables of so many requests take 90 MB; a comparison of that many is drawn without reading a run twice."""
_Version: TypeAlias = tuple[str, int, int, int]
"""A run folder and the inode, time and size of its run.json, which is replaced by each writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The metrics and budgets to compute for every run of an experiment.

    Runs that stand `alone`, compared with nothing, need not have had the host to themselves.
    """

    gate: tuple[Metric, ...] = ()
    budgets: tuple[Budget, ...] = ()
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysedRun(StoredRun):
    """A stored run with its run.json, the metrics its tables have values of, and estimates by a budget's text."""

    document: RunDocument
    metrics: Sequence[Metric] = ()
    estimates: Mapping[str, MetricEstimate] = field(default_factory=dict)

    @property
    def shared_cores(self) -> bool:
        """Whether load and stack had cores in common."""
        pinning = (self.document.facts.get("environment") or {}).get("pinning") or {}
        return bool(set(pinning.get("generator") or ()) & set(pinning.get("stack") or ()))

    @property
    def commit(self) -> str:
        """The commit of the user's checkout; empty where it is not known."""
        return str((self.document.facts.get("subject") or {}).get("git_commit") or "")

    @property
    def images(self) -> Mapping[str, str]:
        """The digests of the stack's images, by service."""
        return (self.document.facts.get("subject") or {}).get("images") or {}


class RunCache:
    """The stored runs of one command: none is read or analysed twice unless its run.json has changed.

    Analysed runs are all kept; of the tables those used last that have at most `rows` requests together.
    """

    def __init__(self, rows: int = KEPT_ROWS) -> None:
        self._rows = rows
        self._recorded: OrderedDict[_Version, RecordedRun] = OrderedDict()
        self._analysed: dict[tuple[_Version, Rules], AnalysedRun] = {}

    def recorded(self, folder: RunFolder) -> RecordedRun:
        """Return the run in `folder`; UsageError if it can't be read or was not sealed."""
        version = _version(folder)
        run = self._recorded.pop(version, None) or load_run(folder)
        self._recorded[version] = run
        while len(self._recorded) > 1 and self._stored_rows() > self._rows:
            self._recorded.popitem(last=False)
        return run

    def _stored_rows(self) -> int:
        tables = (table for run in self._recorded.values() for table in (run.requests, run.other_requests))
        return sum(len(table.t_start_ns) for table in tables)

    def analysed(self, folder: RunFolder, document: RunDocument, rules: Rules) -> AnalysedRun:
        """Return how the run ended and, if its tables can be read, the value of every metric."""
        key = (_version(folder), rules)
        if key not in self._analysed:
            self._analysed[key] = self._analyse(folder, document, rules)
        return self._analysed[key]

    def _analyse(self, folder: RunFolder, document: RunDocument, rules: Rules) -> AnalysedRun:
        if document.status == "failed":
            ending = ending_of(document.status, document.error, document.notes, failure=document.failure)
            measured = RunValues(ended=ending.ended, invalid=ending.invalid, why=ending.why)
            return _analysed(folder, document, measured, readable=False)
        try:
            return _with_tables(self.recorded(folder), rules)
        except UsageError as error:
            return _analysed(folder, document, RunValues(invalid=error.what), readable=False)


def newest_runs(experiment: Path) -> tuple[list[tuple[RunFolder, RunDocument]], list[str]]:
    """Return the newest run of each variant and block that came to an end, in the order of the blocks.

    Also the folders that can't be read, each with the reason.
    """
    newest: dict[tuple[int, str], tuple[RunFolder, RunDocument]] = {}
    unreadable: list[str] = []
    for root in sorted((experiment / "runs").glob("*")):
        folder = RunFolder(root)
        try:
            document = documents.load_document(folder)
        except UsageError as error:
            unreadable.append(f"{root.name}: {error.what}")
            continue
        trial = (document.block, document.variant)
        counted = document.sealed and document.status in COUNTED_STATUSES
        if counted and (trial not in newest or _is_later(document, newest[trial][1])):
            newest[trial] = (folder, document)
    return [newest[trial] for trial in sorted(newest, key=lambda trial: trial[0])], unreadable


def _with_tables(run: RecordedRun, rules: Rules) -> AnalysedRun:
    document, result, tables = run.document, run_result(run), run.tables
    ending = ending_of(document.status, document.error, result.notes, alone=rules.alone)
    metrics = metric_values.metrics_of(tables)
    wanted = (*rules.gate, *(budget.metric for budget in rules.budgets if budget.limit is None), *metrics)
    # the values of a run that did not finish depend on its length and say nothing about the stack
    timed = wanted if ending.ended == FINISHED else ()
    measured = RunValues(
        values=metric_values.values_of(timed, tables),
        rounding=metric_values.rounding_of(timed, tables),
        ended=ending.ended,
        why=ending.why,
        invalid=ending.invalid or ("" if run.window.opened else "its window was never opened"),
        requests=result.total.count,
        counts={
            metric.text: len(metric_values.requests_or_flows(metric.of, tables).t_start_ns)
            for metric in wanted
            if metric.kind is Kind.FAILURES
        },
    )
    limited = [budget for budget in rules.budgets if budget.limit is not None]
    estimates = {budget.text: metric_values.estimate(budget.metric, tables) for budget in limited}
    return _analysed(run.folder, document, measured, metrics=metrics, estimates=estimates)


def _analysed(folder: RunFolder, document: RunDocument, measured: RunValues, **changes: Any) -> AnalysedRun:  # noqa: ANN401  (fields of AnalysedRun)
    return AnalysedRun(
        variant=document.variant,
        block=document.block,
        measured=measured,
        folder=str(folder.root),
        began_ns=document.clock.get("wall_ns"),
        error=document.error,
        ranges=documents.load_ranges(folder),
        document=document,
        **changes,
    )


def _version(folder: RunFolder) -> _Version:
    stat = folder.document.stat()
    return str(folder.root), stat.st_ino, stat.st_mtime_ns, stat.st_size


def _is_later(document: RunDocument, other: RunDocument) -> bool:
    """Return whether a run was made later; within one boot by the monotonic clock, which can't be set."""
    boots = [
        ((each.facts.get("environment") or {}).get("host") or {}).get("boot_id") for each in (document, other)
    ]
    clock = "monotonic_ns" if boots[0] is not None and boots[0] == boots[1] else "wall_ns"
    return bool(document.clock.get(clock, 0) >= other.clock.get(clock, 0))


_DIGITS = len("sha256:") + 12


def mark_image_mismatches(runs: Sequence[AnalysedRun]) -> list[AnalysedRun]:
    """Return the runs; one with other images than most runs of its variant (in a tie: the first) is invalid.

    Images that were built or pulled in between would make the effect that of two configurations. Commits are not
    compared, because one may leave the stack as it is, nor are unknown images, as with the embedded engine. A run
    that failed stays as it ended.
    """
    usual: dict[str, Mapping[str, str]] = {}
    for name in {run.variant for run in runs}:
        counts = Counter(tuple(sorted(run.images.items())) for run in runs if run.variant == name)
        del counts[()]
        usual[name] = dict(counts.most_common(1)[0][0]) if counts else {}
    return [_checked(run, usual[run.variant]) for run in runs]


def _checked(run: AnalysedRun, usual: Mapping[str, str]) -> AnalysedRun:
    images = run.images
    if not images or images == usual or run.measured.invalid or run.document.status == "failed":
        return run
    differing = [
        f"{name} {images.get(name, 'none')[:_DIGITS]}, {usual.get(name, 'none')[:_DIGITS]} in most of its runs"
        for name in facts.differing(usual, images)
    ]
    return replace(run, measured=replace(run.measured, invalid=f"other images: {'; '.join(differing)}"))

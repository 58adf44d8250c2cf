"""The stored runs of an experiment: the newest of each variant and block, and how each ended."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from seatrial import errors
from seatrial.analysis.results import StoredRun
from seatrial.analysis.run import RecordedRun, load_run, run_result
from seatrial.compare import facts
from seatrial.compare.budgets import Budget
from seatrial.compare.pairing import FINISHED, RunValues
from seatrial.errors import SeatrialError, StackFailed, StoppedEarly, UsageError
from seatrial.measure import values as metric_values
from seatrial.measure.metric import Kind, Metric
from seatrial.measure.values import MetricEstimate, Tables
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
}
_ITS_OWN = (StackFailed, StoppedEarly)
_NOT_ITS_OWN = (errors.EngineUnavailable, errors.PortTaken)
_WORDS: tuple[tuple[tuple[str, ...], type[SeatrialError]], ...] = (
    (("images could not be built", "image can't be built", "can't be pulled"), errors.ImageMissing),
    (("is not ready", "are not running after"), errors.NotReady),
    (("seeding",), errors.SeedFailed),
    (("is not running", "exited", "did not end within", "ended with exit code"), errors.ServiceExited),
)
_NOT_ITS_FAULT = (
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
"""Both are looked for in the first line, less quoted names, where run.json has no type, or only a general one."""
_KILLED = re.compile(
    r"(?<![\w/.-])(killed for want of memory|out of memory|oom|exit code 137|exited \(137\))(?![\w/-])",
    re.IGNORECASE,
)
"""Looked for in the first line only: paths and logs stand in the others. 137 is 128 and SIGKILL."""
_QUOTED = re.compile(r"(?<!\w)'[^']*'(?!\w)")
_STATUS = re.compile(r"(?<![\w/.-])exited \(137\)", re.IGNORECASE)
"""What Docker says of a container, in any line."""
_NO_SPACE = "no space left on device"
"""ENOSPC in the words of errno(3); a service may write of other space that is left, or of none."""


@dataclass(frozen=True, slots=True)
class RunFailure:
    """`what` failed, in one line, and what was `seen`; `kind` is the error's class, None if nobody knows it."""

    what: str
    seen: str
    kind: type[SeatrialError] | None


def failure_of(error: str, told: Mapping[str, str]) -> RunFailure:
    """Return the failure that run.json tells of: by its `failure`, else by the text of `error`."""
    first, _, rest = error.partition("\n")
    what = told.get("what", first).partition("\n")[0]
    named = getattr(errors, told.get("type", ""), None)
    known = isinstance(named, type) and issubclass(named, SeatrialError)
    return RunFailure(what, told.get("seen", rest), named if known else None)


def is_its_own(failure: RunFailure) -> bool:
    """Tell whether the stack failed; what befell generator, daemon, disk or sampler is not its fault."""
    if failure.kind is None or failure.kind is StackFailed:
        what = _unquoted(failure.what).lower()
        return not any(word in what for word in _NOT_ITS_FAULT)
    return issubclass(failure.kind, _ITS_OWN) and not issubclass(failure.kind, _NOT_ITS_OWN)


def was_killed(failure: RunFailure) -> bool:
    """Tell whether a service was killed for want of memory."""
    return _KILLED.search(_unquoted(failure.what)) is not None or _STATUS.search(failure.seen) is not None


def failure_ended(failure: RunFailure) -> str:
    """Return the outcome of a variant whose stack failed.

    ENOSPC is believed of what ended, whose last words were seen; what a service wrote that runs on is no reason.
    """
    kind = _general(failure) if failure.kind in (None, StackFailed) else failure.kind
    if kind is not errors.NotReady and _NO_SPACE in failure.seen.lower():
        return "ran out of space"
    return _OUTCOMES.get(kind, FAILED) if kind is not None else FAILED


def _general(failure: RunFailure) -> type[SeatrialError] | None:
    what = _unquoted(failure.what).lower()
    return next((kind for words, kind in _WORDS if any(word in what for word in words)), None)


def _unquoted(text: str) -> str:
    return _QUOTED.sub("", text)


_OUTCOMES_endings = {
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


def endings_of(
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
        return _failed(failure_of(error, failure or {}), notes)
    kinds = {note.kind for note in notes}
    if {NoteKind.OOM_KILL, NoteKind.SERVICE_RESTARTED} <= kinds:
        return RunEnding(KILLED)
    grave = [note for note in notes if (note.invalidates if alone else note.disqualifies)]
    invalid = next((note for note in grave if note.kind not in _OUTCOMES_endings), None)
    if invalid is not None:
        return RunEnding(invalid=f"{invalid.kind}: {invalid.text}")
    outcome = next((note for kind in _OUTCOMES_endings for note in notes if note.kind is kind), None)
    return RunEnding() if outcome is None else RunEnding(_OUTCOMES_endings[outcome.kind], why=outcome.text)


def _failed(failure: RunFailure, notes: Sequence[Note]) -> RunEnding:
    stopped = next((note for note in notes if note.kind is NoteKind.STOPPED_EARLY), None)
    if stopped is not None:
        return RunEnding(_OUTCOMES_endings[stopped.kind], why=stopped.text)
    if not is_its_own(failure):
        return RunEnding(invalid=failure.what)
    killed = any(note.kind is NoteKind.OOM_KILL for note in notes) or was_killed(failure)
    return RunEnding(KILLED if killed else failure_ended(failure), why=failure.what)


COUNTED_STATUSES = frozenset({"complete", "failed"})
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

    taken: StoredRun
    document: RunDocument
    shown: Sequence[Metric] = ()
    readings: Mapping[str, MetricEstimate] = field(default_factory=dict)

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
        run = self._recorded.pop(version, None) or load_run(folder)
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
            end = endings_of(document.status, document.error, document.notes, failure=document.failure)
            run = RunValues(ended=end.ended, invalid=end.invalid, why=end.why)
            return AnalysedRun(taken=_taken(folder, document, run, readable=False), document=document)
        try:
            return _measured(self.recorded(folder), rules)
        except UsageError as error:
            run = RunValues(invalid=error.what)
            return AnalysedRun(taken=_taken(folder, document, run, readable=False), document=document)


def newest_runs(experiment: Path) -> tuple[list[tuple[RunFolder, RunDocument]], list[str]]:
    """Return the newest run of each variant and block that came to an end, in the order of the blocks.

    Also what was passed over: folders that can't be read, with why.
    """
    kept: dict[tuple[int, str], tuple[RunFolder, RunDocument]] = {}
    passed: list[str] = []
    for root in sorted((experiment / "runs").glob("*")):
        folder = RunFolder(root)
        try:
            document = documents.load_document(folder)
        except UsageError as error:
            passed.append(f"{root.name}: {error.what}")
            continue
        if not document.sealed or document.status not in COUNTED_STATUSES:
            continue
        place = (document.block, document.variant)
        if place not in kept or _after(document, kept[place][1]):
            kept[place] = (folder, document)
    return [kept[place] for place in sorted(kept, key=lambda one: one[0])], passed


def _measured(run: RecordedRun, rules: Rules) -> AnalysedRun:
    document, result = run.document, run_result(run)
    tables = run.tables
    end = endings_of(document.status, document.error, result.notes, alone=rules.alone)
    shown = metric_values.metrics_of(tables)
    asked = (*rules.gate, *(budget.metric for budget in rules.budgets if budget.limit is None), *shown)
    # the figures of a run that did not finish say how long it was, and nothing of the stack
    timed = asked if end.ended == FINISHED else ()
    values = RunValues(
        values=metric_values.values_of(timed, tables),
        rounding=metric_values.rounding_of(timed, tables),
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
        readings={budget.text: metric_values.estimate(budget.metric, tables) for budget in limited},
    )


def _counts(asked: Iterable[Metric], tables: Tables) -> Mapping[str, int]:
    """Return how many requests or flows are behind each share of failures."""
    shares = {one.text: one for one in asked if one.kind is Kind.FAILURES}
    return {text: len(metric_values.requests_or_flows(one.of, tables).t_start_ns) for text, one in shares.items()}


def _taken(
    folder: RunFolder, document: RunDocument, run: RunValues, notes: Sequence[Note] = (), *, readable: bool = True
) -> StoredRun:
    return StoredRun(
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


_DIGITS = len("sha256:") + 12


def mark_image_mismatches(runs: Sequence[AnalysedRun]) -> list[AnalysedRun]:
    """Return the runs, those of other images than most of their variant's (of equally many, the first) as invalid.

    The images were built or pulled in between: the effect over such blocks would be that of two configurations.
    A commit is no such fact, as one may change nothing of the stack; nor are images that are not known, as with
    the embedded engine. A run that failed stays how it ended.
    """
    usual: dict[str, Mapping[str, str]] = {}
    for name in {run.taken.variant for run in runs}:
        counts = Counter(tuple(sorted(_images(run).items())) for run in runs if run.taken.variant == name)
        del counts[()]
        usual[name] = dict(counts.most_common(1)[0][0]) if counts else {}
    return [_checked(run, usual[run.taken.variant]) for run in runs]


def _checked(run: AnalysedRun, usual: Mapping[str, str]) -> AnalysedRun:
    images, measured = _images(run), run.taken.run
    if not images or images == usual or measured.invalid or run.document.status == "failed":
        return run
    differing = [
        f"{name} {_short(images, name)}, {_short(usual, name)} in most of its runs"
        for name in facts.differing(usual, images)
    ]
    invalid = replace(measured, invalid=f"other images: {'; '.join(differing)}")
    return replace(run, taken=replace(run.taken, run=invalid))


def _images(run: AnalysedRun) -> Mapping[str, str]:
    return (run.document.facts.get("subject") or {}).get("images") or {}


def _short(images: Mapping[str, str], name: str) -> str:
    return images.get(name, "none")[:_DIGITS]

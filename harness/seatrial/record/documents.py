"""The JSON documents of a run folder: run.json, plan.json, course.json, capacity.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from seatrial.compare.budgets import BudgetWord
from seatrial.compare.capacity import BudgetVerdict, CapacityResult, TrialResult, Validation
from seatrial.errors import UsageError
from seatrial.measure.services import Growth, Slope
from seatrial.model import Design, ExperimentPlan, Look, Note, NoteKind, Phase, Span
from seatrial.record.folder import RunFolder, replacing, writing
from seatrial.wire.streams import SCHEMA_VERSION

NO_ENGINE = "none"
"""The engine of a run that nobody brought a stack up for, or watched one: plain Locust with --record."""
Status = Literal["running", "complete", "interrupted", "failed", "recovered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocument:
    """What run.json holds.

    `run_id` is in the label of all that the run created; `scenario` is the resolved scenario as JSON values;
    `clock` one pair of `wall_ns` and `monotonic_ns` read together; `facts` has `subject` and `environment`;
    `timing` CLOCK_MONOTONIC stamps (`command_ns`, `exit_ns`, ...); `rows` counts the rows of each sealed table,
    and in `errors` the exceptions of tasks; `services` are those that were watched; `failure` is `error` in
    its parts: `type` (the error's class), `what`, `where`, `seen`.
    """

    status: Status
    scenario_name: str
    run_id: str = ""
    schema_version: int = SCHEMA_VERSION
    sealed: bool = False
    scenario: Mapping[str, Any] = field(default_factory=dict)
    variant: str = "base"
    block: int = 1
    engine: str = ""
    engine_reason: str = ""
    url_via: str = ""
    services: tuple[str, ...] = ()
    owner: str = ""
    clock: Mapping[str, int] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=lambda: {"subject": {}, "environment": {}})
    notes: tuple[Note, ...] = ()
    timing: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    failure: Mapping[str, str] = field(default_factory=dict)


def save_document(folder: RunFolder, document: RunDocument) -> None:
    """Write run.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    _write(folder.document, asdict(document))


def save_plan_document(experiment: Path, plan: Mapping[str, Any]) -> None:
    """Write plan.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    _write(experiment / "plan.json", plan)


def load_document(folder: RunFolder) -> RunDocument:
    """Read run.json; UsageError if it is missing, unreadable, or of a newer version."""
    values = _values(folder)
    version = values.get("schema_version", 0)
    if not isinstance(version, int):
        raise _unreadable(folder, f"schema version {version!r}")
    if version > SCHEMA_VERSION:
        raise UsageError(
            "this run was written by a newer Seatrial",
            where=str(folder.document),
            seen=f"schema version {version}",
            expected=f"at most {SCHEMA_VERSION}",
            hint="pip install --upgrade seatrial",
        )
    try:
        return _document(values)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder, f"{type(error).__name__}: {error}") from error


def _document(values: Mapping[str, Any]) -> RunDocument:
    known = {name.name for name in fields(RunDocument)}
    spans = tuple(
        Span(phase=Phase(span["phase"]), from_ns=span["from_ns"], until_ns=span["until_ns"])
        for span in values.get("spans", ())
    )
    notes = tuple(Note(kind=NoteKind(note["kind"]), text=note["text"]) for note in values.get("notes", ()))
    plain = {name: value for name, value in values.items() if name in known - {"spans", "notes", "services"}}
    return RunDocument(**plain, spans=spans, notes=notes, services=tuple(values.get("services", ())))


def _values(folder: RunFolder) -> dict[str, Any]:
    try:
        values = json.loads(folder.document.read_bytes())
    except FileNotFoundError as error:
        if folder.recording.exists():
            raise UsageError(
                "this recording was not sealed",
                where=str(folder.root),
                seen="recording.json, which Locust's first process leaves to be sealed when it ends",
                hint=f"seatrial recover {folder.root}",
            ) from error
        raise UsageError(
            "this folder has no run.json",
            where=str(folder.root),
            expected="the folder of one run",
            hint="seatrial list",
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(folder, str(error)) from error
    if not isinstance(values, dict):
        raise _unreadable(folder, f"a JSON {type(values).__name__}")
    return values


def _unreadable(folder: RunFolder, seen: str) -> UsageError:
    return UsageError(
        "run.json can't be read",
        where=str(folder.document),
        seen=seen,
        expected="what Seatrial wrote there",
        hint="the tables beside it can still be opened with pandas.read_parquet",
    )


def _write(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=1, default=_plain)
    with writing(path), replacing(path) as stream:
        stream.write(text.encode() + b"\n")


def _plain(value: object) -> Any:  # noqa: ANN401  (json.dumps asks for any JSON value)
    """Say a value of the model that JSON has no word for."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"run.json can't hold a {type(value).__name__}")


CAPACITY_FILE = "capacity.json"
CAPACITY_SCHEMA_VERSION = 1
_Value = TypeVar("_Value", CapacityResult, BudgetVerdict, TrialResult, Validation, Slope)


def capacity_values(found: CapacityResult) -> dict[str, Any]:
    """Return what was found as JSON values, its word first."""
    return {"schema_version": CAPACITY_SCHEMA_VERSION, "word": found.word, **asdict(found)}


def save_capacity(folder: RunFolder, found: CapacityResult) -> None:
    """Write capacity.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    path = folder.root / CAPACITY_FILE
    text = json.dumps(capacity_values(found), indent=1)
    with writing(path), replacing(path) as stream:
        stream.write(text.encode() + b"\n")


def load_capacity(folder: RunFolder) -> CapacityResult | None:
    """Read capacity.json; None where there is none. UsageError if it can't be read, or is of a newer version."""
    path = folder.root / CAPACITY_FILE
    try:
        told = json.loads(path.read_bytes())
        if told["schema_version"] <= CAPACITY_SCHEMA_VERSION:
            return _carries(told)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError("capacity.json can't be read", where=str(path), seen=str(error)) from error
    raise UsageError(
        "capacity.json was written by a newer Seatrial", where=str(path), hint="pip install --upgrade seatrial"
    )


def _carries(told: Mapping[str, Any]) -> CapacityResult:
    trials = tuple(_made(TrialResult, one) for one in told["trials"])
    validation = None if told["validation"] is None else _validation(told["validation"])
    budgets = tuple(told["budgets"])
    return _made(CapacityResult, {**told, "trials": trials, "validation": validation, "budgets": budgets})


def _validation(told: Mapping[str, Any]) -> Validation:
    budgets = tuple(_made(BudgetVerdict, {**one, "word": BudgetWord(one["word"])}) for one in told["budgets"])
    memory = tuple(_made(Slope, {**one, "word": Growth(one["word"])}) for one in told["memory"])
    return _made(Validation, {**told, "budgets": budgets, "memory": memory})


def _made(kind: type[_Value], told: Mapping[str, Any]) -> _Value:
    """Make a value; what a later version of this schema adds is left out."""
    return kind(**{one.name: told[one.name] for one in fields(kind) if one.name in told})


PLAN_SCHEMA_VERSION = 2
"""Version 1 had no more than scenario, question, seed and blocks."""


def save_plan(experiment: Path, plan: ExperimentPlan) -> None:
    """Write plan.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    save_plan_document(experiment, {"schema_version": PLAN_SCHEMA_VERSION, **asdict(plan)})


def load_plan(experiment: Path) -> ExperimentPlan:
    """Read plan.json of any version; UsageError if it is missing, unreadable, or of a newer one."""
    place = experiment / "plan.json"
    try:
        values = json.loads(place.read_bytes())
        version = values.get("schema_version", 1)
        if version <= PLAN_SCHEMA_VERSION:
            return _plan(values)
    except FileNotFoundError as error:
        raise UsageError("this folder has no plan.json", where=str(experiment), hint="seatrial list") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError("plan.json can't be read", where=str(place), seen=f"{error}") from error
    raise UsageError(
        "this experiment was written by a newer Seatrial",
        where=str(place),
        seen=f"schema version {version}",
        expected=f"at most {PLAN_SCHEMA_VERSION}",
        hint="pip install --upgrade seatrial",
    )


def _plan(values: Mapping[str, Any]) -> ExperimentPlan:
    known = {one.name for one in fields(ExperimentPlan)}
    told = {name: value for name, value in values.items() if name in known}
    told |= {
        "command": told.get("command", "run"),
        "blocks": tuple(tuple(block) for block in values["blocks"]),
        "design": Design(told.get("design", Design.RUNS)),
        "gate": tuple(told.get("gate", ())),
        "budgets": tuple(told.get("budgets", ())),
        "varies": tuple(told.get("varies", ())),
        "looks": tuple(Look(**look) for look in told.get("looks", ())),
    }
    return ExperimentPlan(**told)


PROGRESS_FILE = "course.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookTaken:
    """One look: after so many blocks, at this level, and what was advised."""

    blocks: int
    alpha: float
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentProgress:
    """How far an experiment has come; `stopped` says why it ended, empty while it goes on.

    `lasted_s` is the time of all blocks, those before an interruption too, and what was interrupted of one;
    `blocks_s` has how long each took that came to its end.
    """

    blocks: int
    stopped: str = ""
    looks: tuple[LookTaken, ...] = ()
    lasted_s: float = 0.0
    blocks_s: tuple[float, ...] = ()


def save_progress(experiment: Path, course: ExperimentProgress) -> None:
    """Write course.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    text = json.dumps(asdict(course), indent=1)
    path = experiment / PROGRESS_FILE
    with writing(path), replacing(path) as stream:
        stream.write(text.encode() + b"\n")


def load_progress(experiment: Path) -> ExperimentProgress:
    """Read course.json; one without a block where there is none, or none that can be read."""
    try:
        values = json.loads((experiment / PROGRESS_FILE).read_bytes())
        looks = tuple(LookTaken(**one) for one in values.pop("looks", ()))
        blocks_s = tuple(float(one) for one in values.pop("blocks_s", ()))
        return ExperimentProgress(**values, looks=looks, blocks_s=blocks_s)
    except (OSError, ValueError, TypeError, AttributeError):
        return ExperimentProgress(blocks=0)

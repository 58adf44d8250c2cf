"""The JSON documents of a run or experiment folder: run, plan, course, capacity and ranges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from seatrial.compare.budgets import BudgetWord
from seatrial.compare.capacity import BudgetVerdict, CapacityResult, TrialResult, Validation
from seatrial.errors import UsageError
from seatrial.measure.ranges import RangeForce, RangeLevel, RangeReport, RangeResult, RangeWord
from seatrial.measure.services import Growth, Slope
from seatrial.model import Design, ExperimentPlan, Look, Note, NoteKind, Phase, Span
from seatrial.record.folder import RunFolder, replacing, writing
from seatrial.wire.streams import SCHEMA_VERSION

NO_ENGINE = "none"
"""The engine of a run without a stack: plain Locust with --record."""
PLAN_SCHEMA_VERSION = 2
"""Version 1 had only scenario, question, seed and blocks."""
PROGRESS_FILE = "course.json"
CAPACITY_FILE = "capacity.json"
CAPACITY_SCHEMA_VERSION = 1
RANGES_FILE = "ranges.json"
RANGES_SCHEMA_VERSION = 1
Status = Literal["running", "complete", "interrupted", "failed", "recovered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocument:
    """The content of run.json.

    `run_id` is in the label of all that the run created; `scenario` is the resolved scenario as JSON values;
    `clock` is one pair of `wall_ns` and `monotonic_ns`, read together; `facts` has `subject` and `environment`;
    `timing` holds CLOCK_MONOTONIC stamps (`command_ns`, `exit_ns`, ...); `rows` counts the rows of each sealed
    table, and under `errors` the exceptions of tasks; `services` are those that were watched; `failure` is `error`
    in its parts: `type` (the error's class), `what`, `where`, `seen`.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LookTaken:
    """A look that was taken: after how many blocks, at which level, and what it advised."""

    blocks: int
    alpha: float
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentProgress:
    """The content of course.json: how far an experiment has come.

    `stopped` is why it ended, empty while it goes on;
    `lasted_s` is the time of all blocks, including those before an interruption and the part of a block that was
    interrupted; `blocks_s` has the time of each finished block.
    """

    blocks: int
    stopped: str = ""
    looks: tuple[LookTaken, ...] = ()
    lasted_s: float = 0.0
    blocks_s: tuple[float, ...] = ()


def save_document(folder: RunFolder, document: RunDocument) -> None:
    """Write run.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    _write(folder.document, asdict(document))


def load_document(folder: RunFolder) -> RunDocument:
    """Read run.json; UsageError if it is missing, unreadable, or of a newer version."""
    try:
        values = json.loads(folder.document.read_bytes())
        if not isinstance(values, dict):
            raise _unreadable(folder, f"a JSON {type(values).__name__}")
        version = values.get("schema_version", 0)
        if not isinstance(version, int):
            raise _unreadable(folder, f"schema version {version!r}")
        if version > SCHEMA_VERSION:
            raise _newer("this run", folder.document, version, SCHEMA_VERSION)
        return RunDocument(
            **_known(RunDocument, values)
            | {
                "spans": tuple(
                    Span(**_known(Span, span) | {"phase": Phase(span["phase"])})
                    for span in values.get("spans", ())
                ),
                "notes": tuple(
                    Note(kind=NoteKind(note["kind"]), text=note["text"]) for note in values.get("notes", ())
                ),
                "services": tuple(values.get("services", ())),
            }
        )
    except FileNotFoundError as error:
        raise _no_document(folder) from error
    except (OSError, ValueError) as error:
        raise _unreadable(folder, str(error)) from error
    except (KeyError, TypeError) as error:
        raise _unreadable(folder, f"{type(error).__name__}: {error}") from error


def save_plan(experiment: Path, plan: ExperimentPlan) -> None:
    """Write plan.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    _write(experiment / "plan.json", {"schema_version": PLAN_SCHEMA_VERSION, **asdict(plan)})


def load_plan(experiment: Path) -> ExperimentPlan:
    """Read plan.json of any version; UsageError if it is missing, unreadable, or of a newer one."""
    path = experiment / "plan.json"
    try:
        values = json.loads(path.read_bytes())
        version = values.get("schema_version", 1)
        if version > PLAN_SCHEMA_VERSION:
            raise _newer("this experiment", path, version, PLAN_SCHEMA_VERSION)
        known = _known(ExperimentPlan, values)
        known |= {
            "command": known.get("command", "run"),
            "blocks": tuple(tuple(block) for block in values["blocks"]),
            "design": Design(known.get("design", Design.RUNS)),
            "looks": tuple(Look(**look) for look in known.get("looks", ())),
        }
        known |= {name: tuple(known.get(name, ())) for name in ("gate", "budgets", "varies")}
        return ExperimentPlan(**known)
    except FileNotFoundError as error:
        raise UsageError("this folder has no plan.json", where=str(experiment), hint="seatrial list") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError("plan.json can't be read", where=str(path), seen=f"{error}") from error


def save_progress(experiment: Path, progress: ExperimentProgress) -> None:
    """Write course.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    _write(experiment / PROGRESS_FILE, asdict(progress))


def load_progress(experiment: Path) -> ExperimentProgress:
    """Read course.json; where it is missing or unreadable, return progress without a block."""
    try:
        values = json.loads((experiment / PROGRESS_FILE).read_bytes())
        looks = tuple(LookTaken(**look) for look in values.pop("looks", ()))
        blocks_s = tuple(float(block_s) for block_s in values.pop("blocks_s", ()))
        return ExperimentProgress(**values, looks=looks, blocks_s=blocks_s)
    except (OSError, ValueError, TypeError, AttributeError):
        return ExperimentProgress(blocks=0)


def capacity_values(result: CapacityResult) -> dict[str, Any]:
    """Return the result of a capacity search as JSON values, its word first."""
    return {"schema_version": CAPACITY_SCHEMA_VERSION, "word": result.word, **asdict(result)}


def save_capacity(folder: RunFolder, result: CapacityResult) -> None:
    """Write capacity.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    _write(folder.root / CAPACITY_FILE, capacity_values(result))


def load_capacity(folder: RunFolder) -> CapacityResult | None:
    """Read capacity.json; None where there is none. UsageError if it can't be read, or is of a newer version."""
    path = folder.root / CAPACITY_FILE
    try:
        values = json.loads(path.read_bytes())
        if values["schema_version"] > CAPACITY_SCHEMA_VERSION:
            raise _newer(CAPACITY_FILE, path, values["schema_version"], CAPACITY_SCHEMA_VERSION)
        return _capacity(values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError("capacity.json can't be read", where=str(path), seen=str(error)) from error


def _capacity(values: Mapping[str, Any]) -> CapacityResult:
    trials = tuple(TrialResult(**_known(TrialResult, trial)) for trial in values["trials"])
    validation, stored = None, values["validation"]
    if stored is not None:
        verdicts = [{**verdict, "word": BudgetWord(verdict["word"])} for verdict in stored["budgets"]]
        slopes = [{**slope, "word": Growth(slope["word"])} for slope in stored["memory"]]
        budgets = tuple(BudgetVerdict(**_known(BudgetVerdict, verdict)) for verdict in verdicts)
        memory = tuple(Slope(**_known(Slope, slope)) for slope in slopes)
        validation = Validation(**_known(Validation, stored) | {"budgets": budgets, "memory": memory})
    known = _known(CapacityResult, values)
    return CapacityResult(
        **known | {"trials": trials, "validation": validation, "budgets": tuple(values["budgets"])}
    )


def ranges_values(report: RangeReport) -> dict[str, Any]:
    """Return the results of range cases as JSON values, with whether players get what they need."""
    return {"schema_version": RANGES_SCHEMA_VERSION, "plays": report.plays, **asdict(report)}


def save_ranges(folder: RunFolder, report: RangeReport) -> None:
    """Write ranges.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    _write(folder.root / RANGES_FILE, ranges_values(report))


def load_ranges(folder: RunFolder) -> RangeReport | None:
    """Read ranges.json; None where there is none. UsageError if it can't be read, or is of a newer version."""
    path = folder.root / RANGES_FILE
    try:
        values = json.loads(path.read_bytes())
        if values["schema_version"] > RANGES_SCHEMA_VERSION:
            raise _newer(RANGES_FILE, path, values["schema_version"], RANGES_SCHEMA_VERSION)
        results = tuple(
            RangeResult(
                **_known(RangeResult, result)
                | {
                    "word": RangeWord(result["word"]),
                    "level": RangeLevel(result["level"]),
                    "force": RangeForce(result["force"]),
                }
            )
            for result in values["results"]
        )
        return RangeReport(**_known(RangeReport, values) | {"results": results})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError("ranges.json can't be read", where=str(path), seen=str(error)) from error


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are fields of a dataclass, without those that a later version has added."""
    return {column.name: values[column.name] for column in fields(kind) if column.name in values}


def _no_document(folder: RunFolder) -> UsageError:
    if folder.recording.exists():
        return UsageError(
            "this recording was not sealed",
            where=str(folder.root),
            seen="recording.json, which Locust's first process leaves to be sealed when it ends",
            hint=f"seatrial recover {folder.root}",
        )
    return UsageError(
        "this folder has no run.json",
        where=str(folder.root),
        expected="the folder of one run",
        hint="seatrial list",
    )


def _unreadable(folder: RunFolder, seen: str) -> UsageError:
    return UsageError(
        "run.json can't be read",
        where=str(folder.document),
        seen=seen,
        expected="what Seatrial wrote there",
        hint="the tables beside it can still be opened with pandas.read_parquet",
    )


def _newer(what: str, path: Path, version: int, most: int) -> UsageError:
    return UsageError(
        f"{what} was written by a newer Seatrial",
        where=str(path),
        seen=f"schema version {version}",
        expected=f"at most {most}",
        hint="pip install --upgrade seatrial",
    )


def _write(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=1, default=_json_value)
    with writing(path), replacing(path) as stream:
        stream.write(text.encode() + b"\n")


def _json_value(value: object) -> Any:  # noqa: ANN401  (json.dumps asks for any JSON value)
    """Convert a value of the model for which JSON has no type of its own."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"run.json can't hold a {type(value).__name__}")

"""run.json and plan.json: what a run was, readable by people and by later versions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from seatrial.errors import UsageError
from seatrial.model import Note, NoteKind, Phase, Span
from seatrial.record.durable import replacing, writing
from seatrial.record.folder import RunFolder
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


def save(folder: RunFolder, document: RunDocument) -> None:
    """Write run.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    _write(folder.document, asdict(document))


def save_plan(experiment: Path, plan: Mapping[str, Any]) -> None:
    """Write plan.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    _write(experiment / "plan.json", plan)


def load(folder: RunFolder) -> RunDocument:
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

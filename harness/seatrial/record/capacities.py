"""capacity.json: what a search for capacity found of one variant, in its run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from seatrial.compare.budgets import Kept
from seatrial.compare.capacity import TrialResult
from seatrial.compare.carrying import Carries, Said, Validation
from seatrial.errors import UsageError
from seatrial.measure.growth import Growth, Slope
from seatrial.record.durable import replacing, writing
from seatrial.record.folder import RunFolder

NAME = "capacity.json"
SCHEMA_VERSION = 1
_Value = TypeVar("_Value", Carries, Said, TrialResult, Validation, Slope)


def values(found: Carries) -> dict[str, Any]:
    """Return what was found as JSON values, its word first."""
    return {"schema_version": SCHEMA_VERSION, "word": found.word, **asdict(found)}


def save(folder: RunFolder, found: Carries) -> None:
    """Write capacity.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    path = folder.root / NAME
    text = json.dumps(values(found), indent=1)
    with writing(path), replacing(path) as stream:
        stream.write(text.encode() + b"\n")


def load(folder: RunFolder) -> Carries | None:
    """Read capacity.json; None where there is none. UsageError if it can't be read, or is of a newer version."""
    path = folder.root / NAME
    try:
        told = json.loads(path.read_bytes())
        if told["schema_version"] <= SCHEMA_VERSION:
            return _carries(told)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError("capacity.json can't be read", where=str(path), seen=str(error)) from error
    raise UsageError(
        "capacity.json was written by a newer Seatrial", where=str(path), hint="pip install --upgrade seatrial"
    )


def _carries(told: Mapping[str, Any]) -> Carries:
    trials = tuple(_made(TrialResult, one) for one in told["trials"])
    validation = None if told["validation"] is None else _validation(told["validation"])
    budgets = tuple(told["budgets"])
    return _made(Carries, {**told, "trials": trials, "validation": validation, "budgets": budgets})


def _validation(told: Mapping[str, Any]) -> Validation:
    budgets = tuple(_made(Said, {**one, "word": Kept(one["word"])}) for one in told["budgets"])
    memory = tuple(_made(Slope, {**one, "word": Growth(one["word"])}) for one in told["memory"])
    return _made(Validation, {**told, "budgets": budgets, "memory": memory})


def _made(kind: type[_Value], told: Mapping[str, Any]) -> _Value:
    """Make a value; what a later version of this schema adds is left out."""
    return kind(**{one.name: told[one.name] for one in fields(kind) if one.name in told})

"""plan.json: what an experiment will do, written before anything starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from seatrial.errors import UsageError
from seatrial.model import Design, ExperimentPlan, Look
from seatrial.record.documents import save_plan

SCHEMA_VERSION = 2
"""Version 1 had no more than scenario, question, seed and blocks."""


def save(experiment: Path, plan: ExperimentPlan) -> None:
    """Write plan.json, whole or not at all; ResultsUnwritable if the disk refuses."""
    save_plan(experiment, {"schema_version": SCHEMA_VERSION, **asdict(plan)})


def load(experiment: Path) -> ExperimentPlan:
    """Read plan.json of any version; UsageError if it is missing, unreadable, or of a newer one."""
    place = experiment / "plan.json"
    try:
        values = json.loads(place.read_bytes())
        version = values.get("schema_version", 1)
        if version <= SCHEMA_VERSION:
            return _plan(values)
    except FileNotFoundError as error:
        raise UsageError("this folder has no plan.json", where=str(experiment), hint="seatrial list") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError("plan.json can't be read", where=str(place), seen=f"{error}") from error
    raise UsageError(
        "this experiment was written by a newer Seatrial",
        where=str(place),
        seen=f"schema version {version}",
        expected=f"at most {SCHEMA_VERSION}",
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

"""Maintenance of stored runs and stacks: list, recover, clean, down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from seatrial.analysis import experiment
from seatrial.errors import UsageError
from seatrial.model import Note, NoteKind
from seatrial.record import documents, seal, standalone
from seatrial.record import folder as run_folders
from seatrial.record.folder import RunFolder
from seatrial.stack import cleanup
from seatrial.stack.cleanup import Life, Owner, life
from seatrial.stack.containers import connect


def list_runs(results: Path) -> list[dict[str, Any]]:
    """Return a row for each stored run, readable or not, and one row for each comparison; newest first."""
    rows: dict[Path, dict[str, Any]] = {}
    for folder in run_folders.list_runs(results):
        described = _described(folder)
        if experiment.compares(folder.experiment):
            row = rows.setdefault(
                folder.experiment, {"run": folder.experiment.name, **_compared(folder, described)}
            )
            row["requests"] += described["requests"] or 0
        else:
            rows[folder.root] = {"run": _name(folder, results), **described}
    return list(rows.values())


def _compared(folder: RunFolder, newest: dict[str, Any]) -> dict[str, Any]:
    """Describe the comparison that a run belongs to, with the verdict of its verdict.json."""
    names = documents.load_plan(folder.experiment).variants
    try:
        verdict = json.loads((folder.experiment / "verdict.json").read_bytes())["verdict"]
    except (OSError, ValueError, KeyError, TypeError):
        verdict = "unfinished"
    return {**newest, "variant": f"{len(names)} variants", "status": str(verdict), "requests": 0}


def _described(folder: RunFolder) -> dict[str, Any]:
    try:
        document = documents.load_document(folder)
    except UsageError as error:
        return {"scenario": "", "variant": "", "engine": "", "status": error.what, "requests": None}
    return {
        "scenario": document.scenario_name,
        "variant": document.variant,
        "engine": document.engine,
        "status": document.status if document.sealed else "unfinished",
        "requests": document.rows.get("requests") if document.sealed else None,
    }


def _name(folder: RunFolder, results: Path) -> str:
    """Return the shortest argument that names the run: its experiment's name, if that has no other run."""
    alone = len(list(folder.root.parent.iterdir())) == 1
    return folder.experiment.name if alone else str(folder.root.relative_to(results))


def recover(folder: RunFolder) -> RunFolder:
    """Seal a run whose harness is gone, or a recording of plain Locust; UsageError while it is still running."""
    if standalone.is_recording(folder):
        standalone.check_ended(folder)
        seal.seal(folder, standalone.recording_document(folder))
        folder.recording.unlink()
        return folder
    document = documents.load_document(folder)
    if document.sealed:
        return folder
    _check_owner(document.owner, str(folder.root))
    shutil.rmtree(folder.root / "work", ignore_errors=True)
    note = Note(kind=NoteKind.RECOVERED, text="the harness ended before it could seal this run")
    seal.seal(folder, replace(document, status="recovered", notes=(*document.notes, note)))
    return folder


def _check_owner(text: str, where: str) -> None:
    """Raise UsageError unless the owner of the run is known to have ended."""
    if not text:
        return
    try:
        lives = life(Owner.parse(text))
    except ValueError:
        lives = Life.UNKNOWN
    if lives is Life.ALIVE:
        raise UsageError(
            "the run is still running",
            where=where,
            seen=f"its harness runs: {text}",
            hint="stop it first (Ctrl-C keeps its data)",
        )
    if lives is Life.UNKNOWN:
        raise UsageError(
            "it is unknown whether the run is still running",
            where=where,
            seen=f"its harness is a process of another host, container or version: {text}",
            hint="recover it where it was started",
        )


def clean() -> Iterator[str]:
    """Remove leftovers of runs whose owner has ended or whose deadline has passed; yield a line for each."""
    with closing(connect()) as client:
        leftovers = cleanup.find_leftovers(client)
        cleanup.remove_objects(client, [leftover.item for leftover in leftovers])
        yield from (f"removed {leftover}" for leftover in leftovers)
        if not leftovers:
            yield "nothing was left behind"


def down(project: str | None) -> Iterator[str]:
    """Remove the stack that `up` left, or all of them; yield a line for each; UsageError if there is none."""
    with closing(connect()) as client:
        projects = cleanup.kept_projects(client)
        stacks = [stack for stack in projects if project in {None, stack.project}]
        if not stacks:
            names = ", ".join(stack.project for stack in projects)
            raise UsageError(
                f"`up` left no stack {project!r}" if project else "`up` left no stack",
                seen=f"kept: {names}" if names else "none is kept",
                hint="docker compose ls",
            )
        for stack in stacks:
            cleanup.remove_objects(client, stack.objects)
            yield f"removed {stack.project}: {len(stack.objects)} containers, networks and volumes"

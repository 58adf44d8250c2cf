"""Resuming an interrupted experiment: finished runs, file digests, refusal of a changed question."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from seatrial.compare import facts
from seatrial.errors import Incomparable, UsageError
from seatrial.experiment.request import Request
from seatrial.host import facts as host_facts
from seatrial.model import ExperimentPlan, NoteKind, Scenario
from seatrial.record import documents
from seatrial.record import folder as folders
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder
from seatrial.scenario import plan as plans
from seatrial.wire.streams import SCHEMA_VERSION

LATEST = "latest"
HASHED_BYTES = 1 << 20
"""Of a larger file size and time of change stand for its content: a stack may have videos of gigabytes to seed."""
MOST_FILES = 10_000
"""They take about a second. A folder with more is a home or a disk, and not what a stack is made of."""
_DIGITS = 16
_SHOWN = 20
_NEVER = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules"})
"""What is walked around: it is the tools' own, and may have a hundred thousand files."""
_FINISHED = frozenset({"complete", "failed"})
_DECIDED = ("gate", "budgets", "time_s", "design", "base", "against", "stored", "slices", "slice_s", "settle_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumableExperiment:
    """An experiment that can go on; `finished` are (variant, block), `base_failed` the blocks without a base."""

    folder: Path
    plan: ExperimentPlan
    finished: frozenset[tuple[str, int]]
    base_failed: frozenset[int]


def find(request: Request, wanted: str, command: str) -> ResumableExperiment:
    """Return the experiment: a folder, a name, or the latest of this command and scenario; UsageError if none."""
    results, scenario = request.results, request.scenario.name
    folder = _folder(results, wanted, scenario, command)
    plan = documents.load_plan(folder)
    if (plan.scenario, plan.command) != (scenario, command):
        raise UsageError(
            "this experiment can't be resumed here",
            where=str(folder),
            seen=f"seatrial {plan.command} {plan.scenario}",
            expected=f"seatrial {command} {scenario}",
        )
    runs = [document for _, document in sealed_runs(folder) if document.status in _FINISHED]
    return ResumableExperiment(
        folder=folder,
        plan=plan,
        finished=frozenset((run.variant, run.block) for run in runs),
        base_failed=frozenset(run.block for run in runs if run.variant == plan.base and _never_came_up(run)),
    )


def refuse_changed(experiment: ResumableExperiment, now: ExperimentPlan, engine: str) -> None:
    """Raise UsageError if what is asked now is not what was planned then, with all that differs."""
    then = experiment.plan
    resolved = {name: value for name, value in then.resolved.items() if name != "files"}
    differing = plans.differing_values(_plain(resolved), _plain(now.resolved))
    differing += changed_files(then.files, now.files) if then.files else _changed_named_files(then, now)
    if then.seed != now.seed:
        differing.append(f"seed: {then.seed} then, {now.seed} now")
    for name in _DECIDED:
        before, here = getattr(then, name), getattr(now, name)
        if before != here and not any(line.startswith(name.removesuffix("_s")) for line in differing):
            differing.append(f"{name}: {before!r} then, {here!r} now")
    runs = [document for _, document in sealed_runs(experiment.folder)]
    for name, values, here in (
        ("engine", {run.engine for run in runs}, engine),
        ("schema", {str(run.schema_version) for run in runs}, str(SCHEMA_VERSION)),
    ):
        if others := values - {here}:
            differing.append(f"{name}: {', '.join(sorted(others))} then, {here} now")
    if differing:
        raise UsageError(
            "the experiment asked another question",
            where=str(experiment.folder),
            seen="\n".join(differing),
            expected="the same scenario, options and files as when it began",
            hint="give the options of that command again, or begin anew without --resume",
        )


def refuse_other_images(experiment: Path, document: RunDocument) -> None:
    """Raise Incomparable if a variant is made of other images than in the first of its runs that is finished."""
    here = document.facts["subject"].get("images")
    runs = (
        run for _, run in sealed_runs(experiment) if run.status in _FINISHED and run.variant == document.variant
    )
    there = next((images for run in runs if (images := run.facts["subject"].get("images"))), None)
    if not here or not there or here == there:
        return
    names = facts.differing(there, here)
    lines = [f"{name}: {there.get(name, 'none')} then, {here.get(name, 'none')} now" for name in names]
    raise Incomparable(
        f"{document.variant} is made of other images than in the blocks before",
        where=str(experiment),
        seen="\n".join(lines),
        expected="the same images in all blocks of an experiment",
        hint="they were built or pulled meanwhile: tag those of before again, or begin anew without --resume",
    )


def sealed_runs(experiment: Path) -> Iterator[tuple[RunFolder, RunDocument]]:
    """Yield every sealed run of an experiment that can be read."""
    return ((folder, document) for folder, document in stored_runs(experiment) if document.sealed)


def stored_runs(experiment: Path) -> Iterator[tuple[RunFolder, RunDocument]]:
    """Yield every run of an experiment that can be read, sealed or not."""
    for folder in (RunFolder(root) for root in sorted((experiment / "runs").glob("*"))):
        try:
            yield folder, documents.load_document(folder)
        except UsageError:
            continue  # killed before its first page, or not ours


def _folder(results: Path, wanted: str, scenario: str, command: str) -> Path:
    if wanted != LATEST:
        places = (Path(wanted), results / wanted)
        experiment = next((place for place in places if (place / "plan.json").is_file()), None)
        return experiment or folders.find_run(results, wanted).experiment
    for experiment in sorted(results.glob("*/plan.json"), reverse=True):
        try:
            plan = documents.load_plan(experiment.parent)
        except UsageError:
            continue  # torn, or of a newer program: it can't be resumed, others can
        if (plan.scenario, plan.command) == (scenario, command):
            return experiment.parent
    raise UsageError(
        f"there is no experiment of `seatrial {command} {scenario}` to resume",
        where=str(results.absolute()),
        hint="seatrial list",
    )


def _never_came_up(document: RunDocument) -> bool:
    """Tell whether a run failed for its stack or its load; one that a rule of `stop_when` ended had come up."""
    return document.status == "failed" and all(note.kind is not NoteKind.STOPPED_EARLY for note in document.notes)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they are once they were written and read."""
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def file_digests(scenario: Scenario, *, results: Path, most: int = MOST_FILES) -> dict[str, str]:
    """Return mode and digest of each file of the stack's folder, of the locustfile, and of the `_*.py` beside it.

    What git ignores is left out, but for `.env` files, which Compose reads, and what a variant names; without git,
    what no stack is made of. So are `results`. Of more than `most` only those count that lie in no folder below.
    What can't be read is left out: that is reported where it is used.
    """
    folder, locustfile = scenario.compose_file.parent, scenario.load.locustfile
    named = {file for variant in scenario.variants.values() for file in variant.files.values()}
    below = {*_files(folder, scenario.compose_file, results, most), *named}
    files = {file.relative_to(folder).as_posix(): file for file in below if file.is_relative_to(folder)}
    files |= {f"load: {file.name}": file for file in (locustfile, *sorted(locustfile.parent.glob("_*.py")))}
    digests = {}
    for name, file in sorted(files.items()):
        with suppress(OSError):
            digests[name] = _digest(file)
    return digests


def changed_files(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return, one line each, which files are changed, new or gone; of very many only the first ones."""
    names = sorted(facts.differing(then, now))
    lines = [
        f"{name}: {'new' if name not in then else 'gone' if name not in now else 'changed'}" for name in names
    ]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more files"]
    return lines


def _changed_named_files(then: ExperimentPlan, now: ExperimentPlan) -> list[str]:
    """Return which of the files that the scenario names are changed.

    An older plan has the SHA-256 of these alone, under `files` of its resolved scenario.
    """
    changed = []
    for name, digest in then.resolved.get("files", {}).items():
        here = now.files.get(name, now.files.get(f"load: {name}", "gone"))
        if "bytes of" not in here and not digest.startswith(here.rpartition(" ")[2]):
            changed.append(f"{name}: changed")
    return changed


def _files(folder: Path, compose_file: Path, results: Path, most: int) -> Iterator[Path]:
    known = host_facts.files(folder)
    if compose_file not in known:  # no checkout, or one that has nothing to do with this stack
        known = frozenset(islice(_walked(folder, results.absolute()), most + 1))
    if len(known) > most:
        known = frozenset(file for file in folder.iterdir() if file.is_symlink() or not file.is_dir())
    settings = {*folder.glob(".env"), *folder.glob(".env.*"), *folder.glob("*.env")}
    for file in {*known, *settings}:
        if not file.absolute().is_relative_to(results.absolute()):
            yield file


def _walked(folder: Path, results: Path) -> Iterator[Path]:
    for place, inner, names in os.walk(folder):
        links = [name for name in inner if (Path(place) / name).is_symlink()]
        inner[:] = [name for name in inner if name not in _NEVER and Path(place).absolute() / name != results]
        yield from (Path(place) / name for name in (*names, *links))


def _digest(file: Path) -> str:
    status = file.lstat()
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    if stat.S_ISLNK(status.st_mode):
        return f"link to {file.readlink()}"
    if not stat.S_ISREG(status.st_mode):
        return (
            f"{mode} no file"  # a socket or a pipe, which would never end to be read; or another checkout's folder
        )
    if status.st_size > HASHED_BYTES:
        return f"{mode} {status.st_size} bytes of {status.st_mtime_ns}"
    return f"{mode} {sha256(file.read_bytes()).hexdigest()[:_DIGITS]}"

"""Resuming an interrupted experiment: its finished runs, file digests, and refusal of changed settings."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path

from seatrial.compare import facts
from seatrial.errors import Incomparable, UsageError
from seatrial.experiment.request import Request
from seatrial.host import facts as host_facts
from seatrial.model import ExperimentPlan, NoteKind, Scenario
from seatrial.record import documents
from seatrial.record.documents import ExperimentProgress, RunDocument
from seatrial.record.folder import RunFolder, find_run
from seatrial.scenario import plan as plans
from seatrial.wire.streams import SCHEMA_VERSION

LATEST = "latest"
HASHED_BYTES = 1 << 20
"""Larger files are compared by size and time of change: a stack may have videos of gigabytes to seed."""
MOST_FILES = 10_000
"""Digests of so many take about a second; a folder with more is a home or a disk rather than a stack."""
_DIGITS = 16
_SHOWN = 20
_NEVER = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules"})
"""Folders that tools fill, which are skipped: they may have a hundred thousand files."""
_FINISHED = frozenset({"complete", "failed"})
_DECIDED = ("gate", "budgets", "time_s", "design", "base", "against", "stored", "slices", "slice_s", "settle_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumableExperiment:
    """An experiment and how far it has come.

    `finished` are the (variant, block) that have an outcome, `base_failed` the blocks whose base never came up.
    """

    folder: Path
    plan: ExperimentPlan
    finished: frozenset[tuple[str, int]] = frozenset()
    base_failed: frozenset[int] = frozenset()
    state: ExperimentProgress = field(default_factory=lambda: ExperimentProgress(blocks=0))


def find(request: Request, name: str, command: str) -> ResumableExperiment:
    """Return the named experiment, or the latest of this command and scenario; UsageError if there is none."""
    results, scenario = request.results, request.scenario.name
    folder = _folder(results, name, scenario, command)
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
        base_failed=frozenset(
            run.block
            for run in runs
            if run.variant == plan.base
            and run.status == "failed"
            and all(note.kind is not NoteKind.STOPPED_EARLY for note in run.notes)
        ),
        state=documents.load_progress(folder),
    )


def refuse_changed(experiment: ResumableExperiment, now: ExperimentPlan, engine: str) -> None:
    """Raise UsageError, with all that differs, if scenario, options, files or engine have changed since then."""
    then = experiment.plan
    resolved = {name: value for name, value in then.resolved.items() if name != "files"}
    differing = plans.differing_values(
        *(json.loads(json.dumps(each, default=str)) for each in (resolved, now.resolved))
    )
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
            "the experiment was begun with other settings",
            where=str(experiment.folder),
            seen="\n".join(differing),
            expected="the same scenario, options and files as when it began",
            hint="give the options of that command again, or begin again without --resume",
        )


def refuse_other_images(experiment: Path, document: RunDocument) -> None:
    """Raise Incomparable if a variant has other images than in its first finished run."""
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
        hint="they were built or pulled meanwhile: tag the former ones again, or begin again without --resume",
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
            continue  # its harness was killed before it wrote run.json


def _folder(results: Path, name: str, scenario: str, command: str) -> Path:
    if name != LATEST:
        places = (Path(name), results / name)
        experiment = next((place for place in places if (place / "plan.json").is_file()), None)
        return experiment or find_run(results, name).experiment
    for experiment in sorted(results.glob("*/plan.json"), reverse=True):
        try:
            plan = documents.load_plan(experiment.parent)
        except UsageError:
            continue  # torn, or of a newer version: others may be resumed
        if (plan.scenario, plan.command) == (scenario, command):
            return experiment.parent
    raise UsageError(
        f"there is no experiment of `seatrial {command} {scenario}` to resume",
        where=str(results.absolute()),
        hint="seatrial list",
    )


def file_digests(scenario: Scenario, *, results: Path, most: int = MOST_FILES) -> dict[str, str]:
    """Return mode and digest of each file of the stack's folder, of the locustfile, and of the `_*.py` beside it.

    Files that git ignores are left out, except `.env` files, which Compose reads, and files that variants name;
    outside of git the folders of tools are. So are `results`, and files that can't be read, which their user
    reports. If there are more than `most`, only the files directly in the stack's folder count.
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
    """Return one line for each file that is changed, new or gone; of very many only the first ones."""
    names = sorted(facts.differing(then, now))
    lines = [
        f"{name}: {'new' if name not in then else 'gone' if name not in now else 'changed'}" for name in names
    ]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more files"]
    return lines


def _changed_named_files(then: ExperimentPlan, now: ExperimentPlan) -> list[str]:
    """Return a line for each changed file that an older plan names, with its SHA-256, in its resolved scenario."""
    changed = []
    for name, digest in then.resolved.get("files", {}).items():
        here = now.files.get(name, now.files.get(f"load: {name}", "gone"))
        if "bytes of" not in here and not digest.startswith(here.rpartition(" ")[2]):
            changed.append(f"{name}: changed")
    return changed


def _files(folder: Path, compose_file: Path, results: Path, most: int) -> Iterator[Path]:
    known = host_facts.files(folder)
    if compose_file not in known:  # no checkout, or one that ignores this stack
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
        return f"{mode} no file"  # a socket or pipe, which has no end; or the folder of another checkout
    if status.st_size > HASHED_BYTES:
        return f"{mode} {status.st_size} bytes of {status.st_mtime_ns}"
    return f"{mode} {sha256(file.read_bytes()).hexdigest()[:_DIGITS]}"

"""An interrupted experiment again: what is finished in it, and whether it is still the same question."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.campaign import digests
from seatrial.campaign.request import Request
from seatrial.errors import Incomparable, UsageError
from seatrial.judge import facts
from seatrial.model import ExperimentPlan, NoteKind
from seatrial.record import document as documents
from seatrial.record import folder as folders
from seatrial.record import plans
from seatrial.record.document import RunDocument
from seatrial.record.folder import RunFolder
from seatrial.scenario import compared
from seatrial.wire.streams import SCHEMA_VERSION

LATEST = "latest"
_FINISHED = frozenset({"complete", "failed"})
_DECIDED = ("gate", "budgets", "time_s", "design", "base", "against", "stored", "slices", "slice_s", "settle_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """An experiment to go on with: what is `finished` is kept; `base_failed` are the blocks without a base."""

    folder: Path
    plan: ExperimentPlan
    finished: frozenset[tuple[str, int]]
    base_failed: frozenset[int]


def find(request: Request, wanted: str, command: str) -> Left:
    """Return the experiment: a folder, a name, or the latest of this command and scenario; UsageError if none."""
    results, scenario = request.results, request.scenario.name
    folder = _folder(results, wanted, scenario, command)
    plan = plans.load(folder)
    if (plan.scenario, plan.command) != (scenario, command):
        raise UsageError(
            "this experiment can't be resumed here",
            where=str(folder),
            seen=f"seatrial {plan.command} {plan.scenario}",
            expected=f"seatrial {command} {scenario}",
        )
    runs = [document for _, document in stored(folder) if document.status in _FINISHED]
    failed = {one.block for one in runs if one.variant == plan.base and _never_came_up(one)}
    return Left(
        folder=folder,
        plan=plan,
        finished=frozenset((one.variant, one.block) for one in runs),
        base_failed=frozenset(failed),
    )


def refuse_another(left: Left, now: ExperimentPlan, engine: str) -> None:
    """Raise UsageError if what is asked now is not what was planned then, with all that differs.

    A plan without digests of all files has only those of the ones that the scenario names.
    """
    then, asked = _plain(left.plan.resolved), _plain(now.resolved)
    if left.plan.files:
        then.pop("files", None)
        asked.pop("files", None)
    differing = compared.differing(then, asked)
    if left.plan.files:
        differing += digests.differing(left.plan.files, now.files)
    if left.plan.seed != now.seed:
        differing.append(f"seed: {left.plan.seed} then, {now.seed} now")
    for name in _DECIDED:
        then, here = getattr(left.plan, name), getattr(now, name)
        if then != here and not any(line.startswith(name.removesuffix("_s")) for line in differing):
            differing.append(f"{name}: {then!r} then, {here!r} now")
    done = [document for _, document in stored(left.folder)]
    for name, values, here in (
        ("engine", {document.engine for document in done}, engine),
        ("schema", {str(document.schema_version) for document in done}, str(SCHEMA_VERSION)),
    ):
        if others := values - {here}:
            differing.append(f"{name}: {', '.join(sorted(others))} then, {here} now")
    if differing:
        raise UsageError(
            "the experiment asked another question",
            where=str(left.folder),
            seen="\n".join(differing),
            expected="the same scenario, options and files as when it began",
            hint="give the options of that command again, or begin anew without --resume",
        )


def refuse_other_images(experiment: Path, document: RunDocument) -> None:
    """Raise Incomparable if a variant is made of other images than in the first of its runs that is finished."""
    here = document.facts["subject"].get("images")
    done = (one for _, one in stored(experiment) if one.status in _FINISHED and one.variant == document.variant)
    there = next((images for one in done if (images := one.facts["subject"].get("images"))), None)
    if not here or not there or here == there:
        return
    names = facts.differing(there, here)
    lines = [f"{name}: {there.get(name, 'none')} then, {here.get(name, 'none')} now" for name in names]
    raise Incomparable(
        f"{document.variant} is made of other images than in the blocks before",
        where=str(experiment),
        seen="\n".join(lines),
        expected="the same images in all blocks of an experiment",
        hint="who has built or pulled them meanwhile? Tag those of before again, or begin anew without --resume",
    )


def stored(experiment: Path) -> Iterator[tuple[RunFolder, RunDocument]]:
    """Yield every sealed run of an experiment that can be read."""
    return ((folder, document) for folder, document in begun(experiment) if document.sealed)


def begun(experiment: Path) -> Iterator[tuple[RunFolder, RunDocument]]:
    """Yield every run of an experiment that can be read, sealed or not."""
    for folder in (RunFolder(root) for root in sorted((experiment / "runs").glob("*"))):
        try:
            yield folder, documents.load(folder)
        except UsageError:
            continue  # killed before its first page, or not ours


def without_resume(argv: Sequence[str]) -> str:
    """Return the words of this process as a user would type them, without `--resume` and its value."""
    words = ["seatrial", *argv[1:]]
    kept: list[str] = []
    skip = False
    for word in words:
        if word == "--resume" or word.startswith("--resume="):
            skip = word == "--resume"
            continue
        if not skip or word.startswith("-"):
            kept.append(word)
        skip = False
    return shlex.join(kept)


def _folder(results: Path, wanted: str, scenario: str, command: str) -> Path:
    if wanted != LATEST:
        found = next((one for one in (Path(wanted), results / wanted) if (one / "plan.json").is_file()), None)
        return found or folders.find_run(results, wanted).experiment
    for experiment in sorted(results.glob("*/plan.json"), reverse=True):
        try:
            plan = plans.load(experiment.parent)
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
    return document.status == "failed" and all(one.kind is not NoteKind.STOPPED_EARLY for one in document.notes)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they are once they were written and read."""
    found: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return found

"""The stored base of `compare --against`: its lookup, and refusal of runs that can't be compared with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from seatrial.compare import facts
from seatrial.compare.facts import Facts
from seatrial.errors import Incomparable, UsageError
from seatrial.experiment import resume
from seatrial.measure import metric
from seatrial.model import Design, ExperimentPlan
from seatrial.record import documents
from seatrial.record.documents import RunDocument
from seatrial.record.folder import find_run
from seatrial.scenario.plan import BaselinePlan

_COMPLETE = "complete"
_SHOWN = 5
"""How many runs or names a message lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFacts:
    """The facts that each run must share with the runs before it and with the stored base, if there is one.

    Images and engine are known only once a stack is up.
    """

    experiment: Path
    plan: ExperimentPlan
    stored: Facts | None = None

    def check(self, document: RunDocument) -> None:
        """Raise Incomparable if a run has other images than the blocks before it, or another environment."""
        resume.refuse_other_images(self.experiment, document)
        if self.stored is not None:
            refuse_incomparable(self.stored, facts_of(document), self.plan.varies, self.plan.against)


def find(results: Path, name: str) -> tuple[BaselinePlan, Facts]:
    """Return the stored base and its facts; UsageError if there is none, or no complete run of it.

    Of an experiment that is its base, of a run its own variant. Incomparable if it is a capacity search, or not of
    the design `runs`.
    """
    experiment, variant = _stored(results, name)
    plan = documents.load_plan(experiment)
    variant = variant or plan.stored or plan.base
    if plan.command == "capacity" or plan.design is not Design.RUNS:
        raise Incomparable(
            "the stored experiment was measured in another way",
            where=str(experiment),
            seen="a search for capacity" if plan.command == "capacity" else f"the design {plan.design.value}",
            expected="runs, each on a fresh stack",
            hint="seatrial compare SCENARIO --design runs, or seatrial selfcheck SCENARIO --design runs",
        )
    runs = [run for _, run in resume.sealed_runs(experiment) if run.variant == variant and run.status == _COMPLETE]
    if not runs:
        raise UsageError(
            "there is no complete run to compare with",
            where=str(experiment),
            seen=_endings(experiment, variant),
            expected=f"a run of {variant!r} that came to its end",
            hint="seatrial list",
        )
    blocks = max(run.block for run in runs)
    return BaselinePlan(folder=str(experiment.absolute()), variant=variant, blocks=blocks), facts_of(runs[-1])


def _stored(results: Path, name: str) -> tuple[Path, str]:
    """Return the experiment of that name, and of a run its variant; UsageError if it is neither."""
    places = [place for place in (Path(name), results / name) if place.is_dir()]
    given = next((place for place in places if (place / "plan.json").is_file()), None)
    if given is not None:
        return given, ""
    try:
        run = find_run(results, name)
    except UsageError as error:
        if not places:
            raise
        raise UsageError(
            "this folder is neither an experiment nor a run",
            where=str(places[0].absolute()),
            seen=", ".join(sorted(path.name for path in places[0].iterdir())[:_SHOWN]) or "nothing in it",
            expected="the folder of an experiment, with plan.json, or of a run, with run.json",
            hint="seatrial list",
        ) from error
    document, planned = documents.load_document(run), (run.experiment / "plan.json").is_file()
    if planned and document.sealed and document.status == _COMPLETE:
        return run.experiment, document.variant
    raise UsageError(
        "this run can't stand for a base",
        where=str(run.root),
        seen=_ending(document) if planned else "it has no plan.json: it was recorded, or observed",
        expected="a run of seatrial run, compare or selfcheck that came to its end",
        hint="seatrial list",
    )


def _endings(experiment: Path, variant: str) -> str:
    """Return one line for each stored run of a variant: how it ended."""
    lines = [
        f"{folder.root.name}: {_ending(document)}"
        for folder, document in resume.stored_runs(experiment)
        if document.variant == variant
    ]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
    return "\n".join(lines) or f"no run of {variant!r} at all"


def _ending(document: RunDocument) -> str:
    if not document.sealed:
        return "not sealed: it is still going on, or its harness was killed"
    error = document.error.partition("\n")[0]
    return f"{document.status}: {error}" if error else document.status


def facts_of(document: RunDocument) -> Facts:
    """Return the facts of a run."""
    return facts.facts_of(asdict(document))


def refuse_incomparable(there: Facts, here: Facts, varies: Collection[str], where: str) -> tuple[str, ...]:
    """Return the facts of `varies` that differ; Incomparable if any other differs."""
    differing = facts.environment_differences(there, here)
    undeclared = [difference for difference in differing if difference.fact not in varies]
    if undeclared:
        names = ", ".join(dict.fromkeys(difference.fact for difference in undeclared))
        raise Incomparable(
            "the stored base was measured in another environment",
            where=where,
            seen="\n".join(f"{fact.name}: {fact.there} there, {fact.here} here" for fact in undeclared),
            expected=f"the same {names} on both sides",
            hint=f"measure both sides here; if that is the question: compare: {{varies: [{names}]}}",
        )
    return tuple(dict.fromkeys(difference.fact for difference in differing))


def comparable_metrics(gate: Sequence[str], differing: Collection[str]) -> tuple[str, ...]:
    """Return the metrics of a gate that stay comparable although these facts differ."""
    return tuple(
        text for text in gate if all(metric.comparable_across(metric.parse(text), fact) for fact in differing)
    )

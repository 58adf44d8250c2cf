"""`seatrial capacity`: the highest rate that keeps the budgets, variant by variant, each on a stack of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from seatrial.campaign import run_record, validating
from seatrial.campaign import wanted as meaning
from seatrial.campaign.request import command_began_ns
from seatrial.campaign.seeking import Seeking
from seatrial.campaign.trial import RunContext, Trial, prepare_context
from seatrial.campaign.wanted import Wanted
from seatrial.judge.carrying import Carries
from seatrial.judge.excess import Divided
from seatrial.load.child import LoadSettings
from seatrial.load.driving import LoadObserver, LoadResult
from seatrial.model import Design, ExperimentPlan, NoteKind, Spawn
from seatrial.record import capacities, plans
from seatrial.record import document as documents
from seatrial.record import folder as folders
from seatrial.record.folder import RunFolder
from seatrial.report.progress import Progress
from seatrial.scenario import plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """An experiment with what was found of each variant, in their order."""

    experiment: Path
    folders: tuple[RunFolder, ...]
    found: tuple[Carries, ...]


def search(wanted: Wanted, progress: Progress) -> Searched:
    """Search each variant's capacity, one after the other.

    UsageError before anything is made, for a variant that is not there, and for budgets that a search can't keep.
    The error of a variant that fails is raised once it is torn down; what was found of those before it is kept.
    """
    judged = meaning.divided(wanted)
    request = wanted.request
    for name in wanted.variants:
        plan.variant_of(request.scenario, name)
    scenario = replace(
        request.scenario, load=meaning.load(wanted), stop_when=meaning.guards(request.scenario.stop_when)
    )
    request = replace(request, scenario=scenario)
    context = prepare_context(request)
    trials = [Trial.prepare(context, name, block=1) for name in wanted.variants]
    found: list[Carries] = []
    kept: list[RunFolder] = []
    with run_record.orderly(progress.say):
        experiment = folders.create_experiment(request.results, request.scenario.name, time.time_ns())
        plans.save(experiment, _plan(wanted, context))
        progress.say(f"{request.scenario.name} on the {context.choice.engine} engine: {context.choice.reason}")
        for trial in trials:
            folder, one = _variant(wanted, trial, experiment, judged, progress)
            kept.append(folder)
            found.append(one)
    return Searched(experiment=experiment, folders=tuple(kept), found=tuple(found))


def _variant(
    wanted: Wanted, trial: Trial, experiment: Path, judged: Divided, progress: Progress
) -> tuple[RunFolder, Carries]:
    """Search one variant's capacity on a stack of its own, and keep what was found."""
    name, asked = trial.variant, trial.request.scenario.load
    seeking = Seeking(
        budgets=judged,
        effort=wanted.effort,
        warmup_s=asked.warmup_s,
        validate_s=wanted.validate_s,
        users=asked.users,
        say=progress.say,
    )
    spacing = "at random" if asked.rate is not None and asked.rate.poisson else "evenly spaced"
    folder = trial.run(
        experiment,
        progress,
        run_load=partial(_performed, seeking, name),
        description=f"{name}: arrivals {spacing}, served by at most {asked.users} users",
        command_ns=command_began_ns() if not list(experiment.glob("runs/*")) else time.monotonic_ns(),
    )
    found = _found(seeking, folder, name)
    capacities.save(folder, found)
    return folder, found


def _performed(
    seeking: Seeking, name: str, settings: LoadSettings, observer: LoadObserver, *, spawn: Spawn
) -> LoadResult:
    """Search, and keep what is known after each trial: a search that is cut short leaves it behind."""
    folder = RunFolder(settings.folder)
    seeking.keep = lambda: capacities.save(folder, replace(_searched(seeking, name), status="interrupted"))
    seeking.keep()
    return seeking.perform(settings, observer, spawn=spawn)


def _found(seeking: Seeking, folder: RunFolder, name: str) -> Carries:
    """Return what was found of one variant, with its validation, from the sealed run."""
    document = documents.load(folder)
    shared = [note.text for note in document.notes if note.kind is NoteKind.SHARED_CORES]
    rate = seeking.validated_per_s
    if rate is not None:
        told = {
            **document.scenario,
            "load": {**document.scenario["load"], "rate": _steady(document.scenario, rate)},
        }
        documents.save(folder, replace(document, scenario=told))
    return replace(
        _searched(seeking, name),
        shared=shared[0] if shared else "",
        validation=None if rate is None else validating.judged(seeking.budgets, folder, rate, seeking.validate_s),
    )


def _searched(seeking: Seeking, name: str) -> Carries:
    """Return what the search has found by now."""
    capacity = seeking.so_far()
    return Carries(
        variant=name,
        budgets=tuple(one.text for one in seeking.budgets.validated),
        percentile=seeking.percentile,
        of=seeking.of,
        lower_per_s=None if capacity is None else capacity.lower_per_s,
        upper_per_s=None if capacity is None else capacity.upper_per_s,
        trials=tuple(seeking.tried),
        search_s=seeking.search_s,
        trial_s=0.0 if capacity is None else capacity.trial_s,
        users=seeking.users,
        limited_by="" if capacity is None else capacity.limited_by,
        generator=seeking.generator,
        flow_s=seeking.flow_s,
        too_high=seeking.too_high,
        silent=seeking.silent,
    )


def _steady(scenario: Mapping[str, Any], per_s: float) -> dict[str, Any]:
    """Return the rate of the window, as `scenario.plan` tells a rate."""
    told = scenario["load"]["rate"] or {}
    return {**told, "text": f"{per_s:.4g}/s", "stretches": [[None, per_s, per_s]]}


def _plan(wanted: Wanted, context: RunContext) -> ExperimentPlan:
    request = context.request
    return ExperimentPlan(
        command="capacity",
        scenario=request.scenario.name,
        question=request.scenario.question,
        seed=request.seed,
        blocks=(wanted.variants,),
        base=wanted.variants[0],
        design=Design.RUNS,
        budgets=wanted.budgets or request.scenario.budgets,
        shared_cores=context.shared_cores,
        time_s=len(wanted.variants) * (wanted.effort.limit_s + wanted.validate_s),
        resolved=plan.resolved(request.scenario),
    )

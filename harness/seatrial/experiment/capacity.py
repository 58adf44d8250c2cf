"""`capacity`: one search for the highest sustainable rate per variant, with its plan and result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seatrial.compare import budgets as budget_rules
from seatrial.compare import capacity_trial
from seatrial.compare.capacity import CapacityResult, Effort
from seatrial.compare.capacity_trial import SearchBudgets
from seatrial.errors import UsageError
from seatrial.experiment import capacity_trials, run_record
from seatrial.experiment.capacity_trials import CapacitySearch
from seatrial.experiment.request import Request, command_began_ns
from seatrial.experiment.trial import RunContext, Trial, prepare_context
from seatrial.measure import stop_rules
from seatrial.model import Design, ExperimentPlan, Load, NoteKind
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record import folder as record_folder
from seatrial.record.folder import RunFolder
from seatrial.scenario import plan, source
from seatrial.wire.rates import Rate

LEAST_USERS = 200
"""The pool: at a budget of 100 ms it carries 2,000 requests a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityRequest:
    """What is asked of a search: variants, budgets in their language, its effort, and how long it validates.

    `budgets` empty: the scenario's. `spacing` (constant, poisson) None: the scenario's, else constant. `users`
    None: those of the scenario, at least LEAST_USERS.
    """

    request: Request
    variants: tuple[str, ...]
    budgets: tuple[str, ...] = ()
    spacing: str | None = None
    users: int | None = None
    validate_s: float = 60.0
    effort: Effort = field(default_factory=Effort)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityExperiment:
    """An experiment with the run folder and the result of each variant, in their order."""

    experiment: Path
    folders: tuple[RunFolder, ...]
    results: tuple[CapacityResult, ...]


def effort(options: Mapping[str, Any]) -> Effort:
    """Return the effort that the options of the command line ask for; UsageError if it can't be made."""
    given = {name: float(options[name]) for name in ("trial_s", "sum_s", "most_per_s", "limit_s")}
    width = float(options["width"]) / 100
    if min(given.values()) <= 0 or not 0 < width < 1 or given["sum_s"] < given["trial_s"]:
        raise UsageError(
            "a search can't be made like this",
            seen=", ".join(f"{name} {value:g}" for name, value in {**given, "width": width}.items()),
            expected="times and rates above 0, a width from 0 to 100 per cent, and a sum of at least one trial",
        )
    return Effort(
        trial_s=given["trial_s"],
        sum_s=given["sum_s"],
        width=width,
        first_per_s=min(Effort().first_per_s, given["most_per_s"]),
        most_per_s=given["most_per_s"],
        probe_s=min(Effort().probe_s, given["trial_s"]),
        limit_s=given["limit_s"],
    )


def search(asked: CapacityRequest, progress: Progress) -> CapacityExperiment:
    """Search each variant's capacity, one after the other.

    UsageError before anything is made, for a variant that is not there, and for budgets that a search can't keep.
    The error of a variant that fails is raised once it is torn down; what was found of those before it is kept.
    """
    to_keep = search_budgets(asked)
    request = asked.request
    for name in asked.variants:
        plan.variant_of(request.scenario, name)
    rules = memory_rules(request.scenario.stop_when)
    request = replace(request, scenario=replace(request.scenario, load=search_load(asked), stop_when=rules))
    context = prepare_context(request)
    trials = [Trial.prepare(context, name, block=1) for name in asked.variants]
    runs: list[tuple[RunFolder, CapacityResult]] = []
    with run_record.orderly_interrupts(progress.say):
        experiment = record_folder.create_experiment(request.results, request.scenario.name, time.time_ns())
        documents.save_plan(experiment, _plan(asked, context))
        progress.say(f"{request.scenario.name} on the {context.choice.engine} engine: {context.choice.reason}")
        for trial in trials:
            work = CapacitySearch(
                trial.variant, budgets=to_keep, effort=asked.effort, load=request.scenario.load, progress=progress
            )
            runs.append(_searched(work, trial, experiment, progress))
    run_folders, results = zip(*runs, strict=True)
    return CapacityExperiment(experiment=experiment, folders=run_folders, results=results)


def search_budgets(asked: CapacityRequest) -> SearchBudgets:
    """Return the budgets that the search keeps, and those of the validation; UsageError if it can't."""
    scenario = asked.request.scenario
    texts = asked.budgets or scenario.budgets
    try:
        return capacity_trial.search_budgets([budget_rules.parse(text) for text in texts])
    except ValueError as error:
        raise UsageError(
            "a search can't keep these budgets"
            if texts
            else "no budget to search for: give --budget, or `budgets:` in the scenario",
            where=str(scenario.path),
            seen=str(error),
            expected="at least one budget of latency, failures or a detail of flows",
            hint=f"seatrial capacity {source.scenario_name(scenario.path)} --budget 'p95 of \"NAME\" < 150ms'",
        ) from error


def search_load(asked: CapacityRequest) -> Load:
    """Return the load of the search: an open one that begins at the lowest rate; its window is the validation."""
    load = asked.request.scenario.load
    poisson = asked.spacing == "poisson"
    if asked.spacing is None:
        poisson = load.rate is not None and load.rate.poisson
    least = asked.effort.first_per_s
    return replace(
        load,
        users=asked.users or max(load.users, LEAST_USERS),
        rate=Rate.steady(least, poisson=poisson),
        stable=False,
        warmup_s=max(min(load.warmup_s, 30.0), 1.0),
        duration_s=asked.validate_s,
    )


def memory_rules(rules: tuple[str, ...]) -> tuple[str, ...]:
    """Return the rules that may end a search: those of memory. Latency and failures are what it provokes."""
    return tuple(text for text in rules if stop_rules.parse(text).metric is None)


def _searched(
    work: CapacitySearch, trial: Trial, experiment: Path, progress: Progress
) -> tuple[RunFolder, CapacityResult]:
    """Search one variant's capacity on a stack of its own, and save what was found."""
    spacing = "at random" if work.load.rate is not None and work.load.rate.poisson else "evenly spaced"
    folder = trial.run(
        experiment,
        progress,
        run_load=work.perform,
        description=f"{trial.variant}: arrivals {spacing}, served by at most {work.load.users} users",
        command_ns=command_began_ns() if not list(experiment.glob("runs/*")) else time.monotonic_ns(),
    )
    result = sealed_result(work, folder)
    documents.save_capacity(folder, result)
    return folder, result


def sealed_result(work: CapacitySearch, folder: RunFolder) -> CapacityResult:
    """Return what was found of one variant, with its validation, from the sealed run."""
    document = documents.load_document(folder)
    shared = [note.text for note in document.notes if note.kind is NoteKind.SHARED_CORES]
    rate_per_s = work.validated_per_s
    if rate_per_s is not None:
        load = document.scenario["load"]
        steady = Rate.steady(rate_per_s, poisson=load["rate"]["poisson"]).to_json()
        load = {**load, "rate": {"text": f"{rate_per_s:.4g}/s", **steady}}
        documents.save_document(folder, replace(document, scenario={**document.scenario, "load": load}))
    return replace(
        work.result(),
        shared=shared[0] if shared else "",
        validation=None
        if rate_per_s is None
        else capacity_trials.validation(work.budgets, folder, rate_per_s, work.load.duration_s),
    )


def _plan(asked: CapacityRequest, context: RunContext) -> ExperimentPlan:
    request = context.request
    return ExperimentPlan(
        command="capacity",
        scenario=request.scenario.name,
        question=request.scenario.question,
        seed=request.seed,
        blocks=(asked.variants,),
        base=asked.variants[0],
        design=Design.RUNS,
        budgets=asked.budgets or request.scenario.budgets,
        shared_cores=context.shared_cores,
        time_s=len(asked.variants) * (asked.effort.limit_s + asked.validate_s),
        resolved=plan.resolved(request.scenario),
    )

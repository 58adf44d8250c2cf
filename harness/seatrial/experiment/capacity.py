"""`seatrial capacity`: request, plan and result of one search for the highest sustainable rate per variant."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from seatrial.compare import budgets as budget_rules
from seatrial.compare import capacity_trial
from seatrial.compare.capacity import CapacityResult, Effort
from seatrial.compare.capacity_trial import SearchBudgets
from seatrial.errors import UsageError
from seatrial.experiment.capacity_trials import CapacitySearch, validation
from seatrial.experiment.request import Request
from seatrial.experiment.run_record import orderly_interrupts
from seatrial.experiment.trial import RunContext, Trial, prepare_context
from seatrial.measure import stop_rules
from seatrial.model import Design, ExperimentPlan, Load, NoteKind
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record.folder import RunFolder, create_experiment
from seatrial.scenario import plan, source
from seatrial.wire.rates import Rate

LEAST_USERS = 200
"""The smallest pool of users: at a budget of 100 ms it carries 2,000 requests a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityRequest:
    """A capacity search: variants, budgets as texts, effort, and the length of its validation.

    Defaults: `budgets` and `spacing` (constant, poisson) those of the scenario, or constant; `users` those of the
    scenario, at least LEAST_USERS.
    """

    request: Request
    variants: tuple[str, ...]
    budgets: tuple[str, ...] = ()
    spacing: str | None = None
    users: int | None = None
    validate_s: float = 60.0
    effort: Effort = field(default_factory=Effort)


def effort(options: Mapping[str, Any]) -> Effort:
    """Return the effort for options of the command line; UsageError if no search is possible with them."""
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


def search(capacity_request: CapacityRequest, progress: Progress) -> list[tuple[RunFolder, CapacityResult]]:
    """Search each variant's capacity, one after the other; return the run folder and result of each.

    Raises UsageError before anything is made, for an unknown variant or budgets that can't be searched. The error
    of a variant that fails is raised once it is torn down; the results of those before it are kept.
    """
    budgets = search_budgets(capacity_request)
    request, scenario = capacity_request.request, capacity_request.request.scenario
    for name in capacity_request.variants:
        plan.variant_of(scenario, name)
        if scenario.actions_of(name):
            raise UsageError(
                "a capacity search does nothing to the stack beside its load",
                where=str(scenario.path),
                seen=f"actions of variant {name!r}",
                expected="variants without actions",
                hint="seatrial run or compare: their window has moments; or give the variant `actions: []`",
            )
    load, rules = search_load(capacity_request), memory_rules(scenario.stop_when)
    context = prepare_context(replace(request, scenario=replace(scenario, load=load, stop_when=rules)))
    trials = [Trial.prepare(context, name, block=1) for name in capacity_request.variants]
    done: list[tuple[RunFolder, CapacityResult]] = []
    with orderly_interrupts(progress.say):
        experiment = create_experiment(request.results, scenario.name, time.time_ns())
        documents.save_plan(experiment, _plan(capacity_request, context))
        progress.say(f"{scenario.name} on the {context.choice.engine} engine: {context.choice.reason}")
        for trial in trials:
            searching = CapacitySearch(
                trial.variant, budgets=budgets, effort=capacity_request.effort, load=load, progress=progress
            )
            spacing = "at random" if load.rate is not None and load.rate.poisson else "evenly spaced"
            folder = trial.run(
                experiment,
                progress,
                run_load=searching.run_load,
                description=f"{trial.variant}: arrivals {spacing}, served by at most {load.users} users",
                command_ns=time.monotonic_ns() if done else request.command_ns,
            )
            result = _sealed_result(searching, folder)
            documents.save_capacity(folder, result)
            done.append((folder, result))
    return done


def search_budgets(capacity_request: CapacityRequest) -> SearchBudgets:
    """Return the budgets of the search and of the validation; UsageError if they can't be searched."""
    scenario = capacity_request.request.scenario
    texts = capacity_request.budgets or scenario.budgets
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


def search_load(capacity_request: CapacityRequest) -> Load:
    """Return the load of the search: open, warmed up at the lowest rate; its window is the validation."""
    load, spacing = capacity_request.request.scenario.load, capacity_request.spacing
    poisson = spacing == "poisson" or (spacing is None and load.rate is not None and load.rate.poisson)
    return replace(
        load,
        users=capacity_request.users or max(load.users, LEAST_USERS),
        rate=Rate.steady(capacity_request.effort.first_per_s, poisson=poisson),
        stable=False,
        warmup_s=max(min(load.warmup_s, 30.0), 1.0),
        duration_s=capacity_request.validate_s,
    )


def memory_rules(rules: tuple[str, ...]) -> tuple[str, ...]:
    """Return the rules about memory: only they may end a search, which provokes latency and failures."""
    return tuple(text for text in rules if stop_rules.parse(text).metric is None)


def _sealed_result(searching: CapacitySearch, folder: RunFolder) -> CapacityResult:
    """Return the result with the validation of its window, whose rate becomes that of the sealed run's load."""
    document = documents.load_document(folder)
    result = replace(
        searching.result(),
        shared=next((note.text for note in document.notes if note.kind is NoteKind.SHARED_CORES), ""),
    )
    rate_per_s = searching.validated_per_s
    if rate_per_s is None:
        return result
    load = document.scenario["load"]
    steady = Rate.steady(rate_per_s, poisson=load["rate"]["poisson"]).to_json()
    load = {**load, "rate": {"text": f"{rate_per_s:.4g}/s", **steady}}
    documents.save_document(folder, replace(document, scenario={**document.scenario, "load": load}))
    duration_s = searching.load.duration_s
    return replace(result, validation=validation(searching.budgets, folder, rate_per_s, duration_s))


def _plan(capacity_request: CapacityRequest, context: RunContext) -> ExperimentPlan:
    request = context.request
    return ExperimentPlan(
        command="capacity",
        scenario=request.scenario.name,
        question=request.scenario.question,
        seed=request.seed,
        blocks=(capacity_request.variants,),
        base=capacity_request.variants[0],
        design=Design.RUNS,
        budgets=capacity_request.budgets or request.scenario.budgets,
        shared_cores=context.shared_cores,
        time_s=len(capacity_request.variants) * (capacity_request.effort.limit_s + capacity_request.validate_s),
        resolved=plan.resolved(request.scenario),
    )

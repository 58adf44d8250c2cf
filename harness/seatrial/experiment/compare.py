"""`seatrial compare` and `selfcheck`: plan an experiment, choose its design, run or resume it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from seatrial.analysis.stored_runs import RunCache
from seatrial.compare.facts import Facts
from seatrial.errors import Incomparable, Interrupted
from seatrial.experiment import baseline, resume
from seatrial.experiment.baseline import ExpectedFacts
from seatrial.experiment.blocks import ExperimentDesign, ExperimentLoop, FinishedExperiment, FreshStacks
from seatrial.experiment.request import Request
from seatrial.experiment.resume import ResumableExperiment
from seatrial.experiment.run_record import orderly_interrupts
from seatrial.experiment.slices import Slices
from seatrial.experiment.trial import RunContext, initial_document, prepare_context
from seatrial.model import Design, EngineName, ExperimentPlan, Scenario
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record.folder import create_experiment
from seatrial.scenario import plan as plans
from seatrial.scenario import source
from seatrial.scenario.plan import BaselinePlan, ChosenDesign, MemoryNeed
from seatrial.stack.engine import Choice

_KIB = 1024
DesignFactory = Callable[[RunContext, Path, ExperimentPlan, Progress], ExperimentDesign]
DESIGNS: Mapping[Design, DesignFactory] = MappingProxyType({Design.RUNS: FreshStacks, Design.SLICES: Slices})


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """A comparison to be made: `command` is `compare` or `selfcheck`.

    `resume` names the experiment to be resumed, `against` the stored one whose runs are the base.
    """

    request: Request
    command: str = "compare"
    resume: str = ""
    against: str = ""


def compare(
    compare_request: CompareRequest,
    progress: Progress,
    cache: RunCache | None = None,
    *,
    prepare: Callable[[Request], RunContext] = prepare_context,
    designs: Mapping[Design, DesignFactory] = DESIGNS,
) -> FinishedExperiment:
    """Run the experiment and return how it ended; with a `cache` no look analyses a run again.

    The plan is written before anything starts. Raises Interrupted, with the command that resumes, once all is torn
    down; Incomparable if the stored experiment had another environment; UsageError; and any error that is no
    outcome of a run.
    """
    request, command, against = compare_request.request, compare_request.command, compare_request.against
    if command == "selfcheck":
        request = replace(request, scenario=plans.with_again(request.scenario))
    stored, stored_facts = baseline.find(request.results, against) if against else (None, None)
    context = prepare(request)
    resumed = resume.find(request, compare_request.resume, command) if compare_request.resume else None
    plan = _plan(context, command, stored, resumed)
    if stored_facts is not None:
        _refuse_foreseen(stored_facts, context, plan)
    if resumed is not None:
        resume.refuse_changed(resumed, plan, context.choice.engine)
    with orderly_interrupts(progress.say):
        begun = resumed
        if begun is None:
            folder = create_experiment(request.results, plan.scenario, time.time_ns())
            documents.save_plan(folder, plan)
            begun = ResumableExperiment(folder=folder, plan=plan)
        try:
            progress.say(_in_words(begun, plan.design_reason, context.choice))
            expected = ExpectedFacts(experiment=begun.folder, plan=begun.plan, stored=stored_facts)
            design = designs[begun.plan.design](
                replace(context, expected=expected), begun.folder, begun.plan, progress
            )
            return ExperimentLoop(begun, progress, cache=cache).run(design)
        except (KeyboardInterrupt, Interrupted) as error:
            name, where = source.scenario_name(request.scenario.path), str(begun.folder)
            raise Interrupted(
                "stopped; everything is torn down and what was finished is kept",
                where=where,
                seen=error.seen if isinstance(error, Interrupted) else "",
                hint=f"seatrial {command} {name} --resume {shlex.quote(where)}",
            ) from error


def _plan(
    context: RunContext, command: str, against: BaselinePlan | None, resumed: ResumableExperiment | None
) -> ExperimentPlan:
    """Return the plan; a resumed experiment keeps its design, whatever memory is free now."""
    request, shared_cores = context.request, context.shared_cores
    scenario, seed = request.scenario, request.seed
    if resumed is not None:
        chosen = ChosenDesign(design=resumed.plan.design, reason="as it began")
    elif against is not None:
        chosen = ChosenDesign(design=Design.RUNS, reason="as the stored experiment")
    else:
        chosen = choose_design(context)
    if command == "selfcheck":
        plan = plans.selfcheck_plan(scenario, seed=seed, shared_cores=shared_cores, design=chosen.design)
    else:
        plan = plans.comparison_plan(
            scenario, seed=seed, shared_cores=shared_cores, design=chosen.design, against=against
        )
    files = resume.file_digests(scenario, results=request.results)
    return replace(plan, design_reason=chosen.reason, files=files)


def _in_words(experiment: ResumableExperiment, reason: str, choice: Choice) -> str:
    """Describe an experiment in one line, and name its folder in another; `reason` is why it has its design."""
    plan = experiment.plan
    names = ", ".join(name for name in plan.variants if name != plan.base)
    base = f"{plan.stored!r} of {plan.against}" if plan.against else plan.base
    most = "one block" if len(plan.blocks) == 1 else f"at most {len(plan.blocks)} blocks"
    time_s = "" if plan.time_s is None else f" in at most {plan.time_s:g} s"
    engine = f"{choice.engine} engine: {choice.reason}"
    design = f"{plan.design.value} ({reason})"
    return f"{plan.scenario}: {names} against {base}; {design}; {most}{time_s}; {engine}\n{experiment.folder}"


def _refuse_foreseen(there: Facts, context: RunContext, plan: ExperimentPlan) -> None:
    """Raise Incomparable for facts that are known to differ before the start, or leave no metric of the gate."""
    page = initial_document(context, "", 1, plan.resolved, command_ns=context.request.command_ns)
    differing = baseline.refuse_incomparable(there, baseline.facts_of(page), plan.varies, plan.against)
    if plan.gate and differing and not baseline.comparable_metrics(plan.gate, differing):
        raise Incomparable(
            "no metric of the gate can be compared across what differs",
            where=plan.against,
            seen=f"{', '.join(differing)} differ; the gate has {', '.join(plan.gate)}",
            expected="cpu per request or memory, where only the host differs",
        )


def choose_design(context: RunContext) -> ChosenDesign:
    """Return the design for a comparison of the scenario's variants, with the reason."""
    scenario, comparing = context.request.scenario, context.request.scenario.comparing
    names = dict.fromkeys((comparing.base, *(comparing.variants or scenario.variants)))
    acted = any(map(scenario.actions_of, names))
    return plans.choose_design(
        comparing,
        scenario.gate,
        memory_for_stacks(scenario, tuple(names)),
        load=scenario.load,
        hindrance=why_not_together(context.choice, context.request.port)
        or ("there are actions, whose moments are those of one run" if acted else ""),
    )


def memory_for_stacks(
    scenario: Scenario, names: Sequence[str], *, meminfo: Path = Path("/proc/meminfo")
) -> MemoryNeed:
    """Return the free memory of this host (MemAvailable of proc(5), in KiB), and what these variants may take."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    available = [int(line.split()[1]) * _KIB for line in lines if line.startswith("MemAvailable:")]
    services = source.compose_services(scenario.compose_file) or {}
    return MemoryNeed(
        available_bytes=available[0] if available else None,
        stacks_bytes={name: plans.stack_bytes(services, scenario.variants[name]) for name in names},
    )


def why_not_together(choice: Choice, port: int) -> str:
    """Return why several stacks can't be up at once, apart from memory; empty if they can."""
    if choice.engine is not EngineName.COMPOSE:
        return f"the {choice.engine} engine has one stack at a time"
    return f"only one stack can have the port {port}" if port else ""

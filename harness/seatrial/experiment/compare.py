"""`compare` and `selfcheck`: plan the experiment, choose its design, run or resume it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

from seatrial.analysis.stored_runs import RunCache
from seatrial.compare import facts
from seatrial.compare.facts import Facts
from seatrial.errors import Incomparable, Interrupted
from seatrial.experiment import baseline
from seatrial.experiment import resume as resumes
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
from seatrial.record import folder as folders
from seatrial.scenario import plan as plans
from seatrial.scenario import source
from seatrial.scenario.plan import BaselinePlan, ChosenDesign, MemoryNeed
from seatrial.stack.engine import Choice

_KIB = 1024
DesignFactory = Callable[[RunContext, Path, ExperimentPlan, Progress], ExperimentDesign]
DESIGNS: Mapping[Design, DesignFactory] = MappingProxyType({Design.RUNS: FreshStacks, Design.SLICES: Slices})


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """A comparison that is asked for.

    `command` is `compare` or `selfcheck`; `resume` names the experiment to go on with, `against` the stored one
    that stands for the base.
    """

    request: Request
    command: str = "compare"
    resume: str = ""
    against: str = ""


def compare(
    asked: CompareRequest,
    progress: Progress,
    cache: RunCache | None = None,
    *,
    prepare: Callable[[Request], RunContext] = prepare_context,
    designs: Mapping[Design, DesignFactory] = DESIGNS,
) -> FinishedExperiment:
    """Do the experiment and return how it ended.

    The plan is written before anything starts. Raises Interrupted, with the command that resumes, once all is torn
    down; Incomparable where the environment of the stored experiment was another one; UsageError and what would
    end every further run, at once. With a `cache` no look analyses a run again.
    """
    if asked.command == "selfcheck":
        scenario = plans.with_again(asked.request.scenario)
        asked = replace(asked, request=replace(asked.request, scenario=scenario))
    stored, stored_facts = baseline.find(asked.request.results, asked.against) if asked.against else (None, None)
    context = prepare(asked.request)
    resumed = resumes.find(asked.request, asked.resume, asked.command) if asked.resume else None
    plan = _plan(asked, context, stored, resumed)
    if stored_facts is not None:
        _refuse_foreseen(stored_facts, context, plan)
    if resumed is not None:
        resumes.refuse_changed(resumed, plan, context.choice.engine)
    why = plan.design_reason
    with orderly_interrupts(progress.say):
        if resumed is None:
            folder = folders.create_experiment(asked.request.results, plan.scenario, time.time_ns())
            documents.save_plan(folder, plan)
        else:
            folder, plan = resumed.folder, resumed.plan
        try:
            progress.say(_in_words(plan, why, context.choice, folder))
            expected = ExpectedFacts(experiment=folder, plan=plan, stored=stored_facts)
            loop = ExperimentLoop(
                folder,
                plan,
                progress,
                finished=resumed.finished if resumed else (),
                state=documents.load_progress(folder) if resumed else None,
                base_failed=resumed.base_failed if resumed else (),
                cache=cache,
            )
            return loop.run(designs[plan.design](replace(context, expected=expected), folder, plan, progress))
        except (KeyboardInterrupt, Interrupted) as error:
            scenario_word = source.scenario_name(asked.request.scenario.path)
            raise Interrupted(
                "stopped; everything is torn down and what was finished is kept",
                where=str(folder),
                seen=error.seen if isinstance(error, Interrupted) else "",
                hint=f"seatrial {asked.command} {scenario_word} --resume {shlex.quote(str(folder))}",
            ) from error


def _plan(
    asked: CompareRequest, context: RunContext, against: BaselinePlan | None, resumed: ResumableExperiment | None
) -> ExperimentPlan:
    """Return the plan; what is resumed keeps its own design: free memory comes and goes."""
    scenario, seed, shared_cores = asked.request.scenario, asked.request.seed, context.shared_cores
    if resumed is not None:
        chosen = ChosenDesign(design=resumed.plan.design, reason="as it began")
    elif against is not None:
        chosen = ChosenDesign(design=Design.RUNS, reason="as what is stored")
    else:
        chosen = choose_design(context)
    if asked.command == "selfcheck":
        plan = plans.selfcheck_plan(scenario, seed=seed, shared_cores=shared_cores, design=chosen.design)
    else:
        plan = plans.comparison_plan(
            scenario, seed=seed, shared_cores=shared_cores, design=chosen.design, against=against
        )
    files = resumes.file_digests(scenario, results=asked.request.results)
    return replace(plan, design_reason=chosen.reason, files=files)


def _in_words(plan: ExperimentPlan, why: str, choice: Choice, folder: Path) -> str:
    names = ", ".join(name for name in plan.variants if name != plan.base)
    base = f"{plan.stored!r} of {plan.against}" if plan.against else plan.base
    most = "one block" if len(plan.blocks) == 1 else f"at most {len(plan.blocks)} blocks"
    time_s = "" if plan.time_s is None else f" in at most {plan.time_s:g} s"
    engine = f"{choice.engine} engine: {choice.reason}"
    return (
        f"{plan.scenario}: {names} against {base}; {plan.design.value} ({why}); {most}{time_s}; {engine}\n{folder}"
    )


def _refuse_foreseen(there: Facts, context: RunContext, plan: ExperimentPlan) -> None:
    """Refuse what is known to differ before anything is started, and a gate of which nothing would be left."""
    page = initial_document(context, "", 1, plan.resolved, command_ns=context.request.command_ns)
    differing = baseline.refuse_incomparable(there, facts.facts_of(asdict(page)), plan.varies, plan.against)
    if plan.gate and differing and not baseline.comparable_metrics(plan.gate, differing):
        raise Incomparable(
            "no metric of the gate can be compared across what differs",
            where=plan.against,
            seen=f"{', '.join(differing)} differ; the gate has {', '.join(plan.gate)}",
            expected="cpu per request or memory, where only the host differs",
        )


def choose_design(context: RunContext) -> ChosenDesign:
    """Return the design of a comparison of all variants that the scenario names, with the reason."""
    scenario, comparing = context.request.scenario, context.request.scenario.comparing
    names = dict.fromkeys((comparing.base, *(comparing.variants or scenario.variants)))
    return plans.choose_design(
        comparing,
        scenario.gate,
        memory_for_stacks(scenario, tuple(names)),
        load=scenario.load,
        hindrance=why_not_together(context.choice, context.request.port),
    )


def memory_for_stacks(
    scenario: Scenario, names: Sequence[str], *, meminfo: Path = Path("/proc/meminfo")
) -> MemoryNeed:
    """Return the free memory of this host, and what the variants of these names may take."""
    services = source.compose_services(scenario.compose_file) or {}
    return MemoryNeed(
        available_bytes=_available_bytes(meminfo),
        stacks_bytes={name: plans.stack_bytes(services, scenario.variants[name]) for name in names},
    )


def why_not_together(choice: Choice, port: int) -> str:
    """Return in words why stacks can't be up at once, whatever memory there is; empty if they can."""
    if choice.engine is not EngineName.COMPOSE:
        return f"the {choice.engine} engine has one stack at a time"
    return f"only one stack can have the port {port}" if port else ""


def _available_bytes(meminfo: Path) -> int | None:
    """Return MemAvailable of proc(5), which is in KiB; None where there is no such line."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    words = next((line.split() for line in lines if line.startswith("MemAvailable:")), None)
    return int(words[1]) * _KIB if words else None

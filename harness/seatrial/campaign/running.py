"""`seatrial run`: one scenario, one variant, once; sealed whatever becomes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from seatrial.campaign import cores, interrupts
from seatrial.campaign.journal import Journal
from seatrial.campaign.manner import Manner
from seatrial.campaign.request import Request, new_run_id, of_variant, stack_secrets
from seatrial.campaign.sealing import sealed
from seatrial.campaign.trial import TrialRun
from seatrial.errors import UsageError
from seatrial.load import command
from seatrial.load import pinning as pinnings
from seatrial.load.pinning import Pinning
from seatrial.model import ExperimentPlan, Trial
from seatrial.observe import checkout, facts
from seatrial.record import folder as folders
from seatrial.record import plans
from seatrial.record.document import RunDocument
from seatrial.record.folder import RunFolder
from seatrial.report.progress import Progress
from seatrial.scenario import plan
from seatrial.stack import engine
from seatrial.stack.engine import Choice
from seatrial.stack.guard import guarded
from seatrial.stack.ownership import this_owner
from seatrial.stack.spec import StackSpec

_BUILD_S = 900.0
"""For images that have yet to be built, on a slow mirror; a deadline of the labels, not a wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is decided once for all runs of a command: where the services run, and who gets which cores.

    `came_up` is shown each run as soon as its stack is ready; what it raises ends that run before its load.
    """

    request: Request
    choice: Choice
    pinning: Pinning
    came_up: Callable[[RunDocument], None] = lambda _: None

    @property
    def shared_cores(self) -> bool:
        """Whether the load and the stack may run on the same cores."""
        generator, stack = (held or self.pinning.usable for held in (self.pinning.generator, self.pinning.stack))
        return bool(pinnings.shared(generator, stack, self.request.scenario.load.processes))


def prepared(request: Request) -> Setting:
    """Check the load and choose the engine; UsageError or EngineUnavailable before anything is made."""
    load = request.scenario.load
    command.check(load, request.scenario.variants.values())
    return Setting(
        request=request,
        choice=engine.choose(request.engine, attach=request.attach),
        pinning=cores.decided(load),
    )


def run(request: Request, progress: Progress) -> RunFolder:
    """Run the scenario once and return its sealed folder.

    Whatever happens after the folder was made, the stack is torn down, the data up to that moment is sealed, and
    only then the error is raised.
    """
    request = of_variant(request, request.variant)
    scenario, trial = request.scenario, Trial(variant=request.variant, block=1)
    setting = prepared(request)
    stack_secrets(scenario, setting.choice.engine)  # what is missing is told before there is a folder
    with interrupts.orderly(progress.say):
        experiment = folders.create_experiment(request.results, scenario.name, time.time_ns())
        plans.save(experiment, _plan(setting, trial))
        choice = setting.choice
        progress.say(f"{scenario.name} ({trial.variant}) on the {choice.engine} engine: {choice.reason}")
        return one_trial(setting, experiment, trial, progress, command_ns=request.command_ns)


def one_trial(
    setting: Setting,
    experiment: Path,
    trial: Trial,
    progress: Progress,
    manner: Manner | None = None,
    *,
    command_ns: int,
) -> RunFolder:
    """Do one trial of an experiment in a folder of its own and return it, sealed.

    `command_ns` is when its work began. The error of a trial that fails is raised once it is torn down and sealed;
    its folder stays.
    """
    with opened(setting, experiment, trial, progress, manner or Manner(), command_ns=command_ns) as one:
        one.through()
    return one.journal.folder


@contextmanager
def opened(
    setting: Setting, experiment: Path, trial: Trial, progress: Progress, manner: Manner, *, command_ns: int
) -> Iterator[TrialRun]:
    """Make the folder of a trial and give what does it; at the end, whatever that is, it is sealed."""
    request = of_variant(setting.request, trial.variant)
    command.check(request.scenario.load)
    secrets = stack_secrets(request.scenario, setting.choice.engine)
    folder = folders.create_run(experiment, trial.variant, trial.block, time.time_ns())
    journal = Journal(folder, first_page(replace(request, command_ns=command_ns), trial, setting.choice))
    spec = stack_spec(request, secrets, folder, journal.document.run_id)
    deadline_s = spec.deadline_s + manner.longer_s
    spec = replace(spec, cores=setting.pinning.stack, built=manner.built, deadline_s=deadline_s)
    with sealed(journal), guarded(spec.run_id) as guard:
        guard.log_to(folder.logs / "deadman.log")
        yield TrialRun(
            request=request,
            choice=setting.choice,
            spec=spec,
            pinning=setting.pinning,
            guard=guard,
            journal=journal,
            progress=progress,
            manner=manner,
            came_up=setting.came_up,
        )


def _plan(setting: Setting, trial: Trial) -> ExperimentPlan:
    request = setting.request
    return ExperimentPlan(
        command="run",
        scenario=request.scenario.name,
        question=request.scenario.question,
        seed=request.seed,
        blocks=((trial.variant,),),
        base=trial.variant,
        gate=request.scenario.gate,
        budgets=request.scenario.budgets,
        shared_cores=setting.shared_cores,
        resolved=plan.resolved(request.scenario),
    )


def stack_spec(
    request: Request, secrets: Mapping[str, str], folder: RunFolder, run_id: str, *, kept: bool = False
) -> StackSpec:
    """Return what the engine needs to bring up the request's variant."""
    scenario = request.scenario
    if request.port and scenario.front_door is None:
        raise UsageError(
            "there is no front door to publish",
            where=str(scenario.path),
            seen=f"--port {request.port}",
            hint="name it in the scenario: front_door: {service: NAME, port: NUMBER}",
        )
    probes_s = sum(probe.within_s for probe in scenario.ready)
    load_s = scenario.load.warmup_s + scenario.load.duration_s + scenario.load.drain_s
    return StackSpec(
        run_id=run_id,
        project=request.attach or f"seatrial-{run_id}",
        compose_file=scenario.compose_file,
        variant=scenario.variants[request.variant],
        front_door=scenario.front_door,
        probes=scenario.ready,
        environment=secrets,
        work=folder.root / "work",
        logs=folder.logs,
        port=request.port,
        kept=kept,
        deadline_s=_BUILD_S + probes_s + 2 * load_s,
    )


def first_page(request: Request, trial: Trial, choice: Choice) -> RunDocument:
    """Return run.json as it is before anything has started."""
    scenario = request.scenario
    resolved = plan.resolved(scenario)
    environment = {"host": facts.host_facts(), "seed": request.seed, "load": resolved["load"]}
    return RunDocument(
        status="running",
        scenario_name=scenario.name,
        run_id=new_run_id(),
        scenario=resolved,
        variant=trial.variant,
        block=trial.block,
        engine=choice.engine,
        engine_reason=choice.reason,
        owner=str(this_owner()),
        clock={"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()},
        facts={"subject": {"git_commit": checkout.git_commit(Path.cwd())}, "environment": environment},
        timing={"command_ns": request.command_ns},
    )

"""`seatrial run`: one scenario, one variant, once; sealed whatever becomes of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from seatrial.campaign import cores, interrupts
from seatrial.campaign.journal import Journal
from seatrial.campaign.request import Request, new_run_id, stack_secrets
from seatrial.campaign.sealing import sealed
from seatrial.campaign.trial import TrialRun
from seatrial.load import driving
from seatrial.model import Trial
from seatrial.observe import checkout, facts
from seatrial.record import document as documents
from seatrial.record import folder as folders
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


def run(request: Request, progress: Progress) -> RunFolder:
    """Run the scenario once and return its sealed folder.

    Whatever happens after the folder was made, the stack is torn down, the data up to that moment is sealed, and
    only then the error is raised.
    """
    scenario = request.scenario
    trial = plan.single_trial(scenario, request.variant)
    driving.check(scenario.load)
    pinning = cores.decided(scenario.load)
    choice = engine.choose(request.engine, attach=request.attach)
    secrets = stack_secrets(scenario, choice.engine)
    wall_ns = time.time_ns()
    with interrupts.orderly(progress.say):
        experiment = folders.create_experiment(request.results, scenario.name, wall_ns)
        documents.save_plan(experiment, plan.plan(scenario, (trial,), request.seed))
        folder = folders.create_run(experiment, trial.variant, trial.block, wall_ns)
        journal = Journal(folder, _first_page(request, trial, choice))
        progress.say(f"{scenario.name} ({trial.variant}) on the {choice.engine} engine: {choice.reason}")
        spec = replace(stack_spec(request, secrets, folder, journal.document.run_id), cores=pinning.stack)
        with sealed(journal), guarded(spec.run_id) as guard:
            guard.log_to(folder.logs / "deadman.log")
            TrialRun(
                request=request,
                choice=choice,
                spec=spec,
                pinning=pinning,
                guard=guard,
                journal=journal,
                progress=progress,
            ).through()
    return folder


def stack_spec(
    request: Request, secrets: Mapping[str, str], folder: RunFolder, run_id: str, *, kept: bool = False
) -> StackSpec:
    """Return what the engine needs to bring up the request's variant."""
    scenario = request.scenario
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


def _first_page(request: Request, trial: Trial, choice: Choice) -> RunDocument:
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

"""One trial, from an empty run folder to a sealed run: stack up, seed, load, tear down; and `seatrial run`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from seatrial.errors import UsageError
from seatrial.experiment import preflight
from seatrial.experiment.actions import ActionThread, acting, refuse_actions
from seatrial.experiment.baseline import ExpectedFacts
from seatrial.experiment.monitor import RunMonitor, StopRules, raise_if_stopped
from seatrial.experiment.request import Request, new_run_id, stack_secrets, variant_request
from seatrial.experiment.run_record import RunRecord, orderly_interrupts, sealed
from seatrial.host import facts
from seatrial.load import child
from seatrial.load.child import LoadSettings
from seatrial.load.driver import LoadObserver, LoadResult, allowed_hosts, check_target, drive
from seatrial.load.pinning import Pinning, cores_in_use, decide
from seatrial.model import EngineName, ExperimentPlan, Load, NoteKind, Service, Spawn, Stack, StackSpec, Watch
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder, create_experiment, create_run
from seatrial.sampler.live import live_readings
from seatrial.sampler.session import Observer, observing
from seatrial.scenario import plan
from seatrial.stack import engine, readiness
from seatrial.stack.cleanup import this_owner
from seatrial.stack.engine import Choice
from seatrial.stack.processes import ProcessGuard, guarded, on_cores

CATALOGUE = "${catalogue}"
"""Stands in a load parameter for the path of the catalogue that seeding wrote."""
_BUILD_S = 900.0
"""For building images on a slow mirror; part of the deadline in the labels of a stack, not a wait."""


RunLoad = Callable[[LoadSettings, LoadObserver, Spawn], LoadResult]
"""Drives a load to its end, as `load.driver.drive` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What is decided once for all runs of a command: the engine, and the cores of load and stack.

    `expected` are the facts that each run must have, if any.
    """

    request: Request
    choice: Choice
    pinning: Pinning
    expected: ExpectedFacts | None = None

    @property
    def shared_cores(self) -> bool:
        """Whether the load and the stack may run on the same cores."""
        planned = cores_in_use(self.pinning, {"cores": self.pinning.stack})
        return bool(planned.shared(self.request.scenario.load.processes))


def prepare_context(request: Request) -> RunContext:
    """Check variant and load, choose engine and cores; UsageError or EngineUnavailable before anything is made."""
    scenario, load = request.scenario, request.scenario.load
    plan.variant_of(scenario, request.variant)
    child.check_options(load, scenario.variants.values())
    return RunContext(
        request=request,
        choice=engine.choose(request.engine, attach=request.attach),
        pinning=decide(load.pinning, os.sched_getaffinity(0), load.processes),
    )


def run(request: Request, progress: Progress) -> RunFolder:
    """Run the scenario once and return its sealed folder.

    An error is raised once the stack is torn down and the data up to then is sealed.
    """
    context = prepare_context(request)
    trial = Trial.prepare(context, request.variant, block=1)
    scenario = trial.request.scenario
    with orderly_interrupts(progress.say):
        experiment = create_experiment(request.results, scenario.name, time.time_ns())
        experiment_plan = ExperimentPlan(
            command="run",
            scenario=scenario.name,
            question=scenario.question,
            seed=request.seed,
            blocks=((trial.variant,),),
            base=trial.variant,
            gate=scenario.gate,
            budgets=scenario.budgets,
            shared_cores=context.shared_cores,
            resolved=trial.resolved,
        )
        documents.save_plan(experiment, experiment_plan)
        choice = context.choice
        progress.say(f"{scenario.name} ({trial.variant}) on the {choice.engine} engine: {choice.reason}")
        return trial.run(experiment, progress, command_ns=request.command_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One variant under one load, once; `block` counts from 1.

    `request` is the context's with the variant's own load; `resolved` is its scenario as JSON values.
    """

    context: RunContext
    variant: str
    block: int
    request: Request
    secrets: Mapping[str, str]
    resolved: Mapping[str, Any]

    @classmethod
    def prepare(cls, context: RunContext, variant: str, block: int) -> Trial:
        """Resolve the trial of one variant; UsageError for a variant or secrets that are missing.

        Also for actions on a stack that is attached to.
        """
        request = variant_request(context.request, variant)
        refuse_actions(request.scenario, context.choice.engine)
        return cls(
            context=context,
            variant=variant,
            block=block,
            request=request,
            secrets=stack_secrets(request.scenario, context.choice.engine),
            resolved=plan.resolved(request.scenario),
        )

    def run(
        self,
        experiment: Path,
        progress: Progress,
        *,
        command_ns: int,
        images_built: bool = False,
        run_load: RunLoad = drive,
        description: str = "",
    ) -> RunFolder:
        """Do the trial in a folder of its own and return that, sealed.

        `command_ns` is when its work began; `run_load` and `description` are as in `RunningTrial.drive_load`. The
        error of a trial that fails is raised once it is torn down and sealed; its folder stays.
        """
        with self.bring_up(experiment, progress, command_ns=command_ns, images_built=images_built) as running:
            running.drive_load(progress, run_load=run_load, description=description)
        return running.record.folder

    @contextmanager
    def bring_up(
        self,
        experiment: Path,
        progress: Progress,
        *,
        command_ns: int,
        images_built: bool = False,
        extra_s: float = 0.0,
    ) -> Iterator[RunningTrial]:
        """Make the run folder, bring the stack up, seed, check and sample it; at the end tear it down and seal.

        With `images_built` no image is built. `extra_s` is added to the time that the stack may stay.
        """
        context, request = self.context, self.request
        folder = create_run(experiment, self.variant, self.block, time.time_ns())
        page = initial_document(context, self.variant, self.block, self.resolved, command_ns=command_ns)
        record = RunRecord(folder, page)
        spec = stack_spec(request, self.secrets, folder, page.run_id)
        deadline_s = spec.deadline_s + extra_s
        spec = replace(spec, cores=context.pinning.stack, built=images_built, deadline_s=deadline_s)
        with sealed(record), guarded(spec.run_id) as guard:
            guard.log_to(folder.logs / "deadman.log")
            with engine.running(context.choice, spec, guard, progress.say) as stack:
                _describe(record, context, stack)
                ready = f"ready at {stack.url} ({stack.via})" if stack.url else "ready; there is no front door"
                progress.say(ready)
                if context.expected is not None:
                    context.expected.check(record.document)
                hosts = allowed_hosts(stack.addresses, request.scenario.allow_hosts, request.confirmed_hosts)
                if stack.url:
                    check_target(stack.url, hosts)
                catalogue = provide_catalogue(request, spec, stack, folder.catalogue, guard)
                record.stamp("seeded_ns")
                preflight.check_ranges(request.scenario.preflight, stack.url, catalogue, record, progress)
                with observing(
                    watches(stack.services),
                    folder.streams,
                    folder.events,
                    spawn=guard.spawn,
                    project=stack.project,
                ) as observer:
                    yield RunningTrial(self, record, stack, guard, observer, hosts, catalogue)
                record.stamp("drained_ns")
            record.stamp("torn_down_ns")


@dataclass(frozen=True, slots=True)
class RunningTrial:
    """A trial whose stack is up, seeded and sampled, ready for its load."""

    trial: Trial
    record: RunRecord
    stack: Stack
    guard: ProcessGuard
    observer: Observer
    hosts: tuple[str, ...]
    catalogue: Path | None

    def drive_load(self, progress: Progress, *, run_load: RunLoad = drive, description: str = "") -> None:
        """Drive the load to its end by `run_load`; StoppedEarly if a rule of `stop_when` ended it.

        `description` is the line shown before; by default it describes the scenario's load.
        """
        scenario, folder = self.trial.request.scenario, self.record.folder
        settings = LoadSettings(
            load=scenario.load,
            target=self.stack.url,
            folder=folder.root,
            streams=folder.streams,
            log=folder.logs / "locust.log",
            secrets=self.trial.secrets,
            parameters=parameters(scenario.load.parameters, self.catalogue),
            seed=self.trial.request.seed,
            hosts=self.hosts,
        )
        progress.say(description or load_in_words(scenario.load))
        rules = StopRules(scenario.stop_when)
        spawn = on_cores(self.guard.spawn, self.trial.context.pinning.generator)
        actions = ActionThread(
            scenario.actions,
            self.stack,
            scenario.ready,
            window_s=scenario.load.duration_s,
            events=folder.events,
            observer=self.observer,
        )
        with live_readings(self.stack.services, trees=rules.of_services) as live, acting(actions):
            monitor = RunMonitor(
                self.record, rules, observer=self.observer, live=live, progress=progress, actions=actions
            )
            result = run_load(settings, monitor, spawn)
        warmup = {} if result.warmup is None else {"warmup": asdict(result.warmup)}
        self.record.change(rows={"errors": result.errors}, facts={**self.record.document.facts, **warmup})
        raise_if_stopped(rules, monitor)


def initial_document(
    context: RunContext, variant: str, block: int, resolved: Mapping[str, Any], *, command_ns: int
) -> RunDocument:
    """Return run.json as it stands before anything is started."""
    request, choice = context.request, context.choice
    environment = {"host": facts.host_facts(), "seed": request.seed, "load": resolved["load"]}
    return RunDocument(
        status="running",
        scenario_name=request.scenario.name,
        run_id=new_run_id(),
        scenario=dict(resolved),
        variant=variant,
        block=block,
        engine=choice.engine,
        engine_reason=choice.reason,
        owner=str(this_owner()),
        clock={"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()},
        facts={"subject": {"git_commit": facts.git_commit(Path.cwd())}, "environment": environment},
        timing={"command_ns": command_ns},
    )


def stack_spec(request: Request, secrets: Mapping[str, str], folder: RunFolder, run_id: str) -> StackSpec:
    """Return the specification by which the engine brings up the request's variant."""
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
        deadline_s=_BUILD_S + probes_s + 2 * load_s,
    )


def _describe(record: RunRecord, context: RunContext, stack: Stack) -> None:
    """Write services, images, engine, cores and distortions of the stack that came up into run.json."""
    subject, environment = record.document.facts["subject"], record.document.facts["environment"]
    used = cores_in_use(context.pinning, stack.facts)
    engine_facts = {name: value for name, value in stack.facts.items() if name not in {"images", "cores"}}
    record.change(
        url_via=stack.via,
        facts={
            "subject": {**subject, "images": stack.facts.get("images", {})},
            "environment": {**environment, "engine": engine_facts, "pinning": used.facts()},
        },
        services=service_names(stack.services),
    )
    record.stamp("ready_ns")
    for kind, text in distortions(context.choice, stack):
        record.note(kind, text)
    if text := used.shared(context.request.scenario.load.processes):
        record.note(NoteKind.SHARED_CORES, text)


def load_in_words(load: Load) -> str:
    """Describe a load in one line."""
    who = f"{load.users} users"
    if load.rate is not None:
        spacing = "at random" if load.rate.poisson else "evenly spaced"
        who = f"arrivals at {load.rate.text()}, {spacing}, served by {load.users} users"
    where = f" in {load.processes} processes" if load.processes > 1 else ""
    until = f"until stable, at most {load.warmup_s:g} s" if load.stable else f"{load.warmup_s:g} s"
    return f"{who}{where}; warm-up {until}; window {load.duration_s:g} s"


def parameters(named: Mapping[str, str], catalogue: Path | None) -> dict[str, str]:
    """Fill the catalogue's path into load parameters; without a catalogue those that need it are left out."""
    present = {name: value for name, value in named.items() if catalogue is not None or CATALOGUE not in value}
    return {name: value.replace(CATALOGUE, str(catalogue)) for name, value in present.items()}


def service_names(services: tuple[Service, ...]) -> tuple[str, ...]:
    """Return each service's name once, however many containers it has."""
    return tuple(dict.fromkeys(service.name for service in services))


def watches(services: tuple[Service, ...]) -> tuple[Watch, ...]:
    """Return what the sampler reads from the start: every service, the host, and itself."""
    of_services = (
        Watch(service=service.name, kind="container", container=service.container)
        if service.container
        else Watch(service=service.name, kind="tree", pid=service.pid)
        for service in services
    )
    return (*of_services, Watch(service="host", kind="host"), Watch(service="sampler", kind="sampler"))


def provide_catalogue(
    request: Request, spec: StackSpec, stack: Stack, catalogue: Path, guard: ProcessGuard
) -> Path | None:
    """Seed the stack, or copy the catalogue that was given; return its path, None if nothing is seeded.

    An attached stack is never seeded: it belongs to its owner.
    """
    if request.catalogue is not None:
        try:
            shutil.copyfile(request.catalogue, catalogue)
        except OSError as error:
            raise UsageError(
                "the catalogue can't be read", where=str(request.catalogue), seen=str(error)
            ) from error
        return catalogue
    if not request.scenario.seed or stack.engine is EngineName.ATTACH:
        return None
    readiness.seed(spec, stack, request.scenario.seed, catalogue, guard)
    return catalogue


def distortions(choice: Choice, stack: Stack) -> list[tuple[NoteKind, str]]:
    """Return a note for each thing that makes this run slower than a plain Linux host with overlay2."""
    distorting = []
    if stack.engine is EngineName.LOCAL:
        distorting.append((NoteKind.LOCAL_ENGINE, f"the services ran as processes of this host: {choice.reason}"))
    if stack.via == "published port":
        distorting.append(
            (NoteKind.PUBLISHED_PORT, "each request passed through Docker's userland proxy (about 51 µs)")
        )
    if (driver := stack.facts.get("storage_driver", "")) in {"fuse-overlayfs", "vfs"}:
        text = f"storage driver {driver}: opening a file costs up to 60 µs more than on overlay2"
        distorting.append((NoteKind.SLOW_STORAGE_DRIVER, text))
    return distorting

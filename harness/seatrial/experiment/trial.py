"""One trial, from an empty run folder to a sealed run: stack up, seed, load, tear down."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from seatrial.errors import UsageError
from seatrial.experiment.baseline import ExpectedFacts
from seatrial.experiment.monitor import RunMonitor, StopRules, raise_if_stopped
from seatrial.experiment.request import Request, new_run_id, stack_secrets, variant_request
from seatrial.experiment.run_record import RunRecord, orderly_interrupts, sealed
from seatrial.host import facts
from seatrial.load import child
from seatrial.load import driver as drivers
from seatrial.load import pinning as pinnings
from seatrial.load.child import LoadSettings
from seatrial.load.driver import LoadObserver, LoadResult
from seatrial.load.pinning import Pinning
from seatrial.model import EngineName, ExperimentPlan, Load, NoteKind, Service, Spawn, Stack, StackSpec, Watch
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record import folder as folders
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder
from seatrial.sampler.live import live_readings
from seatrial.sampler.session import Observer, observing
from seatrial.scenario import plan
from seatrial.stack import engine, readiness
from seatrial.stack.cleanup import this_owner
from seatrial.stack.engine import Choice
from seatrial.stack.processes import ProcessGuard, guarded, on_cores

CATALOGUE = "${catalogue}"
"""In a load parameter: the path of what was seeded."""
_BUILD_S = 900.0
"""For images that have yet to be built, on a slow mirror; a deadline of the labels, not a wait."""


class RunLoad(Protocol):
    """Drives a load through its phases, as `load.driving.drive` does."""

    def __call__(self, settings: LoadSettings, observer: LoadObserver, *, spawn: Spawn) -> LoadResult:
        """Drive it to its end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What is decided once for all runs of a command: where the services run, and which cores load and stack get.

    `expected` are the facts that each run must have; without it they may be any.
    """

    request: Request
    choice: Choice
    pinning: Pinning
    expected: ExpectedFacts | None = None

    @property
    def shared_cores(self) -> bool:
        """Whether the load and the stack may run on the same cores."""
        generator, stack = (held or self.pinning.usable for held in (self.pinning.generator, self.pinning.stack))
        return bool(pinnings.shared(generator, stack, self.request.scenario.load.processes))


def prepare_context(request: Request) -> RunContext:
    """Check variant and load, choose engine and cores; UsageError or EngineUnavailable before anything is made."""
    scenario = request.scenario
    plan.variant_of(scenario, request.variant)
    child.check_options(scenario.load, scenario.variants.values())
    return RunContext(
        request=request,
        choice=engine.choose(request.engine, attach=request.attach),
        pinning=pinnings.decide_pinning(scenario.load),
    )


def run(request: Request, progress: Progress) -> RunFolder:
    """Run the scenario once and return its sealed folder.

    Whatever happens after the folder was made, the stack is torn down, the data up to that moment is sealed, and
    only then the error is raised.
    """
    context = prepare_context(request)
    trial = Trial.prepare(context, request.variant, block=1)
    scenario = trial.request.scenario
    with orderly_interrupts(progress.say):
        experiment = folders.create_experiment(request.results, scenario.name, time.time_ns())
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

    `request` is the context's, with the variant's own load; `resolved` is its scenario as JSON values.
    """

    context: RunContext
    variant: str
    block: int
    request: Request
    secrets: Mapping[str, str]
    resolved: Mapping[str, Any]

    @classmethod
    def prepare(cls, context: RunContext, variant: str, block: int) -> Trial:
        """Compute what the trial needs; UsageError for a variant or secrets that are not there."""
        request = variant_request(context.request, variant)
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
        run_load: RunLoad = drivers.drive,
        description: str = "",
    ) -> RunFolder:
        """Do the trial in a folder of its own and return that, sealed.

        `command_ns` is when its work began; for `run_load` and `description` see `RunningTrial.drive_load`. The
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
        """Make the run folder, bring the stack up, seed and sample it; at the end tear it down and seal the run.

        With `images_built` the images are taken as they are. The stack may stay `extra_s` longer than the load's
        own times say.
        """
        context, request = self.context, self.request
        folder = folders.create_run(experiment, self.variant, self.block, time.time_ns())
        record = RunRecord(
            folder, initial_document(context, self.variant, self.block, self.resolved, command_ns=command_ns)
        )
        spec = stack_spec(request, self.secrets, folder, record.document.run_id)
        deadline_s = spec.deadline_s + extra_s
        spec = replace(spec, cores=context.pinning.stack, built=images_built, deadline_s=deadline_s)
        with sealed(record), guarded(spec.run_id) as guard:
            guard.log_to(folder.logs / "deadman.log")
            with engine.running(context.choice, spec, guard, progress.say) as stack:
                _describe(record, context, stack)
                progress.say(
                    f"ready at {stack.url} ({stack.via})" if stack.url else "ready; there is no front door"
                )
                if context.expected is not None:
                    context.expected.check(record.document)
                hosts = drivers.allowed_hosts(
                    stack=stack.addresses,
                    allowed=request.scenario.allow_hosts,
                    confirmed=request.confirmed_hosts,
                )
                if stack.url:
                    drivers.check_target(stack.url, hosts)
                catalogue = provide_catalogue(request, spec, stack, folder.catalogue, guard)
                record.stamp("seeded_ns")
                with observing(
                    watches(stack.services),
                    folder.streams,
                    folder.events,
                    spawn=guard.spawn,
                    project=stack.project,
                ) as observer:
                    yield RunningTrial(
                        trial=self,
                        record=record,
                        stack=stack,
                        guard=guard,
                        observer=observer,
                        hosts=hosts,
                        catalogue=catalogue,
                    )
                record.stamp("drained_ns")
            record.stamp("torn_down_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTrial:
    """A trial whose stack is up, seeded and sampled: its load can be driven."""

    trial: Trial
    record: RunRecord
    stack: Stack
    guard: ProcessGuard
    observer: Observer
    hosts: tuple[str, ...]
    catalogue: Path | None

    def drive_load(self, progress: Progress, *, run_load: RunLoad = drivers.drive, description: str = "") -> None:
        """Drive the load to its end by `run_load`; StoppedEarly if a rule of `stop_when` ended it.

        `description` says in one line what is about to be done; without it that is what the scenario says.
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
        with live_readings(self.stack.services, trees=rules.of_services) as live:
            monitor = RunMonitor(self.record, rules, observer=self.observer, live=live, progress=progress)
            result = run_load(settings, monitor, spawn=spawn)
        warmup = {} if result.warmup is None else {"warmup": asdict(result.warmup)}
        self.record.change(rows={"errors": result.errors}, facts={**self.record.document.facts, **warmup})
        raise_if_stopped(rules, monitor)


def initial_document(
    context: RunContext, variant: str, block: int, resolved: Mapping[str, Any], *, command_ns: int
) -> RunDocument:
    """Return run.json as it is before anything has started."""
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
        deadline_s=_BUILD_S + probes_s + 2 * load_s,
    )


def _describe(record: RunRecord, context: RunContext, stack: Stack) -> None:
    """Write down what came up: services, images, engine, cores, and what distorts the figures."""
    subject, environment = record.document.facts["subject"], record.document.facts["environment"]
    used = pinnings.cores_in_use(context.pinning, stack)
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
    """Return what is about to be done, in one line."""
    who = f"{load.users} users"
    if load.rate is not None:
        spacing = "at random" if load.rate.poisson else "evenly spaced"
        who = f"arrivals at {load.rate.text()}, {spacing}, served by {load.users} users"
    where = f" in {load.processes} processes" if load.processes > 1 else ""
    until = f"until stable, at most {load.warmup_s:g} s" if load.stable else f"{load.warmup_s:g} s"
    return f"{who}{where}; warm-up {until}; window {load.duration_s:g} s"


def parameters(wanted: Mapping[str, str], catalogue: Path | None) -> dict[str, str]:
    """Return the load parameters with the catalogue's path in place; without a catalogue they are left out."""
    present = {name: value for name, value in wanted.items() if catalogue is not None or CATALOGUE not in value}
    return {name: value.replace(CATALOGUE, str(catalogue)) for name, value in present.items()}


def service_names(running: tuple[Service, ...]) -> tuple[str, ...]:
    """Return the services' names, each once, however many containers it has."""
    return tuple(dict.fromkeys(service.name for service in running))


def watches(running: tuple[Service, ...]) -> tuple[Watch, ...]:
    """Return what the sampler reads from the start: every service, the host, and itself."""
    services = tuple(
        Watch(service=service.name, kind="container", container=service.container)
        if service.container
        else Watch(service=service.name, kind="tree", pid=service.pid)
        for service in running
    )
    return (*services, Watch(service="host", kind="host"), Watch(service="sampler", kind="sampler"))


def provide_catalogue(
    request: Request, spec: StackSpec, stack: Stack, catalogue: Path, guard: ProcessGuard
) -> Path | None:
    """Seed the stack, or take the catalogue that was given; None if there is nothing to seed with.

    A stack that is attached to is not ours to write to: it is seeded only by its owner.
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
    """Return what makes this run's figures differ from those of a plain Linux host with overlay2."""
    distorting = []
    if stack.engine is EngineName.LOCAL:
        distorting.append((NoteKind.LOCAL_ENGINE, f"the services ran as processes of this host: {choice.reason}"))
    if stack.via == "published port":
        distorting.append(
            (NoteKind.PUBLISHED_PORT, "each request passed through Docker's userland proxy (about 51 µs)")
        )
    driver = stack.facts.get("storage_driver", "")
    if driver in {"fuse-overlayfs", "vfs"}:
        text = f"storage driver {driver}: opening a file costs up to 60 µs more than on overlay2"
        distorting.append((NoteKind.SLOW_STORAGE_DRIVER, text))
    return distorting

"""One trial: the stack up, seeded, watched and loaded; each step written down as it is made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from seatrial.campaign import cores
from seatrial.campaign.journal import Journal
from seatrial.campaign.manner import Manner
from seatrial.campaign.request import Request
from seatrial.campaign.seconds import Watching, refuse_stopped
from seatrial.campaign.stopwatch import Stopwatch
from seatrial.errors import UsageError
from seatrial.load import target
from seatrial.load.orders import Hooks, Orders
from seatrial.load.pinning import Pinning
from seatrial.model import EngineName, Load, NoteKind, Service, Span, Stack, Watch
from seatrial.observe.glance import glancing
from seatrial.observe.session import Observer, observing
from seatrial.record.document import RunDocument
from seatrial.report.progress import Progress
from seatrial.stack import engine, seeding
from seatrial.stack.cores import on_cores
from seatrial.stack.engine import Choice
from seatrial.stack.guard import Guard
from seatrial.stack.spec import StackSpec

CATALOGUE = "${catalogue}"
"""In a load parameter: the path of what was seeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRun:
    """One trial with everything it needs.

    `came_up` is shown the run's page once its stack is ready.
    """

    request: Request
    choice: Choice
    spec: StackSpec
    pinning: Pinning
    guard: Guard
    journal: Journal
    progress: Progress
    manner: Manner
    came_up: Callable[[RunDocument], None] = lambda _: None

    def through(self) -> None:
        """Do the trial; the stack is torn down when this returns or raises, and what was recorded stays."""
        with self.ready() as drive:
            drive()

    @contextmanager
    def ready(self, live: Progress | None = None) -> Iterator[Callable[[], None]]:
        """Bring the stack up, seed and watch it, and give what drives its load; tear it down at the end.

        `live` is told of the load, in place of `progress`.
        """
        folder = self.journal.folder
        with engine.running(self.choice, self.spec, self.guard, self.progress.say) as stack:
            self._describe(stack)
            self.came_up(self.journal.document)
            if stack.url:
                target.check(stack.url, self._hosts(stack))
            catalogue = provide_catalogue(self.request, self.spec, stack, folder.catalogue, self.guard)
            self.journal.stamp("seeded_ns")
            with observing(
                watches(stack.services),
                folder.streams,
                folder.events,
                spawn=self.guard.spawn,
                project=stack.project,
            ) as observer:
                yield partial(self._drive, stack, observer, catalogue, live or self.progress)
            self.journal.stamp("drained_ns")
        self.journal.stamp("torn_down_ns")

    def _describe(self, stack: Stack) -> None:
        facts = self.journal.document.facts
        subject = {**facts["subject"], "images": stack.facts.get("images", {})}
        engine = {name: value for name, value in stack.facts.items() if name not in {"images", "cores"}}
        used = cores.of(self.pinning, stack)
        environment = {**facts["environment"], "engine": engine, "pinning": used.facts()}
        self.journal.change(
            url_via=stack.via,
            facts={"subject": subject, "environment": environment},
            services=names(stack.services),
        )
        self.journal.stamp("ready_ns")
        for kind, text in distortions(self.choice, stack):
            self.journal.note(kind, text)
        if text := used.shared(self.request.scenario.load.processes):
            self.journal.note(NoteKind.SHARED_CORES, text)
        self.progress.say(f"ready at {stack.url} ({stack.via})" if stack.url else "ready; there is no front door")

    def _drive(self, stack: Stack, observer: Observer, catalogue: Path | None, live: Progress) -> None:
        scenario, folder = self.request.scenario, self.journal.folder
        orders = Orders(
            load=scenario.load,
            target=stack.url,
            folder=folder.root,
            streams=folder.streams,
            log=folder.logs / "locust.log",
            secrets=self.spec.environment,
            parameters=parameters(scenario.load.parameters, catalogue),
            seed=self.request.seed,
            hosts=self._hosts(stack),
        )
        live.say(self.manner.words or in_words(scenario.load))
        stopwatch = Stopwatch(scenario.stop_when)
        with glancing(stack.services, trees=stopwatch.of_services) as glance:
            watching = Watching(observer=observer, glance=glance, stopwatch=stopwatch, progress=live)
            hooks = Hooks(
                started=lambda pid: observer.watch(Watch(service="generator", kind="tree", pid=pid)),
                phases=self._write_phases,
                second=watching.second,
                noted=self.journal.note,
                enough=lambda: bool(stopwatch.fired),
            )
            driven = self.manner.perform(orders, hooks, spawn=on_cores(self.guard.spawn, self.pinning.generator))
        warmup = {} if driven.warmup is None else {"warmup": asdict(driven.warmup)}
        facts = {**self.journal.document.facts, **warmup}
        self.journal.change(rows={"errors": driven.errors}, facts=facts)
        refuse_stopped(stopwatch, self.journal.note)

    def _hosts(self, stack: Stack) -> tuple[str, ...]:
        allowed, confirmed = self.request.scenario.allow_hosts, self.request.confirmed_hosts
        return target.hosts(stack=stack.addresses, allowed=allowed, confirmed=confirmed)

    def _write_phases(self, spans: tuple[Span, ...]) -> None:
        self.journal.change(spans=spans)


def in_words(load: Load) -> str:
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


def names(running: tuple[Service, ...]) -> tuple[str, ...]:
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
    request: Request, spec: StackSpec, stack: Stack, catalogue: Path, guard: Guard
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
    seeding.seed(spec, stack, request.scenario.seed, catalogue, guard)
    return catalogue


def distortions(choice: Choice, stack: Stack) -> list[tuple[NoteKind, str]]:
    """Return what makes this run's figures differ from those of a plain Linux host with overlay2."""
    found = []
    if stack.engine is EngineName.LOCAL:
        found.append((NoteKind.LOCAL_ENGINE, f"the services ran as processes of this host: {choice.reason}"))
    if stack.via == "published port":
        found.append(
            (NoteKind.PUBLISHED_PORT, "each request passed through Docker's userland proxy (about 51 µs)")
        )
    driver = stack.facts.get("storage_driver", "")
    if driver in {"fuse-overlayfs", "vfs"}:
        text = f"storage driver {driver}: opening a file costs up to 60 µs more than on overlay2"
        found.append((NoteKind.SLOW_STORAGE_DRIVER, text))
    return found

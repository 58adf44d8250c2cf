"""`seatrial up` (a stack that stays) and `seatrial observe` (sampling without load)."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from seatrial.errors import EngineUnavailable
from seatrial.experiment.request import Request, new_run_id, stack_secrets, variant_request
from seatrial.experiment.run_record import RunRecord, orderly_interrupts, sealed
from seatrial.experiment.trial import parameters, provide_catalogue, service_names, stack_spec, watches
from seatrial.host import facts
from seatrial.load import child
from seatrial.model import EngineName, Phase, Span
from seatrial.progress import Progress
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder, create_experiment, create_for_kept_stack, create_run
from seatrial.sampler.session import observing
from seatrial.stack import engine
from seatrial.stack.cleanup import this_owner
from seatrial.stack.processes import guarded
from seatrial.units import NS_PER_S

_TICK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptStack:
    """A stack that was left up, and a command that loads it with plain Locust."""

    project: str
    public_url: str
    locust_line: str
    folder: Path


def up(request: Request, kept_s: float, progress: Progress) -> KeptStack:
    """Bring the stack up, seed it and leave it up until `down`, or until `kept_s` have passed.

    Only containers can stay: a process of the embedded engine ends with its parent.
    """
    request = variant_request(request, request.variant)
    choice = engine.choose(request.engine, attach=request.attach)
    if choice.engine is not EngineName.COMPOSE:
        raise EngineUnavailable(
            "only the compose engine can leave a stack up",
            seen=f"{choice.engine}: {choice.reason}",
            hint="seatrial doctor shows what Docker lacks here",
        )
    secrets = stack_secrets(request.scenario, choice.engine)
    run_id = new_run_id()
    folder = create_for_kept_stack(request.results, f"{request.scenario.name}-{run_id}")
    spec = replace(stack_spec(request, secrets, folder, run_id), kept=True, deadline_s=kept_s)
    with (
        orderly_interrupts(progress.say),
        guarded(spec.run_id) as guard,
        engine.running(choice, spec, guard, progress.say) as stack,
    ):
        catalogue = provide_catalogue(request, spec, stack, folder.catalogue, guard)
    return KeptStack(
        project=stack.project,
        public_url=stack.public_url,
        locust_line=_locust_line(request, stack.public_url, secrets, catalogue),
        folder=folder.root,
    )


def _locust_line(request: Request, url: str, secrets: dict[str, str], catalogue: Path | None) -> str:
    load = request.scenario.load
    settings = [f"{name}={shlex.quote(value)}" for name, value in secrets.items()]
    words = [sys.executable, "-m", "locust", "-f", str(load.locustfile), *(["--host", url] if url else [])]
    words += child.options(parameters(load.parameters, catalogue))
    if load.rate is not None:
        words += ["--rate", load.rate.text(), "--arrivals", "poisson" if load.rate.poisson else "constant"]
    words += ["--headless", "-u", str(load.users), "-t", f"{load.duration_s:g}s"]
    return " ".join([*settings, shlex.join(words)])


def observe(project: str, results: Path, progress: Progress, *, duration_s: float, command_ns: int) -> RunFolder:
    """Sample the stack without load and return the sealed folder; Ctrl-C ends it early and keeps the data."""
    services = engine.attached_services(project)
    wall_ns = time.time_ns()
    experiment = create_experiment(results, f"observe-{project}", wall_ns)
    folder = create_run(experiment, "base", 1, wall_ns)
    page = RunDocument(
        status="running",
        scenario_name=f"observe-{project}",
        run_id=new_run_id(),
        services=service_names(services),
        engine=EngineName.ATTACH,
        engine_reason="a stack that was up already, watched without load",
        owner=str(this_owner()),
        clock={"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()},
        facts={"subject": {}, "environment": {"host": facts.host_facts()}},
        timing={"command_ns": command_ns},
    )
    record = RunRecord(folder, page)
    progress.say(f"watching {', '.join(service.name for service in services)} for {duration_s:g} s")
    with (
        orderly_interrupts(progress.say),
        sealed(record),
        guarded(page.run_id) as guard,
        observing(
            watches(services), folder.streams, folder.events, spawn=guard.spawn, project=project
        ) as observer,
    ):
        from_ns = time.monotonic_ns()
        until_ns = from_ns + round(duration_s * NS_PER_S)
        record.change(spans=(Span(phase=Phase.WINDOW, from_ns=from_ns, until_ns=until_ns),))
        try:
            while (left_ns := until_ns - time.monotonic_ns()) > 0:
                observer.check_alive()
                progress.live(f"{left_ns / NS_PER_S:.0f} s left")
                time.sleep(min(left_ns / NS_PER_S, _TICK_S))
        except KeyboardInterrupt:
            ended = Span(phase=Phase.WINDOW, from_ns=from_ns, until_ns=time.monotonic_ns())
            record.change(spans=(ended,))
    return folder

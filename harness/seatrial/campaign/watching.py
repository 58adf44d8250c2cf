"""`seatrial observe`: a stack that is already up, watched without any load."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seatrial.campaign import interrupts
from seatrial.campaign.journal import Journal
from seatrial.campaign.request import new_run_id
from seatrial.campaign.sealing import sealed
from seatrial.campaign.trial import names, watches
from seatrial.model import EngineName, Phase, Service, Span
from seatrial.observe import facts
from seatrial.observe.session import Observer, observing
from seatrial.record import folder as folders
from seatrial.record.document import RunDocument
from seatrial.record.folder import RunFolder
from seatrial.report.progress import Progress
from seatrial.stack import attach
from seatrial.stack.guard import guarded
from seatrial.stack.ownership import this_owner
from seatrial.units import NS_PER_S

_TICK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What is to be watched, for how long, and where that is kept."""

    project: str
    results: Path
    duration_s: float
    command_ns: int


def watch(wanted: Watching, progress: Progress, *, sleep: Callable[[float], None] = time.sleep) -> RunFolder:
    """Watch the stack and return the sealed folder; Ctrl-C ends the watching early and keeps what there is."""
    services = attach.services(wanted.project)
    wall_ns = time.time_ns()
    experiment = folders.create_experiment(wanted.results, f"observe-{wanted.project}", wall_ns)
    folder = folders.create_run(experiment, "base", 1, wall_ns)
    journal = Journal(folder, _first_page(wanted, services))
    progress.say(f"watching {', '.join(service.name for service in services)} for {wanted.duration_s:g} s")
    with (
        interrupts.orderly(progress.say),
        sealed(journal),
        guarded(journal.document.run_id) as guard,
        observing(
            watches(services), folder.streams, folder.events, spawn=guard.spawn, project=wanted.project
        ) as observer,
    ):
        _wait(wanted.duration_s, journal, progress, observer, sleep)
    return folder


def _wait(
    duration_s: float, journal: Journal, progress: Progress, observer: Observer, sleep: Callable[[float], None]
) -> None:
    from_ns = time.monotonic_ns()
    until_ns = from_ns + round(duration_s * NS_PER_S)
    journal.change(spans=(Span(phase=Phase.WINDOW, from_ns=from_ns, until_ns=until_ns),))
    try:
        while (left_ns := until_ns - time.monotonic_ns()) > 0:
            observer.check_alive()
            progress.live(f"{left_ns / NS_PER_S:.0f} s left")
            sleep(min(left_ns / NS_PER_S, _TICK_S))
    except KeyboardInterrupt:
        until_ns = time.monotonic_ns()
        journal.change(spans=(Span(phase=Phase.WINDOW, from_ns=from_ns, until_ns=until_ns),))


def _first_page(wanted: Watching, services: tuple[Service, ...]) -> RunDocument:
    return RunDocument(
        status="running",
        scenario_name=f"observe-{wanted.project}",
        run_id=new_run_id(),
        services=names(services),
        engine=EngineName.ATTACH,
        engine_reason="a stack that was up already, watched without load",
        owner=str(this_owner()),
        clock={"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()},
        facts={"subject": {}, "environment": {"host": facts.host_facts()}},
        timing={"command_ns": wanted.command_ns},
    )

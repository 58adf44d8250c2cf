"""`seatrial up`: a stack that stays, for people who point Locust at it by hand."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from seatrial.campaign import interrupts
from seatrial.campaign.request import Request, new_run_id, of_variant, stack_secrets
from seatrial.campaign.running import stack_spec
from seatrial.campaign.trial import parameters, provide_catalogue
from seatrial.errors import EngineUnavailable
from seatrial.load import command
from seatrial.model import EngineName
from seatrial.record import folder as folders
from seatrial.report.progress import Progress
from seatrial.stack import engine
from seatrial.stack.guard import guarded


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A stack that was left up, and the command that drives it."""

    project: str
    public_url: str
    locust_line: str
    folder: Path


def up(request: Request, kept_s: float, progress: Progress) -> Standing:
    """Bring the stack up, seed it and leave it there until `down` or until `kept_s` have passed.

    Only containers can be left: a process of the embedded engine ends with its parent.
    """
    request = of_variant(request, request.variant)
    choice = engine.choose(request.engine, attach=request.attach)
    if choice.engine is not EngineName.COMPOSE:
        raise EngineUnavailable(
            "only the compose engine can leave a stack up",
            seen=f"{choice.engine}: {choice.reason}",
            hint="seatrial doctor tells what Docker lacks here",
        )
    secrets = stack_secrets(request.scenario, choice.engine)
    run_id = new_run_id()
    folder = folders.create_standing(request.results, f"{request.scenario.name}-{run_id}")
    spec = replace(stack_spec(request, secrets, folder, run_id, kept=True), deadline_s=kept_s)
    with (
        interrupts.orderly(progress.say),
        guarded(spec.run_id) as guard,
        engine.running(choice, spec, guard, progress.say) as stack,
    ):
        catalogue = provide_catalogue(request, spec, stack, folder.catalogue, guard)
    return Standing(
        project=stack.project,
        public_url=stack.public_url,
        locust_line=_locust_line(request, stack.public_url, secrets, catalogue),
        folder=folder.root,
    )


def _locust_line(request: Request, url: str, secrets: dict[str, str], catalogue: Path | None) -> str:
    load = request.scenario.load
    settings = [f"{name}={shlex.quote(value)}" for name, value in secrets.items()]
    words = [sys.executable, "-m", "locust", "-f", str(load.locustfile), *(["--host", url] if url else [])]
    words += command.options(parameters(load.parameters, catalogue))
    if load.rate is not None:
        words += ["--rate", load.rate.text(), "--arrivals", "poisson" if load.rate.poisson else "constant"]
    words += ["--headless", "-u", str(load.users), "-t", f"{load.duration_s:g}s"]
    return " ".join([*settings, shlex.join(words)])

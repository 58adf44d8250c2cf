"""The request of a command: scenario, variant, engine and results folder; its secrets and its start time."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from seatrial.errors import UsageError
from seatrial.model import EngineName, Scenario
from seatrial.scenario import plan
from seatrial.units import NS_PER_TICK, stat_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One scenario to be run, and how.

    `attach` names a stack that is already up (a Compose project or `label=value`); `catalogue` replaces seeding.
    `command_ns` is when the user's command began.
    """

    scenario: Scenario
    results: Path
    command_ns: int
    variant: str = "base"
    engine: str = "auto"
    attach: str = ""
    catalogue: Path | None = None
    seed: int = 1
    port: int = 0
    confirmed_hosts: tuple[str, ...] = ()


def variant_request(request: Request, variant: str) -> Request:
    """Return the request for one variant, with its own parameters and actions; UsageError if it is unknown."""
    scenario = request.scenario
    changed = plan.variant_of(scenario, variant).parameters
    load = replace(scenario.load, parameters={**scenario.load.parameters, **changed})
    own = replace(scenario, load=load, actions=scenario.actions_of(variant))
    return replace(request, variant=variant, scenario=own)


def new_run_id() -> str:
    """Return an id that no other run has."""
    return secrets.token_hex(6)


def stack_secrets(
    scenario: Scenario, engine: EngineName, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the stack's secrets: from the environment, else random for this run.

    An attached stack has its own: UsageError names those that the environment lacks.
    """
    missing = [name for name in scenario.secrets if name not in environment]
    if missing and engine is EngineName.ATTACH:
        raise UsageError(
            "the attached stack has secrets that this process was not given",
            where=str(scenario.path),
            seen=f"not set: {', '.join(missing)}",
            hint=f"export {missing[0]}=...",
        )
    return {name: environment.get(name) or secrets.token_urlsafe(18) for name in scenario.secrets}


def command_began_ns(stat: Path = Path("/proc/self/stat")) -> int:
    """Return when this process began, on CLOCK_MONOTONIC, to a hundredth of a second.

    Field 22 of /proc/PID/stat counts clock ticks since boot, suspend included (proc(5)): CLOCK_BOOTTIME.
    """
    started_ns = int(stat_fields(stat.read_bytes())[19]) * NS_PER_TICK
    return started_ns - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns())

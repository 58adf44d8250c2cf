"""How much memory there is for stacks that are up at once, and what keeps them from being."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seatrial.campaign.running import Setting
from seatrial.model import EngineName, Scenario
from seatrial.scenario import design, plain
from seatrial.scenario.design import Chosen, Memory
from seatrial.stack.engine import Choice

_KIB = 1024


def chosen(setting: Setting) -> Chosen:
    """Return the design of a comparison of all variants that the scenario names, with the reason."""
    request = setting.request
    scenario, comparing = request.scenario, request.scenario.comparing
    names = dict.fromkeys((comparing.base, *(comparing.variants or scenario.variants)))
    return design.choose(
        comparing,
        scenario.gate,
        memory(scenario, tuple(names)),
        load=scenario.load,
        hindrance=hindrance(setting.choice, request.port),
    )


def memory(scenario: Scenario, names: Sequence[str], *, meminfo: Path = Path("/proc/meminfo")) -> Memory:
    """Return the free memory of this host, and what the variants of these names may take."""
    services = plain.compose_services(scenario.compose_file) or {}
    return Memory(
        available_bytes=_available_bytes(meminfo),
        stacks_bytes={name: design.stack_bytes(services, scenario.variants[name]) for name in names},
    )


def hindrance(choice: Choice, port: int) -> str:
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
    told = next((line.split() for line in lines if line.startswith("MemAvailable:")), None)
    return int(told[1]) * _KIB if told else None

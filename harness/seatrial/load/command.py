"""The command line and environment of the Locust child."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from seatrial.model import Load
from seatrial.wire.control import PLAN_VARIABLE, Plan


def argv(load: Load, target: str, parameters: Mapping[str, str]) -> list[str]:
    """Return the child's command; `parameters` are the load's own, with what the run knows filled in."""
    options = []
    for name, value in parameters.items():
        options += [f"--{name}", value]
    return [
        *(sys.executable, "-m", "locust", "-f", str(load.locustfile), "--headless", "--only-summary"),
        # All users are started at once: they wait at the gate, so the ramp is not part of what is measured.
        *("--users", str(load.users), "--spawn-rate", str(load.users)),
        # A failed request is data of the run; the harness judges it, not Locust's exit code.
        *("--host", target, "--exit-code-on-error", "0"),
        *options,
        *load.user_classes,
    ]


def environment(
    inherited: Mapping[str, str], plan: Plan, secrets: Mapping[str, str], home: Path
) -> dict[str, str]:
    """Return the child's environment.

    `LOCUST_*` is stripped and HOME is empty, because Locust reads options from both (`LOCUST_USERS`,
    `~/.locust.conf`), and an inherited `LOCUST_SKIP_MONKEY_PATCH` would leave its sockets blocking.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("LOCUST_")}
    return {**kept, **secrets, "HOME": str(home), "PYTHONUNBUFFERED": "1", PLAN_VARIABLE: plan.encode()}


def refused_parameters(load: Load, reserved: Sequence[str]) -> list[str]:
    """Return the parameters that would override an option the harness sets itself."""
    return [name for name in load.parameters if name in reserved]

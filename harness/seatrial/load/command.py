"""The command line and environment of the Locust child."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from seatrial.model import Load
from seatrial.wire.control import PLAN_VARIABLE, Plan

RESERVED = tuple(
    """
    host users spawn-rate run-time headless processes exit-code-on-error stop-timeout locustfile config
    master worker expect-workers autostart autoquit logfile loglevel only-summary reset-stats
    """.split()
)
"""Options that the harness sets itself, or that would take the child out of its hands."""


def argv(load: Load, target: str, parameters: Mapping[str, str]) -> list[str]:
    """Return the child's command; `parameters` are the load's own, with what the run knows filled in."""
    return [
        *(sys.executable, "-m", "locust", "-f", str(load.locustfile), "--headless", "--only-summary"),
        # All users are started at once: they wait at the gate, so the ramp is not part of what is measured.
        *("--users", str(load.users), "--spawn-rate", str(load.users)),
        # A failed request is data of the run; the harness judges it, not Locust's exit code.
        *("--host", target, "--exit-code-on-error", "0"),
        *options(parameters),
        *load.user_classes,
    ]


def options(parameters: Mapping[str, str]) -> list[str]:
    """Return parameters as options; `true` and `false` stand for a flag that is there or is not."""
    return [
        f"--{name}" if value == "true" else f"--{name}={value}"
        for name, value in parameters.items()
        if value != "false"
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


def refused_parameters(load: Load) -> list[str]:
    """Return the parameters that name a reserved option, in full or abbreviated as argparse permits."""
    return [name for name in load.parameters if any(option.startswith(name) for option in RESERVED)]

"""The command line and environment of the Locust child."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from seatrial.errors import UsageError
from seatrial.model import Load, Variant
from seatrial.wire.control import PLAN_VARIABLE, Plan

RESERVED = tuple(
    """
    host users spawn-rate run-time headless processes exit-code-on-error stop-timeout locustfile config
    master worker expect-workers expect-workers-max-wait enable-rebalancing autostart autoquit logfile loglevel
    only-summary reset-stats master-host master-port master-bind-host master-bind-port
    rate arrivals rate-file record
    """.split()
)
"""Options that the harness sets itself, or that would make the child run by itself."""


def plugin() -> Path:
    """Return the file that a Locust process loads after a locustfile, which records and controls its users.

    It is named, not imported: it imports locust, which patches the whole process.
    """
    return Path(__file__).resolve().parents[1] / "user" / "plugin.py"


def argv(load: Load, target: str, parameters: Mapping[str, str], *, master_port: int = 0) -> list[str]:
    """Return the child's command; `parameters` are the load's own, with what the run knows filled in.

    `target` is empty for a stack without a front door: then the locustfile alone says where its users work.
    `master_port` is where Locust's workers find their master; it has to be free, and is only used for several
    processes.
    """
    # Locust's own default is port 5557 on all interfaces.
    place = ("--master-bind-host", "127.0.0.1", "--master-bind-port", str(master_port))
    several = ("--processes", str(load.processes), *place, "--master-port", str(master_port))
    return [
        *(sys.executable, "-m", "locust", "-f", locustfiles(load), "--headless", "--only-summary"),
        # All users are started at once: they wait at the gate, so the ramp is not part of what is measured.
        *("--users", str(load.users), "--spawn-rate", str(load.users)),
        # A failed request is data of the run; the harness judges it, not Locust's exit code.
        *("--exit-code-on-error", "0"),
        *(("--host", target) if target else ()),
        *(several if load.processes > 1 else ()),
        *options(parameters),
        *load.user_classes,
    ]


def locustfiles(load: Load) -> str:
    """Return the value of `-f`: the user's file and ours; UsageError for a path that Locust would cut in two."""
    if "," in str(load.locustfile):
        raise UsageError(
            "the path of the locustfile has a comma",
            seen=str(load.locustfile),
            expected="a path without one: Locust takes it for two files",
        )
    return f"{load.locustfile},{plugin()}"


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def check(load: Load, variants: Iterable[Variant] = ()) -> None:
    """Raise UsageError for a locustfile that can't be named, or a parameter that the harness sets itself.

    The parameters are those of the load, and those that variants give it.
    """
    locustfiles(load)
    places = {"load.parameters": load.parameters}
    places |= {f"load.parameters of the variant {variant.name!r}": variant.parameters for variant in variants}
    for where, parameters in places.items():
        # argparse takes an abbreviation for the option.
        refused = [name for name in parameters if any(option.startswith(name) for option in RESERVED)]
        if refused:
            raise UsageError(
                "a load parameter is set by the harness itself",
                where=where,
                seen=", ".join(refused),
                hint="users, rate and duration stand under load:, the host comes from the stack",
            )

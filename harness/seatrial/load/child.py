"""The Locust child process: its command line, environment and start, and the error that its exit means."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seatrial.errors import LoadFailed, ResultsUnwritable, UsageError
from seatrial.load.channel import Channel
from seatrial.model import Load, Spawn, Variant
from seatrial.wire.control import PLAN_VARIABLE, Plan
from seatrial.wire.redaction import masked

RESERVED = tuple(
    """
    host users spawn-rate run-time headless processes exit-code-on-error stop-timeout locustfile config
    master worker expect-workers expect-workers-max-wait enable-rebalancing autostart autoquit logfile loglevel
    only-summary reset-stats master-host master-port master-bind-host master-bind-port
    rate arrivals rate-file record
    """.split()
)
"""Options that the harness sets, or that would make the child run on its own."""


def plugin() -> Path:
    """Return the file that Locust loads after the user's locustfile, to record and control its users.

    It must not be imported here: it imports locust, which patches the whole process.
    """
    return Path(__file__).resolve().parents[1] / "user" / "plugin.py"


def argv(load: Load, target: str, parameters: Mapping[str, str], *, master_port: int = 0) -> list[str]:
    """Return the child's command; `parameters` are those of the load, with the catalogue's path filled in.

    `target` is empty for a stack without a front door, whose locustfile knows where its users work. `master_port`
    is a free port at which the workers of several processes find their master.
    """
    # Locust's own default is port 5557 on all interfaces.
    place = ("--master-bind-host", "127.0.0.1", "--master-bind-port", str(master_port))
    several = ("--processes", str(load.processes), *place, "--master-port", str(master_port))
    return [
        *(sys.executable, "-m", "locust", "-f", locustfiles(load), "--headless", "--only-summary"),
        # All users start at once and wait at the gate, so that the ramp is not part of the measurement.
        *("--users", str(load.users), "--spawn-rate", str(load.users)),
        # Failed requests are data, which the harness judges: they must not change the exit code.
        *("--exit-code-on-error", "0"),
        *(("--host", target) if target else ()),
        *(several if load.processes > 1 else ()),
        *options(parameters),
        *load.user_classes,
    ]


def locustfiles(load: Load) -> str:
    """Return the value of `-f`: the user's locustfile and the plugin; UsageError for a path with a comma."""
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
    """Return parameters as options; `true` is a flag, `false` its absence."""
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
    passed = {name: value for name, value in inherited.items() if not name.startswith("LOCUST_")}
    return {**passed, **secrets, "HOME": str(home), "PYTHONUNBUFFERED": "1", PLAN_VARIABLE: plan.encode()}


def check_options(load: Load, variants: Iterable[Variant] = ()) -> None:
    """Raise UsageError for a locustfile with a comma in its path, or a parameter that the harness sets itself.

    The parameters are those of the load and of the variants.
    """
    locustfiles(load)
    places = {"load.parameters": load.parameters}
    places |= {f"load.parameters of the variant {variant.name!r}": variant.parameters for variant in variants}
    for where, parameters in places.items():
        # argparse accepts abbreviations of options.
        refused = [name for name in parameters if any(option.startswith(name) for option in RESERVED)]
        if refused:
            raise UsageError(
                "a load parameter is set by the harness itself",
                where=where,
                seen=", ".join(refused),
                hint="users, rate and duration stand under load:, the host comes from the stack",
            )


ABANDON_WITHIN_S = 5.0
_LAST_LINES = 15
_HINTED = re.compile(r"^ +hint:", re.MULTILINE)
_OPTIONS = "options stand under load.parameters, or in --set load.parameters.NAME=VALUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """The load of one trial, its target, files and secrets.

    `streams` takes the records, `log` the output; the load may connect to `hosts` and loopback only.
    """

    load: Load
    target: str
    folder: Path
    streams: Path
    log: Path
    secrets: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    hosts: tuple[str, ...] = ()


def start(settings: LoadSettings, control: Channel, log: IO[bytes], spawn: Spawn) -> Child:
    """Start Locust with a plan; its output goes to `log`."""
    plan = Plan(records=str(settings.streams), control=str(control.path), seed=settings.seed, hosts=settings.hosts)
    port = free_port() if settings.load.processes > 1 else 0
    process = spawn(
        argv(settings.load, settings.target, settings.parameters, master_port=port),
        env=environment(os.environ, plan, settings.secrets, control.path.parent),
        cwd=settings.folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    return Child(settings, process)


class Child:
    """The started process: the only one, or Locust's master of several."""

    def __init__(self, settings: LoadSettings, process: subprocess.Popen[bytes]) -> None:
        self._settings = settings
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def wait(self, within_s: float) -> int | None:
        """Wait for its end; return the exit code, or None if it still runs."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        return self.code

    def abandon(self, channel: Channel) -> None:
        """Let it write what is in flight as `cut`, before its process group is ended."""
        if not channel.connected:
            self.terminate()
            return
        channel.send("stop", drain_s=0)
        self.wait(ABANDON_WITHIN_S)

    def terminate(self) -> None:
        """End it without a record of what is in flight; Locust's master ends its workers."""
        self._process.terminate()
        self.wait(ABANDON_WITHIN_S)

    def exit_error(self, code: int, *, ready: bool) -> Exception:
        """Return the error for a child that ended by itself."""
        if code == ResultsUnwritable.exit_code:
            return self.unwritable_error(self.last_output())
        if code == UsageError.exit_code and not ready:
            return self.refused_error(self.last_output())
        return LoadFailed(
            f"the load generator ended by itself with exit code {code}",
            where=str(self._settings.load.locustfile),
            seen=self.last_output() or "no output",
            hint=f"its log: {self._settings.log}",
        )

    def refused_error(self, seen: str) -> UsageError:
        """Return the error for a locustfile that refuses its options, with its own hint if it gives one."""
        where = str(self._settings.load.locustfile)
        if _HINTED.search(seen):
            return UsageError("the locustfile can't be driven", where=where, seen=seen)
        return UsageError("the locustfile refuses its options", where=where, seen=seen, hint=_OPTIONS)

    def unwritable_error(self, seen: str) -> ResultsUnwritable:
        """Return the error for records that can't be written."""
        return ResultsUnwritable(
            "the load generator can't write its records",
            where=str(self._settings.streams),
            seen=seen,
            hint="make room, or choose another folder: --results DIR",
        )

    def not_ready_error(self, ready: int, within_s: float) -> LoadFailed:
        """Return the error for a child of which only `ready` processes got ready."""
        processes = self._settings.load.processes
        count = f"{ready} of {processes} load processes were\n" if processes > 1 else ""
        return LoadFailed(
            f"the load generator was not ready within {within_s:.0f} s",
            where=str(self._settings.load.locustfile),
            seen=count + (self.last_output() or "no output"),
            expected="that Locust starts its users; they wait at the gate",
            hint="try the locustfile alone: locust -f FILE --host URL --headless -u 1",
        )

    def still_running_error(self, within_s: float) -> LoadFailed:
        """Return the error for a child that does not end."""
        return LoadFailed(
            "the load generator did not end after it was asked to",
            where=f"process {self.pid}",
            expected=f"its end within {within_s:.0f} s",
            seen=self.last_output(),
        )

    def last_output(self) -> str:
        """Return the last lines of its log."""
        text = self._settings.log.read_text(encoding="utf-8", errors="replace")
        return masked("\n".join(text.strip().splitlines()[-_LAST_LINES:]))

    def mask_log(self) -> None:
        """Mask the secrets of URLs in the log, once the child has ended."""
        path = self._settings.log
        part = path.with_name(f"{path.name}.part")
        with suppress(OSError):  # of a full disk, which is reported elsewhere
            text = path.read_text(encoding="utf-8", errors="replace")
            if masked(text) != text:
                part.write_text(masked(text), encoding="utf-8")
                part.replace(path)

"""The load generator's process: how it is started, and what its end means."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seatrial.errors import LoadFailed, ResultsUnwritable, UsageError
from seatrial.load import command
from seatrial.load.channel import Channel
from seatrial.model import Load, Spawn
from seatrial.wire.control import Plan
from seatrial.wire.redaction import masked

ABANDON_WITHIN_S = 5.0
_LAST_LINES = 15
_HINTED = re.compile(r"^ +hint:", re.MULTILINE)
_OPTIONS = "options stand under load.parameters, or in --set load.parameters.NAME=VALUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """What one load process is started with: its load, target and files.

    `streams` takes its records, `log` its output; `hosts` are those that it may connect to besides loopback.
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
    """Start Locust with a plan; its output goes to the log."""
    plan = Plan(records=str(settings.streams), control=str(control.path), seed=settings.seed, hosts=settings.hosts)
    port = command.free_port() if settings.load.processes > 1 else 0
    process = spawn(
        command.argv(settings.load, settings.target, settings.parameters, master_port=port),
        env=command.environment(os.environ, plan, settings.secrets, control.path.parent),
        cwd=settings.folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    return Child(settings, process)


class Child:
    """The process that was started: the only one, or Locust's master above several."""

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
        """Let it write what is in flight as `cut` before its process group is ended."""
        if not channel.connected:
            self.terminate()
            return
        channel.send("stop", drain_s=0)
        self.wait(ABANDON_WITHIN_S)

    def terminate(self) -> None:
        """End it, for it has nothing to write; Locust's master ends its workers."""
        self._process.terminate()
        self.wait(ABANDON_WITHIN_S)

    def ended(self, code: int, *, ready: bool) -> Exception:
        """Return what it means that it ended by itself."""
        if code == ResultsUnwritable.exit_code:
            return self.unwritable(self.last_words())
        if code == UsageError.exit_code and not ready:
            return self.refused(self.last_words())
        return LoadFailed(
            f"the load generator ended by itself with exit code {code}",
            where=str(self._settings.load.locustfile),
            seen=self.last_words() or "no output",
            hint=f"its log: {self._settings.log}",
        )

    def refused(self, seen: str) -> UsageError:
        """Return the error for a locustfile that refuses its options, or that says itself what is to be done."""
        where = str(self._settings.load.locustfile)
        if _HINTED.search(seen):
            return UsageError("the locustfile can't be driven", where=where, seen=seen)
        return UsageError("the locustfile refuses its options", where=where, seen=seen, hint=_OPTIONS)

    def unwritable(self, seen: str) -> ResultsUnwritable:
        """Return the error for records that can't be written."""
        return ResultsUnwritable(
            "the load generator can't write its records",
            where=str(self._settings.streams),
            seen=seen,
            hint="make room, or choose another folder: --results DIR",
        )

    def not_ready(self, ready: int, within_s: float) -> LoadFailed:
        """Return the error for a child of which only so many processes said that they are ready."""
        wanted = self._settings.load.processes
        count = f"{ready} of {wanted} load processes were\n" if wanted > 1 else ""
        return LoadFailed(
            f"the load generator was not ready within {within_s:.0f} s",
            where=str(self._settings.load.locustfile),
            seen=count + (self.last_words() or "no output"),
            expected="that Locust starts the users; they are let in later",
            hint="try the locustfile alone: locust -f FILE --host URL --headless -u 1",
        )

    def stays(self, within_s: float) -> LoadFailed:
        """Return the error for a child that does not end."""
        return LoadFailed(
            "the load generator did not end after it was asked to",
            where=f"process {self.pid}",
            expected=f"its end within {within_s:.0f} s",
            seen=self.last_words(),
        )

    def last_words(self) -> str:
        """Return the last lines of its log."""
        text = self._settings.log.read_text(encoding="utf-8", errors="replace")
        return masked("\n".join(text.strip().splitlines()[-_LAST_LINES:]))

    def mask_log(self) -> None:
        """Take the secrets of URLs out of what was printed beside Locust's own log; call it at the end."""
        path = self._settings.log
        part = path.with_name(f"{path.name}.part")
        with suppress(OSError):  # of a full disk, which is told already
            text = path.read_text(encoding="utf-8", errors="replace")
            if masked(text) != text:
                part.write_text(masked(text), encoding="utf-8")
                part.replace(path)

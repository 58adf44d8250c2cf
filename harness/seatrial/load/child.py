"""The load generator's process: how it is started, and what its end means."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from typing import IO

from seatrial.errors import LoadFailed, ResultsUnwritable, UsageError
from seatrial.load import command
from seatrial.load.channel import Channel
from seatrial.load.orders import Orders
from seatrial.model import Spawn
from seatrial.wire.control import Plan
from seatrial.wire.masking import masked

ABANDON_WITHIN_S = 5.0
_LAST_LINES = 15
_HINTED = re.compile(r"^ +hint:", re.MULTILINE)
_OPTIONS = "options stand under load.parameters, or in --set load.parameters.NAME=VALUE"


def start(orders: Orders, steering: Channel, log: IO[bytes], spawn: Spawn) -> Child:
    """Start Locust with a plan; its output goes to the log."""
    plan = Plan(records=str(orders.streams), control=str(steering.path), seed=orders.seed, hosts=orders.hosts)
    port = command.free_port() if orders.load.processes > 1 else 0
    process = spawn(
        command.argv(orders.load, orders.target, orders.parameters, master_port=port),
        env=command.environment(os.environ, plan, orders.secrets, steering.path.parent),
        cwd=orders.folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    return Child(orders, process)


class Child:
    """The process that was started: the only one, or Locust's master above several."""

    def __init__(self, orders: Orders, process: subprocess.Popen[bytes]) -> None:
        self._orders = orders
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
        """End it with SIGTERM, where it has nothing to write; Locust's master ends its workers."""
        self._process.terminate()
        self.wait(ABANDON_WITHIN_S)

    def ended(self, code: int, *, ready: bool) -> Exception:
        """Return the error for a child that ended by itself."""
        if code == ResultsUnwritable.exit_code:
            return self.unwritable(self.last_words())
        if code == UsageError.exit_code and not ready:
            return self.refused(self.last_words())
        return LoadFailed(
            f"the load generator ended by itself with exit code {code}",
            where=str(self._orders.load.locustfile),
            seen=self.last_words() or "no output",
            hint=f"its log: {self._orders.log}",
        )

    def refused(self, seen: str) -> UsageError:
        """Return the error for a locustfile that refuses its options, or says with a hint why it can't run."""
        where = str(self._orders.load.locustfile)
        if _HINTED.search(seen):
            return UsageError("the locustfile can't be driven", where=where, seen=seen)
        return UsageError("the locustfile refuses its options", where=where, seen=seen, hint=_OPTIONS)

    def unwritable(self, seen: str) -> ResultsUnwritable:
        """Return the error for records that can't be written."""
        return ResultsUnwritable(
            "the load generator can't write its records",
            where=str(self._orders.streams),
            seen=seen,
            hint="make room, or choose another folder: --results DIR",
        )

    def not_ready(self, ready: int, within_s: float) -> LoadFailed:
        """Return the error for a child of which only so many processes became ready in time."""
        processes = self._orders.load.processes
        count = f"{ready} of {processes} load processes were\n" if processes > 1 else ""
        return LoadFailed(
            f"the load generator was not ready within {within_s:.0f} s",
            where=str(self._orders.load.locustfile),
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
        text = self._orders.log.read_text(encoding="utf-8", errors="replace")
        return masked("\n".join(text.strip().splitlines()[-_LAST_LINES:]))

    def mask_log(self) -> None:
        """Mask the secrets of URLs in the log, which holds more than Locust itself logs; call it at the end."""
        path = self._orders.log
        part = path.with_name(f"{path.name}.part")
        with suppress(OSError):  # of a full disk, which was reported already
            text = path.read_text(encoding="utf-8", errors="replace")
            if masked(text) != text:
                part.write_text(masked(text), encoding="utf-8")
                part.replace(path)

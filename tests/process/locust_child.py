"""A real Locust child that is controlled over a socket as by the harness, and its records."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from factories import read_lines, read_requests
from process import plain_locust

from seatrial.load.channel import GONE, Channel, opened
from seatrial.wire.control import PLAN_VARIABLE, Plan

LOCUSTFILE = plain_locust.ROOT / "locustfiles" / "registry_pull.py"
GIVE_UP_S = 20.0


class Child:
    """The child, its messages on the control socket, and its folder of records."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel, records: Path) -> None:
        self.process = process
        self.channel = channel
        self.records = records
        self.messages: list[Mapping[str, Any]] = []
        self.open_ns = 0

    def wait_for(self, kind: str, count: int = 1) -> Mapping[str, Any]:
        """Return the `count`th message of a kind."""
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            found = [message for message in self.messages if message["kind"] == kind]
            if len(found) >= count:
                return found[count - 1]
            self.messages += self._received(0.1)
            if self.process.poll() is not None and not self._received(0.0):
                break
        raise AssertionError(f"no {kind!r} among {self.messages}; its log:\n{self.log}")

    def until(self, condition: Callable[[], bool]) -> None:
        """Receive messages until a condition holds."""
        deadline = time.monotonic() + GIVE_UP_S
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"the condition never held; its log:\n{self.log}")
            self.messages += self._received(0.02)

    def _received(self, within_s: float) -> list[Mapping[str, Any]]:
        return [message for _, message in self.channel.receive(within_s) if message["kind"] != GONE]

    def open_gate(self) -> int:
        """Wait until the child is ready, and open its gate; return the moment."""
        self.wait_for("ready")
        self.open_ns = time.monotonic_ns() + 50_000_000
        self.channel.send("gate", open_ns=self.open_ns)
        return self.open_ns

    def stop(self, drain_s: float) -> int:
        """Stop the child as the harness does; return its exit code."""
        self.channel.send("stop", drain_s=drain_s)
        self.wait_for("drained")
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; return the exit code."""
        return self.process.wait(GIVE_UP_S)

    @property
    def log(self) -> str:
        """What it printed."""
        return (self.records / "log").read_text()

    def requests(self, worker: int = 0) -> list[dict[str, Any]]:
        """Return the rows of all files of `requests` by their start, codes turned into labels."""
        files = self.records.glob(f"requests-{worker}*.bin")
        return sorted((row for file in files for row in read_requests(file)), key=lambda row: row["t_start_ns"])

    def lines(self, table: str, worker: int = 0) -> list[dict[str, Any]]:
        """Return the objects of a line stream."""
        return read_lines(self.records / f"{table}-{worker}.jsonl")[1]


@contextmanager
def locust_child(
    url: str,
    *options: str,
    locustfile: Path = LOCUSTFILE,
    users: int = 2,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Start a child with a plan, and make sure that it has ended."""
    with tempfile.TemporaryDirectory() as folder, opened() as channel:
        plan = Plan(records=folder, control=str(channel.path), seed=7)
        variables = {PLAN_VARIABLE: plan.encode(), **(environment or {})}
        words = _words(url, options, users)
        with plain_locust.plain_locust(Path(folder), locustfile, *words, variables=variables) as process:
            yield Child(process, channel, Path(folder))


def started(
    url: str, options: Sequence[str], locustfile: Path, users: int, variables: Mapping[str, str], log: int
) -> subprocess.Popen[bytes]:
    """Start Locust as the harness does, in a process group of its own."""
    words = _words(url, options, users)
    return plain_locust.start(["-f", str(locustfile), *words], Path(tempfile.gettempdir()), variables, log)


def _words(url: str, options: Sequence[str], users: int) -> list[str]:
    words = ["--headless", "--only-summary", "--users", str(users), "--spawn-rate", str(users), "--host", url]
    return [*words, "--exit-code-on-error", "0", *options]

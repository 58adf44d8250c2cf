"""A scripted child: a process that sends messages on the control socket as Locust's workers do."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from seatrial.load.child import LoadSettings
from seatrial.load.driver import DriverFactory, LoadDriver, LoadObserver, LoadResult, drive
from seatrial.model import Load, LoadSecond, NoteKind, Phase, Span

PREAMBLE = """
import json, os, socket, sys, time
plan = json.loads(os.environ["SEATRIAL_PLAN"])
class Worker:
    def __init__(self):
        self.heard, self.last = [], None
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(plan["control"])
        self.received = self.line.makefile("rb")
    def send(self, **message): self.line.sendall(json.dumps(message).encode() + b"\\n")
    def await_(self, kind):
        while not self.heard or self.heard[-1]["kind"] != kind or self.last is self.heard[-1]:
            self.heard.append(json.loads(self.received.readline()))
        self.last = self.heard[-1]
        return self.last
    def close(self):
        self.received.close()
        self.line.close()
first = Worker()
send, await_ = first.send, first.await_
"""
OBEDIENT = """
send(kind="ready", worker=0)
gate = await_("gate")
send(kind="second", completed=5, failed=0, in_flight=1, errors=3)
stop = await_("stop")
print("drain", stop["drain_s"])
send(kind="drained", errors=4)
"""


class Scripted:
    """A spawn that starts a script in place of Locust, and keeps its command and its child."""

    def __init__(self, script: str) -> None:
        self.script = script
        self.argv: list[str] = []
        self.children: list[subprocess.Popen[bytes]] = []

    def __call__(self, argv: Sequence[str], **settings: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401  (Popen's)
        """Start the script."""
        self.argv = list(argv)
        command = [sys.executable, "-c", PREAMBLE + self.script]
        child = subprocess.Popen(command, **settings)
        self.children.append(child)
        return child

    def end(self) -> None:
        """End what was started."""
        for child in self.children:
            child.kill()
            child.wait()


class RecordingObserver(LoadObserver):
    """Keeps all reports of a load."""

    def __init__(self) -> None:
        self.pids: list[int] = []
        self.phases: list[tuple[Span, ...]] = []
        self.seconds: list[tuple[Phase, LoadSecond]] = []
        self.notes: list[tuple[NoteKind, str]] = []

    def child_started(self, pid: int) -> None:
        """Keep it."""
        self.pids.append(pid)

    def phases_known(self, spans: tuple[Span, ...]) -> None:
        """Keep them."""
        self.phases.append(spans)

    def second(self, phase: Phase, second: LoadSecond) -> None:
        """Keep it."""
        self.seconds.append((phase, second))

    def note(self, kind: NoteKind, text: str) -> None:
        """Keep it."""
        self.notes.append((kind, text))


def settings(tmp_path: Path, **load: Any) -> LoadSettings:  # noqa: ANN401  (fields of Load)
    """Return the settings of a short load."""
    short = Load(locustfile=tmp_path / "x.py", users=2, warmup_s=0.2, duration_s=0.3, drain_s=0.1)
    return LoadSettings(
        load=replace(short, **load),
        target="http://127.0.0.1:9",
        folder=tmp_path,
        streams=tmp_path,
        log=tmp_path / "locust.log",
        secrets={"WORD": "w"},
        seed=5,
    )


def drive_script(
    tmp_path: Path,
    script: str,
    observer: LoadObserver | None = None,
    *,
    driver: DriverFactory = LoadDriver,
    **load: Any,  # noqa: ANN401  (fields of Load)
) -> LoadResult:
    """Drive a short load whose child is this script; end what is left of it."""
    spawned = Scripted(script)
    try:
        return drive(settings(tmp_path, **load), observer or RecordingObserver(), spawn=spawned, driver=driver)
    finally:
        spawned.end()


def fast_driver() -> DriverFactory:
    """Return a driver whose clock goes on by four seconds each time that it is read."""
    return partial(LoadDriver, clock=partial(next, itertools.count(0, 4_000_000_000)))

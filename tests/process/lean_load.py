"""A real load of lean users on a small HTTP server, driven by a LoadDriver."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from process import scripted_child
from process.served import Handler, served
from spawning import spawn

from seatrial.load.child import LoadSettings
from seatrial.model import Spawn
from seatrial.wire.streams import read_layout

S = 1_000_000_000
LEAN = """
from locust import constant, task
from seatrial.user import LeanUser

class Asking(LeanUser):
    endpoints = ("page",)
    wait_time = constant(0.02)

    @task
    def ask(self):
        with self.flow("ask"):
            self.client.request("GET", "/", endpoint="page")
"""
PLAIN = """
from locust import HttpUser, constant, task

class Asking(HttpUser):
    wait_time = constant(0.05)

    @task
    def ask(self):
        self.client.get("/", name="page")
"""


@contextmanager
def serving(takes_s: float = 0.0) -> Iterator[str]:
    """Serve two bytes on a free port, each answer after `takes_s`; give the URL."""

    class Answer(Handler):
        def do_GET(self) -> None:
            time.sleep(takes_s)  # the service time of this server, not a wait for something
            self.answer(200, b"ok")

    with served(Answer) as url:
        yield url


def settings(folder: Path, url: str, locustfile: str = LEAN, **load: Any) -> LoadSettings:  # noqa: ANN401  (fields of Load)
    """Return the settings of a short load, whose records go to the folder."""
    folder.mkdir(exist_ok=True)
    path = folder / "asking.py"
    path.write_text(locustfile)
    lean = {"locustfile": path, "users": 4, "warmup_s": 1.0, "duration_s": 4.0, "drain_s": 1.0, **load}
    secrets = {"PYTHONPATH": str(Path(__file__).parents[2] / "harness")}
    return replace(scripted_child.settings(folder, **lean), target=url, secrets=secrets)


@contextmanager
def ending_spawn() -> Iterator[Spawn]:
    """Give a spawn whose processes are killed at the end, if they still run."""
    children: list[subprocess.Popen[bytes]] = []

    def kept(*words: Any, **named: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401  (as spawn takes them)
        children.append(spawn(*words, **named))
        return children[-1]

    try:
        yield kept
    finally:
        for child in children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def request_starts(folder: Path, worker: int = 0) -> list[int]:
    """Return the start of every recorded request of one worker, in order; it may have begun several files."""
    starts: list[int] = []
    for part in folder.glob(f"requests-{worker}*.bin"):
        with part.open("rb") as stream:
            layout = read_layout(stream)
            data = stream.read()
        whole = data[: len(data) - len(data) % layout.record.size]
        column = list(layout.columns).index("t_start_ns")
        starts += [row[column] for row in layout.record.iter_unpack(whole)]
    return sorted(starts)

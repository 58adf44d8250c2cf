"""Trials through the command line, for the tests of both engines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SEATRIAL = (sys.executable, "-m", "seatrial")
KNOWN = Path(__file__).parents[1] / "scenarios" / "stacks" / "known"
_SHORT = ("--warmup", "2s", "--duration", "6s")


@dataclass(frozen=True)
class Trial:
    """A finished command and the folder of its run."""

    results: Path
    done: subprocess.CompletedProcess[str]

    @property
    def folder(self) -> Path:
        """The run's folder."""
        (folder,) = self.results.glob("*/runs/*")
        return folder

    @property
    def document(self) -> dict[str, Any]:
        """The content of run.json."""
        document: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return document

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of the run."""
        return [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]


def run(results: Path, *words: str) -> Trial:
    """Run registry-pull for a few seconds, from an empty folder."""
    empty = results.parent / "empty"
    empty.mkdir(exist_ok=True)
    words = ("run", "registry-pull", "--results", str(results), *_SHORT, *words)
    return Trial(results, seatrial(*words, cwd=empty))


def seatrial(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Seatrial to its end, with further variables in its environment."""
    variables = {**os.environ, **environment}
    return subprocess.run(
        [*SEATRIAL, *words], cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False
    )


def interrupted(
    command: Sequence[str],
    results: Path,
    condition: Callable[[], object],
    act: Callable[[int], object] = lambda pid: os.kill(pid, signal.SIGINT),
    within_s: float = 120,
) -> Trial:
    """Start a command, and act on its process once the condition holds: by default Ctrl-C for that one alone."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as harness:
        try:
            wait_until(lambda: harness.poll() is not None or condition(), within_s)
            act(harness.pid)
            output = harness.communicate(timeout=60)
        finally:
            harness.kill()
    return Trial(results, subprocess.CompletedProcess(command, harness.returncode, *output))


def runs(results: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return the folder and the content of run.json of every run."""
    return [(path.parent, json.loads(path.read_text())) for path in sorted(results.glob("*/runs/*/run.json"))]


def write_scenario(
    folder: Path,
    services: Mapping[str, Any],
    locustfile: str,
    load: Mapping[str, Any],
    **more: Any,  # noqa: ANN401  (values of YAML)
) -> Path:
    """Write a stack of these services, a locustfile, and a scenario of both; return its path."""
    values = {"question": "Is it so?", "stack": "compose.yaml", "load": {"locustfile": "load.py", **load}, **more}
    (folder / "compose.yaml").write_text(yaml.safe_dump({"services": dict(services)}))
    (folder / "load.py").write_text(locustfile)
    (folder / "made-up.yaml").write_text(yaml.safe_dump(values))
    return folder / "made-up.yaml"


def write_known_with_actions(folder: Path, duration: str, actions: list[dict[str, str]], **more: Any) -> Path:  # noqa: ANN401  (values of YAML)
    """Write a scenario that requests work of the known stack, and acts on its services meanwhile."""
    load = {
        "locustfile": "known_request.py",
        "users": 2,
        "warmup": "1s",
        "duration": duration,
        "drain": "2s",
        "parameters": {"known-wait": "0.05"},
    }
    return write_scenario(
        folder,
        {},
        "",
        load,
        stack=str(KNOWN),
        front_door={"service": "nginx", "port": 80},
        ready=[{"get": "/work", "expect": 200, "within": "20s"}],
        actions=actions,
        **more,
    )


def command_of(scenario: Path, engine: str, *words: str, verb: str = "run") -> list[str]:
    """Return the command that runs a scenario; its results go into a folder beside it."""
    results = scenario.parent / "results"
    return [*SEATRIAL, verb, str(scenario), "--engine", engine, "--results", str(results), *words]


def run_scenario(scenario: Path, engine: str, *words: str, verb: str = "run") -> Trial:
    """Run a scenario from its own folder."""
    command, folder = command_of(scenario, engine, *words, verb=verb), scenario.parent
    return Trial(folder / "results", seatrial(*command[len(SEATRIAL) :], cwd=folder))


def seconds_recorded(folder: Path, worker: int = 0) -> int:
    """Return how many seconds one load process of a run below this folder has recorded."""
    files = folder.rglob(f"generator-{worker}.jsonl")
    return max((path.read_bytes().count(b"\n") - 1 for path in files), default=0)


def wait_until(
    condition: Callable[[], object], within_s: float, *, every_s: float = 0.1, log: Path | None = None
) -> None:
    """Check until the condition holds; AssertionError, with the log, if it never does."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, log.read_text() if log else "the condition never held"
        time.sleep(every_s)


def is_listening(port: int) -> bool:
    """Return whether a port of 127.0.0.1 takes connections."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def processes_of(run_id: str) -> list[str]:
    """Return the command lines of all processes with the run's mark."""
    return list(_marked(run_id).values())


def load_processes(run_id: str) -> list[int]:
    """Return the Locust processes of the run."""
    return [pid for pid, command in _marked(run_id).items() if " locust " in command]


def _marked(run_id: str) -> dict[int, str]:
    mark = f"SEATRIAL_RUN={run_id}".encode()
    commands = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                commands[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return commands


def left_behind(run_id: str) -> list[str]:
    """Return what carries the run's mark: containers, networks, volumes, processes."""
    return [*labelled(run_id), *processes_of(run_id)]


def labelled(run_id: str) -> list[str]:
    """Return the containers, networks and volumes with the run's label."""
    kinds: Sequence[Sequence[str]] = (("ps", "-aq"), ("network", "ls", "-q"), ("volume", "ls", "-q"))
    names: list[str] = []
    for words in kinds:
        command = ["docker", *words, "--filter", f"label=seatrial.run={run_id}"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        names += shown.stdout.split()
    return names

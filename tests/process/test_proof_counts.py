"""What the tables say is what the server did: request by request, and also when a load process is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import trials
import yaml
from process import logging_server
from trials import SEATRIAL, Trial

S = 1_000_000_000
EXPECTED = {"ok": "ok", "slow": "ok", "held": "cut", "closed": "reset", "truncated": "truncated"}
EXPECTED["status"] = "status"
ASKING = """
import itertools
import os
from locust import constant, task
from seatrial.user import LeanUser

class Asking(LeanUser):
    abstract = True
    endpoints = ("page", "slow", "held")

    def ask(self, what):
        self.asked = getattr(self, "asked", 0) + 1
        with self.flow("ask") as flow:
            flow.detail["id"] = name = f"{os.getpid()}-{self.number}-{self.asked}"
            self.client.get(f"/{what}?id={name}", endpoint=what)

class Quick(Asking):
    fixed_count = 10
    wait_time = constant(0.03)

    @task
    def page(self):
        self.ask("page")

class Slow(Asking):
    fixed_count = 10
    wait_time = constant(0)

    @task
    def slow(self):
        self.ask("slow")

class Held(Asking):
    fixed_count = 10
    wait_time = constant(0)

    @task
    def held(self):
        self.ask("held")
"""


@dataclass(frozen=True)
class Entry:
    """A line of the server's log."""

    t_ns: int
    name: str
    verdict: str


def scenario(folder: Path, processes: int) -> Path:
    """Write the locustfile, a stack of the one server, and the scenario."""
    command = [sys.executable, logging_server.__file__, "${port}", str(folder / "log")]
    server = {"x-seatrial": {"local": {"command": [word.replace("$", "$$") for word in command], "port": 80}}}
    (folder / "compose.yaml").write_text(yaml.safe_dump({"services": {"server": server}}))
    (folder / "asking.py").write_text(ASKING)
    load = {"locustfile": "asking.py", "users": 30, "processes": processes, "pinning": "off"}
    load |= {"warmup": "1s", "duration": "7s", "drain": "3s"}
    whole: dict[str, Any] = {"question": "Is every request a row?", "stack": "compose.yaml", "load": load}
    whole["front_door"] = {"service": "server", "port": 80}
    whole["ready"] = [{"get": "/page", "within": "20s"}]
    (folder / "counts.yaml").write_text(yaml.safe_dump(whole))
    return folder / "counts.yaml"


def command(folder: Path, processes: int) -> list[str]:
    """Return the command that runs it on the embedded engine."""
    file = scenario(folder, processes)
    return [*SEATRIAL, "run", str(file), "--engine", "local", "--results", str(folder / "results")]


def logged(folder: Path) -> dict[str, list[Entry]]:
    """Return what the server did with each request, by its id."""
    found = defaultdict(list)
    for line in (folder / "log").read_text().splitlines():
        t_ns, name, verdict = line.split(" ")
        if name != "-" and verdict != "asked":
            found[name].append(Entry(int(t_ns), name, verdict))
    return found


def rows(trial: Trial) -> pd.DataFrame:
    """Return the requests, each with the id that its flow knows."""
    flows = pd.read_parquet(trial.folder / "flows.parquet")
    flows["name"] = [json.loads(detail)["id"] for detail in flows.detail]
    requests = pd.read_parquet(trial.folder / "requests.parquet")
    assert flows.flow_id.is_unique
    assert requests.flow_id.is_unique
    joined = requests.merge(flows[["flow_id", "name"]], on="flow_id", how="outer", validate="1:1")
    assert not joined[["name", "t_start_ns"]].isna().to_numpy().any()  # neither without the other
    assert joined.name.is_unique
    return joined.set_index("name")


def _seconds(results: Path, worker: int) -> int:
    """Return how many seconds a load process has written down."""
    for path in results.glob(f"*/runs/*/streams/generator-{worker}.jsonl"):
        return path.read_bytes().count(b"\n") - 1
    return 0


def _lines(folder: Path) -> int:
    return (folder / "log").read_bytes().count(b"\n")


def _load_processes(run_id: str) -> list[int]:
    """Return the processes that make the load, which have a load process as their parent."""
    mark = f"SEATRIAL_RUN={run_id}".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() and b"\0locust\0" in (process / "cmdline").read_bytes():
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                found[int(process.name)] = int(parent)
        except OSError:
            continue
    return [pid for pid, parent in found.items() if parent in found]


def as_logged(found: pd.DataFrame, log: dict[str, list[Entry]]) -> None:
    """Assert that each row is what the server did last, and that nothing was sent twice but what says so."""
    assert {name: EXPECTED[log[name][-1].verdict] for name in found.index} == found.outcome.to_dict()
    assert {name: len(log[name]) - 1 for name in found.index} == (found.connection == "replaced").to_dict()


@pytest.mark.parametrize("processes", [1, 2])
def test_rows_are_what_the_server_did(tmp_path: Path, processes: int) -> None:
    """20 requests are in flight at the end: 10 are answered in the drain, 10 never; all of them are rows."""
    done = subprocess.run(command(tmp_path, processes), capture_output=True, text=True, timeout=90, check=False)
    trial = Trial(tmp_path / "results", done)
    log, found = logged(tmp_path), rows(trial)
    assert set(found.index) == set(log)
    as_logged(found, log)
    counts = Counter(found.outcome)
    assert set(counts) == set(EXPECTED.values())
    assert counts["cut"] == 10
    assert (found.connection == "replaced").any()
    drained_ns = next(span["from_ns"] for span in trial.document["spans"] if span["phase"] == "drain")
    assert (found[found.outcome == "ok"].t_end_ns > drained_ns).sum() >= 10
    assert (found.t_end_ns > drained_ns).sum() >= 20
    assert set(found.worker) == set(range(processes))
    assert trial.document["rows"]["requests"] == len(found)
    assert trial.document["rows"]["errors"] == 0


def test_rows_of_a_killed_process_are_there_up_to_its_last_second(tmp_path: Path) -> None:
    """The run ends by itself, says what was lost, and is INVALID; the other process's rows are complete."""
    results = tmp_path / "results"
    with subprocess.Popen(
        command(tmp_path, 2), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as harness:
        try:
            trials.wait_until(lambda: harness.poll() is not None or _seconds(results, 0) >= 4, 60)
            written = _lines(tmp_path)  # a second has just been written: let half of the next one pass
            trials.wait_until(lambda: harness.poll() is not None or _lines(tmp_path) > written + 150, 30)
            assert harness.poll() is None, harness.communicate()
            (document,) = results.glob("*/runs/*/run.json")
            victim, _ = _load_processes(json.loads(document.read_text())["run_id"])
            killed_ns = time.monotonic_ns()
            os.kill(victim, signal.SIGKILL)
            said = harness.communicate(timeout=60)
        finally:
            harness.kill()
    trial = Trial(results, subprocess.CompletedProcess([], harness.returncode, *said))
    assert trial.done.returncode == 5, trial.done.stderr
    assert "load process lost" in [note["kind"] for note in trial.document["notes"]]
    assert "load process lost" in trial.done.stdout

    log, found = logged(tmp_path), rows(trial)
    as_logged(found, log)
    missing = [log[name][-1] for name in set(log) - set(found.index)]
    assert {entry.name.partition("-")[0] for entry in missing} <= {str(victim)}
    generator = pd.read_parquet(trial.folder / "generator.parquet")
    last_ns = generator.groupby("worker").t_ns.max().min()
    assert killed_ns - last_ns < 2 * S
    answered = [entry for entry in missing if entry.verdict != "held"]
    assert answered
    assert min(entry.t_ns for entry in answered) > min(killed_ns - 1.5 * S, last_ns - S / 4)

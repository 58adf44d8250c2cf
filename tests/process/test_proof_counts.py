"""Each row is a request as the server logged it, also when a load process is killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import trials
from process import logging_server
from trials import Trial

pytestmark = pytest.mark.alone

S = 1_000_000_000
EXPECTED = {"ok": "ok", "slow": "ok", "held": "cut", "closed": "reset", "truncated": "truncated"}
EXPECTED["status"] = "status"
ASKING = """
import os
from locust import constant, task
from seatrial.user import LeanUser

class Asking(LeanUser):
    abstract = True
    endpoints = ("page", "slow", "held")
    fixed_count = 10
    wait_time = constant(0)
    count = 0

    @task
    def ask(self):
        self.count += 1
        with self.flow("ask") as flow:
            flow.detail["id"] = name = f"{os.getpid()}-{self.number}-{self.count}"
            self.client.get(f"/{self.page}?id={name}", endpoint=self.page)

class Quick(Asking):
    page = "page"
    wait_time = constant(0.03)

class Slow(Asking):
    page = "slow"

class Held(Asking):
    page = "held"
"""


class Entry(NamedTuple):
    """A line of the server's log."""

    t_ns: int
    name: str
    verdict: str


def _scenario(folder: Path, processes: int, window_s: int) -> Path:
    server = [sys.executable, logging_server.__file__, "${port}", str(folder / "log")]
    local = {"command": [word.replace("$", "$$") for word in server], "port": 80}
    load = {"users": 30, "processes": processes, "pinning": "off", "duration": f"{window_s}s"}
    load |= {"warmup": "1s", "drain": "2s"}
    door = {"front_door": {"service": "server", "port": 80}, "ready": [{"get": "/page", "within": "20s"}]}
    return trials.write_scenario(folder, {"server": {"x-seatrial": {"local": local}}}, ASKING, load, **door)


def _logged(folder: Path) -> dict[str, list[Entry]]:
    """Return what the server did with each request, by its id."""
    entries = defaultdict(list)
    for line in (folder / "log").read_text().splitlines():
        t_ns, name, verdict = line.split(" ")
        if name != "-" and verdict != "asked":
            entries[name].append(Entry(int(t_ns), name, verdict))
    return entries


def _rows(trial: Trial) -> pd.DataFrame:
    """Return the requests by the id in the detail of their flow; neither is without the other."""
    flows = pd.read_parquet(trial.folder / "flows.parquet")
    flows["name"] = [json.loads(detail)["id"] for detail in flows.detail]
    requests = pd.read_parquet(trial.folder / "requests.parquet")
    assert flows.flow_id.is_unique
    assert requests.flow_id.is_unique
    joined = requests.merge(flows[["flow_id", "name"]], on="flow_id", how="outer", validate="1:1")
    assert not joined[["name", "t_start_ns"]].isna().to_numpy().any()
    assert joined.name.is_unique
    return joined.set_index("name")


def _assert_as_logged(rows: pd.DataFrame, log: dict[str, list[Entry]]) -> None:
    """Assert that each row is what the server did last, and that only a `replaced` connection sent it twice."""
    assert {name: EXPECTED[log[name][-1].verdict] for name in rows.index} == rows.outcome.to_dict()
    assert {name: len(log[name]) - 1 for name in rows.index} == (rows.connection == "replaced").to_dict()


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.long), 2])
def test_rows_are_what_the_server_did(tmp_path: Path, processes: int) -> None:
    """20 requests are in flight at the end: 10 are answered in the drain, 10 never; all of them are rows."""
    trial = trials.run_scenario(_scenario(tmp_path, processes, window_s=3), "local")
    log, rows = _logged(tmp_path), _rows(trial)
    assert set(rows.index) == set(log)
    _assert_as_logged(rows, log)
    counts = Counter(rows.outcome)
    assert set(counts) == set(EXPECTED.values())
    assert counts["cut"] == 10
    assert (rows.connection == "replaced").any()
    drained_ns = next(span["from_ns"] for span in trial.document["spans"] if span["phase"] == "drain")
    assert (rows[rows.outcome == "ok"].t_end_ns > drained_ns).sum() >= 10
    assert (rows.t_end_ns > drained_ns).sum() >= 20
    assert set(rows.worker) == set(range(processes))
    assert trial.document["rows"]["requests"] == len(rows)
    assert trial.document["rows"]["errors"] == 0


@pytest.mark.long
def test_rows_of_a_killed_process_are_there_up_to_its_last_second(tmp_path: Path) -> None:
    """The run ends by itself, names the loss, and is INVALID; the other process's rows are complete."""
    results, killed = tmp_path / "results", {}

    def kill(_harness: int) -> None:
        written = _lines(tmp_path)  # a second has just been written: let half of the next one pass
        trials.wait_until(lambda: _lines(tmp_path) > written + 150, 30)
        ((_, document),) = trials.runs(results)
        victim, _ = _workers(document["run_id"])
        killed[victim] = time.monotonic_ns()
        os.kill(victim, signal.SIGKILL)

    command = trials.command_of(_scenario(tmp_path, 2, window_s=7), "local")
    trial = trials.interrupted(command, results, lambda: trials.seconds_recorded(results) >= 4, kill, within_s=60)
    ((victim, killed_ns),) = killed.items()
    assert trial.done.returncode == 5, trial.done.stderr
    assert "load process lost" in [note["kind"] for note in trial.document["notes"]]
    assert "load process lost" in trial.done.stdout

    log, rows = _logged(tmp_path), _rows(trial)
    _assert_as_logged(rows, log)
    missing = [log[name][-1] for name in set(log) - set(rows.index)]
    assert {entry.name.partition("-")[0] for entry in missing} <= {str(victim)}
    generator = pd.read_parquet(trial.folder / "generator.parquet")
    last_ns = generator.groupby("worker").t_ns.max().min()
    assert killed_ns - last_ns < 2 * S
    answered = [entry for entry in missing if entry.verdict != "held"]
    assert answered
    assert min(entry.t_ns for entry in answered) > min(killed_ns - 1.5 * S, last_ns - S / 4)


def _lines(folder: Path) -> int:
    return (folder / "log").read_bytes().count(b"\n")


def _workers(run_id: str) -> list[int]:
    """Return the processes that make the load: their parent is a load process, too."""
    pids = trials.load_processes(run_id)
    parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}
    return [pid for pid, parent in parents.items() if parent in parents]

"""A load without requests on a stack without a front door: its flows are counted, their details are judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from trials import SEATRIAL, Trial

from seatrial.compare.capacity import CapacityWord
from seatrial.record import documents
from seatrial.record.folder import RunFolder

pytestmark = pytest.mark.alone

SLEEPING = {"local": {"command": [sys.executable, "-c", "import time; time.sleep(600)"]}}
STACK = {"services": {"store": {"x-seatrial": SLEEPING}}}
PLAYING = """
import gevent
from gevent.lock import BoundedSemaphore
from locust import constant, task
from seatrial.user import LeanUser

DOOR = BoundedSemaphore(1)


class Player(LeanUser):
    host = "http://127.0.0.1"
    wait_time = constant(0.05)

    @task
    def play(self):
        with self.flow("play") as flow:
            startup_s = self.random.uniform(0.01, 0.03)
            gevent.sleep(startup_s)
            flow.detail.update(startup_s=startup_s, stalls_count=self.random.randrange(3), codec="av1", layers=4)


class Queueing(LeanUser):
    host = "http://127.0.0.1"

    @task
    def serve(self):
        with self.flow("serve") as flow:
            begun = gevent.get_hub().loop.now()
            with DOOR:
                gevent.sleep(0.02)
            flow.detail["took_s"] = gevent.get_hub().loop.now() - begun
"""
LOAD = {"locustfile": "playing.py", "users": 4, "user_classes": ["Player"], "warmup": "1s", "duration": "4s"}
BUDGETS = [
    "p95 startup_s of play < 1s",
    "max stalls_count of play < 3",
    "mean startup_s of play > 5ms",
    "failures < 5%",
    "cpu per request < 1s",
]


def _scenario(folder: Path, **changes: object) -> Path:
    (folder / "compose.yaml").write_text(yaml.safe_dump(STACK))
    (folder / "playing.py").write_text(PLAYING)
    path = folder / "playing.yaml"
    whole = {"question": "How soon does it play?", "stack": "compose.yaml", "load": LOAD, "budgets": BUDGETS}
    path.write_text(yaml.safe_dump(whole | changes))
    return path


def _seatrial(verb: str, path: Path, *words: str) -> Trial:
    results = path.parent / "results"
    command = [*SEATRIAL, verb, str(path), "--results", str(results), "--engine", "local", *words]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=200, check=False)
    return Trial(results, done)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Make one short run that the tests below look at."""
    return _seatrial("run", _scenario(tmp_path_factory.mktemp("playing")))


def test_flows_alone_make_a_valid_run_that_keeps_its_budgets(trial: Trial) -> None:
    """The headline counts flows, and each budget is judged by their details."""
    assert trial.done.returncode == 0, trial.done.stdout + trial.done.stderr
    lines = trial.done.stdout.splitlines()
    assert lines[0].startswith(" VALID  playing · base · local engine")
    assert "flows in a window of 4.00 s; no failures" in lines[1]
    assert "request" not in lines[1]
    assert trial.done.stdout.count("KEPT") == len(BUDGETS)


def test_the_details_of_flows_are_shown(trial: Trial) -> None:
    """Those with a unit, in the text and for programs; words and numbers without one are not."""
    shown = trial.done.stdout.partition("Flow details")[2].partition("\n\n")[0]
    rows = [line.split()[:2] for line in shown.splitlines()]
    assert [row for row in rows if "play" in row] == [["play", "stalls_count"], ["play", "startup_s"]]
    done = subprocess.run(
        [*SEATRIAL, "show", str(trial.folder), "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    report = json.loads(done.stdout)
    stalls, startup = report["flow_details"]
    assert (stalls["key"], stalls["unit"], stalls["p50"], stalls["max"]) == ("stalls_count", "count", 1, 2)
    assert 10e6 <= startup["mean"] <= startup["p95"] <= startup["max"] <= 31e6
    assert report["requests"]["count"] == 0
    assert [one["cpu_per_request_ns"] for one in report["services"] if one["service"] == "store"] == [None]


def test_a_broken_budget_of_a_detail_is_exit_code_1(tmp_path: Path) -> None:
    """The value is in the verdict."""
    trial = _seatrial("run", _scenario(tmp_path, budgets=["p95 startup_s of play < 1ms"]))
    assert trial.done.returncode == 1, trial.done.stdout + trial.done.stderr
    assert "BUDGET BROKEN" in trial.done.stdout
    assert "p95 startup_s of play < 1ms: broken" in trial.done.stdout


def test_a_detail_ends_a_run_early(tmp_path: Path) -> None:
    """A stop rule is evaluated each second, with the flows that ended in it."""
    trial = _seatrial("run", _scenario(tmp_path, stop_when=["mean startup_s of play > 5ms for 2s"]))
    assert trial.done.returncode == 5, trial.done.stdout + trial.done.stderr
    assert 'mean startup_s of "play" was at' in trial.done.stderr


@pytest.mark.long
def test_the_capacity_for_a_detail_is_found(tmp_path: Path) -> None:
    """One flow at a time, 20 ms each: 50 a second, found by the details of the flows alone."""
    load = LOAD | {"user_classes": ["Queueing"], "users": 200}
    effort = ("--trial", "2s", "--sum", "6s", "--limit", "60s", "--validate", "0s", "--width", "20")
    trial = _seatrial(
        "capacity", _scenario(tmp_path, load=load), "--budget", "p95 took_s of serve < 150ms", *effort
    )
    result = documents.load_capacity(RunFolder(trial.folder))
    assert result is not None, trial.done.stdout + trial.done.stderr
    assert result.word is CapacityWord.BOUNDS_ONLY, trial.done.stdout
    assert result.lower_per_s == pytest.approx(45, rel=0.25)

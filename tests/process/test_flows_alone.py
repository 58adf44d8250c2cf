"""A load without requests on a stack without a front door: its flows are counted, their details are judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import trials
from trials import Trial

from seatrial.compare.capacity import CapacityWord
from seatrial.record import documents
from seatrial.record.folder import RunFolder

pytestmark = pytest.mark.alone

SLEEPING = {"local": {"command": [sys.executable, "-c", "import time; time.sleep(600)"]}}
STORE = {"image": "debian:trixie-slim", "init": True, "command": ["sleep", "600"], "x-seatrial": SLEEPING}
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
            flow.detail["abandoned_ratio"] = 0


class Queueing(LeanUser):
    host = "http://127.0.0.1"

    @task
    def serve(self):
        with self.flow("serve") as flow:
            begun = gevent.get_hub().loop.now()
            with DOOR:
                gevent.sleep(0.02)
            flow.detail["startup_s"] = gevent.get_hub().loop.now() - begun
"""
LOAD = {"users": 4, "user_classes": ["Player"], "warmup": "1s", "duration": "4s"}
BUDGETS = [
    "p95 startup_s of play < 1s",
    "max stalls_count of play < 3",
    "mean startup_s of play > 5ms",
    "startup < 1s",
    "abandoned < 5%",
    "failures < 5%",
    "cpu per request < 1s",
]


def _scenario(folder: Path, **changes: Any) -> Path:  # noqa: ANN401  (values of YAML)
    values = {"load": LOAD, "budgets": BUDGETS} | changes
    return trials.write_scenario(folder, {"store": STORE}, PLAYING, **values)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Make one short run for several tests."""
    return trials.run_scenario(_scenario(tmp_path_factory.mktemp("playing")), "local")


def test_flows_alone_make_a_valid_run_that_keeps_its_budgets(trial: Trial) -> None:
    """The headline counts flows, and each budget is judged by their details."""
    assert trial.done.returncode == 0, trial.done.stdout + trial.done.stderr
    lines = trial.done.stdout.splitlines()
    assert lines[0].startswith(" VALID  made-up · base · local engine")
    assert "flows in a window of 4.00 s; no failures" in lines[1]
    assert "request" not in lines[1]
    assert trial.done.stdout.count("KEPT") == len(BUDGETS)


def test_the_details_of_flows_are_shown(trial: Trial) -> None:
    """Those with a unit, in the text and for programs; words and numbers without one are not."""
    table = trial.done.stdout.partition("Flow details")[2].partition("\n\n")[0]
    rows = [line.split()[:2] for line in table.splitlines()]
    details = ["abandoned_ratio", "stalls_count", "startup_s"]
    assert [row for row in rows if "play" in row] == [["play", detail] for detail in details]
    assert "Quality of experience" in trial.done.stdout.partition("Flow details")[0]
    shown = trials.seatrial("show", str(trial.folder), "--json")
    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    _, stalls, startup = report["flow_details"]
    assert [(one["flow"], one["abandoned"]) for one in report["viewers"]] == [("play", 0)]
    assert (stalls["key"], stalls["unit"], stalls["p50"], stalls["max"]) == ("stalls_count", "count", 1, 2)
    assert 10e6 <= startup["mean"] <= startup["p95"] <= startup["max"] <= 31e6
    assert report["requests"]["count"] == 0
    assert [one["cpu_per_request_ns"] for one in report["services"] if one["service"] == "store"] == [None]


@pytest.mark.parametrize(
    ("changes", "code", "texts"),
    [
        (
            {"budgets": ["p95 startup_s of play < 1ms"]},
            1,
            ["BUDGET BROKEN", "p95 startup_s of play < 1ms: broken"],
        ),
        ({"stop_when": ["mean startup_s of play > 5ms for 2s"]}, 5, ['mean startup_s of "play" was at']),
    ],
    ids=["budget", "stop rule"],
)
def test_a_detail_breaks_a_budget_or_ends_a_run(
    changes: dict[str, Any], code: int, texts: list[str], tmp_path: Path
) -> None:
    """The value of a broken budget is in the verdict; a stop rule is evaluated each second."""
    done = trials.run_scenario(_scenario(tmp_path, **changes), "local").done
    assert done.returncode == code, done.stdout + done.stderr
    assert [text for text in texts if text not in (done.stdout if code == 1 else done.stderr)] == []


@pytest.mark.long
def test_the_capacity_for_a_detail_is_found(tmp_path: Path) -> None:
    """One flow at a time, 20 ms each: 50 a second, found by the details of the flows alone."""
    scenario = _scenario(tmp_path, load=LOAD | {"user_classes": ["Queueing"], "users": 200})
    words = ("--trial", "2s", "--sum", "6s", "--limit", "60s", "--validate", "0s", "--width", "20")
    budget = ("--budget", "startup of serve < 150ms")
    trial = trials.run_scenario(scenario, "local", *budget, *words, verb="capacity")
    result = documents.load_capacity(RunFolder(trial.folder))
    assert result is not None, trial.done.stdout + trial.done.stderr
    assert result.word is CapacityWord.BOUNDS_ONLY, trial.done.stdout
    assert result.lower_per_s == pytest.approx(45, rel=0.25)


@pytest.mark.docker
def test_containers_without_a_front_door_are_sampled(tmp_path: Path) -> None:
    """The run is valid, each replica has samples of its own, and nothing is left."""
    scenario = trials.write_scenario(tmp_path, {"store": STORE | {"scale": 2}}, PLAYING, LOAD, budgets=BUDGETS)
    trial = trials.run_scenario(scenario, "compose")
    assert trial.done.returncode == 0, trial.done.stdout + trial.done.stderr
    assert trial.done.stdout.startswith(" VALID  made-up · base · compose engine")
    assert trial.document["rows"]["requests"] == 0
    assert len(pd.read_parquet(trial.folder / "flows.parquet")) > 100
    samples = pd.read_parquet(trial.folder / "samples.parquet")
    window = samples[(samples.phase == "window") & (samples.service == "store")]
    assert window.groupby("container", observed=True).t_ns.count().between(36, 42).tolist() == [True, True]
    assert (window.usage_bytes > 0).all()
    run_id = trial.document["run_id"]
    assert trials.labelled(run_id) == trials.processes_of(run_id) == []

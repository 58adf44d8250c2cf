"""A Compose stack without a front door: its load makes flows without requests, and its containers are sampled."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import trials
import yaml
from trials import SEATRIAL, Trial

pytestmark = [pytest.mark.docker, pytest.mark.alone]

STORE = {"image": "debian:trixie-slim", "init": True, "command": ["sleep", "600"]}
WRITING = """
import gevent
from locust import constant, task
from seatrial.user import LeanUser

class Writer(LeanUser):
    host = "http://127.0.0.1"
    wait_time = constant(0.05)

    @task
    def write(self):
        with self.flow("write") as flow:
            gevent.sleep(0.01)
            flow.detail["written_bytes"] = 4096
"""


def test_flows_of_a_stack_without_a_front_door_are_a_valid_run(tmp_path: Path) -> None:
    """The budget is judged by what the flows report, every container has samples, and nothing is left."""
    load = {"locustfile": "writing.py", "users": 4, "warmup": "1s", "duration": "3s"}
    scenario = {"question": "How much is written?", "stack": "compose.yaml", "load": load}
    scenario["budgets"] = ["mean written_bytes of write > 1KiB", "failures < 1%"]
    stack = {"services": {"store": STORE | {"scale": 2}}}
    for name, text in (("compose.yaml", yaml.safe_dump(stack)), ("writing.py", WRITING)):
        (tmp_path / name).write_text(text)
    (tmp_path / "writing.yaml").write_text(yaml.safe_dump(scenario))

    results = tmp_path / "results"
    command = [*SEATRIAL, "run", str(tmp_path / "writing.yaml"), "--engine", "compose", "--results", str(results)]
    trial = Trial(results, subprocess.run(command, capture_output=True, text=True, timeout=120, check=False))

    assert trial.done.returncode == 0, trial.done.stdout + trial.done.stderr
    assert trial.done.stdout.startswith(" VALID  writing · base · compose engine")
    assert trial.done.stdout.count("KEPT") == 2
    assert (trial.document["rows"]["requests"], trial.document["front_door"]) == (0, None)
    flows = pd.read_parquet(trial.folder / "flows.parquet")
    assert len(flows) > 100
    assert {json.loads(detail)["written_bytes"] for detail in flows.detail} == {4096}
    samples = pd.read_parquet(trial.folder / "samples.parquet")
    window = samples[(samples.phase == "window") & (samples.service == "store")]
    assert window.groupby("container", observed=True).t_ns.count().between(27, 32).tolist() == [True, True]
    assert (window.usage_bytes > 0).all()
    run_id = trial.document["run_id"]
    assert trials.labelled(run_id) == trials.processes_of(run_id) == []

"""Actions on the embedded engine: a service reloads and restarts under load, and one does not come back."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import trials

pytestmark = [pytest.mark.servers, pytest.mark.alone]

IDLE = """
from locust import constant, task
from seatrial.user import LeanUser

class Idle(LeanUser):
    host = "http://127.0.0.1"
    wait_time = constant(0.1)

    @task
    def rest(self):
        with self.flow("rest"):
            pass
"""
SLEEP = {"x-seatrial": {"local": {"command": ["sleep", "600"]}}}


def test_a_service_reloads_and_restarts_under_load(tmp_path: Path) -> None:
    """Both are events on time; the run is valid, and the new processes are sampled as the old ones were."""
    actions = [{"at": "1s", "signal": "HUP", "service": "app"}, {"at": "3s", "restart": "app"}]
    scenario = trials.write_known_with_actions(tmp_path, "7s", actions)

    trial = trials.run_scenario(scenario, "local")

    assert trial.done.returncode == 0, trial.done.stdout + trial.done.stderr
    window = next(span for span in trial.document["spans"] if span["phase"] == "window")
    reload, restart = trial.events
    assert [(one["service"], one["detail"]["action"]) for one in (reload, restart)] == [
        ("app", "signal HUP"),
        ("app", "restart"),
    ]
    assert 0 <= reload["t_ns"] - window["from_ns"] - 1e9 == reload["detail"]["late_ns"] < 0.2e9
    assert restart["detail"]["answered_after_ns"] > restart["detail"]["took_ns"] > 0
    assert [action["at_s"] for action in trial.document["scenario"]["actions"]] == [1.0, 3.0]
    requests = pd.read_parquet(trial.folder / "requests.parquet")
    answered_ns = restart["t_ns"] + restart["detail"]["answered_after_ns"]
    assert (requests[requests.t_start_ns > answered_ns].outcome == "ok").all()
    assert (requests[requests.t_start_ns < restart["t_ns"] - 1e9].outcome == "ok").all()
    samples = pd.read_parquet(trial.folder / "samples.parquet")
    after = samples[(samples.service == "app") & (samples.t_ns > answered_ns)]
    assert after.anon_bytes.median() > 60e6  # what each worker holds
    assert len(after) > 0.8 * (window["until_ns"] - answered_ns) / 1e8
    assert "app action: restart (" in trial.done.stdout


def test_a_service_that_a_signal_ends_fails_the_run(tmp_path: Path) -> None:
    """`sleep` does not know the signal, and ends by it; nothing is left behind."""
    load = {"users": 1, "warmup": "1s", "duration": "60s"}
    actions = [{"at": "1s", "signal": "HUP", "service": "store"}]
    scenario = trials.write_scenario(tmp_path, {"store": SLEEP}, IDLE, load, actions=actions)

    trial = trials.run_scenario(scenario, "local")

    assert trial.done.returncode == 3, trial.done.stdout + trial.done.stderr
    assert "service 'store' ended with exit code -1" in trial.done.stderr
    assert trial.document["failure"]["type"] == "ServiceExited"
    assert trials.processes_of(trial.document["run_id"]) == []

"""Actions on real containers: one is restarted and one reloads under load, and both are sampled on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import trials

pytestmark = [pytest.mark.docker, pytest.mark.alone]


def test_a_restarted_container_is_sampled_on_and_the_run_is_valid(tmp_path: Path) -> None:
    """Docker tells that it ended; that was asked for. Memory comes from the cgroup of its new life."""
    actions = [{"at": "1s", "restart": "app"}, {"at": "1s", "signal": "HUP", "service": "nginx"}]
    scenario = trials.write_known_with_actions(tmp_path, "6s", actions, stop_when=["memory of app > 10GiB"])

    trial = trials.run_scenario(scenario, "compose")

    assert trial.done.returncode == 0, trial.done.stdout + trial.done.stderr
    lines = trial.events
    restart, reload = (line for line in lines if line["event"] == "action")
    assert [(one["service"], one["detail"]["action"]) for one in (restart, reload)] == [
        ("app", "restart"),
        ("nginx", "signal HUP"),
    ]
    assert reload["detail"]["late_ns"] > 0.9 * restart["detail"]["answered_after_ns"]  # its turn came after that
    assert {"die", "start"} <= {line["event"] for line in lines if line["service"] == "app"}
    samples = pd.read_parquet(trial.folder / "samples.parquet")
    app = samples[samples.service == "app"]
    window = next(span for span in trial.document["spans"] if span["phase"] == "window")
    answered_ns = restart["t_ns"] + restart["detail"]["answered_after_ns"]
    after = app[app.t_ns > answered_ns]
    assert len(set(app.container)) == 1
    assert len(after) > 0.8 * (window["until_ns"] - answered_ns) / 1e8
    assert after.anon_bytes.median() > 60e6  # what its worker holds
    assert trials.labelled(trial.document["run_id"]) == []

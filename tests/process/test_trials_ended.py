"""Trials whose harness is interrupted or killed in the window, on both engines."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
import trials
from trials import SEATRIAL, Trial


def _interrupted(results: Path, number: signal.Signals, *words: str) -> Trial:
    """Start a long run, and send a signal to its harness alone once the window has begun."""
    command = [*SEATRIAL, "run", "registry-pull", "--results", str(results)]
    command += ["--warmup", "1s", "--duration", "120s", *words]
    return trials.interrupted(
        command, results, lambda: _window_is_recorded(results), lambda pid: os.kill(pid, number)
    )


def _window_is_recorded(results: Path) -> bool:
    """Return whether three seconds of the window have been recorded."""
    for _, document in trials.runs(results):
        spans = document["spans"]
        if spans and time.monotonic_ns() > spans[1]["from_ns"] + 3_000_000_000:
            return True
    return False


@pytest.mark.docker
def test_an_interrupted_trial_keeps_its_data_and_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C: exit code 130, after the teardown; requests in flight are rows, too."""
    trial = _interrupted(tmp_path / "results", signal.SIGINT, "--engine", "compose")

    assert trial.done.returncode == 130, trial.done.stderr
    assert trial.document["status"] == "interrupted"
    assert len(pd.read_parquet(trial.folder / "requests.parquet")) > 20
    assert trials.labelled(trial.document["run_id"]) == []


@pytest.mark.docker
def test_a_killed_trial_is_removed_and_recovered(tmp_path: Path) -> None:
    """After `kill -9` the watchdog removes all within 15 s; `recover` seals the data."""
    trial = _interrupted(tmp_path / "results", signal.SIGKILL, "--engine", "compose")
    run_id = trial.document["run_id"]
    trials.wait_until(lambda: not trials.left_behind(run_id), 15)

    recovered = trials.seatrial("recover", "--results", str(trial.results))

    assert recovered.returncode == 5
    assert recovered.stdout.startswith(" INVALID  registry-pull")
    assert len(pd.read_parquet(trial.folder / "requests.parquet")) > 20
    assert len(pd.read_parquet(trial.folder / "samples.parquet")) > 100


@pytest.mark.servers
def test_a_killed_trial_leaves_no_process_and_no_key(tmp_path: Path) -> None:
    """After `kill -9` the watchdog ends the services and deletes their folder within 15 s."""
    trial = _interrupted(tmp_path / "results", signal.SIGKILL, "--engine", "local")
    run_id = trial.document["run_id"]

    trials.wait_until(lambda: not trials.processes_of(run_id), 15)
    trials.wait_until(lambda: not [p for p in (trial.folder / "work").rglob("*") if p.is_file()], 5)

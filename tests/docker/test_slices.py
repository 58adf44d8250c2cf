"""Comparisons by turns on real containers: all variants of a block up at once, each in a run of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import trials

from seatrial.analysis.run import analyse_run
from seatrial.record.folder import RunFolder

pytestmark = pytest.mark.docker

STACK = Path(__file__).parents[2] / "scenarios" / "stacks" / "known"
BROKEN = {"compose": {"services": {"app": {"command": ["false"]}}}}
FLAKY = {"compose": {"services": {"app": {"environment": {"WORK_ROUNDS": "3200", "FAIL_EVERY": "10"}}}}}
DYING = """
import os
from locust import constant, events, task
from seatrial.user import LeanUser

@events.init_command_line_parser.add_listener
def _options(parser):
    parser.add_argument("--known-dies", default="no")

class Dying(LeanUser):
    endpoints = ("work",)
    wait_time = constant(0.01)

    @task
    def ask(self):
        if self.environment.parsed_options.known_dies == "yes":
            os._exit(3)
        with self.flow("work"):
            self.client.request("GET", "/work", endpoint="work")
"""


def _scenario(folder: Path, variants: Mapping[str, Any], slices: int, **load: Any) -> Path:  # noqa: ANN401  (values of `load:`)
    """Write a scenario of the known stack, whose locustfile DYING is used only if `load` names it."""
    load = {"locustfile": "known_request.py", "users": 2, "warmup": "1s", "drain": "2s"} | load
    load = {"parameters": {"known-wait": "0.01"}} | load
    return trials.write_scenario(
        folder,
        {},
        DYING,
        load,
        stack=str(STACK),
        front_door={"service": "nginx", "port": 80},
        ready=[{"get": "/work", "expect": 200, "within": "20s"}],
        variants=variants,
        gate=['p95 of "work"'],
        compare={"slices": slices, "settle": "200ms"},
    )


def _compare(scenario: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return trials.run_scenario(scenario, "auto", *words, verb="compare").done


def _runs(folder: Path) -> dict[tuple[int, str], tuple[Path, dict[str, Any]]]:
    found = trials.runs(folder / "results")
    return {(document["block"], document["variant"]): (path, document) for path, document in found}


@pytest.mark.alone
def test_two_blocks_of_turns_are_valid_and_their_loads_never_meet(tmp_path: Path) -> None:
    """`auto` chooses slices where latency is gated; every run is valid and has every phase."""
    done = _compare(_scenario(tmp_path, {"flaky": FLAKY}, 5), "--blocks", "2")

    assert done.returncode in {0, 1}, done.stderr
    assert "slices (latency is gated, and all 2 variants fit in memory at once)" in done.stderr
    runs = _runs(tmp_path)
    assert sorted(runs) == [(1, "base"), (1, "flaky"), (2, "base"), (2, "flaky")]
    for folder, document in runs.values():
        result = analyse_run(RunFolder(folder))
        assert result.valid, result.notes
        assert document["status"] == "complete"
        assert trials.labelled(document["run_id"]) == []
        requests = pd.read_parquet(folder / "requests.parquet")
        phases = requests.groupby("phase", observed=True).t_start_ns.count()
        assert {"warmup", "settle", "window"} <= set(phases.index)
        assert phases["window"] > 50
        samples = pd.read_parquet(folder / "samples.parquet")
        assert {"settle", "window", "idle", "drain"} <= set(samples.phase.unique())
        app = next(service.use for service in result.services if service.use.service == "app")
        assert app.cpu_per_request_ns is not None
        assert 200_000 < app.cpu_per_request_ns < 20_000_000
    for block in (1, 2):
        one, other = (pd.read_parquet(runs[block, name][0] / "requests.parquet") for name in ("base", "flaky"))
        assert runs[block, "base"][1]["spans"][0]["from_ns"] == runs[block, "flaky"][1]["spans"][0]["from_ns"]
        for span in runs[block, "base"][1]["spans"]:
            if span["phase"] == "window":
                assert other.t_start_ns.between(span["from_ns"], span["until_ns"]).sum() == 0
        assert (one.outcome == "ok").all()
        assert 0.05 < (other.outcome == "status").mean() < 0.15


def test_a_block_goes_on_without_variants_that_fail(tmp_path: Path) -> None:
    """One never comes up, the load of one dies; the other has all of its turns, and nothing is left behind."""
    variants = {"broken": BROKEN, "dying": {"load": {"parameters": {"known-dies": "yes"}}}}
    load = {"locustfile": "load.py", "parameters": {"known-dies": "no"}}

    done = _compare(_scenario(tmp_path, variants, 8, **load), "--design", "slices", "--blocks", "1")

    runs = _runs(tmp_path)
    documents = {name: document for (_, name), (_, document) in runs.items()}
    statuses = {name: document["status"] for name, document in documents.items()}
    assert statuses == {"base": "complete", "broken": "failed", "dying": "failed"}, done.stderr
    assert "exit code 3" in documents["dying"]["error"]
    spans = documents["base"]["spans"]
    assert sum(span["phase"] == "window" for span in spans) == 8
    assert (spans[-1]["from_ns"] - spans[0]["from_ns"]) / 1e9 < 2 * (8 + 1)
    for document in documents.values():
        assert document["sealed"]
        assert trials.left_behind(document["run_id"]) == []


def test_ctrl_c_between_turns_seals_all_runs_and_takes_all_down(tmp_path: Path) -> None:
    """Exit code 130; every run is sealed as interrupted."""
    scenario = _scenario(tmp_path, {"flaky": FLAKY}, 100)
    command = trials.command_of(scenario, "auto", "--design", "slices", verb="compare")

    done = trials.interrupted(command, tmp_path / "results", lambda: _judging(tmp_path), within_s=90).done

    assert done.returncode == 130, done.stderr
    runs = _runs(tmp_path)
    assert len(runs) == 2
    for _, document in runs.values():
        assert (document["status"], document["sealed"]) == ("interrupted", True)
        assert trials.left_behind(document["run_id"]) == []


def _judging(folder: Path) -> bool:
    """Return whether a window of each of two runs has begun."""
    begun = [
        any(span["phase"] == "window" and span["from_ns"] < time.monotonic_ns() for span in document["spans"])
        for _, document in _runs(folder).values()
    ]
    return len(begun) == 2 and all(begun)

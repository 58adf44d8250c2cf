"""A trial whose load and stack have cores of their own, on real containers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trials
from trials import SEATRIAL

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
]


def test_containers_and_load_are_held_to_their_cores(tmp_path: Path) -> None:
    """Looked at from outside while it runs: the last core is the load's, the others are the stack's."""
    *stack, last = sorted(os.sched_getaffinity(0))
    words = ("--engine", "compose", "--set", "load.pinning=on", "--warmup", "1s", "--duration", "8s")
    results = tmp_path / "results"
    command = [*SEATRIAL, "run", "registry-pull", "--results", str(results), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as harness:
        try:
            trials.wait_until(lambda: harness.poll() is not None or _is_driven(results), 200)
            run_id = next(iter(_documents(results)))["run_id"]
            seen = _cpusets(run_id)
            load = {tuple(sorted(os.sched_getaffinity(pid))) for pid in _load_pids(run_id)}
            harness.wait(90)
        finally:
            harness.kill()

    assert seen == {",".join(map(str, stack))}
    assert load == {(last,)}
    (document,) = _documents(results)
    assert document["facts"]["environment"]["pinning"] == {"generator": [last], "stack": stack}
    assert "shared cores" not in [note["kind"] for note in document["notes"]]


def _documents(results: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in results.glob("*/runs/*/run.json")]


def _is_driven(results: Path) -> bool:
    return any(document["spans"] for document in _documents(results))


def _cpusets(run_id: str) -> set[str]:
    words = ["docker", "ps", "-q", "--filter", f"label=seatrial.run={run_id}"]
    ids = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout.split()
    inspect = ["docker", "inspect", "--format", "{{.HostConfig.CpusetCpus}}", *ids]
    return set(subprocess.run(inspect, capture_output=True, text=True, timeout=30, check=True).stdout.split())


def _load_pids(run_id: str) -> list[int]:
    mark = f"SEATRIAL_RUN={run_id}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() and b"\0locust\0" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found

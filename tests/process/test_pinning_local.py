"""A trial on the embedded engine whose load and services have cores of their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import trials
from trials import SEATRIAL

from seatrial.load import pinning

SERVERS = ("nginx", "redis-server", "docker-registry", "gunicorn")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
]


def test_services_and_load_are_held_to_their_cores(tmp_path: Path) -> None:
    """Every thread of every service: the Go runtime has its own before anybody could tell it later."""
    apart = pinning.decide("on", os.sched_getaffinity(0), 1)
    words = ("--engine", "local", "--set", "load.pinning=on", "--warmup", "1s", "--duration", "3s")
    results = tmp_path / "results"
    command = [*SEATRIAL, "run", "registry-pull", "--results", str(results), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as harness:
        try:
            trials.wait_until(lambda: harness.poll() is not None or _is_driven(results), 60)
            seen = _cores(harness.pid)
            harness.wait(60)
        finally:
            harness.kill()

    assert seen == {**{name: {apart.stack} for name in SERVERS}, "locust": {apart.generator}}


def _is_driven(results: Path) -> bool:
    """Tell whether the phases are known, and with them the load has been let in."""
    return any(json.loads(path.read_text())["spans"] for path in results.glob("*/runs/*/run.json"))


def _cores(harness: int) -> dict[str, set[tuple[int, ...]]]:
    """Return the cores that the threads of the harness's descendants may use, by what those are."""
    found: dict[str, set[tuple[int, ...]]] = {}
    for pid in _descendants(harness):
        words = Path(f"/proc/{pid}/cmdline").read_text()
        for name in ("locust", *SERVERS):
            if name in words.split("\0-f\0")[0]:
                threads = Path(f"/proc/{pid}/task").iterdir()
                cores = {tuple(sorted(os.sched_getaffinity(int(one.name)))) for one in threads}
                found.setdefault(name, set()).update(cores)
                break
    return found


def _descendants(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(inner for child in children for inner in _descendants(child))]

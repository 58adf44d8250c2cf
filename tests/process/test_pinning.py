"""Runs whose load and stack have cores of their own, on both engines, as seen from outside."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trials
from trials import SEATRIAL

from seatrial.sampler.process_tree import ProcessTable

SERVERS = ("nginx", "redis-server", "docker-registry", "gunicorn")
pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


@contextmanager
def _driven(results: Path, engine: str, within_s: float) -> Iterator[int]:
    """Yield the process of a run whose phases are known, so that the load has been let in; wait for its end."""
    words = ("--engine", engine, "--set", "load.pinning=on", "--warmup", "1s", "--duration", "4s")
    command = [*SEATRIAL, "run", "registry-pull", "--results", str(results), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as harness:
        try:
            trials.wait_until(lambda: harness.poll() is not None or _document(results).get("spans"), within_s)
            yield harness.pid
            harness.wait(90)
        finally:
            harness.kill()


def _document(results: Path) -> dict[str, Any]:
    return next((document for _, document in trials.runs(results)), {})


@pytest.mark.docker
def test_containers_and_load_are_held_to_their_cores(tmp_path: Path) -> None:
    """Containers by their CPU set, load processes by their affinity; both are facts of the run."""
    *stack, load = sorted(os.sched_getaffinity(0))  # the last one is the load's
    with _driven(tmp_path, "compose", 200):
        run_id = _document(tmp_path)["run_id"]
        containers = _docker("ps", "-q", "--filter", f"label=seatrial.run={run_id}")
        cpusets = _docker("inspect", "--format", "{{.HostConfig.CpusetCpus}}", *containers)
        affinities = [tuple(sorted(os.sched_getaffinity(pid))) for pid in trials.load_processes(run_id)]

    assert set(cpusets) == {",".join(map(str, stack))}
    assert set(affinities) == {(load,)}
    document = _document(tmp_path)
    assert document["facts"]["environment"]["pinning"] == {"generator": [load], "stack": stack}
    assert "shared cores" not in [note["kind"] for note in document["notes"]]


@pytest.mark.servers
def test_services_and_load_are_held_to_their_cores(tmp_path: Path) -> None:
    """Every thread of every service, also those that the Go runtime starts first of all."""
    *stack, load = sorted(os.sched_getaffinity(0))  # the last one is the load's
    with _driven(tmp_path, "local", 60) as harness:
        cores = _cores(harness)

    assert cores == {**{name: {tuple(stack)} for name in SERVERS}, "locust": {(load,)}}


def _docker(*words: str) -> list[str]:
    argv = ["docker", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout.split()


def _cores(harness: int) -> dict[str, set[tuple[int, ...]]]:
    """Return the cores that the threads of the harness's descendants may use, by program."""
    cores: dict[str, set[tuple[int, ...]]] = {}
    table = ProcessTable(Path("/proc"))
    table.refresh()
    for pid in table.descendants([harness]):
        program = Path(f"/proc/{pid}/cmdline").read_text().split("\0-f\0")[0]
        if name := next((one for one in ("locust", *SERVERS) if one in program), None):
            threads = [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
            cores.setdefault(name, set()).update(tuple(sorted(os.sched_getaffinity(one))) for one in threads)
    return cores

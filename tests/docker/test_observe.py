"""The sampler over real containers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from spawning import spawn

from seatrial.model import Watch
from seatrial.sampler.docker import DockerApi, connect_to_docker
from seatrial.sampler.session import observing
from seatrial.wire.streams import NULL, Reading, read_layout

pytestmark = pytest.mark.docker
MIB = 1 << 20
IMAGE = "debian:trixie-slim"


@contextmanager
def container(*command: str, **settings: Any) -> Iterator[Container]:  # noqa: ANN401  (settings of the SDK)
    """Run a container, and remove it."""
    client = docker.from_env()
    labels = {"seatrial.test": "observe", **settings.pop("labels", {})}
    running = client.containers.run(IMAGE, list(command), detach=True, labels=labels, **settings)
    try:
        yield running
    finally:
        running.remove(force=True, v=True)
        client.close()


def until(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Wait for a condition, looking twenty times a second."""
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return condition()


def columns(path: Path) -> dict[str, list[int]]:
    """Read a stream by columns."""
    with path.open("rb") as stream:
        layout = read_layout(stream)
        data = stream.read()
    size = layout.record.size
    written = list(layout.record.iter_unpack(data[: len(data) // size * size]))
    return {name: [row[at] for row in written] for at, name in enumerate(layout.columns)}


def events(path: Path) -> list[dict[str, Any]]:
    """Read the events so far."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def watch(service: str, running: Container) -> Watch:
    """Watch a container under a service name."""
    return Watch(service=service, kind="container", container=running.id or "")


@pytest.mark.alone
def test_two_containers_are_read_ten_times_a_second(tmp_path: Path) -> None:
    """Each has at least 9 samples a second, and 20 MiB in /dev/shm are seen as shared memory."""
    write = "sleep 1; head -c 20971520 /dev/zero > /dev/shm/x; sleep 100"
    with container("sleep", "100") as idle, container("sh", "-c", write) as writing:
        watches = [watch("idle", idle), watch("writing", writing)]
        with observing(watches, tmp_path, tmp_path / "e.jsonl", spawn=spawn) as observer:
            threading.Event().wait(3.0)
    for service in ("idle", "writing"):
        stamps = columns(tmp_path / f"samples-{service}-1.bin")["t_ns"]
        assert len(stamps) / ((stamps[-1] - stamps[0]) / 1e9) >= 9
    shmem = columns(tmp_path / "samples-writing-1.bin")["shmem_bytes"]
    assert (min(shmem), max(shmem)) == (0, 20 * MIB)
    assert observer.summary is not None
    assert observer.summary.sources["idle"] in {"cgroup v1", "cgroup v2"}
    assert max(columns(tmp_path / "samples-idle-1.bin")["rx_bytes"]) >= 0


def test_a_restart_is_followed(tmp_path: Path) -> None:
    """The same id goes on in the same file, and die and start are told on the samples' clock."""
    with container("sleep", "100", init=True) as running:
        path = tmp_path / "samples-it-1.bin"
        with observing([watch("it", running)], tmp_path, tmp_path / "e.jsonl", spawn=spawn):
            assert until(lambda: len(columns(path)["t_ns"]) >= 5)
            before = len(columns(path)["t_ns"])
            running.restart(timeout=1)
            assert until(lambda: len(columns(path)["t_ns"]) >= before + 10)
    told = events(tmp_path / "e.jsonl")
    assert {"die", "start"} <= {event["event"] for event in told}
    stamps = columns(path)["t_ns"]
    assert all(stamps[0] < event["t_ns"] < stamps[-1] for event in told)
    assert [entry.name for entry in tmp_path.glob("samples-*")] == ["samples-it-1.bin"]


def test_a_new_container_of_the_project_is_followed(tmp_path: Path) -> None:
    """It gets a file of its own, under its service's name."""
    labels = {"com.docker.compose.project": "trialx", "com.docker.compose.service": "it"}
    client = docker.from_env()
    with (
        container("sleep", "100") as first,
        observing([watch("it", first)], tmp_path, tmp_path / "e", spawn=spawn, project="trialx"),
    ):
        second = client.containers.run(IMAGE, ["sleep", "100"], detach=True, labels=labels)
        found = until((tmp_path / "samples-it-2.bin").exists)
        second.remove(force=True)
        client.close()
    assert found
    with (tmp_path / "samples-it-2.bin").open("rb") as stream:
        assert read_layout(stream).constants == {"service": "it", "container": second.id}


def test_a_worker_that_crashes_again_and_again_is_followed(tmp_path: Path) -> None:
    """It is in the samples while it lives, and in the events, though its service was not known at the start."""
    labels = {"com.docker.compose.project": "trialy", "com.docker.compose.service": "worker"}
    path, stream = tmp_path / "e", tmp_path / "samples-worker-1.bin"
    with (
        container("sleep", "100") as told,
        observing([watch("it", told)], tmp_path, path, spawn=spawn, project="trialy") as observer,
        container("sh", "-c", "sleep 0.7; exit 3", labels=labels, restart_policy={"Name": "always"}),
    ):
        assert until(lambda: [one["event"] for one in events(path)].count("die") >= 2)
    assert len(columns(stream)["t_ns"]) >= 5
    assert {one["service"] for one in events(path) if one["event"] == "die"} == {"worker"}
    assert observer.summary is not None
    assert observer.summary.samples["worker"] == len(columns(stream)["t_ns"])


def test_what_runs_of_the_project_is_followed_from_the_start(tmp_path: Path) -> None:
    """Replicas too: one service, a file for each container."""
    labels = {"com.docker.compose.project": "trialz", "com.docker.compose.service": "web"}
    with (
        container("sleep", "100") as told,
        container("sleep", "100", labels=labels) as first,
        container("sleep", "100", labels=labels) as second,
        observing([watch("it", told)], tmp_path, tmp_path / "e", spawn=spawn, project="trialz"),
    ):
        threading.Event().wait(0.5)
    found = set()
    for path in tmp_path.glob("samples-web-*.bin"):
        with path.open("rb") as stream:
            found.add(read_layout(stream).constants["container"])
    assert found == {first.id, second.id}


def test_an_out_of_memory_kill_is_told(tmp_path: Path) -> None:
    """A container that is killed at its limit leaves an event, and the limit in its samples."""
    command = ("sh", "-c", "sleep 1; tail /dev/zero")
    with container(*command, mem_limit="20m", memswap_limit="20m") as running:
        told = tmp_path / "e.jsonl"
        with observing([watch("it", running)], tmp_path, told, spawn=spawn):
            assert until(lambda: any(event["event"] == "die" for event in events(told)))
    limits = columns(tmp_path / "samples-it-1.bin")["limit_bytes"]
    assert set(limits) == {20 * MIB}
    names = {event["event"] for event in events(told)}
    codes = [event["detail"].get("exit_code") for event in events(told) if event["event"] == "die"]
    assert "oom" in names
    assert codes == [137]


def test_the_api_gives_usage_and_cpu_where_files_can_not_be_read() -> None:
    """One reading a second, none in between, and the end of the container is its end."""
    with container("sleep", "100") as running:
        source = DockerApi(connect_to_docker(), running.id or "")
        looks = [threading.Event().wait(0.05) or source.read() for _ in range(100)]
        source.close()
    first = [look for look in looks if isinstance(look, Reading)]
    assert first[0].usage_bytes > 0
    assert first[0].cpu_ns > 0
    assert first[0].anon_bytes == NULL
    assert 3 <= len(first) <= 7

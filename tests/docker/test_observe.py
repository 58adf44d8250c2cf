"""The sampler over real containers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from factories import read_column
from spawning import spawn
from trials import wait_until

from seatrial.model import Watch
from seatrial.record.tables import open_part
from seatrial.sampler.docker import DockerApi, connect_to_docker
from seatrial.sampler.session import observing
from seatrial.wire.streams import NULL, Reading

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


def events(path: Path) -> list[dict[str, Any]]:
    """Read the events so far."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def in_project(project: str, service: str) -> dict[str, str]:
    """Return the labels of a service of a Compose project."""
    return {"com.docker.compose.project": project, "com.docker.compose.service": service}


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
        stamps = read_column(tmp_path / f"samples-{service}-1.bin", "t_ns")
        assert len(stamps) / ((stamps[-1] - stamps[0]) / 1e9) >= 9
    shmem = read_column(tmp_path / "samples-writing-1.bin", "shmem_bytes")
    assert (min(shmem), max(shmem)) == (0, 20 * MIB)
    assert observer.summary is not None
    assert observer.summary.sources["idle"] in {"cgroup v1", "cgroup v2"}
    assert max(read_column(tmp_path / "samples-idle-1.bin", "rx_bytes")) >= 0


def test_a_restart_is_followed(tmp_path: Path) -> None:
    """The same id goes on in the same file, and die and start have times on the samples' clock."""
    with container("sleep", "100", init=True) as running:
        path = tmp_path / "samples-it-1.bin"
        with observing([watch("it", running)], tmp_path, tmp_path / "e.jsonl", spawn=spawn):
            wait_until(lambda: len(read_column(path, "t_ns")) >= 5, 20)
            before = len(read_column(path, "t_ns"))
            running.restart(timeout=1)
            wait_until(lambda: len(read_column(path, "t_ns")) >= before + 10, 20)
    recorded = events(tmp_path / "e.jsonl")
    assert {"die", "start"} <= {event["event"] for event in recorded}
    stamps = read_column(path, "t_ns")
    assert all(stamps[0] < event["t_ns"] < stamps[-1] for event in recorded)
    assert [entry.name for entry in tmp_path.glob("samples-*")] == ["samples-it-1.bin"]


def test_containers_of_the_project_are_followed(tmp_path: Path) -> None:
    """Those that run at the start and a new one each get a file of their own, under their service's name."""
    labels, path = in_project("trialx", "web"), tmp_path / "samples-it-2.bin"
    with (
        container("sleep", "100") as first,
        container("sleep", "100", labels=labels) as one,
        container("sleep", "100", labels=labels) as another,
        observing([watch("it", first)], tmp_path, tmp_path / "e", spawn=spawn, project="trialx"),
        container("sleep", "100", labels=in_project("trialx", "it")) as second,
    ):
        wait_until(path.exists, 20)
        wait_until(lambda: len(list(tmp_path.glob("samples-web-*.bin"))) == 2, 20)
    assert open_part(path).layout.constants == {"service": "it", "container": second.id}
    web = [open_part(stream).layout.constants["container"] for stream in tmp_path.glob("samples-web-*.bin")]
    assert set(web) == {one.id, another.id}


def test_a_worker_that_crashes_again_and_again_is_followed(tmp_path: Path) -> None:
    """It is in the samples while it lives, and in the events, though its service was not known at the start."""
    labels = in_project("trialy", "worker")
    path, stream = tmp_path / "e", tmp_path / "samples-worker-1.bin"
    with (
        container("sleep", "100") as known,
        observing([watch("it", known)], tmp_path, path, spawn=spawn, project="trialy") as observer,
        container("sh", "-c", "sleep 0.7; exit 3", labels=labels, restart_policy={"Name": "always"}),
    ):
        wait_until(lambda: [one["event"] for one in events(path)].count("die") >= 2, 20)
    assert len(read_column(stream, "t_ns")) >= 5
    assert {one["service"] for one in events(path) if one["event"] == "die"} == {"worker"}
    assert observer.summary is not None
    assert observer.summary.samples["worker"] == len(read_column(stream, "t_ns"))


def test_an_out_of_memory_kill_is_recorded(tmp_path: Path) -> None:
    """A container that is killed at its limit leaves an event, and the limit in its samples."""
    path = tmp_path / "e.jsonl"
    with (
        container("sh", "-c", "sleep 1; tail /dev/zero", mem_limit="20m", memswap_limit="20m") as running,
        observing([watch("it", running)], tmp_path, path, spawn=spawn),
    ):
        wait_until(lambda: any(event["event"] == "die" for event in events(path)), 20)
    assert set(read_column(tmp_path / "samples-it-1.bin", "limit_bytes")) == {20 * MIB}
    assert "oom" in {event["event"] for event in events(path)}
    assert [event["detail"].get("exit_code") for event in events(path) if event["event"] == "die"] == [137]


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

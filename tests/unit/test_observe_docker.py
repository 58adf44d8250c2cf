"""What Docker says, in our words: events on the run's clock, the API's statistics; and the sampler's messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seatrial.model import Watch
from seatrial.sampler.docker import Clocks, Interest, append, create, reading_of
from seatrial.sampler.session import STOP, SamplerPlan, Summary, watch_line, watched
from seatrial.wire.streams import Reading

CLOCKS = Clocks(wall_ns=5_000, monotonic_ns=100)


def message(action: str, container: str, **labels: str) -> dict[str, Any]:
    """Build one message as the daemon sends it."""
    return {"Action": action, "Actor": {"ID": container, "Attributes": labels}, "timeNano": 5_007}


def compose(project: str, service: str, oneoff: str = "False") -> dict[str, str]:
    """Return the labels that Compose gives."""
    names = ("project", "service", "oneoff")
    return {f"com.docker.compose.{n}": v for n, v in zip(names, (project, service, oneoff), strict=True)}


def test_an_event_stands_on_the_monotonic_clock() -> None:
    """The daemon's wall stamp moves by the difference of the two clocks; the exit code becomes a number."""
    interest = Interest("", CLOCKS)
    interest.add("af22", "auth")
    event = interest.event(message("die", "af22", exitCode="137", name="x"))
    assert event is not None
    assert json.loads(event.line()) == {
        "t_ns": 107,
        "wall_ns": 5007,
        "service": "auth",
        "container": "af22",
        "event": "die",
        "detail": {"exit_code": 137},
    }


def test_health_is_split_from_its_state() -> None:
    """`health_status: unhealthy` is one event with a detail."""
    interest = Interest("", CLOCKS)
    interest.add("af22", "auth")
    event = interest.event(message("health_status: unhealthy", "af22"))
    assert event is not None
    assert (event.event, event.detail) == ("health_status", {"health": "unhealthy"})


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        (compose("trial", "auth"), "auth"),
        (compose("other", "auth"), None),
        (compose("trial", "auth", oneoff="True"), None),
        ({}, None),
    ],
)
def test_a_new_container_counts_by_its_project(labels: dict[str, str], service: str | None) -> None:
    """Containers of the project belong to us, strangers and one-off runs don't."""
    event = Interest("trial", CLOCKS).event(message("start", "new", **labels))
    assert (event.service if event else None) == service


def test_without_a_project_only_watched_containers_count() -> None:
    """Labels that are missing, or empty, on both sides do not match each other."""
    interest = Interest("", CLOCKS)
    assert interest.event(message("start", "new")) is None
    assert interest.event(message("start", "new", **compose("", "auth"))) is None
    assert interest.event(message("start", "new", **compose("trial", "auth"))) is None
    assert interest.label == ""


def test_replicas_count_for_one_service() -> None:
    """The service's name is that of Compose, whichever of its containers it is."""
    interest = Interest("trial", CLOCKS)
    first, second = (interest.event(message("start", one, **compose("trial", "web"))) for one in ("a1", "b2"))
    assert first is not None
    assert second is not None
    assert (first.service, second.service) == ("web", "web")
    assert (first.container, second.container) == ("a1", "b2")


def test_events_are_appended_to_a_file_that_exists(tmp_path: Path) -> None:
    """The file is there, empty, before anything happens."""
    path = tmp_path / "events.jsonl"
    create(path)
    assert path.read_bytes() == b""
    interest = Interest("", CLOCKS)
    interest.add("af22", "auth")
    for action in ("die", "start"):
        event = interest.event(message(action, "af22"))
        assert event is not None
        append(path, event)
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["die", "start"]


@pytest.mark.parametrize("key", ["total_inactive_file", "inactive_file"])
def test_statistics_give_usage_working_set_and_cpu(key: str) -> None:
    """Both cgroup versions name their inactive file pages; everything else is NULL."""
    statistics = {
        "memory_stats": {"usage": 100, "stats": {key: 30, "anon": 50}},
        "cpu_stats": {"cpu_usage": {"total_usage": 7}},
    }
    assert reading_of(statistics) == Reading(usage_bytes=100, working_set_bytes=70, cpu_ns=7)


def test_a_plan_survives_its_line() -> None:
    """What the sampler reads is what the harness wrote."""
    watches = (Watch(service="auth", kind="container", container="af22"), Watch(service="host", kind="host"))
    plan = SamplerPlan(watches=watches, streams=Path("/r/streams"), events=Path("/r/events"), project="p", hz=5.0)
    assert plan.encode().count(b"\n") == 1
    assert SamplerPlan.decode(plan.encode()) == plan


def test_later_messages_are_targets_or_the_end() -> None:
    """Anything without a target is a stop."""
    watch = Watch(service="generator", kind="tree", pid=7)
    assert watched(watch_line(watch)) == watch
    assert watched(STOP) is None


def test_a_summary_survives_its_file(tmp_path: Path) -> None:
    """A killed harness finds what the sampler wrote."""
    summary = Summary(
        samples={"auth": 3},
        sources={"auth": "cgroup v1"},
        period_p50_ns=100,
        period_p99_ns=110,
        ticks=3,
        missed_ticks=0,
        container_sample_p50_ns=40,
        cpu_s=0.1,
        wall_s=20.0,
        startup_cpu_s=0.2,
    )
    summary.write(tmp_path)
    assert Summary.load(tmp_path) == summary

"""Docker's events on the run's clock, and the statistics of its API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seatrial.sampler.docker import Clocks, EventFilter, reading_of
from seatrial.wire.streams import Reading

CLOCKS = Clocks(wall_ns=5_000, monotonic_ns=100)


def message(action: str, container: str, **labels: str) -> dict[str, Any]:
    """Build one message as the daemon sends it."""
    return {"Action": action, "Actor": {"ID": container, "Attributes": labels}, "timeNano": 5_007}


def compose(project: str, service: str, oneoff: str = "False") -> dict[str, str]:
    """Return the labels that Compose gives."""
    prefix = "com.docker.compose"
    return {f"{prefix}.project": project, f"{prefix}.service": service, f"{prefix}.oneoff": oneoff}


def test_events_are_lines_on_the_monotonic_clock(tmp_path: Path) -> None:
    """The wall stamp moves by the difference of the clocks, the exit code is a number, health is a detail."""
    events = EventFilter("", CLOCKS)
    events.add("af22", "auth")
    for action, labels in (("die", {"exitCode": "137", "name": "x"}), ("health_status: unhealthy", {})):
        event = events.event(message(action, "af22", **labels))
        assert event is not None
        event.append_to(tmp_path / "events.jsonl")
    common = {"t_ns": 107, "wall_ns": 5007, "service": "auth", "container": "af22"}
    assert [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()] == [
        {**common, "event": "die", "detail": {"exit_code": 137}},
        {**common, "event": "health_status", "detail": {"health": "unhealthy"}},
    ]


@pytest.mark.parametrize(
    ("project", "labels", "service"),
    [
        ("trial", compose("trial", "auth"), "auth"),
        ("trial", compose("other", "auth"), None),
        ("trial", compose("trial", "auth", oneoff="True"), None),
        ("trial", {}, None),
        ("", {}, None),
        ("", compose("", "auth"), None),
        ("", compose("trial", "auth"), None),
    ],
)
def test_a_new_container_counts_by_its_project(project: str, labels: dict[str, str], service: str | None) -> None:
    """Each container of the project counts for its service, no other and no one-off run; without one none does."""
    events = EventFilter(project, CLOCKS)
    seen = [events.event(message("start", container, **labels)) for container in ("a1", "b2")]
    assert [(one.service, one.container) for one in seen if one] == (
        [(service, "a1"), (service, "b2")] if service else []
    )
    assert bool(events.label) == bool(project)


@pytest.mark.parametrize("key", ["total_inactive_file", "inactive_file"])
def test_statistics_give_usage_working_set_and_cpu(key: str) -> None:
    """Both cgroup versions name their inactive file pages; everything else is NULL."""
    statistics = {
        "memory_stats": {"usage": 100, "stats": {key: 30, "anon": 50}},
        "cpu_stats": {"cpu_usage": {"total_usage": 7}},
    }
    assert reading_of(statistics) == Reading(usage_bytes=100, working_set_bytes=70, cpu_ns=7)

"""The messages between the harness and the sampler, and the sampler's summary."""

from __future__ import annotations

from pathlib import Path

from seatrial.model import Watch
from seatrial.sampler.session import STOP, SamplerPlan, Summary, decode_watch, watch_line


def test_a_plan_survives_its_line() -> None:
    """The sampler reads what the harness wrote."""
    watches = (Watch(service="auth", kind="container", container="af22"), Watch(service="host", kind="host"))
    plan = SamplerPlan(watches=watches, streams=Path("/r/streams"), events=Path("/r/events"), project="p", hz=5.0)
    assert plan.encode().count(b"\n") == 1
    assert SamplerPlan.decode(plan.encode()) == plan


def test_later_messages_are_targets_or_the_end() -> None:
    """Anything without a target is a stop."""
    watch = Watch(service="generator", kind="tree", pid=7)
    assert decode_watch(watch_line(watch)) == watch
    assert decode_watch(STOP) is None


def test_a_summary_survives_its_file(tmp_path: Path) -> None:
    """The harness reads what the sampler wrote."""
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

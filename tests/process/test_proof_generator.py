"""Who is the bottleneck? A load generator that is says so; of a server that is, no percentile is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from process import bottleneck

pytestmark = pytest.mark.servers

LIMITED = ("--set", "load.parameters.path=/limited", "--users", "600")


def test_a_generator_without_a_pause_on_one_core_is_told(tmp_path: Path) -> None:
    """200 users without waits fill the core, also where the stack takes a part of it; the run is INVALID."""
    ran = bottleneck.run(tmp_path, "local", "--users", "200", core=min(os.sched_getaffinity(0)))
    assert ran.code == 5, ran.said
    assert ran.report["verdict"] == "invalid"
    assert ran.invalid_for
    assert ran.invalid_for <= {"generator busy", "generator late"}


def test_a_generator_within_its_means_is_trusted(tmp_path: Path) -> None:
    """20 users that wait 0.2 s: the same client, the same server, and a valid run."""
    ran = bottleneck.valid(tmp_path, "local", "--users", "20", "--set", "load.parameters.pause=0.2")
    assert (ran.code, ran.invalid_for) == (0, set()), ran.said
    assert ran.report["verdict"] == "valid"
    assert ran.p95_ns is not None


def test_three_times_the_ceiling_is_saturated(tmp_path: Path) -> None:
    """Two thirds of the arrivals pile up: no percentile is shown, and the note tells what was completed."""
    ran = bottleneck.run(tmp_path, "local", "--rate", f"{3 * bottleneck.CEILING_PER_S}/s", *LIMITED)
    assert ran.code == 5, ran.said
    assert "saturated" in ran.invalid_for
    assert ran.report["saturated"]
    for told in (ran.report["requests"], *ran.report["endpoints"]):
        for name in ("latency_ns", "service_ns", "first_byte_ns"):
            assert [told[name][key] for key in ("p50", "p95", "p99", "max")] == [None] * 4, name
    arrivals = ran.report["generator"]["arrivals"]
    assert 0.25 < arrivals["completed_share"] < 0.4
    assert ran.report["requests"]["count"] > 0


def test_just_below_the_ceiling_is_valid(tmp_path: Path) -> None:
    """Nine tenths of it are served as they come."""
    rate = f"{bottleneck.CEILING_PER_S * 9 // 10}/s"
    ran = bottleneck.valid(tmp_path, "local", "--rate", rate, *LIMITED)
    assert (ran.code, ran.invalid_for) == (0, set()), ran.said
    assert ran.p95_ns is not None

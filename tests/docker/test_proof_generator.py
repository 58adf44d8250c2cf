"""Who is the bottleneck, on real containers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from process import bottleneck

pytestmark = pytest.mark.docker


def test_a_generator_without_a_pause_on_one_core_is_told(tmp_path: Path) -> None:
    """200 users without waits fill the core; the run is INVALID."""
    ran = bottleneck.run(tmp_path, "compose", "--users", "200", core=min(os.sched_getaffinity(0)))
    assert ran.code == 5, ran.said
    assert ran.invalid_for
    assert ran.invalid_for <= {"generator busy", "generator late"}


def test_a_generator_within_its_means_is_trusted(tmp_path: Path) -> None:
    """20 users that wait 0.2 s: the same client, the same server, and a valid run."""
    ran = bottleneck.valid(tmp_path, "compose", "--users", "20", "--set", "load.parameters.pause=0.2")
    assert (ran.code, ran.invalid_for) == (0, set()), ran.said
    assert ran.p95_ns is not None


def test_three_times_the_ceiling_is_saturated(tmp_path: Path) -> None:
    """Arrivals pile up before the container: no percentile is shown."""
    words = ("--rate", f"{3 * bottleneck.CEILING_PER_S}/s", "--set", "load.parameters.path=/limited")
    ran = bottleneck.run(tmp_path, "compose", "--users", "600", *words)
    assert (ran.code, "saturated" in ran.invalid_for, ran.p95_ns) == (5, True, None), ran.said

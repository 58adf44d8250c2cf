"""The health of a load process: its share of cores, loop lag, task errors, and the row of each second."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from seatrial.user.arrivals import COUNTS
from seatrial.user.health import (
    HEALTH,
    LEAST_NS,
    CpuShare,
    LoopLag,
    Seconds,
    TaskErrors,
    allowed_cores,
    quota_cores,
    waited_ns,
)
from seatrial.wire.streams import GENERATOR, row_columns

S = 1_000_000_000


@pytest.mark.parametrize(
    ("quota", "affinity", "processes", "expected"),
    [(math.inf, 4, 2, 1.0), (math.inf, 1, 2, 0.5), (1.5, 4, 1, 1.0), (0.5, 4, 1, 0.5), (1.5, 8, 3, 0.5)],
)
def test_processes_share_quota_and_affinity(quota: float, affinity: int, processes: int, expected: float) -> None:
    """Never more than one core for each: Python runs on no more."""
    assert allowed_cores(quota, affinity, processes) == expected


@pytest.mark.parametrize(
    ("cores", "cpu_ns", "waited_ns", "share"),
    [(0.5, 250_000_000, 0, 0.5), (1.0, 700_000_000, 290_000_000, 0.99)],
    ids=["a quarter of a core, where half a core is allowed", "waiting for a core is being busy"],
)
def test_the_cpu_share_is_of_what_may_be_used(cores: float, cpu_ns: int, waited_ns: int, share: float) -> None:
    """A process that is never idle is as busy on a core that it has for 70 % of the time."""
    wall, cpu, waited = iter([0, S]), iter([0, cpu_ns]), iter([100, 100 + waited_ns])
    taken = CpuShare(cores, clock=lambda: next(wall), cpu=lambda: next(cpu), waited=lambda: next(waited)).take()
    assert taken == share


def _files(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    """Version 2: a parent may allow less than the group itself, or set no limit; so does a host without groups."""
    assert quota_cores(tmp_path / "none", tmp_path) == math.inf
    own, job = _files(tmp_path, cgroup="0::/slice/job\n") / "cgroup", tmp_path / "fs" / "slice" / "job"
    _files(job, cpu__max="200000 100000\n")
    for parents, cores in (("30000 100000\n", 0.3), ("max 100000\n", 2.0)):
        _files(job.parent, cpu__max=parents)
        assert quota_cores(own, tmp_path / "fs") == cores


@pytest.mark.parametrize(("quota_us", "cores"), [("70000\n", 0.7), ("-1\n", math.inf)])
def test_version_1_and_a_path_that_cannot_be_seen(tmp_path: Path, quota_us: str, cores: float) -> None:
    """A container without a namespace has its path on the host in there; its own group is what is mounted."""
    own = _files(tmp_path, cgroup="4:cpu,cpuacct:/docker/af\n3:memory:/docker/af\n0::/\n") / "cgroup"
    _files(tmp_path / "fs" / "cpu,cpuacct", cpu__cfs_quota_us=quota_us, cpu__cfs_period_us="100000\n")
    assert quota_cores(own, tmp_path / "fs") == cores


@pytest.mark.parametrize("lasted_ns", [S, LEAST_NS - 1])
def test_a_rest_shorter_than_a_second_has_its_counts_alone(lasted_ns: int) -> None:
    """No count is lost, and a CPU share of some milliseconds would mean nothing."""
    now_ns = 0
    seconds = Seconds(clock=lambda: now_ns)
    seconds.requests.completed = 7
    now_ns = lasted_ns
    arrivals = {**dict.fromkeys(COUNTS, 0), "arrivals": 9, "arrivals_dropped": 2}
    counts, row = seconds.take(3, arrivals, 1_000)
    later = seconds.take(3)[0]
    assert set(counts) == set(later) == {"t_ns", "users", "in_flight", "offered", "completed", "failed", *COUNTS}
    assert (counts["completed"], counts["failed"], later["completed"]) == (7, 0, 0)
    assert tuple(row) == tuple(row_columns(GENERATOR))
    assert (row["t_ns"], row["users"], row["completed"]) == (lasted_ns, 3, 7)
    assert (row["arrivals"], row["arrivals_dropped"]) == (9, 2)
    if lasted_ns == S:
        assert row["cpu_fraction"] is not None
        assert row["slip_p99_ns"] == 1_000
    else:
        assert {row[name] for name in HEALTH} == {None}


def test_loop_lag_is_the_lateness_of_wakes() -> None:
    """Two wakes in time and one 30 ms late: median 0, 99th percentile 30 ms; then it starts over."""
    stamps = iter([0, 50_000_000, 0, 50_000_000, 0, 80_000_000])
    lag = LoopLag(clock=lambda: next(stamps), sleep=lambda _: None)
    for _ in range(3):
        lag.tick()
    assert lag.take() == (0, 30_000_000)
    assert lag.take() == (None, None)


def test_the_kernel_counts_how_long_a_thread_has_waited() -> None:
    """The count never falls; it stays 0 on a kernel without it."""
    assert 0 <= waited_ns() <= waited_ns()


def test_each_task_error_is_reported_once() -> None:
    """Three exceptions of two kinds: two reported, three counted."""
    reported: list[str] = []
    errors = TaskErrors(lambda row: reported.append(row["what"]))
    for error in (KeyError("a"), KeyError("a"), ValueError("b")):
        errors.on_user_error(user_instance=None, exception=error, tb=None)
    assert (reported, errors.count) == (["KeyError: 'a'", "ValueError: b"], 3)

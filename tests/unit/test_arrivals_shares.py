"""What worker processes share: arrivals, numbers of users, a core."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.user.distributed import dispatch_order
from seatrial.user.health import CpuShare, allowed_cores, quota_cores
from seatrial.wire.rates import shares


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 50), min_size=1, max_size=6))
def test_shares_fill_the_unit_interval(users: dict[str, int]) -> None:
    """Side by side, from 0 to 1, each as long as its part of the users; equal parts where there are none."""
    parts, total = shares(users), sum(users.values())
    ends = list(parts.values())
    assert [low for low, _ in ends] == [0.0, *(high for _, high in ends[:-1])]
    assert ends[-1][1] == 1.0
    for name, (low, high) in parts.items():
        assert high - low == pytest.approx(users[name] / total if total else 1 / len(users))


def test_users_go_round_the_hosts() -> None:
    """The order of Locust's dispatcher: the first worker of each host, then the second ones."""
    assert dispatch_order(["b_2", "a_9", "a_1", "b_1", "a_5"]) == ["a_1", "b_1", "a_5", "b_2", "a_9"]


@pytest.mark.parametrize(
    ("quota", "affinity", "processes", "expected"),
    [(math.inf, 4, 2, 1.0), (math.inf, 1, 2, 0.5), (1.5, 4, 1, 1.0), (0.5, 4, 1, 0.5), (1.5, 8, 3, 0.5)],
)
def test_a_process_may_use_its_part_of_what_is_there(
    quota: float, affinity: int, processes: int, expected: float
) -> None:
    """Never more than one core: Python runs on no more."""
    assert allowed_cores(quota, affinity, processes) == expected


def test_cpu_is_told_of_what_may_be_used() -> None:
    """A quarter of a core, where half a core is allowed, is a half."""
    wall, cpu = iter([0, 1_000_000_000]), iter([0, 250_000_000])
    assert CpuShare(0.5, clock=lambda: next(wall), cpu=lambda: next(cpu), waited=lambda: 0).take() == 0.5


def _files(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    """Version 2: a parent may allow less than the group itself."""
    own = _files(tmp_path, cgroup="0::/slice/job\n") / "cgroup"
    root = tmp_path / "fs"
    _files(root / "slice" / "job", cpu__max="200000 100000\n")
    _files(root / "slice", cpu__max="30000 100000\n")
    assert quota_cores(own, root) == 0.3
    _files(root / "slice", cpu__max="max 100000\n")
    assert quota_cores(own, root) == 2.0


def test_version_1_and_a_path_that_cannot_be_seen(tmp_path: Path) -> None:
    """A container without a namespace is told its path on the host: what is mounted is its own group."""
    own = _files(tmp_path, cgroup="4:cpu,cpuacct:/docker/af\n3:memory:/docker/af\n0::/\n") / "cgroup"
    _files(tmp_path / "fs" / "cpu,cpuacct", cpu__cfs_quota_us="70000\n", cpu__cfs_period_us="100000\n")
    assert quota_cores(own, tmp_path / "fs") == 0.7
    _files(tmp_path / "fs" / "cpu,cpuacct", cpu__cfs_quota_us="-1\n")
    assert quota_cores(own, tmp_path / "fs") == math.inf


def test_without_groups_there_is_no_quota(tmp_path: Path) -> None:
    """Nothing to read is no limit, and no error."""
    assert quota_cores(tmp_path / "none", tmp_path) == math.inf

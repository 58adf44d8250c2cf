"""Cheap reading of kernel text files."""

from __future__ import annotations

from pathlib import Path

from seatrial.sampler.reading import (
    Descriptors,
    Keyed,
    NetworkCounters,
    Pressure,
    known_sum,
    number,
    own_net_dev,
    remainder,
)
from seatrial.wire.streams import NULL

NET_DEV = Path(__file__).parent / "data/cgroup1/net_dev"


def test_values_follow_their_keys_when_a_kernel_moves_them(tmp_path: Path) -> None:
    """Positions are learnt once, and again when other keys stand there."""
    path = tmp_path / "memory.stat"
    path.write_text("anon 1\nfile 2\nsock 3\n")
    keyed = Keyed(Descriptors().open(path), ["file", "sock", "kernel"])
    assert keyed.values() == [2, 3, NULL]
    path.write_text("anon 1\nkernel 9\nfile 4\nsock 5\n")
    assert keyed.values() == [4, 5, 9]


def test_values_of_a_shortened_file_are_null(tmp_path: Path) -> None:
    """A line that is gone is NULL, never its neighbour's value."""
    path = tmp_path / "memory.stat"
    path.write_text("anon 1\nfile 2\n")
    keyed = Keyed(Descriptors().open(path), ["anon", "file"])
    keyed.values()
    path.write_text("anon 7\n")
    assert keyed.values() == [7, NULL]


def test_max_is_no_number(tmp_path: Path) -> None:
    """Version 2 writes `max` for no limit."""
    (tmp_path / "memory.max").write_text("max\n")
    assert number(Descriptors().open(tmp_path / "memory.max")) == NULL


def test_a_list_is_read_to_its_end(tmp_path: Path) -> None:
    """Counters in a list longer than a page are found."""
    (tmp_path / "vmstat").write_text("".join(f"padding_{n} 0\n" for n in range(1000)) + "oom_kill 4\n")
    assert Keyed(Descriptors().open(tmp_path / "vmstat"), ["oom_kill"], pages=True).values() == [4]


def test_pressure_that_the_host_lacks_is_null(tmp_path: Path) -> None:
    """Without PSI the stalls are NULL."""
    assert set(Pressure(Descriptors(), tmp_path, ".pressure").columns().values()) == {NULL}


def test_loopback_does_not_count() -> None:
    """Only bytes on other interfaces are received or sent."""
    counters = NetworkCounters(Descriptors(), NET_DEV, lambda name: name == "eth0")
    assert counters.columns() == {"rx_bytes": 200, "tx_bytes": 1500}


def test_a_shared_network_namespace_has_no_counters_of_its_own(tmp_path: Path) -> None:
    """A container in the host's network would otherwise have the host's bytes."""
    for name in ("self", "7"):
        (tmp_path / name / "ns").mkdir(parents=True)
        (tmp_path / name / "ns/net").symlink_to("net:[1]")
    assert own_net_dev(7, tmp_path) is None


def test_unknown_parts() -> None:
    """A remainder is clamped at 0, and unknown with any unknown part; a sum leaves unknown parts out."""
    assert [remainder(10, 3, 4), remainder(10, 11), remainder(10, 3, NULL)] == [3, 0, NULL]
    assert [known_sum(1, NULL), known_sum(NULL, NULL)] == [1, NULL]

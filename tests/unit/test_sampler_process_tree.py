"""The table of processes, and the descendants of one."""

from __future__ import annotations

from pathlib import Path

from factories import write_process

from seatrial.sampler.process_tree import ProcessTable
from seatrial.units import NS_PER_S


def test_descendants_of_any_depth_are_found_and_followed(tmp_path: Path) -> None:
    """New processes are found within a second; other processes are left out."""
    now = [0]
    for pid, parent in ((10, 1), (11, 10), (12, 11), (13, 1)):
        write_process(tmp_path, pid, parent)
    table = ProcessTable(tmp_path, lambda: now[0])
    table.refresh()
    assert table.descendants([10]) == {11, 12}
    write_process(tmp_path, 14, 12)
    now[0] = NS_PER_S - 1
    table.refresh()
    assert table.descendants([10]) == {11, 12}
    now[0] = NS_PER_S
    table.refresh()
    assert table.descendants([10]) == {11, 12, 14}


def test_nothing_is_scanned_while_no_process_is_born(tmp_path: Path) -> None:
    """Without a younger process id there is no listing."""
    now = iter(range(0, 10 * NS_PER_S, NS_PER_S))
    write_process(tmp_path, 10, 1)
    table = ProcessTable(tmp_path, lambda: next(now))
    for _ in range(3):
        table.refresh()
    assert table.scans == 1

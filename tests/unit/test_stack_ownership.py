"""Whose a labelled thing is, and whether its owner lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.stack.ownership import Owner, is_alive, labels, this_owner
from seatrial.stack.processes import Process, end_all, marked, of_sessions

BOOT = "11111111-2222-3333-4444-555555555555"


def proc_with(folder: Path, *, state: str = "S", start: int = 500, session: int = 40) -> Path:
    """Make a /proc with process 42, its name full of traps, and environment `SEATRIAL_RUN=r1`."""
    (folder / "42").mkdir()
    (folder / "42/stat").write_text(f"42 (a) b) {state} 1 42 {session} 0 -1 " + "0 " * 11 + f"1 0 {start} 0 0\n")
    (folder / "42/environ").write_bytes(b"A=b\0SEATRIAL_RUN=r1\0")
    (folder / "sys/kernel/random").mkdir(parents=True)
    (folder / "sys/kernel/random/boot_id").write_text(BOOT + "\n")
    return folder


def test_this_process_is_alive() -> None:
    """A process finds itself, also through the label's text."""
    assert is_alive(Owner.parse(str(this_owner())))


@pytest.mark.parametrize(
    ("owner", "alive"),
    [
        (Owner(42, 500, BOOT), True),
        (Owner(42, 501, BOOT), False),
        (Owner(43, 500, BOOT), False),
        (Owner(42, 500, "another boot"), False),
    ],
)
def test_owner_is_pid_start_and_boot(tmp_path: Path, owner: Owner, *, alive: bool) -> None:
    """A number that was given to a later process, or in an earlier boot, is not the owner."""
    assert is_alive(owner, proc=proc_with(tmp_path)) is alive


def test_zombie_is_dead(tmp_path: Path) -> None:
    """A killed harness that nobody has reaped yet owns nothing."""
    assert not is_alive(Owner(42, 500, BOOT), proc=proc_with(tmp_path, state="Z"))


def test_labels_say_all_that_clean_needs() -> None:
    """Run, owner and deadline are always there, `kept` only where it holds."""
    owner = Owner(42, 500, BOOT)
    assert labels(run_id="r1", owner=owner, deadline_epoch_s=99.9, kept=False) == {
        "seatrial.run": "r1",
        "seatrial.owner": f"42:500:{BOOT}",
        "seatrial.deadline": "99",
    }
    assert labels(run_id="r1", owner=owner, deadline_epoch_s=1, kept=True)["seatrial.kept"] == "yes"


def test_process_is_found_by_its_mark(tmp_path: Path) -> None:
    """The run's id in the environment marks a process, and only the whole id does."""
    proc = proc_with(tmp_path)
    assert [one.pid for one in marked("r1", proc=proc)] == [42]
    assert marked("r", proc=proc) == []


def test_session_whose_leader_is_gone_is_still_ours(tmp_path: Path) -> None:
    """What a dead leader left in its session is found."""
    assert [one.pid for one in of_sessions({40: 400}, proc=proc_with(tmp_path))] == [42]


def test_session_of_a_later_process_is_not_ours(tmp_path: Path) -> None:
    """A leader's number that was given to a later process protects that process."""
    assert of_sessions({42: 400}, proc=proc_with(tmp_path, session=42)) == []


def test_ending_gives_up_on_what_can_not_be_killed() -> None:
    """The wait is bounded: the grace, then two seconds."""
    now = iter(range(100))
    unkillable = Process(pid=2**22 + 1, session=1, start_ticks=1, state="D")
    assert end_all(lambda: [unkillable], grace_s=3, clock=lambda: float(next(now)), sleep=lambda _: None) is False
    assert next(now) == 7

"""Whose a labelled thing is, and whether its owner lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.stack.cleanup import Life, Owner, labels, life, machine_id, this_owner
from seatrial.stack.processes import ProcessEntry, end_all, marked, of_sessions

BOOT = "11111111-2222-3333-4444-555555555555"
NAMESPACE = "4026531836"


def proc_with(folder: Path, *, state: str = "S", start: int = 500, session: int = 40) -> Path:
    """Make a /proc with process 42, its name full of traps, and environment `SEATRIAL_RUN=r1`."""
    (folder / "42").mkdir()
    (folder / "42/stat").write_text(f"42 (a) b) {state} 1 42 {session} 0 -1 " + "0 " * 11 + f"1 0 {start} 0 0\n")
    (folder / "42/environ").write_bytes(b"A=b\0SEATRIAL_RUN=r1\0")
    (folder / "sys/kernel/random").mkdir(parents=True)
    (folder / "sys/kernel/random/boot_id").write_text(BOOT + "\n")
    (folder / "self/ns").mkdir(parents=True)
    (folder / "self/ns/pid").symlink_to(f"pid:[{NAMESPACE}]")
    return folder


def test_this_process_is_alive() -> None:
    """A process finds itself, also through the label's text."""
    assert life(Owner.parse(str(this_owner()))) is Life.ALIVE


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (Owner(42, 500, BOOT, NAMESPACE, "m"), Life.ALIVE),
        (Owner(42, 501, BOOT, NAMESPACE, "m"), Life.DEAD),
        (Owner(43, 500, BOOT, NAMESPACE, "m"), Life.DEAD),
        (Owner(42, 500, BOOT, "4026532999", "m"), Life.UNKNOWN),
        (Owner(43, 500, BOOT, "4026532999", "m"), Life.UNKNOWN),
        (Owner(42, 500, "another boot", NAMESPACE, "another"), Life.UNKNOWN),
        (Owner(42, 500, "another boot", NAMESPACE, ""), Life.UNKNOWN),
    ],
)
def test_only_an_owner_of_this_host_and_namespace_is_judged(tmp_path: Path, owner: Owner, expected: Life) -> None:
    """A later process of the same number is not the owner; what another host or container runs is not known."""
    assert life(owner, proc=proc_with(tmp_path), machine=tmp_path / "none") is expected


def test_reboot_of_this_host_has_ended_the_owner(tmp_path: Path) -> None:
    """The same machine in another boot: whatever owned the thing is gone."""
    (tmp_path / "machine-id").write_text("0123\n")
    machine = machine_id(file=tmp_path / "machine-id")
    owner = Owner(42, 500, "another boot", NAMESPACE, machine)
    assert life(owner, proc=proc_with(tmp_path), machine=tmp_path / "machine-id") is Life.DEAD
    assert "0123" not in machine


def test_zombie_is_dead(tmp_path: Path) -> None:
    """A killed harness that is not reaped yet owns nothing."""
    owner = Owner(42, 500, BOOT, NAMESPACE, "m")
    assert life(owner, proc=proc_with(tmp_path, state="Z")) is Life.DEAD


def test_labels_say_all_that_clean_needs() -> None:
    """Run, owner and deadline are always there, `kept` only where it holds."""
    owner = Owner(42, 500, BOOT, NAMESPACE, "m")
    assert labels(run_id="r1", owner=owner, deadline_epoch_s=99.9, kept=False) == {
        "seatrial.run": "r1",
        "seatrial.owner": f"42:500:{BOOT}:{NAMESPACE}:m",
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
    unkillable = ProcessEntry(pid=2**22 + 1, session=1, start_ticks=1, state="D")
    assert end_all(lambda: [unkillable], grace_s=3, clock=lambda: float(next(now)), sleep=lambda _: None) is False
    assert next(now) == 7

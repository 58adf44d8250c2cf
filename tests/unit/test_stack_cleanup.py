"""Which objects and processes belong to a run, whether their owner lives, and how they are ended."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
import requests
from docker.errors import APIError

from seatrial.errors import StackFailed
from seatrial.stack.cleanup import (
    LabelledObject,
    Life,
    ObjectKind,
    Owner,
    labels,
    life,
    machine_id,
    reason_to_remove,
    remove_object,
    remove_objects,
    this_owner,
)
from seatrial.stack.processes import ProcessEntry, end_all, marked, of_sessions
from seatrial.stack.watchdog import WatchdogState

BOOT = "11111111-2222-3333-4444-555555555555"
NAMESPACE = "4026531836"
OWNER = Owner(42, 500, BOOT, NAMESPACE, "m")
NETWORK = LabelledObject(kind=ObjectKind.NETWORK, id="n", name="n", labels={})


def proc_with(folder: Path, *, state: str = "S", session: int = 40) -> Path:
    """Make a /proc with process 42, its name with blanks and brackets, and environment `SEATRIAL_RUN=r1`."""
    (folder / "42").mkdir()
    (folder / "42/stat").write_text(f"42 (a) b) {state} 1 42 {session} 0 -1 " + "0 " * 11 + "1 0 500 0 0\n")
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
    ("owner", "state", "expected"),
    [
        (OWNER, "S", Life.ALIVE),
        (OWNER, "Z", Life.DEAD),  # a killed harness that is not reaped yet
        (Owner(42, 501, BOOT, NAMESPACE, "m"), "S", Life.DEAD),
        (Owner(43, 500, BOOT, NAMESPACE, "m"), "S", Life.DEAD),
        (Owner(42, 500, BOOT, "4026532999", "m"), "S", Life.UNKNOWN),
        (Owner(43, 500, BOOT, "4026532999", "m"), "S", Life.UNKNOWN),
        (Owner(42, 500, "another boot", NAMESPACE, "another"), "S", Life.UNKNOWN),
        (Owner(42, 500, "another boot", NAMESPACE, ""), "S", Life.UNKNOWN),
    ],
)
def test_the_life_of_an_owner(tmp_path: Path, owner: Owner, state: str, expected: Life) -> None:
    """A later process of the same pid is not the owner; processes of another host or container are unknown."""
    assert life(owner, proc=proc_with(tmp_path, state=state), machine=tmp_path / "none") is expected


def test_a_reboot_of_this_host_has_ended_the_owner(tmp_path: Path) -> None:
    """The machine's id, of which only a hash is used, is the same in another boot."""
    (tmp_path / "machine-id").write_text("0123\n")
    machine = machine_id(file=tmp_path / "machine-id")
    owner = Owner(42, 500, "another boot", NAMESPACE, machine)
    assert life(owner, proc=proc_with(tmp_path), machine=tmp_path / "machine-id") is Life.DEAD
    assert "0123" not in machine


def test_labels_of_a_run() -> None:
    """Run, owner and deadline are always there, `kept` only where it applies."""
    always = {
        "seatrial.run": "r1",
        "seatrial.owner": f"42:500:{BOOT}:{NAMESPACE}:m",
        "seatrial.deadline": "99",
    }
    assert labels(run_id="r1", owner=OWNER, deadline_epoch_s=99.9, kept=False) == always
    assert labels(run_id="r1", owner=OWNER, deadline_epoch_s=99, kept=True) == always | {"seatrial.kept": "yes"}


@pytest.mark.parametrize(
    ("changes", "life_of_owner", "now_s", "reason"),
    [
        ({}, Life.DEAD, 50, "its owner, process 42, is gone"),
        ({}, Life.ALIVE, 50, ""),
        ({}, Life.ALIVE, 150, ""),
        ({}, Life.UNKNOWN, 50, ""),
        ({}, Life.UNKNOWN, 150, "its deadline has passed"),
        ({}, Life.DEAD, 150, "its deadline has passed"),
        ({"seatrial.kept": "yes"}, Life.DEAD, 50, ""),
        ({"seatrial.kept": "yes"}, Life.DEAD, 150, "its deadline has passed"),
        ({"seatrial.owner": "unreadable"}, Life.DEAD, 150, ""),
        ({"seatrial.deadline": "soon"}, Life.DEAD, 150, ""),
    ],
)
def test_only_an_object_without_a_living_owner_is_removed(
    changes: dict[str, str], life_of_owner: Life, now_s: float, reason: str
) -> None:
    """A dead owner, or a past deadline; never what a living process owns, nor with labels that are not ours."""
    marks = labels(run_id="r1", owner=OWNER, deadline_epoch_s=100, kept=False) | changes
    volume = LabelledObject(kind=ObjectKind.VOLUME, id="v", name="v", labels=marks)
    assert reason_to_remove(volume, lambda _: life_of_owner, now_s) == reason


def daemon_that_refuses(times: int, text: str = "has active endpoints") -> docker.DockerClient:
    """Return a stand-in for a daemon that refuses to remove networks a number of times, with status 409."""
    response = requests.Response()
    response.status_code = 409
    refusals = [APIError(text, response=response, explanation=text)] * times

    def remove_network(_: str) -> None:
        if refusals:
            raise refusals.pop()

    return cast("docker.DockerClient", SimpleNamespace(api=SimpleNamespace(remove_network=remove_network)))


def test_objects_get_time_to_go() -> None:
    """There is a pause before another try, and an error after the last one."""
    pauses: list[float] = []
    remove_objects(daemon_that_refuses(2), [NETWORK], sleep=pauses.append)
    assert pauses == [0.7, 0.7]
    with pytest.raises(StackFailed, match="not all could be removed"):
        remove_objects(daemon_that_refuses(9), [NETWORK], sleep=pauses.append)


def test_removal_by_another_process_is_no_failure() -> None:
    """An object that is being removed at the same time is no problem."""
    assert remove_object(daemon_that_refuses(1, "removal of container n is already in progress"), NETWORK) == ""


def test_a_process_is_found_by_its_mark(tmp_path: Path) -> None:
    """The run's id in the environment marks a process, and only the whole id does."""
    proc = proc_with(tmp_path)
    assert [one.pid for one in marked("r1", proc=proc)] == [42]
    assert marked("r", proc=proc) == []


@pytest.mark.parametrize(
    ("session", "sessions", "pids"),
    [(40, {40: 400}, [42]), (42, {42: 400}, [])],
    ids=["its leader is gone", "its leader's pid belongs to a later process"],
)
def test_a_process_is_found_by_its_session(
    tmp_path: Path, session: int, sessions: dict[int, int], pids: list[int]
) -> None:
    """The session of a dead leader is still ours, that of a later process with the same pid is not."""
    assert [one.pid for one in of_sessions(sessions, proc=proc_with(tmp_path, session=session))] == pids


def test_a_process_that_can_not_be_killed_is_given_up() -> None:
    """The wait is bounded: the grace, then two seconds."""
    now = iter(range(100))
    unkillable = ProcessEntry(pid=2**22 + 1, session=1, start_ticks=1, state="D")
    assert end_all(lambda: [unkillable], grace_s=3, clock=lambda: float(next(now)), sleep=lambda _: None) is False
    assert next(now) == 7


def test_ended_children_and_kept_runs_are_struck_off() -> None:
    """What is left is what a killed harness would leave behind."""
    state = WatchdogState("r1")
    children: list[dict[str, Any]] = [{"session": pid, "start_ticks": 10 * pid} for pid in (7, 8)]
    for message in (*children, {"ended": 7}, {"docker": "a"}, {"docker": "b"}, {"keep": "a"}):
        state.update(message)
    assert (state.sessions, state.docker_runs, state.done) == ({8: 80}, {"b"}, False)

"""Children end with the guard, and with the watchdog when the guard is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from trials import wait_until

from seatrial.errors import Interrupted, StackFailed
from seatrial.stack.processes import guarded, marked, process, shielded

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
)
FORKING = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"


def runs(pid: int) -> bool:
    """Return whether a process runs, a zombie not counted."""
    entry = process(pid)
    return entry is not None and entry.is_running


def one_marked(run_id: str) -> int:
    """Wait for a process of a run, and return its pid: in the moment of its exec it has no environment to read."""
    until = time.monotonic() + 10.0
    while not (entries := marked(run_id)):
        assert time.monotonic() < until
        time.sleep(0.01)
    (entry,) = entries
    return entry.pid


def first_line(child: subprocess.Popen[bytes]) -> bytes:
    """Return what a child writes first, and close its output."""
    assert child.stdout is not None
    with child.stdout as output:
        return output.readline()


def test_child_has_a_session_of_its_own_and_the_mark() -> None:
    """A child can't get the terminal's Ctrl-C, and is found by the run's id."""
    run_id = uuid4().hex
    with guarded(run_id) as guard:
        child = guard.spawn(["sleep", "60"])
        assert os.getsid(child.pid) == child.pid
        assert one_marked(run_id) == child.pid
    assert child.returncode == -signal.SIGTERM


def test_stubborn_child_is_killed() -> None:
    """SIGKILL follows when SIGTERM is ignored for longer than the grace."""
    with guarded(uuid4().hex) as guard:
        child = guard.spawn([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
        first_line(child)
        guard.end(child, grace_s=0.1)
        assert child.returncode == -signal.SIGKILL


def test_grandchild_of_a_dead_child_is_ended() -> None:
    """What a child has started ends with it, also when the child is long gone."""
    with guarded(uuid4().hex) as guard:
        child = guard.spawn([sys.executable, "-c", FORKING], stdout=subprocess.PIPE)
        orphan = int(first_line(child))
        child.wait(timeout=10)
        assert runs(orphan)
    assert not runs(orphan)


def test_detached_grandchild_is_ended() -> None:
    """What has left its session is found by the run's mark, at the end of an orderly run, too."""
    run_id = uuid4().hex
    with guarded(run_id) as guard:
        guard.spawn(["setsid", "--fork", "sleep", "60"]).wait(timeout=10)
        one_marked(run_id)
    assert marked(run_id) == []


def test_what_is_kept_is_not_ended() -> None:
    """A run whose stack stays keeps what it has left running."""
    run_id = uuid4().hex
    with guarded(run_id) as guard:
        script = "echo in a session of its own; exec sleep 60 > /dev/null"
        first_line(guard.spawn(["setsid", "--fork", "sh", "-c", script], stdout=subprocess.PIPE))
        guard.keep()
    os.kill(one_marked(run_id), signal.SIGKILL)


def test_interrupt_during_a_start_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between a child's start and its registration comes after the registration."""
    run_id = uuid4().hex
    starting = subprocess.Popen

    def interrupted(*words: Any, **more: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401  (Popen's own)
        child = starting(*words, **more)
        signal.raise_signal(signal.SIGINT)
        return child

    with guarded(run_id) as guard:
        with monkeypatch.context() as patched:
            patched.setattr(subprocess, "Popen", interrupted)
            with pytest.raises(KeyboardInterrupt):
                guard.spawn(["sleep", "60"])
        assert list(guard._children) == [one_marked(run_id)]


def test_modules_in_the_current_folder_are_not_the_watchdogs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's `requests.py` beside the scenario does not keep the watchdog from starting and ending."""
    (tmp_path / "requests.py").write_text("raise RuntimeError('not the library')\n")
    monkeypatch.chdir(tmp_path)
    with guarded(uuid4().hex) as guard:
        assert guard._watchdog.poll() is None
    assert guard._watchdog.returncode == 0


@pytest.mark.parametrize(
    "error", [None, StackFailed("it fell over"), KeyboardInterrupt("first"), Interrupted("first")], ids=repr
)
def test_a_shielded_part_is_finished_before_an_interrupt(error: BaseException | None) -> None:
    """Ctrl-C comes after it, with the failure that is cleaned up after as its cause; a second one is dropped."""
    done = []
    with pytest.raises((KeyboardInterrupt, Interrupted)) as caught:  # noqa: PT012
        try:
            if error:
                raise error
        finally:
            with shielded():
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
                done.append("cleaned up")
    assert done == ["cleaned up"]
    if isinstance(error, StackFailed):
        assert (type(caught.value), caught.value.__cause__) == (KeyboardInterrupt, error)
    elif error:
        assert caught.value is error


HARNESS = """
import subprocess, sys, time
from pathlib import Path
from seatrial.stack.processes import guarded
with guarded(sys.argv[1]) as guard:
    guard.log_to(Path(sys.argv[2], "deadman.log"))
    guard.delete_on_crash(Path(sys.argv[2], "private"))
    child = guard.spawn([sys.executable, "-c", sys.argv[3]], stdout=subprocess.PIPE)
    child.stdout.readline()
    detached = guard.spawn(["setsid", "--fork", "sleep", "60"])
    print(child.pid, guard._watchdog.pid, flush=True)
    time.sleep(60)
"""


@contextmanager
def harness(run_id: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """Run a harness, in a process group of its own; give it, its child's pid and its watchdog's."""
    argv = [sys.executable, "-c", HARNESS, run_id, str(folder), STUBBORN]
    parent = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert parent.stdout is not None
        child, watchdog = parent.stdout.readline().split()
        yield parent, int(child), int(watchdog)
    finally:
        parent.kill()
        parent.communicate()


@pytest.mark.parametrize(
    "numbers", [(), (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)], ids=["", "after the terminal's signals"]
)
def test_the_watchdog_ends_what_a_killed_harness_left(tmp_path: Path, numbers: tuple[signal.Signals, ...]) -> None:
    """Stubborn and detached children are gone within 15 s, then the watchdog goes, too; signals do not stop it."""
    run_id = uuid4().hex
    (tmp_path / "private").mkdir()
    with harness(run_id, tmp_path) as (parent, child, watchdog):
        for number in numbers:
            os.kill(watchdog, number)
        parent.send_signal(signal.SIGKILL)
        wait_until(lambda: not runs(child), 15)
        wait_until(lambda: not runs(watchdog), 20)
    assert marked(run_id) == []
    assert not (tmp_path / "private").exists()
    assert str(child) in (tmp_path / "deadman.log").read_text()

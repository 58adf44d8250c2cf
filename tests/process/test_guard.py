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

from seatrial.errors import Interrupted, StackFailed
from seatrial.stack.processes import guarded, marked, process, shielded

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
)
FORKING = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"


def runs(pid: int) -> bool:
    """Tell whether a process runs, a zombie not counted."""
    found = process(pid)
    return found is not None and found.is_running


def test_child_has_a_session_of_its_own_and_the_mark() -> None:
    """A child can't get the terminal's Ctrl-C, and is found by the run's id."""
    run_id = uuid4().hex
    with guarded(run_id) as guard:
        child = guard.spawn(["sleep", "60"])
        assert os.getsid(child.pid) == child.pid
        assert [one.pid for one in marked(run_id)] == [child.pid]
    assert child.returncode == -signal.SIGTERM


def test_stubborn_child_is_killed() -> None:
    """SIGKILL follows when SIGTERM is ignored for longer than the grace."""
    with guarded(uuid4().hex) as guard:
        child = guard.spawn([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        guard.end(child, grace_s=0.1)
        child.stdout.close()
        assert child.returncode == -signal.SIGKILL


def test_grandchild_of_a_dead_child_is_ended() -> None:
    """What a child has started ends with it, also when the child is long gone."""
    with guarded(uuid4().hex) as guard:
        child = guard.spawn([sys.executable, "-c", FORKING], stdout=subprocess.PIPE)
        assert child.stdout is not None
        orphan = int(child.stdout.readline())
        child.wait(timeout=10)
        child.stdout.close()
        assert runs(orphan)
    assert not runs(orphan)


def test_detached_grandchild_is_ended() -> None:
    """What has left its session is found by the run's mark, at the end of an orderly run, too."""
    run_id = uuid4().hex
    with guarded(run_id) as guard:
        guard.spawn(["setsid", "--fork", "sleep", "60"]).wait(timeout=10)
        assert len(marked(run_id)) == 1
    assert marked(run_id) == []


def test_what_is_kept_is_not_ended() -> None:
    """A run whose stack stays keeps what it has left running."""
    run_id = uuid4().hex
    with guarded(run_id) as guard:
        script = "echo in a session of its own; exec sleep 60 > /dev/null"
        child = guard.spawn(["setsid", "--fork", "sh", "-c", script], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        guard.keep()
    until = time.monotonic() + 10.0
    while not (found := marked(run_id)):  # in the moment of its exec a process has no environment to read
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(found[0].pid, signal.SIGKILL)


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
        assert list(guard._children) == [one.pid for one in marked(run_id)]
        assert len(guard._children) == 1


def test_modules_in_the_current_folder_are_not_the_watchdogs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's `requests.py` beside the scenario does not keep the watchdog from starting."""
    (tmp_path / "requests.py").write_text("raise RuntimeError('not the library')\n")
    monkeypatch.chdir(tmp_path)
    with guarded(uuid4().hex) as guard:
        assert guard._watchdog.poll() is None


def test_watchdog_ends_quietly_with_its_harness() -> None:
    """After an orderly end no watchdog stays behind."""
    with guarded(uuid4().hex) as guard:
        watchdog = guard._watchdog
    assert watchdog.returncode == 0


def test_shielded_part_is_finished_before_an_interrupt() -> None:
    """A clean-up is not cut short by Ctrl-C; the interrupt comes after it."""
    done = []

    def clean_up() -> None:
        with shielded():
            signal.raise_signal(signal.SIGINT)
            done.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        clean_up()
    assert done == ["cleaned up"]


def _cleaned_up_after(error: BaseException) -> None:
    """Raise the error; Ctrl-C is pressed twice while it is cleaned up after."""
    try:
        raise error
    finally:
        with shielded():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)


def test_interrupt_during_the_clean_up_of_a_failure_is_told_with_it() -> None:
    """A caller that handles the failure must not go on; and the failure is not lost."""
    failure = StackFailed("it fell over")

    with pytest.raises(KeyboardInterrupt) as caught:
        _cleaned_up_after(failure)

    assert caught.value.__cause__ is failure


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt("first"), Interrupted("first")])
def test_second_interrupt_is_dropped(interrupt: BaseException) -> None:
    """What the first one has begun to tear down is torn down once."""
    with pytest.raises(type(interrupt), match="first"):
        _cleaned_up_after(interrupt)


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


def wait_until_gone(pid: int, within_s: float) -> None:
    """Return when a process has ended."""
    until = time.monotonic() + within_s
    while runs(pid):
        assert time.monotonic() < until


def test_watchdog_ends_what_a_killed_harness_left(tmp_path: Path) -> None:
    """After `kill -9` stubborn and detached children are gone within 15 s, then the watchdog goes, too."""
    run_id = uuid4().hex
    (tmp_path / "private").mkdir()
    with harness(run_id, tmp_path) as (parent, child, watchdog):
        parent.send_signal(signal.SIGKILL)
        wait_until_gone(child, 15)
        wait_until_gone(watchdog, 20)
    assert marked(run_id) == []
    assert not (tmp_path / "private").exists()
    assert str(child) in (tmp_path / "deadman.log").read_text()


def test_watchdog_survives_the_terminals_signals(tmp_path: Path) -> None:
    """Ctrl-C, a hang-up or a polite end, sent to the watchdog itself, do not stop it from its work."""
    run_id = uuid4().hex
    with harness(run_id, tmp_path) as (parent, child, watchdog):
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(watchdog, number)
        parent.send_signal(signal.SIGKILL)
        wait_until_gone(child, 15)
        wait_until_gone(watchdog, 20)
    assert marked(run_id) == []

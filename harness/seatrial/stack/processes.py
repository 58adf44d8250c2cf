"""Children in sessions of their own, which end with this process: the watchdog ends them after a `kill -9`."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from seatrial.errors import Interrupted, StackFailed
from seatrial.stack.processes_ import RUN_VARIABLE, Process, end_all, marked, of_sessions, process

_READY_S = 20.0
_WATCHDOG_S = 25.0
_GRACE_S = 5.0


class Guard:
    """Starts children in sessions of their own, and ends them; made by `guarded`."""

    def __init__(self, run_id: str, watchdog: subprocess.Popen[bytes]) -> None:
        self.run_id = run_id
        self._watchdog = watchdog
        self._sessions: dict[int, int] = {}
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._expected: set[str] = set()
        self._kept: set[str] = set()

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a child in its own session; `env` takes the place of our environment, the run's id is added to it.

        Without `stdin` the child reads nothing: a session without a terminal must not wait for one.
        """
        with shielded():  # an interrupt between its start and its registration would leave it running
            child = subprocess.Popen(
                list(argv),
                env={**(os.environ if env is None else env), RUN_VARIABLE: self.run_id},
                cwd=cwd,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            started = process(child.pid)
            self._sessions[child.pid] = started.start_ticks if started else 0
            self._children[child.pid] = child
            self._send(session=child.pid, start_ticks=self._sessions[child.pid])
        return child

    def end(self, process: subprocess.Popen[bytes], grace_s: float = _GRACE_S) -> None:
        """End a child and all of its session (SIGTERM, after the grace SIGKILL), and reap it."""
        self._end([process.pid], grace_s)

    def log_to(self, path: Path) -> None:
        """Let the watchdog write what it does into this file."""
        self._send(log=str(path))

    def delete_on_crash(self, folder: Path) -> None:
        """Let the watchdog delete this folder if this process is killed."""
        self._send(litter=str(folder))

    def expect_containers(self, run_id: str) -> None:
        """Note that containers, networks or volumes of a run may exist from now on."""
        self._expected.add(run_id)
        self._send(docker=run_id)

    def removed(self, run_id: str) -> None:
        """Note that none of them is left."""
        self._expected.discard(run_id)

    def keep(self, run_id: str = "") -> None:
        """Note that what a run (without a name, the guard's own) has created is meant to stay."""
        self._expected.discard(run_id or self.run_id)
        self._kept.add(run_id or self.run_id)
        self._send(keep=run_id or self.run_id)

    def close(self) -> None:
        """End every child, and what left its session; only what could not be done is left to the watchdog."""
        self._end(list(self._sessions), _GRACE_S)
        if self.run_id not in self._kept:
            end_all(lambda: marked(self.run_id), grace_s=_GRACE_S)
        if not self._expected:
            self._send(done=True)
        if self._watchdog.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.close()
        try:
            self._watchdog.wait(timeout=_WATCHDOG_S)
        except subprocess.TimeoutExpired:
            self._watchdog.kill()
            self._watchdog.wait()
        if self._watchdog.stdout is not None:
            self._watchdog.stdout.close()

    def _end(self, leaders: list[int], grace_s: float) -> None:
        sessions = {pid: self._sessions[pid] for pid in leaders if pid in self._sessions}
        children = [self._children[pid] for pid in sessions]

        def living() -> list[Process]:
            for child in children:
                child.poll()
            return of_sessions(sessions)

        end_all(living, grace_s=grace_s)
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=1)
            del self._sessions[child.pid], self._children[child.pid]
            self._send(ended=child.pid)

    def _send(self, **message: object) -> None:
        if self._watchdog.stdin is not None and not self._watchdog.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.write(json.dumps(message).encode() + b"\n")
                self._watchdog.stdin.flush()


@contextlib.contextmanager
def guarded(run_id: str) -> Iterator[Guard]:
    """Give a guard with its watchdog; at the end every child that still lives is ended, Ctrl-C or not."""
    guard = Guard(run_id, _start_watchdog(run_id))
    try:
        yield guard
    finally:
        with shielded():
            guard.close()


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Let a clean-up, which must be bounded in time, finish: SIGINT and SIGTERM wait for its end.

    They are delivered then. While an exception propagates, the KeyboardInterrupt has it as its cause; while an
    interrupt does, a second one is dropped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    propagating = sys.exc_info()[1]
    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received and not isinstance(propagating, KeyboardInterrupt | Interrupted):
            try:
                signal.raise_signal(received[0])
            except KeyboardInterrupt as interrupt:
                raise interrupt from propagating


def _start_watchdog(run_id: str) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, without the mark of any run, so that no other watchdog ends it.

    `-P`: a module of the user's in the current folder (`requests.py`, `docker.py`) must not be imported.
    """
    env = {name: value for name, value in os.environ.items() if name != RUN_VARIABLE}
    watchdog = subprocess.Popen(
        [sys.executable, "-P", "-m", "seatrial.stack.deadman", run_id],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    stdout = watchdog.stdout
    if stdout is None or not select.select([stdout], [], [], _READY_S)[0] or not stdout.readline():
        watchdog.kill()
        watchdog.wait()
        raise StackFailed("the watchdog, which cleans up after a crash, did not start", seen=f"{watchdog.args!r}")
    return watchdog

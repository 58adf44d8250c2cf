"""Everything that is started here ends with us: by our own hand, or by the dead-man's after a `kill -9`."""

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
from seatrial.stack.processes import RUN_VARIABLE, Process, end_all, marked, of_sessions, process

_READY_S = 20.0
_DEADMAN_S = 25.0
_GRACE_S = 5.0


class Guard:
    """Starts children in sessions of their own, and ends them; made by `guarded`."""

    def __init__(self, run_id: str, deadman: subprocess.Popen[bytes]) -> None:
        self.run_id = run_id
        self._deadman = deadman
        self._sessions: dict[int, int] = {}
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._owed: set[str] = set()
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
            self._register(child)
        return child

    def end(self, process: subprocess.Popen[bytes], grace_s: float = _GRACE_S) -> None:
        """End a child and all of its session (SIGTERM, after the grace SIGKILL), and reap it."""
        self._end([process.pid], grace_s)

    def log_to(self, path: Path) -> None:
        """Have the dead-man write what it does into this file."""
        self._tell(log=str(path))

    def litter(self, folder: Path) -> None:
        """Have the dead-man delete this folder if we can't."""
        self._tell(litter=str(folder))

    def owe_removal(self, run_id: str) -> None:
        """Note that containers, networks or volumes of a run may exist from now on."""
        self._owed.add(run_id)
        self._tell(docker=run_id)

    def removed(self, run_id: str) -> None:
        """Note that none of them is left."""
        self._owed.discard(run_id)

    def keep(self, run_id: str = "") -> None:
        """Note that what a run (without a name, the guard's own) has created is meant to stay."""
        self._owed.discard(run_id or self.run_id)
        self._kept.add(run_id or self.run_id)
        self._tell(keep=run_id or self.run_id)

    def close(self) -> None:
        """End every child, and what left its session; leave to the dead-man only what could not be done."""
        self._end(list(self._sessions), _GRACE_S)
        if self.run_id not in self._kept:
            end_all(lambda: marked(self.run_id), grace_s=_GRACE_S)
        if not self._owed:
            self._tell(done=True)
        if self._deadman.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._deadman.stdin.close()
        try:
            self._deadman.wait(timeout=_DEADMAN_S)
        except subprocess.TimeoutExpired:
            self._deadman.kill()
            self._deadman.wait()
        if self._deadman.stdout is not None:
            self._deadman.stdout.close()

    def _register(self, child: subprocess.Popen[bytes]) -> None:
        seen = process(child.pid)
        self._sessions[child.pid] = seen.start_ticks if seen else 0
        self._children[child.pid] = child
        self._tell(session=child.pid, start_ticks=self._sessions[child.pid])

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
            self._tell(ended=child.pid)

    def _tell(self, **message: object) -> None:
        if self._deadman.stdin is not None and not self._deadman.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._deadman.stdin.write(json.dumps(message).encode() + b"\n")
                self._deadman.stdin.flush()


@contextlib.contextmanager
def guarded(run_id: str) -> Iterator[Guard]:
    """Give a guard with its dead-man; at the end every child that still lives is ended, Ctrl-C or not."""
    guard = Guard(run_id, _start_deadman(run_id))
    try:
        yield guard
    finally:
        with shielded():
            guard.close()


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Let a clean-up, which must be bounded in time, finish: SIGINT and SIGTERM wait for its end.

    They are delivered then. Where a failure is on its way, the KeyboardInterrupt that comes of it has that failure
    as its cause; where an interrupt is, they are dropped: nobody wants to be interrupted twice.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    under_way = sys.exc_info()[1]
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came and not isinstance(under_way, KeyboardInterrupt | Interrupted):
            try:
                signal.raise_signal(came[0])
            except KeyboardInterrupt as interrupt:
                raise interrupt from under_way


def _start_deadman(run_id: str) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, without the mark of any run, so that no dead-man ends another one.

    `-P`: a module of the user's in the current folder (`requests.py`, `docker.py`) must not be imported.
    """
    env = {name: value for name, value in os.environ.items() if name != RUN_VARIABLE}
    deadman = subprocess.Popen(
        [sys.executable, "-P", "-m", "seatrial.stack.deadman", run_id],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    stdout = deadman.stdout
    if stdout is None or not select.select([stdout], [], [], _READY_S)[0] or not stdout.readline():
        deadman.kill()
        deadman.wait()
        raise StackFailed("the dead-man, which cleans up after a crash, did not start", seen=f"{deadman.args!r}")
    return deadman

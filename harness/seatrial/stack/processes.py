"""Child processes in sessions of their own, and the guard that ends them however the harness ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from seatrial.errors import Interrupted, StackFailed
from seatrial.model import Spawn
from seatrial.units import stat_fields
from seatrial.wire.redaction import Redactor

PROC = Path("/proc")
RUN_VARIABLE = "SEATRIAL_RUN"
_POLL_S = 0.03
_KILL_S = 2.0
_GRACE_S = 5.0
_READY_S = 20.0
_WATCHDOG_S = 25.0
_TAIL_LINES = 200
_READ_S = 0.1


@dataclass(frozen=True, slots=True)
class ProcessEntry:
    """One process as /proc/PID/stat shows it; `start_ticks` distinguish it from a later one with the same pid."""

    pid: int
    session: int
    start_ticks: int
    state: str

    @property
    def is_running(self) -> bool:
        """Whether it is no zombie."""
        return self.state not in {"Z", "X"}


def process(pid: int, *, proc: Path = PROC) -> ProcessEntry | None:
    """Return one process, or None if it is gone."""
    try:
        fields = stat_fields((proc / str(pid) / "stat").read_bytes())
    except OSError:
        return None
    return ProcessEntry(pid=pid, session=int(fields[3]), start_ticks=int(fields[19]), state=fields[0].decode())


def processes(*, proc: Path = PROC) -> Iterator[ProcessEntry]:
    """Yield every process that this one may see."""
    for name in [folder.name for folder in proc.iterdir() if folder.name.isdecimal()]:
        if (entry := process(int(name), proc=proc)) is not None:
            yield entry


def of_sessions(sessions: Mapping[int, int], *, proc: Path = PROC) -> list[ProcessEntry]:
    """Return the running processes of sessions, given as leader's pid to leader's `start_ticks`.

    A session whose leader's pid now belongs to a later process is left out.
    """
    running = list(processes(proc=proc))
    reused = {one.pid for one in running if sessions.get(one.pid, one.start_ticks) != one.start_ticks}
    ours = sessions.keys() - reused
    return [one for one in running if one.session in ours and one.is_running]


def marked(run_id: str, *, proc: Path = PROC) -> list[ProcessEntry]:
    """Return the running processes, except this one, with the run's id in the environment of their start."""
    mark = f"{RUN_VARIABLE}={run_id}".encode()
    running = []
    for entry in processes(proc=proc):
        with suppress(OSError):
            environment = (proc / str(entry.pid) / "environ").read_bytes().split(b"\0")
            if mark in environment and entry.pid != os.getpid() and entry.is_running:
                running.append(entry)
    return running


def end_all(
    find: Callable[[], Sequence[ProcessEntry]],
    *,
    grace_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """End what `find` returns: SIGTERM once to each, SIGKILL after the grace; False if one runs 2 s later."""
    terminated: set[tuple[int, int]] = set()
    kill_at = clock() + grace_s
    while running := find():
        now = clock()
        if now > kill_at + _KILL_S:
            return False
        for entry in running:
            with suppress(ProcessLookupError, PermissionError):
                if now >= kill_at:
                    os.kill(entry.pid, signal.SIGKILL)
                elif (entry.pid, entry.start_ticks) not in terminated:
                    terminated.add((entry.pid, entry.start_ticks))
                    os.kill(entry.pid, signal.SIGTERM)
        sleep(_POLL_S)
    return True


class ProcessGuard:
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
        """Start a child in its own session; `env` replaces our environment, and the run's id is added to it.

        Without `stdin` the child reads from /dev/null: in a session without a terminal it could wait for ever.
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

    def end(self, child: subprocess.Popen[bytes], grace_s: float = _GRACE_S) -> None:
        """End a child and all of its session (SIGTERM, after the grace SIGKILL), and reap it."""
        self._end([child.pid], grace_s)

    def log_to(self, path: Path) -> None:
        """Make the watchdog write what it does into this file."""
        self._send(log=str(path))

    def delete_on_crash(self, folder: Path) -> None:
        """Make the watchdog delete this folder if this process is killed."""
        self._send(litter=str(folder))

    def expect_containers(self, run_id: str) -> None:
        """Note that containers, networks or volumes of a run may exist from now on."""
        self._expected.add(run_id)
        self._send(docker=run_id)

    def removed(self, run_id: str) -> None:
        """Note that no object of a run is left."""
        self._expected.discard(run_id)

    def keep(self, run_id: str = "") -> None:
        """Note that what a run (by default the guard's own) has created is meant to stay."""
        run_id = run_id or self.run_id
        self._expected.discard(run_id)
        self._kept.add(run_id)
        self._send(keep=run_id)

    def close(self) -> None:
        """End every child, and what has left its session; the watchdog removes objects that are still expected."""
        self._end(list(self._sessions), _GRACE_S)
        if self.run_id not in self._kept:
            end_all(lambda: marked(self.run_id), grace_s=_GRACE_S)
        if not self._expected:
            self._send(done=True)
        if self._watchdog.stdin is not None:
            with suppress(BrokenPipeError):
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

        def living() -> list[ProcessEntry]:
            for child in children:
                child.poll()
            return of_sessions(sessions)

        end_all(living, grace_s=grace_s)
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=1)
            del self._sessions[child.pid], self._children[child.pid]
            self._send(ended=child.pid)

    def _send(self, **message: object) -> None:
        if self._watchdog.stdin is not None and not self._watchdog.stdin.closed:
            with suppress(BrokenPipeError):
                self._watchdog.stdin.write(json.dumps(message).encode() + b"\n")
                self._watchdog.stdin.flush()


@contextmanager
def guarded(run_id: str) -> Iterator[ProcessGuard]:
    """Yield a guard with its watchdog; at the end every child that still runs is ended, also after Ctrl-C."""
    guard = ProcessGuard(run_id, _start_watchdog(run_id))
    try:
        yield guard
    finally:
        with shielded():
            guard.close()


@contextmanager
def shielded() -> Iterator[None]:
    """Defer SIGINT and SIGTERM to the end of a clean-up, which must be bounded in time.

    If an exception propagates, it is the cause of the KeyboardInterrupt that is raised then; if that exception is
    an interrupt itself, the second one is dropped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    propagating = sys.exc_info()[1]
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda sent, _: received.append(sent)) for number in numbers}
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

    `-P`: a user's module in the current folder (`requests.py`, `docker.py`) must not be imported.
    """
    env = {name: value for name, value in os.environ.items() if name != RUN_VARIABLE}
    watchdog = subprocess.Popen(
        [sys.executable, "-P", "-m", "seatrial.stack.watchdog", run_id],
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A child to run; its output, without secrets, is appended to `log` unless that is None.

    With `output` its standard output goes there unchanged, and only its standard error into the log.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    redactor: Redactor
    log: Path | None
    deadline_s: float
    output: IO[bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramEnd:
    """How a child ended; `code` is None if its deadline ended it, `lines` are the last ones, without secrets."""

    code: int | None
    lines: tuple[str, ...]

    def tail(self, count: int = 20) -> str:
        """Return the last lines as one text."""
        return "\n".join(self.lines[-count:])


def run_guarded(
    job: Job,
    guard: ProcessGuard,
    *,
    tick: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> ProgramEnd:
    """Run a job to its end; `tick` is called ten times a second, and what it raises ends the child."""
    stderr = subprocess.STDOUT if job.output is None else subprocess.PIPE
    child = guard.spawn(job.argv, env=job.env, cwd=job.cwd, stdout=job.output or subprocess.PIPE, stderr=stderr)
    lines = _OutputLines(job)
    until = clock() + job.deadline_s
    try:
        while child.poll() is None and clock() < until:
            lines.read(child, _READ_S)
            tick()
        code = child.poll()
        lines.read(child, 0.0)
    finally:
        guard.end(child)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        lines.close()
    return ProgramEnd(code=code, lines=tuple(lines.last))


class _OutputLines:
    """The output of a child by lines, without secrets: all in the log, the last ones in memory."""

    def __init__(self, job: Job) -> None:
        self.last: deque[str] = deque(maxlen=_TAIL_LINES)
        self._job = job
        self._rest = b""
        self._log = None if job.log is None else job.log.open("ab")

    def read(self, child: subprocess.Popen[bytes], wait_s: float) -> None:
        """Read what is available, at most a thousand pieces."""
        pipe = child.stdout or child.stderr
        for _ in range(1000):
            if pipe is None or not select.select([pipe], [], [], wait_s)[0]:
                return
            piece = os.read(pipe.fileno(), 65536)
            if not piece:
                time.sleep(wait_s)  # the pipe is closed, the child still runs
                return
            *whole, self._rest = (self._rest + piece).split(b"\n")
            for line in whole:
                self._add(line)
            wait_s = 0.0

    def close(self) -> None:
        """Log the unfinished line, and close the log."""
        if self._rest:
            self._add(self._rest)
        if self._log is not None:
            self._log.close()

    def _add(self, line: bytes) -> None:
        clean = self._job.redactor.line(line)
        self.last.append(clean.decode(errors="replace").rstrip())
        if self._log is not None:
            self._log.write(clean + b"\n")


def on_cores(spawn: Spawn, cores: Collection[int]) -> Spawn:
    """Return a spawn whose children run only on `cores`, from their first instruction on; on all if none is named.

    A child inherits the affinity of the thread that forks it (sched_setaffinity(2)). To set the child's own after
    its start would come too late for the threads that it has by then, and for what it has read of its cores.
    """

    def spawn_on_cores(argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401  (Spawn's)
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
        try:
            return spawn(argv, **options)
        finally:
            os.sched_setaffinity(0, before)

    return spawn_on_cores if cores else spawn

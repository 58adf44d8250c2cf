"""Runs a child to its end; its output goes to a log, without secrets, and its last lines into errors."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from seatrial.stack.processes import Guard
from seatrial.wire.redaction_ import Redactor

_TAIL_LINES = 200
_READ_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A child to run; its output is appended to `log` unless that is None.

    With `output` its standard output goes there, as it is, and only its standard error to the log.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    redactor: Redactor
    log: Path | None
    deadline_s: float
    output: IO[bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended; `code` is None when its deadline ended it, `lines` are the last ones, without secrets."""

    code: int | None
    lines: tuple[str, ...]

    def tail(self, count: int = 20) -> str:
        """Return the last lines as one text."""
        return "\n".join(self.lines[-count:])


def run(
    job: Job,
    guard: Guard,
    *,
    tick: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Ended:
    """Run to the end; `tick` is called ten times a second and may raise, which ends the child."""
    stderr = subprocess.STDOUT if job.output is None else subprocess.PIPE
    child = guard.spawn(job.argv, env=job.env, cwd=job.cwd, stdout=job.output or subprocess.PIPE, stderr=stderr)
    lines = _Lines(job)
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
    return Ended(code=code, lines=tuple(lines.last))


class _Lines:
    """The output of a child by lines, without secrets: all in the log, the last ones kept."""

    def __init__(self, job: Job) -> None:
        self.last: deque[str] = deque(maxlen=_TAIL_LINES)
        self._job = job
        self._rest = b""
        self._log = None if job.log is None else job.log.open("ab")

    def read(self, child: subprocess.Popen[bytes], wait_s: float) -> None:
        """Read what there is, at most a thousand pieces."""
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

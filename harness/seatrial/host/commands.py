"""Runs other programs with a deadline, and returns what they wrote."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from seatrial.stack.processes_ import end_all, of_sessions, process

NOT_FOUND = 127
TOO_LATE = 124
_GRACE_S = 15.0  # mmdebstrap unmounts what it has mounted, and removes its tree if it may


@dataclass(frozen=True, slots=True)
class Answer:
    """How a program ended (127: not found, 124: too late), and its standard output and standard error."""

    code: int
    output: str
    errors: str = ""

    @property
    def last_lines(self) -> str:
        """The end of both, where programs say what went wrong."""
        return "\n".join(f"{self.output}\n{self.errors}".strip().splitlines()[-3:])


class Run(Protocol):
    """Runs a program to its end."""

    def __call__(self, argv: Sequence[str], *, within_s: float, env: Mapping[str, str] | None = None) -> Answer:
        """Run `argv`, with `env` beside our environment; its session is ended when the time is over."""
        ...


def run_program(
    argv: Sequence[str],
    *,
    within_s: float,
    env: Mapping[str, str] | None = None,
    grace_s: float = _GRACE_S,
    shown: bool = False,
) -> Answer:
    """Run `argv` in a session of its own, without input; where it is `shown`, its output goes to ours instead.

    When the time is over, or at Ctrl-C, all of the session gets SIGTERM, and after `grace_s` SIGKILL; a second
    Ctrl-C kills it at once.
    """
    with _memory() as output, _memory() as errors:
        try:
            child = subprocess.Popen(
                argv,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=None if shown else output,
                stderr=None if shown else errors,
                start_new_session=True,
            )
        except OSError as error:
            return Answer(NOT_FOUND, "", f"{argv[0]}: {error.strerror}")
        started = process(child.pid)
        try:
            child.wait(timeout=within_s)
        except BaseException as error:
            sessions = {child.pid: started.start_ticks if started else 0}
            try:
                end_all(lambda: of_sessions(sessions), grace_s=grace_s)
            finally:
                end_all(lambda: of_sessions(sessions), grace_s=0.0)
                child.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return Answer(TOO_LATE, "", f"{argv[0]} did not end within {within_s:g} s")
        return Answer(child.returncode, _read(output), _read(errors))


def _memory() -> IO[bytes]:
    """Return a file that never reaches a disk (what Compose prints has secrets) and never blocks its writer."""
    return os.fdopen(os.memfd_create("output"), "w+b")


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")

"""Other people's programs, asked a question, within a time."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

NOT_FOUND = 127
TOO_LATE = 124


@dataclass(frozen=True, slots=True)
class Answer:
    """How a program ended and what it wrote, both streams together; 127: not found, 124: too late."""

    code: int
    output: str

    @property
    def last_lines(self) -> str:
        """The end of the output: where programs say what went wrong."""
        return "\n".join(self.output.strip().splitlines()[-3:])


class Run(Protocol):
    """Runs a program to its end."""

    def __call__(self, argv: Sequence[str], *, within_s: float) -> Answer:
        """Run `argv`; it is ended, with all that it started, when the time is over."""
        ...


def run(argv: Sequence[str], *, within_s: float) -> Answer:
    """Run `argv` in a process group of its own, without input."""
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Answer(NOT_FOUND, f"{argv[0]}: {error.strerror}")
    with child:
        try:
            output, _ = child.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            _end(child)
            return Answer(TOO_LATE, f"{argv[0]} did not end within {within_s:g} s")
        except BaseException:  # Ctrl-C: the group is not the terminal's, so nobody else ends it
            _end(child)
            raise
    return Answer(child.returncode, output)


def _end(child: subprocess.Popen[str]) -> None:
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()

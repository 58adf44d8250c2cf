"""Other people's programs, asked a question, within a time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

NOT_FOUND = 127
TOO_LATE = 124
_GRACE_S = 15.0  # mmdebstrap unmounts what it has mounted, and removes its tree, if it may
_LOOK_S = 0.05


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

    def __call__(self, argv: Sequence[str], *, within_s: float, env: Mapping[str, str] | None = None) -> Answer:
        """Run `argv`, with `env` beside our environment; it is ended with its group when the time is over."""
        ...


def run(
    argv: Sequence[str], *, within_s: float, env: Mapping[str, str] | None = None, grace_s: float = _GRACE_S
) -> Answer:
    """Run `argv` in a process group of its own, without input.

    When the time is over, or at Ctrl-C, the group is asked to end (SIGTERM), and killed after `grace_s`.
    """
    try:
        child = subprocess.Popen(
            argv,
            env={**os.environ, **(env or {})},
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
            _end(child, grace_s)
            return Answer(TOO_LATE, f"{argv[0]} did not end within {within_s:g} s")
        except BaseException:  # Ctrl-C: the group is not the terminal's, so nobody else ends it
            _end(child, grace_s)
            raise
    return Answer(child.returncode, output)


def _end(child: subprocess.Popen[str], grace_s: float) -> None:
    """End the whole group; a second Ctrl-C kills it at once."""
    try:
        _ask_to_end(child, grace_s)
    finally:
        with suppress(ProcessLookupError):  # nobody of the group is left
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _ask_to_end(child: subprocess.Popen[str], grace_s: float) -> None:
    until_s = time.monotonic() + grace_s
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=grace_s)  # and not `wait`: its last words must not fill the pipe
        while time.monotonic() < until_s:
            os.killpg(child.pid, 0)  # those that it started, and that have not ended with it
            time.sleep(_LOOK_S)

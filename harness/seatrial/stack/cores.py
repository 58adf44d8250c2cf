"""CPU affinity of children."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

from seatrial.model import Spawn


def on_cores(spawn: Spawn, cores: Collection[int]) -> Spawn:
    """Return a spawn whose children run only on `cores`, from their first instruction on; on all if none is named.

    A child inherits the affinity of the thread that forks it (sched_setaffinity(2)). To set the child's own after
    its start would come too late for the threads that it has by then, and for what it has read of its cores.
    """
    return _OnCores(spawn, tuple(cores)) if cores else spawn


class _OnCores:
    def __init__(self, spawn: Spawn, cores: tuple[int, ...]) -> None:
        self._spawn = spawn
        self._cores = cores

    def __call__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._cores)
        try:
            return self._spawn(argv, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)
        finally:
            os.sched_setaffinity(0, before)

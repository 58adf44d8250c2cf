"""Holds processes and containers to some of this host's cores."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import docker

from seatrial.model import Spawn
from seatrial.stack.daemon import daemon_address, talking

_UNIX = "unix://"


def on_cores(spawn: Spawn, cores: Collection[int]) -> Spawn:
    """Return a spawn whose children run only on `cores`, from their first instruction on; on all if none is named.

    A child inherits the affinity of the thread that forks it (sched_setaffinity(2)). To set the child's own after
    its start would come too late for the threads that it has by then, and for what it has read of its cores.
    """
    return _Held(spawn, tuple(cores)) if cores else spawn


class _Held:
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
        with _this_thread_on(self._cores):
            return self._spawn(argv, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)


@contextmanager
def _this_thread_on(cores: Collection[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def shares_this_host(
    client: docker.DockerClient, *, address: Callable[[], str] = daemon_address, kernel: str = os.uname().release
) -> bool:
    """Return whether the daemon's containers run on this host's cores, so that its core numbers mean the same.

    A daemon behind a Unix socket may still sit in a virtual machine of its own, with a kernel of its own.
    """
    if not address().startswith(_UNIX):
        return False
    with talking("asking for its kernel"):
        return bool(client.info().get("KernelVersion") == kernel)


def cpuset(cores: Collection[int]) -> str:
    """Return cores as Compose writes them."""
    return ",".join(map(str, sorted(cores)))

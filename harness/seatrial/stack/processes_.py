"""Processes in /proc: found by session or by a mark in their environment, and ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seatrial.units import stat_fields

PROC = Path("/proc")
RUN_VARIABLE = "SEATRIAL_RUN"
_POLL_S = 0.03
_KILL_S = 2.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc/PID/stat shows it; `start_ticks` distinguish it from a later one with the same pid."""

    pid: int
    session: int
    start_ticks: int
    state: str

    @property
    def is_running(self) -> bool:
        """Whether it is no zombie."""
        return self.state not in {"Z", "X"}


def process(pid: int, *, proc: Path = PROC) -> Process | None:
    """Return one process, or None if it is gone."""
    try:
        fields = stat_fields((proc / str(pid) / "stat").read_bytes())
    except OSError:
        return None
    return Process(pid=pid, session=int(fields[3]), start_ticks=int(fields[19]), state=fields[0].decode())


def processes(*, proc: Path = PROC) -> Iterator[Process]:
    """Yield every process that this one may see."""
    for name in [entry.name for entry in proc.iterdir()]:
        shown = process(int(name), proc=proc) if name.isdecimal() else None
        if shown is not None:
            yield shown


def of_sessions(sessions: Mapping[int, int], *, proc: Path = PROC) -> list[Process]:
    """Return the running processes of sessions, given as leader's pid to leader's `start_ticks`.

    A session whose leader's pid now belongs to a later process is not ours any more.
    """
    running = list(processes(proc=proc))
    reused = {one.pid for one in running if sessions.get(one.pid, one.start_ticks) != one.start_ticks}
    ours = sessions.keys() - reused
    return [one for one in running if one.session in ours and one.is_running]


def marked(run_id: str, *, proc: Path = PROC) -> list[Process]:
    """Return the running processes, but this one, that were started with the run's id in their environment."""
    mark = f"{RUN_VARIABLE}={run_id}".encode()
    running = []
    for one in processes(proc=proc):
        with suppress(OSError):
            environment = (proc / str(one.pid) / "environ").read_bytes().split(b"\0")
            if mark in environment and one.pid != os.getpid() and one.is_running:
                running.append(one)
    return running


def end_all(
    find: Callable[[], Sequence[Process]],
    *,
    grace_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """End what `find` returns: SIGTERM once to each, SIGKILL after the grace; False if some run 2 s later."""
    terminated: set[tuple[int, int]] = set()
    kill_at = clock() + grace_s
    while running := find():
        now = clock()
        if now > kill_at + _KILL_S:
            return False
        for one in running:
            with suppress(ProcessLookupError, PermissionError):
                if now >= kill_at:
                    os.kill(one.pid, signal.SIGKILL)
                elif (one.pid, one.start_ticks) not in terminated:
                    terminated.add((one.pid, one.start_ticks))
                    os.kill(one.pid, signal.SIGTERM)
        sleep(_POLL_S)
    return True

"""Programs of a benchmark: each on its own core, each bounded in time, none outlives this process."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.job import BenchFailed, peak_rss_mib

_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ended with 0: what it printed, its CPU time with its children's, its peak of memory."""

    output: str
    cpu_s: float
    peak_rss_mib: float


def on_core(core: int, argv: Sequence[str]) -> list[str]:
    """Return the command that runs `argv` on one core, and that the kernel kills when its parent is gone."""
    return ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(core), *argv]


def run(core: int, argv: Sequence[str], env: Mapping[str, str], within_s: float) -> Ended:
    """Run a program to its end; BenchFailed if it fails or takes longer."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            on_core(core, argv), env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            cpu_s, peak = _watched(process, time.monotonic() + within_s)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise BenchFailed(f"{argv[0]} ended with {process.returncode}: {text[-600:]}")
    return Ended(text, cpu_s, peak)


def _watched(process: subprocess.Popen[bytes], deadline: float) -> tuple[float, float]:
    """Wait for the end; return CPU time and peak of memory."""
    peak = 0.0
    while time.monotonic() < deadline:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return used.ru_utime + used.ru_stime, peak
        # the latest, not the largest: before it became the program it was a copy of this process
        peak = peak_rss_mib(process.pid) or peak
        time.sleep(_LOOK_S)
    raise BenchFailed(f"{process.args!r} did not end in time")

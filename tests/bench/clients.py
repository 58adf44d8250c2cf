"""The clients, the work that each can do, and one window of one client, whose program ends with this one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.binaries import BINARIES, Binary
from bench.job import GIVE_UP_S, BenchFailed, Job, Measured, Work, accepts, peak_rss_mib

from seatrial.wire.control import PLAN_VARIABLE, Plan

ROOT = Path(__file__).parents[2]
PYTHON = ("bare", "seatrial", "fasthttp", "httpuser")
CLIENTS = (*PYTHON, "hashlib", *BINARIES)
_CURL_CONNECTIONS = 300
_LOOK_S = 0.02


def does(client: str, work: Work) -> bool:
    """Whether a client can do this work, and is installed.

    Programs read what they discard, so that they are at `read` and `tls`; none of them hashes, or reads as it is
    told. curl has at
    most 300 transfers at once (its manual, --parallel-max).
    """
    if client == "hashlib":
        return work.name == "sha256"
    if client in PYTHON:
        return True
    if shutil.which(client) is None or work.conduct in {"sha256", "stream"} or work.name == "drain":
        return False
    return client != "curl" or work.connections <= _CURL_CONNECTIONS


def measured(job: Job, core: int) -> Measured:
    """Run one window; BenchFailed if the client failed at anything."""
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as folder:
        if job.client in BINARIES:
            return _of_binary(job, BINARIES[job.client], core, Path(folder))
        return _of_python(job, core, Path(folder))


def _of_python(job: Job, core: int, folder: Path) -> Measured:
    env = {**_environment(), "PYTHONPATH": str(ROOT / "harness")}
    if job.client == "seatrial":  # no control socket: the gate is open from the start
        env[PLAN_VARIABLE] = Plan(records=str(folder), control="").encode()
    argv = [sys.executable, str(Path(__file__).with_name("python_client.py")), job.encode()]
    ended = run(core, argv, env, job.seconds + 2 * GIVE_UP_S)
    return Measured(**json.loads(ended.output.splitlines()[-1]))


def _of_binary(job: Job, binary: Binary, core: int, folder: Path) -> Measured:
    """Run a program; the cost and the requests of a start without work are subtracted."""
    within_s = job.seconds + 2 * GIVE_UP_S
    idle_cpu_s, idle_requests = 0.0, 0
    if binary.idle is not None:
        idle_cpu_s = run(core, binary.idle(job, folder), _environment(), within_s).cpu_s
        idle_requests = job.work.connections
    opened = accepts(job.status_url)
    ended = run(core, binary.command(job, folder), _environment(), within_s)
    opened = accepts(job.status_url) - opened - 1
    requests, body_bytes = binary.counts(job, ended.output, folder)
    return Measured(
        requests=requests if job.work.large else max(requests - idle_requests, 1),
        body_bytes=body_bytes,
        cpu_s=ended.cpu_s - idle_cpu_s,
        peak_rss_mib=ended.peak_rss_mib,
        new_connections=max(opened - job.work.connections, 0) if job.work.keep_alive else opened,
    )


def _environment() -> Mapping[str, str]:
    """Return the environment without the variables of Locust, Python, Seatrial and proxies."""
    dropped = ("LOCUST_", "PYTHON", "SEATRIAL_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(dropped)}


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

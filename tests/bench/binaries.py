"""The load generators that are programs: their commands, and how their output is read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.job import LARGE_BYTES, SMALL_BYTES, BenchFailed, Job

_LARGE_PER_S = 16
_CURL_SMALL_PER_S = 5_000
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
Counts = tuple[int, int]
"""Requests, and bytes of bodies."""


@dataclass(frozen=True, slots=True)
class Binary:
    """One program: its command for a job, its command for a start without work (if that costs), its counts.

    The command gets the folder for its files. The idle command does one small request on each connection.
    """

    command: Callable[[Job, Path], list[str]]
    idle: Callable[[Job, Path], list[str]] | None
    counts: Callable[[Job, str, Path], Counts]
    version: tuple[str, ...]


def large_count(job: Job) -> int:
    """Return the number of large bodies in a window: a multiple of the connections, bounded."""
    each = max(round(job.seconds * _LARGE_PER_S / job.work.connections), 1)
    return min(each, 250) * job.work.connections


def _hey(job: Job, _folder: Path) -> list[str]:
    work = job.work
    argv = ["hey", "-cpus", "1", "-c", str(work.connections), *([] if work.keep_alive else ["-disable-keepalive"])]
    if work.large:
        return [*argv, "-n", str(large_count(job)), "-t", "60", job.target]
    if not work.keep_alive:
        return [*argv, "-n", str(min(work.most, round(job.seconds * 3_000))), job.target]
    return [*argv, "-z", f"{max(job.seconds, 1):g}s", job.target]


def _hey_idle(job: Job, _folder: Path) -> list[str]:
    return f"hey -cpus 1 -c {job.work.connections} -n {job.work.connections} {job.url}/small".split()


def _hey_counts(job: Job, output: str, _folder: Path) -> Counts:
    done = {int(status): int(count) for status, count in re.findall(r"\[(\d{3})\]\s+(\d+) responses", output)}
    if set(done) != {200} or "Error distribution" in output:
        raise BenchFailed(f"hey: {output[-1000:]}")
    return done[200], done[200] * job.work.body_bytes


def _wrk(job: Job, _folder: Path) -> list[str]:
    closing = [] if job.work.keep_alive else ["-H", "Connection: close"]
    duration = f"{max(round(job.seconds), 1)}s"
    return ["wrk", "-t1", f"-c{job.work.connections}", f"-d{duration}", "--timeout", "60s", *closing, job.target]


def _wrk_counts(job: Job, output: str, _folder: Path) -> Counts:
    match = re.search(r"(\d+) requests in [\d.]+\w+, ([\d.]+)([KMG]?)B read", output)
    if match is None or "Non-2xx" in output or "Socket errors" in output:
        raise BenchFailed(f"wrk: {output[-1000:]}")
    requests = int(match[1])
    if not job.work.large:
        return requests, requests * SMALL_BYTES
    body_bytes = round(float(match[2]) * _UNITS[match[3]])  # also those of requests that its end cut off
    return max(round(body_bytes / LARGE_BYTES), 1), body_bytes


def _curl(job: Job, _folder: Path) -> list[str]:
    return [*_curl_options(job), f"{job.target}?[1-{_curl_count(job)}]"]


def _curl_idle(job: Job, _folder: Path) -> list[str]:
    return [*_curl_options(job), f"{job.url}/small?[1-{job.work.connections}]"]


def _curl_options(job: Job) -> list[str]:
    closing = [] if job.work.keep_alive else ["-H", "Connection: close"]
    many = str(job.work.connections)
    options = ["curl", "-q", "--silent", "--show-error", "--fail", "--parallel", "--parallel-immediate"]
    return [*options, "--parallel-max", many, "--cacert", job.ca_file, *closing, "--output", "/dev/null"]


def _curl_count(job: Job) -> int:
    return large_count(job) if job.work.large else min(round(job.seconds * _CURL_SMALL_PER_S), job.work.most)


def _curl_counts(job: Job, _output: str, _folder: Path) -> Counts:
    return _curl_count(job), _curl_count(job) * job.work.body_bytes


def _k6(job: Job, folder: Path) -> list[str]:
    work = job.work
    count = large_count(job) if work.large else work.most
    timed = not work.large and work.keep_alive
    bound = ["--duration", f"{job.seconds:g}s"] if timed else ["--iterations", str(count)]
    return _k6_command(job, folder, job.target, bound)


def _k6_idle(job: Job, folder: Path) -> list[str]:
    return _k6_command(job, folder, f"{job.url}/small", ["--iterations", str(job.work.connections)])


def _k6_command(job: Job, folder: Path, url: str, bound: list[str]) -> list[str]:
    options = {
        "discardResponseBodies": True,
        "insecureSkipTLSVerify": True,
        "noConnectionReuse": not job.work.keep_alive,
        "setupTimeout": "10s",
    }
    script = folder / "k6.js"
    lines = ["import http from 'k6/http';", f"export const options = {json.dumps(options)};"]
    script.write_text("\n".join([*lines, f"export default function () {{ http.get({json.dumps(url)}); }}", ""]))
    argv = ["k6", "run", "--quiet", "--no-usage-report", "--no-thresholds", "--address", "127.0.0.1:0"]
    argv += ["--summary-export", str(folder / "k6.json"), "--vus", str(job.work.connections)]
    return [*argv, *bound, str(script)]


def _k6_counts(job: Job, _output: str, folder: Path) -> Counts:
    metrics = json.loads((folder / "k6.json").read_text())["metrics"]
    if metrics.get("http_req_failed", {}).get("value", 0):
        raise BenchFailed(f"k6: {metrics['http_req_failed']}")
    requests = int(metrics["http_reqs"]["count"])
    return requests, requests * job.work.body_bytes


BINARIES = {
    "hey": Binary(_hey, _hey_idle, _hey_counts, ("dpkg-query", "-W", "-f", "${Version}", "hey")),
    "wrk": Binary(_wrk, None, _wrk_counts, ("wrk", "-v")),
    "curl": Binary(_curl, _curl_idle, _curl_counts, ("curl", "--version")),
    "k6": Binary(_k6, _k6_idle, _k6_counts, ("k6", "version")),
}

"""Measure the cost of HTTP clients: `python tests/bench/run.py [--rounds 5] [--seconds 1] [--work small]`.

Every client runs alone, on the first core of this process's affinity, against an nginx on the last one. Prints
tables, and writes the rows as JSON; `--write-docs` also writes docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.binaries import BINARIES
from bench.clients import CLIENTS, ROOT, does, measured
from bench.figures import Round, goals, page, rows, tables
from bench.job import WORKS, BenchFailed, Job, Measured
from bench.nginx_origin import Origin, program, serving

_DESCRIPTORS = 8_192
_ROUNDS_LIMIT = 100
_SECONDS_LIMIT = 60.0
_PAGE = ROOT / "docs" / "reference" / "performance.md"
_PACKAGES = ("seatrial", "gevent", "locust", "geventhttpclient", "requests")
_progress = Console(stderr=True)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write; return the exit code."""
    options = _parser().parse_args(arguments)
    options.work, options.client = options.work or list(WORKS), options.client or CLIENTS
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the folder of files is removed
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # 1,500 connections, where the hard limit permits it
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _DESCRIPTORS), hard))
    pairs = [(work, client) for work in options.work for client in options.client if does(client, WORKS[work])]
    if not pairs:
        raise SystemExit("bench: none of these clients does any of this work, or is installed")
    cores = sorted(os.sched_getaffinity(0))
    machine = _facts({client for _, client in pairs}, cores)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="seatrial-bench-") as folder,
            serving(Path(folder), cores[-1]) as origin,
        ):
            shuffle = random.Random(options.seed)  # noqa: S311  (an order, no secret)
            jobs = [_job(work, client, origin, options.seconds) for work, client in pairs]
            numbers = range(1, options.rounds + 1)
            rounds = [_round(jobs, cores[0], shuffle, f"{number}/{options.rounds}") for number in numbers]
    except BenchFailed as error:
        _show(f"bench: {error}")
        return 1
    whole = [pair for pair in pairs if all(pair in done for done in rounds)]
    _report([{pair: done[pair] for pair in whole} for done in rounds], options, machine)
    return 0 if whole == pairs else 1


def _job(work: str, client: str, origin: Origin, seconds: float) -> Job:
    url = origin.tls_url if WORKS[work].tls else origin.plain_url
    places = {"url": url, "status_url": origin.status_url, "ca_file": origin.ca_file, "sha256": origin.sha256}
    return Job(client=client, work_name=work, seconds=seconds, **places)


def _round(jobs: Sequence[Job], core: int, shuffle: random.Random, number: str) -> Round:
    """Do each job once, in an order of this round's own; one that fails is left out, and reported."""
    done: dict[tuple[str, str], Measured] = {}
    for job in shuffle.sample(jobs, len(jobs)):
        name = f"{job.work_name}, {job.client}"
        _show(f"round {number}, {len(done) + 1}/{len(jobs)}: {name}")
        try:
            done[job.work_name, job.client] = measured(job, core)
        except BenchFailed as error:
            _show(f"failed: {name}: {error}")
    return done


def _report(rounds: Sequence[Round], options: argparse.Namespace, machine: dict[str, str]) -> None:
    figures = rows(rounds)
    results = goals(rounds, figures)
    console = Console()
    for table in tables(figures, results):
        console.print(table)
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    options.rows.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    _show(f"rows: {options.rows}")
    if options.write_docs:
        text = page(figures, results, machine, rounds=options.rounds, seconds=options.seconds)
        _PAGE.write_text(text, encoding="utf-8")
        _show(f"page: {_PAGE}")


def _show(text: str) -> None:
    _progress.print(text, markup=False, highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=_at_most(_ROUNDS_LIMIT, int), default=5)
    parser.add_argument("--seconds", type=_at_most(_SECONDS_LIMIT, float), default=1.0, help="of each window")
    parser.add_argument("--work", action="append", choices=list(WORKS), help="only this; may be repeated")
    parser.add_argument("--client", action="append", choices=CLIENTS, help="only this; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "bench" / "latest.json")
    parser.add_argument("--write-docs", action="store_true", help=f"also write {_PAGE.relative_to(ROOT)}")
    return parser


def _at_most(limit: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value <= limit:
            raise argparse.ArgumentTypeError(f"{text}: more than 0, at most {limit:g}")
        return value

    return number


def _facts(clients: Collection[str], cores: Collection[int]) -> dict[str, str]:
    """Return the facts by their names on the page."""
    programs = {name: _version_of(BINARIES[name].version) for name in sorted(BINARIES) if name in clients}
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _PACKAGES)]
    return {
        "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Processor": _processor(),
        "Cores": str(len(cores)),
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GiB",
        "Kernel": platform.release(),
        "Load before": f"{os.getloadavg()[0]:.2f}",
        "Server": _version_of((program() or "nginx", "-v")),
        "Python": ", ".join(versions),
        "Programs": ", ".join(f"{name} {number}" for name, number in programs.items()) or "none",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version_of(command: Collection[str]) -> str:
    """Return the first line of a program's version output, without its own name."""
    name = next(iter(command)).rpartition("/")[2]
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    words = (done.stdout + done.stderr).strip().partition("\n")[0].split(" [")[0].split(" (")[0]
    return words.removeprefix(name).strip().removeprefix("version: ") or "unknown"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

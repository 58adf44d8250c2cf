"""Measure what clients cost: `python tests/bench/run.py [--rounds 5] [--seconds 1] [--work small]`.

Every client runs alone, on the first core of this process's affinity, against an nginx on the last one. Prints
tables, and writes the rows as JSON; `--write-docs` also writes docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.clients import CLIENTS, ROOT, does, measured
from bench.figures import Round, rows
from bench.goals import goals
from bench.job import BenchFailed, Job, Measured
from bench.machine import facts
from bench.nginx_origin import Origin, serving
from bench.pages import page, tables
from bench.works import WORKS

_DESCRIPTORS = 8_192
_ROUNDS_LIMIT = 100
_SECONDS_LIMIT = 60.0
_PAGE = ROOT / "docs" / "reference" / "performance.md"
_said = Console(stderr=True)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write; return the exit code."""
    asked = _parser().parse_args(arguments)
    asked.work, asked.client = asked.work or list(WORKS), asked.client or CLIENTS
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the folder of files is removed
    _allow_descriptors()
    pairs = [(work, client) for work in asked.work for client in asked.client if does(client, WORKS[work])]
    if not pairs:
        raise SystemExit("bench: none of these clients does any of this work, or is installed")
    cores = sorted(os.sched_getaffinity(0))
    machine = facts({client for _, client in pairs}, cores)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="seatrial-bench-") as folder,
            serving(Path(folder), cores[-1]) as origin,
        ):
            shuffle = random.Random(asked.seed)  # noqa: S311  (an order, no secret)
            rounds = [
                _round(pairs, origin, cores[0], asked.seconds, shuffle, f"{number}/{asked.rounds}")
                for number in range(1, asked.rounds + 1)
            ]
    except BenchFailed as failed:
        _said.print(f"bench: {failed}", markup=False)
        return 1
    whole = [pair for pair in pairs if all(pair in done for done in rounds)]
    _tell([{pair: done[pair] for pair in whole} for done in rounds], asked, machine)
    return 0 if whole == pairs else 1


def _round(
    pairs: Sequence[tuple[str, str]],
    origin: Origin,
    core: int,
    seconds: float,
    shuffle: random.Random,
    number: str,
) -> Round:
    """Measure each pair once, in an order of this round's own; one that fails is left out, and said."""
    done: dict[tuple[str, str], Measured] = {}
    for work, client in shuffle.sample(pairs, len(pairs)):
        _said.print(
            f"round {number}, {len(done) + 1}/{len(pairs)}: {work}, {client}", markup=False, highlight=False
        )
        job = Job(
            client=client,
            work_name=work,
            url=origin.tls_url if WORKS[work].tls else origin.plain_url,
            status_url=origin.status_url,
            ca_file=origin.ca_file,
            sha256=origin.sha256,
            seconds=seconds,
        )
        try:
            done[work, client] = measured(job, core)
        except BenchFailed as failed:
            _said.print(f"failed: {work}, {client}: {failed}", markup=False, highlight=False)
    return done


def _tell(rounds: Sequence[Round], asked: argparse.Namespace, machine: dict[str, str]) -> None:
    told = rows(rounds)
    reached = goals(rounds, told)
    console = Console()
    for table in tables(told, reached):
        console.print(table)
    asked.rows.parent.mkdir(parents=True, exist_ok=True)
    asked.rows.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    _said.print(f"rows: {asked.rows}", markup=False, highlight=False)
    if asked.write_docs:
        _PAGE.write_text(
            page(told, reached, machine, rounds=asked.rounds, seconds=asked.seconds), encoding="utf-8"
        )
        _said.print(f"page: {_PAGE}", markup=False, highlight=False)


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


def _allow_descriptors() -> None:
    """Let the server and the clients have 1,500 connections, where the hard limit permits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _DESCRIPTORS), hard))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Blocks that were recorded by `selfcheck` and `compare`, read back from every experiment below a folder.

A trial is a series of short experiments: what a folder holds already counts, so that it may span days, and an
experiment that was interrupted costs only its own last block.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seatrial.analysis.experiment import analyse
from seatrial.analysis.results import ExperimentResult
from seatrial.compare.pairing import FINISHED, BlockValues
from seatrial.errors import SeatrialError
from seatrial.measure import metric
from seatrial.measure.metric import Metric
from seatrial.record import documents

CHUNK = 6
"""Blocks of one experiment: with so few the first look is the last one, and no result ends it early."""

LONGEST_S = 1800
"""The deadline of one experiment."""

_PAUSE_S = 2.0

Latencies = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All blocks of base and one variant: those that can be used, and how many could not, with the first reason.

    `shown` are the metrics besides the gate, if they are wanted; `latencies_ms` are those of each run's
    successes in its window, by block and variant. `block_s` is how long a block took (median; without the first of
    an experiment, in which images may be built), `bring_up_s` how much longer the first one took.
    """

    base: str
    variant: str
    gate: tuple[Metric, ...]
    shown: tuple[Metric, ...]
    shared_cores: bool
    blocks: tuple[BlockValues, ...]
    latencies_ms: tuple[Mapping[str, Latencies], ...]
    lost: tuple[str, ...]
    block_s: float
    bring_up_s: float


def record(command: Sequence[str], results: Path, blocks: int, seed: int) -> None:
    """Record until so many blocks are whole and valid; at most twice as many experiments as they should take."""
    for _ in range(2 * -(-blocks // CHUNK)):
        missing = blocks - count(results)
        if missing <= 0:
            return
        made = len(list(results.glob("*/plan.json")))
        words = [
            "--blocks",
            str(min(missing, CHUNK)),
            "--seed",
            str(seed + made),
            "--results",
            str(results),
            "--quiet",
        ]
        sys.stdout.write(f"{missing} more blocks to record, seed {seed + made}\n")
        sys.stdout.flush()
        done = subprocess.run(
            [sys.executable, "-m", "seatrial", *command, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
        )
        if done.returncode not in {0, 1, 5, 7}:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        time.sleep(_PAUSE_S)


def count(results: Path) -> int:
    """Return how many blocks below the folder are whole, and valid on every side."""
    return sum(all(_usable(block)) for result in _experiments(results) for block in result.blocks)


def load(results: Path, variant: str, endpoint: str = "", *, shown: bool = False) -> Series:
    """Return the blocks of a variant; latencies only where an endpoint is named. SystemExit if there are none."""
    experiments = [result for result in _experiments(results) if variant in result.plan.variants and result.blocks]
    if not experiments:
        raise SystemExit(f"{results}: no experiment has a whole block of {variant!r}")
    plan = experiments[0].plan
    names = (plan.base, variant)
    blocks = [
        (result, number, block)
        for result in experiments
        for number, block in zip(result.numbers, result.blocks, strict=True)
    ]
    used = [one for one in blocks if all(_usable(one[2]))]
    whole_s, first_s = _durations(experiments)
    return Series(
        base=plan.base,
        variant=variant,
        gate=tuple(metric.parse(one) for one in plan.gate),
        shown=tuple(experiments[0].metrics.values()) if shown else (),
        shared_cores=any(
            result.comparison is not None and result.comparison.host_limited for result in experiments
        ),
        blocks=tuple({name: block[name] for name in names} for _, _, block in used),
        latencies_ms=tuple(_latencies(*one[:2], names, endpoint) for one in used) if endpoint else (),
        lost=tuple(_why_not(block) for _, _, block in blocks if not all(_usable(block))),
        block_s=whole_s,
        bring_up_s=max(first_s - whole_s, 0.0),
    )


def _experiments(results: Path) -> Iterator[ExperimentResult]:
    for path in sorted(results.glob("*/plan.json")):
        try:
            yield analyse(path.parent)
        except SeatrialError as error:
            sys.stdout.write(f"left out: {path.parent.name}: {error.what}\n")


def _usable(block: BlockValues) -> list[bool]:
    return [run.ended == FINISHED and not run.invalid for run in block.values()]


def _why_not(block: BlockValues) -> str:
    return next(run.invalid or run.ended for run in block.values() if run.invalid or run.ended != FINISHED)


def _durations(experiments: Sequence[ExperimentResult]) -> tuple[float, float]:
    """Return the median time of a block, and of the first one of an experiment."""
    blocks_s = [documents.load_progress(Path(experiment.folder)).blocks_s for experiment in experiments]
    later = [one for each in blocks_s for one in each[1:]]
    first = [each[0] for each in blocks_s if each]
    return statistics.median(later or first), statistics.median(first)


def _latencies(
    result: ExperimentResult, number: int, names: Sequence[str], endpoint: str
) -> Mapping[str, Latencies]:
    folders = {one.variant: Path(one.folder) for one in result.runs if one.block == number}
    return {name: _of_run(folders[name] / "requests.parquet", endpoint) for name in names}


def _of_run(table: Path, endpoint: str) -> Latencies:
    rows = pd.read_parquet(table, columns=["endpoint", "phase", "outcome", "t_start_ns", "t_end_ns"])
    own = rows[(rows.endpoint == endpoint) & (rows.phase == "window") & (rows.outcome == "ok")]
    took_ms: Latencies = ((own.t_end_ns - own.t_start_ns) / 1e6).to_numpy(dtype=np.float64)
    return took_ms

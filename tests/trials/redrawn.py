"""Blocks that `selfcheck` and `compare` recorded, and comparisons drawn at random from them.

A trial is a series of short experiments: what a folder holds already counts, so that it may span days, and an
experiment that was interrupted costs only its own last block. Each draw is judged as a comparison of that size.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from seatrial.analysis.experiment import analyse
from seatrial.analysis.results import ExperimentResult
from seatrial.compare import comparison
from seatrial.compare.comparison import Comparison, Next, Overall
from seatrial.compare.pairing import FINISHED, BlockValues
from seatrial.compare.verdicts import BETTER, WORSE, Word
from seatrial.errors import SeatrialError
from seatrial.measure import metric
from seatrial.measure.metric import Metric
from seatrial.record import documents

ALPHA = 0.05
CHUNK = 6
"""Blocks of one experiment: with so few the first look is the last one, and no result ends it early."""

LONGEST_S = 1800
"""The deadline of one experiment."""

_PAUSE_S = 2.0

Latencies = NDArray[np.float64]
Test = Callable[[Latencies, Latencies], Any]


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

    def used(self) -> str:
        """Return in words how many blocks can be used, and why the others can't."""
        why = f" (the first: {self.lost[0]})" if self.lost else ""
        return f"{len(self.blocks)} blocks used, {len(self.lost)} invalid{why}"


@dataclass(slots=True)
class Redrawn:
    """The words of all draws: of each gated metric, by its text, and of the whole.

    An alarm is any word of a gated metric for better or worse, however small; praise is one for
    better, of exploratory metrics, too.
    """

    draws: int = 0
    alarms: int = 0
    words: dict[str, Counter[Word]] = field(default_factory=dict)
    overall: Counter[Overall] = field(default_factory=Counter)
    praised: int = 0
    blocks_used: int = 0

    def rate(self, metric: str, *words: Word) -> float:
        """Return the share of draws in which a metric has one of these words."""
        return sum(self.words.get(metric, Counter())[one] for one in words) / self.draws

    def add(self, result: Comparison) -> None:
        """Count one comparison."""
        self.draws += 1
        self.alarms += any(verdict.word in WORSE | BETTER for verdict in result.gated)
        self.praised += any(verdict.word in BETTER for verdict in (*result.gated, *result.exploratory))
        self.blocks_used += result.blocks
        self.overall[result.overall] += 1
        for verdict in result.gated:
            self.words.setdefault(verdict.metric.text, Counter())[verdict.word] += 1

    def lines(self) -> Iterator[str]:
        """Yield the shares of the words of each gated metric, and that of regressions of the whole."""
        for text, words in self.words.items():
            shares = ", ".join(f"{word} {count / self.draws:.1%}" for word, count in words.most_common())
            yield f"  {text}: {shares}"
        yield f"REGRESSION of the whole (exit code 1): {self.overall[Overall.REGRESSION] / self.draws:.1%}"


def parser(what: str) -> argparse.ArgumentParser:
    """Return a parser with the option of all these scripts; `what` is the script's own text."""
    options = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--results", type=Path, required=True)
    return options


def drawing(what: str) -> argparse.ArgumentParser:
    """Return a parser with the options of the scripts that record blocks and draw comparisons from them."""
    options = parser(what)
    options.add_argument("--draws", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only-table", action="store_true")
    options.add_argument("--blocks", type=int, help="how many to record")
    options.add_argument("--size", type=int, help="blocks of one comparison")
    return options


def seatrial(command: Sequence[str], results: Path) -> None:
    """Run a command that makes one experiment below the folder; SystemExit if it has no result."""
    words = [sys.executable, "-m", "seatrial", *command, "--results", str(results), "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    if done.returncode not in {0, 1, 5, 7}:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")


def record(command: Sequence[str], results: Path, blocks: int, seed: int) -> None:
    """Record until so many blocks are whole and valid; at most twice as many experiments as they should take."""
    for _ in range(2 * -(-blocks // CHUNK)):
        whole = sum(all(_usable(block)) for result in _experiments(results) for block in result.blocks)
        if whole >= blocks:
            return
        missing, seed_now = blocks - whole, seed + len(list(results.glob("*/plan.json")))
        sys.stdout.write(f"{missing} more blocks to record, seed {seed_now}\n")
        sys.stdout.flush()
        seatrial([*command, "--blocks", str(min(missing, CHUNK)), "--seed", str(seed_now)], results)
        time.sleep(_PAUSE_S)


def load(results: Path, variant: str, endpoint: str = "", *, shown: bool = False) -> Series:
    """Return the blocks of a variant; latencies only where an endpoint is named. SystemExit if there are none."""
    experiments = [result for result in _experiments(results) if variant in result.plan.variants and result.blocks]
    if not experiments:
        raise SystemExit(f"{results}: no experiment has a whole block of {variant!r}")
    plan = experiments[0].plan
    names = (plan.base, variant)
    numbered = ((result, zip(result.numbers, result.blocks, strict=True)) for result in experiments)
    blocks = [(result, number, block) for result, pairs in numbered for number, block in pairs]
    used = [one for one in blocks if all(_usable(one[2]))]
    whole_s, first_s = _durations(experiments)
    return Series(
        base=plan.base,
        variant=variant,
        gate=tuple(metric.parse(one) for one in plan.gate),
        shown=tuple(experiments[0].metrics.values()) if shown else (),
        shared_cores=any(each.comparison is not None and each.comparison.host_limited for each in experiments),
        blocks=tuple({name: block[name] for name in names} for _, _, block in used),
        latencies_ms=tuple(_latencies(*one[:2], names, endpoint) for one in used) if endpoint else (),
        lost=tuple(_why_not(block) for _, _, block in blocks if not all(_usable(block))),
        block_s=whole_s,
        bring_up_s=max(first_s - whole_s, 0.0),
    )


def redraw(series: Series, size: int, draws: int, seed: int, *, relabel: bool) -> Redrawn:
    """Draw `size` blocks without replacement, with random labels where base and variant are the same thing."""
    if len(series.blocks) < size:
        raise SystemExit(f"{len(series.blocks)} blocks are recorded: {size} are drawn at a time")
    return _drawn(series, np.arange(len(series.blocks)), size, draws, np.random.default_rng(seed), relabel=relabel)


def again(series: Series, size: int, draws: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """Return the rates of alarms of other series of that length, as the blocks' scatter has them: a bootstrap.

    The draws of `redraw` share their blocks, so that a binomial bound alone is too narrow. No comparison
    has a block twice: a repeated block would hide scatter.
    """
    random, count = np.random.default_rng(seed), len(series.blocks)
    rates = np.empty(resamples)
    for number in range(resamples):
        places = np.unique(random.integers(0, count, count))
        rates[number] = _drawn(series, places, size, draws, random, relabel=True).alarms / draws
    return rates


def bounds(hits: int, draws: int) -> tuple[float, float]:
    """Return the two-sided 95 % bounds of a share (Clopper and Pearson, Biometrika 1934)."""
    low = stats.beta.ppf(0.025, hits, draws - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, draws - hits) if hits < draws else 1.0
    return float(low), float(high)


def gates(pairs: Sequence[tuple[Latencies, Latencies]], limit: float = 0.1) -> dict[str, float]:
    """Return how often one run against one run differs by more than the limit, by percentile."""
    return {
        f"p{percent}": float(np.mean([abs(_ratio(one, other, percent) - 1) > limit for one, other in pairs]))
        for percent in (50, 95, 99)
    }


def tests_of_requests(pairs: Sequence[tuple[Latencies, Latencies]]) -> dict[str, float]:
    """Return how often tests that take each request as independent call two runs different, at 5 %."""
    tests: dict[str, Test] = {
        "Mann-Whitney": stats.mannwhitneyu,
        "Kolmogorov-Smirnov": partial(stats.ks_2samp, method="asymp"),
        "Welch": partial(stats.ttest_ind, equal_var=False),
    }
    return {
        name: float(np.mean([test(one, other).pvalue < ALPHA for one, other in pairs]))
        for name, test in tests.items()
    }


def _drawn(
    series: Series,
    places: NDArray[np.int64],
    size: int,
    draws: int,
    random: np.random.Generator,
    *,
    relabel: bool,
) -> Redrawn:
    base, variant = series.base, series.variant
    drawn = Redrawn()
    for _ in range(draws):
        blocks: list[BlockValues] = []
        for place in random.choice(places, size, replace=False):
            block = series.blocks[place]
            turned = relabel and random.random() < 1 / 2
            blocks.append({base: block[variant], variant: block[base]} if turned else block)
        drawn.add(_judged(series, blocks))
    return drawn


def _judged(series: Series, blocks: Sequence[BlockValues]) -> Comparison:
    """Judge as `compare` does: at the planned looks, until one of them ends the comparison."""
    planned = comparison.planned(len(blocks), ALPHA)
    for look in planned:
        result = comparison.compare(
            blocks[: look.blocks],
            base=series.base,
            gate=series.gate,
            shown=series.shown,
            alpha=look.alpha,
            shared_cores=series.shared_cores,
        )
        if comparison.next_step(result, look.blocks, len(blocks)) is not Next.GO_ON:
            break
    return result


def _ratio(one: Latencies, other: Latencies, percent: int) -> float:
    first, second = (np.percentile(side, percent, method="inverted_cdf") for side in (one, other))
    return float(second / first)


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

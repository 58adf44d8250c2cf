"""Comparisons drawn again and again from recorded blocks, each judged as a comparison of that size would be."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]
from stored_blocks import Latencies, Series

from seatrial.compare import comparison
from seatrial.compare.comparison import Comparison, Next, Overall
from seatrial.compare.pairing import BlockValues
from seatrial.compare.verdicts import BETTER, WORSE, Word

ALPHA = 0.05

Test = Callable[[Latencies, Latencies], Any]


@dataclass(slots=True)
class Redrawn:
    """What was said in so many draws: of each gated metric, by its text, and of the whole.

    An alarm is any word of a gated metric that says better or worse, however small; praise is one that says
    better, of exploratory metrics, too.
    """

    draws: int = 0
    alarms: int = 0
    words: dict[str, Counter[Word]] = field(default_factory=dict)
    overall: Counter[Overall] = field(default_factory=Counter)
    praised: int = 0
    blocks_used: int = 0

    def rate(self, metric: str, *words: Word) -> float:
        """Return the share of draws in which one of these words was said of a metric."""
        return sum(self.words.get(metric, Counter())[one] for one in words) / self.draws

    def add(self, found: Comparison) -> None:
        """Count one comparison."""
        self.draws += 1
        self.alarms += any(one.word in WORSE | BETTER for one in found.gated)
        self.praised += any(one.word in BETTER for one in (*found.gated, *found.exploratory))
        self.blocks_used += found.blocks
        self.overall[found.overall] += 1
        for one in found.gated:
            self.words.setdefault(one.metric.text, Counter())[one.word] += 1


def options(what: str) -> argparse.ArgumentParser:
    """Return a parser of what all redrawing takes; `what` is the script's own text."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--only-table", action="store_true")
    return parser


def redraw(series: Series, size: int, draws: int, seed: int, *, relabel: bool) -> Redrawn:
    """Draw `size` blocks without replacement, with random labels where base and variant are the same thing."""
    if len(series.blocks) < size:
        raise SystemExit(f"{len(series.blocks)} blocks are recorded: {size} are drawn at a time")
    random = np.random.default_rng(seed)
    found = Redrawn()
    for _ in range(draws):
        places = random.choice(len(series.blocks), size, replace=False)
        found.add(_judged(series, _blocks(series, places, random, relabel=relabel)))
    return found


def again(series: Series, size: int, draws: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """Return the rates of alarms of other series of that length, as the blocks' scatter has them: a bootstrap.

    The draws of `redraw` share their blocks, so that a binomial bound alone is too sure of itself. No comparison
    has a block twice: a repeated block would hide scatter.
    """
    random = np.random.default_rng(seed)
    rates = np.empty(resamples)
    for number in range(resamples):
        places = np.unique(random.integers(0, len(series.blocks), len(series.blocks)))
        found = Redrawn()
        for _ in range(draws):
            drawn = random.choice(places, size, replace=False)
            found.add(_judged(series, _blocks(series, drawn, random, relabel=True)))
        rates[number] = found.alarms / found.draws
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


def _blocks(
    series: Series, places: NDArray[np.int64], random: np.random.Generator, *, relabel: bool
) -> list[BlockValues]:
    base, variant = series.base, series.variant
    found: list[BlockValues] = []
    for place in places:
        block = series.blocks[place]
        turned = relabel and random.random() < 1 / 2
        found.append({base: block[variant], variant: block[base]} if turned else block)
    return found


def _judged(series: Series, blocks: Sequence[BlockValues]) -> Comparison:
    """Judge as `compare` does: at the planned looks, until one of them ends it."""
    planned = comparison.planned(len(blocks), ALPHA)
    for look in planned:
        found = comparison.compare(
            blocks[: look.blocks],
            base=series.base,
            gate=series.gate,
            shown=series.shown,
            alpha=look.alpha,
            shared_cores=series.shared_cores,
        )
        if comparison.next_step(found, look.blocks, len(blocks)) is not Next.GO_ON:
            break
    return found


def _ratio(one: Latencies, other: Latencies, percent: int) -> float:
    first, second = (np.percentile(side, percent, method="inverted_cdf") for side in (one, other))
    return float(second / first)

"""Comparisons drawn at random from recorded blocks, each judged as a comparison of that size."""

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


def options(what: str) -> argparse.ArgumentParser:
    """Return a parser with the options of all these scripts; `what` is the script's own text."""
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
    drawn = Redrawn()
    for _ in range(draws):
        places = random.choice(len(series.blocks), size, replace=False)
        drawn.add(_judged(series, _blocks(series, places, random, relabel=relabel)))
    return drawn


def again(series: Series, size: int, draws: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """Return the rates of alarms of other series of that length, as the blocks' scatter has them: a bootstrap.

    The draws of `redraw` share their blocks, so that a binomial bound alone is too narrow. No comparison
    has a block twice: a repeated block would hide scatter.
    """
    random = np.random.default_rng(seed)
    rates = np.empty(resamples)
    for number in range(resamples):
        places = np.unique(random.integers(0, len(series.blocks), len(series.blocks)))
        drawn = Redrawn()
        for _ in range(draws):
            chosen = random.choice(places, size, replace=False)
            drawn.add(_judged(series, _blocks(series, chosen, random, relabel=True)))
        rates[number] = drawn.alarms / drawn.draws
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
    blocks: list[BlockValues] = []
    for place in places:
        block = series.blocks[place]
        turned = relabel and random.random() < 1 / 2
        blocks.append({base: block[variant], variant: block[base]} if turned else block)
    return blocks


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

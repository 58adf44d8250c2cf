"""Error rates of every verdict word on simulated series whose truth is known; prints tables.

    .venv/bin/python tests/trials/simulated.py [--draws 2000] [--seed 1]

Each draw makes the latencies of base and variant in R blocks (noise of 4 % between runs, besides the kind named)
and judges them, at a threshold of 10 %.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from seatrial.compare import comparison, effects
from seatrial.compare.comparison import Comparison, Next, Overall
from seatrial.compare.effects import Effect
from seatrial.compare.verdicts import BETTER, WORSE, Verdict, Word, verdict
from seatrial.measure import metric
from seatrial.measure.metric import Metric
from seatrial.model import Look

Numbers = NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], tuple[Numbers, Numbers]]

NOISE = 0.04
BLOCKS = (2, 3, 5, 6, 8, 10, 20)
P95 = metric.parse('p95 of "x" within 10%')
CPU = metric.parse("cpu per request")
TICKS = 30
_SHORT = {
    Word.REGRESSION: "REGR",
    Word.LIKELY_REGRESSION: "likely",
    Word.WORSE_BUT_SMALL: "worse,s",
    Word.EQUIVALENT: "EQUIV",
    Word.BETTER_BUT_SMALL: "better,s",
    Word.LIKELY_IMPROVEMENT: "likely+",
    Word.IMPROVEMENT: "IMPR",
    Word.INCONCLUSIVE: "inconcl",
    Word.INVALID: "INVALID",
}


def independent(random: np.random.Generator, blocks: int) -> tuple[Numbers, Numbers]:
    """Draw log-latencies with normal noise."""
    return random.normal(0, NOISE, blocks), random.normal(0, NOISE, blocks)


def autocorrelated(random: np.random.Generator, blocks: int) -> tuple[Numbers, Numbers]:
    """Draw a series base, variant, base, ... (order random in each block) with similar neighbours: AR(1), 0.7."""
    series = random.normal(0, NOISE / math.sqrt(1 - 0.7**2), 2 * blocks)
    shocks = random.normal(0, NOISE, 2 * blocks)
    for place in range(1, 2 * blocks):
        series[place] = 0.7 * series[place - 1] + shocks[place]
    return _shuffled(random, series)


def heavy_tailed(random: np.random.Generator, blocks: int) -> tuple[Numbers, Numbers]:
    """Draw noise of Student's t with three degrees of freedom, scaled to the same standard deviation."""
    scale = NOISE / math.sqrt(3)
    return random.standard_t(3, blocks) * scale, random.standard_t(3, blocks) * scale


def drifting(random: np.random.Generator, blocks: int) -> tuple[Numbers, Numbers]:
    """Draw a machine that slows down by 40 % over the experiment; the order in each block is random."""
    series = random.normal(0, NOISE, 2 * blocks) + np.linspace(0, math.log(1.4), 2 * blocks)
    return _shuffled(random, series)


def with_outliers(random: np.random.Generator, blocks: int) -> tuple[Numbers, Numbers]:
    """Draw normal noise, and one run in ten that is slower by half."""
    drawn = [random.normal(0, NOISE, blocks) + 0.4 * (random.random(blocks) < 0.1) for _ in range(2)]
    return drawn[0], drawn[1]


def with_missing(random: np.random.Generator, blocks: int) -> tuple[Numbers, Numbers]:
    """Draw normal noise, and one block in six that is lost."""
    base, variant = independent(random, blocks)
    variant[random.random(blocks) < 1 / 6] = math.nan
    return base, variant


KINDS: Mapping[str, Noise] = {
    "normal": independent,
    "autocorrelated": autocorrelated,
    "heavy-tailed": heavy_tailed,
    "drifting": drifting,
    "outliers": with_outliers,
    "missing blocks": with_missing,
}


class Rates(Counter[Word]):
    """How often each word was made."""

    def of(self, *words: Word) -> float:
        """Return the share of draws with one of these words."""
        return sum(self[word] for word in words) / self.total()


def judged(effect: Effect, alpha: float = 0.05, asked: Metric = P95) -> Verdict:
    """Judge as a comparison with a single gated metric does."""
    return verdict("variant", asked, effect, alpha=alpha, equivalence_alpha=alpha, gated=True)


def drawn(random: np.random.Generator, noise: Noise, blocks: int, true_ratio: float) -> Effect:
    """Draw the effect of one experiment."""
    base, variant = noise(random, blocks)
    base_values, variant_values = (np.exp(side).tolist() for side in (base, variant + math.log(true_ratio)))
    return effects.pair(base_values, variant_values)


def rates(noise: Noise, blocks: int, true_ratio: float, draws: int, seed: int) -> Rates:
    """Judge so many experiments."""
    random = np.random.default_rng(seed)
    return Rates(judged(drawn(random, noise, blocks, true_ratio)).word for _ in range(draws))


def with_looks(noise: Noise, true_ratio: float, draws: int, seed: int) -> tuple[Rates, float]:
    """Judge so many experiments with planned looks in a budget of 20 blocks; return the mean number used, too."""
    random = np.random.default_rng(seed)
    results, used = Rates(), 0
    for _ in range(draws):
        whole = drawn(random, noise, 20, true_ratio)
        for look in comparison.planned(20):
            part = Effect(differences=whole.differences[: look.blocks], scale=whole.scale)
            judgement = judged(part, look.alpha)
            if comparison.next_step(alone(judgement, look), look.blocks, 20) is not Next.GO_ON:
                break
        results[judgement.word] += 1
        used += look.blocks
    return results, used / draws


def in_ticks(random: np.random.Generator, blocks: int, true_ratio: float) -> Effect:
    """Draw processor times of about TICKS clock ticks, steady to 0.2 %, each cut to whole ticks."""
    sides = (TICKS * ratio * np.exp(random.normal(0, 0.002, blocks)) for ratio in (1.0, true_ratio))
    base_values, variant_values = (np.floor(side + random.random(blocks)) for side in sides)
    counted = math.sqrt(float(np.mean(1 / base_values**2 + 1 / variant_values**2)) * 2 / 12)
    return replace(effects.pair(base_values.tolist(), variant_values.tolist()), least_sd=counted)


def counted(blocks: int, true_ratio: float, draws: int, seed: int, *, floor: bool) -> Rates:
    """Judge so many of these against the default threshold, 5 %, knowing of the ticks or not."""
    random = np.random.default_rng(seed)
    drawn_of = (in_ticks(random, blocks, true_ratio) for _ in range(draws))
    some = (one if floor else replace(one, least_sd=0.0) for one in drawn_of)
    return Rates(judged(one, asked=CPU).word for one in some)


def alone(judgement: Verdict, look: Look) -> Comparison:
    """Return a comparison of which one verdict is all there is."""
    return Comparison(
        base="base",
        alpha=look.alpha,
        blocks=look.blocks,
        lost={},
        gated=(judgement,),
        exploratory=(),
        discoveries=frozenset(),
        endings=(),
        host_limited=False,
        overall=Overall.INCONCLUSIVE,
        reason="",
    )


def _shuffled(random: np.random.Generator, series: Numbers) -> tuple[Numbers, Numbers]:
    pairs = random.permuted(series.reshape(-1, 2), axis=1)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def _print(title: str, rows: Iterable[tuple[str, str, float, Rates]]) -> None:
    """Print a table of rows of noise, blocks, true ratio and rates."""
    heads = "".join(f"{head:>9}" for head in (*_SHORT.values(), "any worse", "any bett."))
    sys.stdout.write(f"\n{title}\n{'noise':<16}{'R':>4}{'truth':>9}{heads}\n")
    for name, blocks, true_ratio, results in rows:
        shares = [*(results.of(word) for word in _SHORT), results.of(*WORSE), results.of(*BETTER)]
        cells = "".join(f"{100 * share:>9.1f}" for share in shares)
        sys.stdout.write(f"{name:<16}{blocks:>4}{100 * (true_ratio - 1):>+7.0f} %{cells}\n")


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--draws", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    size = (given.draws, given.seed)
    bound = 196 * math.sqrt(0.05 * 0.95 / given.draws)
    sys.stdout.write(f"{given.draws} draws each, seed {given.seed}: 5 % is measured within ±{bound:.1f} points\n")
    ratios = (1.0, 1.05, 1.1, 1.2)
    for ratio in ratios:
        rows = (
            (name, str(blocks), ratio, rates(noise, blocks, ratio, *size))
            for name, noise in KINDS.items()
            for blocks in BLOCKS
        )
        _print(f"truth {100 * (ratio - 1):+.0f} %, threshold 10 %, alpha 5 %: words in per cent", rows)
    looks = ((name, ratio, with_looks(noise, ratio, *size)) for name, noise in KINDS.items() for ratio in ratios)
    title = "planned looks in a budget of 20 blocks (R: mean number used)"
    _print(title, ((name, f"{used:.1f}", ratio, results) for name, ratio, (results, used) in looks))
    rows = (
        (name, str(blocks), ratio, counted(blocks, ratio, *size, floor=floor))
        for ratio in ratios[:2]
        for floor, name in ((False, "ticks unknown"), (True, "ticks known"))
        for blocks in (2, 3, 4, 6)
    )
    _print(f"processor time of {TICKS} clock ticks, threshold 5 %, alpha 5 %", rows)


if __name__ == "__main__":
    main()

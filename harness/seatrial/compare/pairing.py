"""The blocks of an experiment as paired effects, mean values and endings of runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from seatrial.compare import effects
from seatrial.compare.effects import Effect, NoRatio
from seatrial.compare.verdicts import Word
from seatrial.measure import metric as metrics
from seatrial.measure import statistics
from seatrial.measure import values as metric_values
from seatrial.measure.metric import Kind, Metric, Scale

FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How often the runs of one variant ended in each way, beside the base.

    `word` is None where both finished equally often. `p_value` is Fisher's exact test of finished against not
    finished; it takes the blocks as independent.
    """

    variant: str
    counts: Mapping[str, int]
    base_counts: Mapping[str, int]
    p_value: float
    word: Word | None

    @property
    def text(self) -> str:
        """The counts in words."""
        counts = f"{count_endings(self.counts)}; the base {count_endings(self.base_counts)}"
        if self.word is None:
            return counts
        return f"{self.word}: {counts} (p = {self.p_value:.2g}, Fisher's exact test)"


def endings(runs: Mapping[str, Sequence[str]], base: str, alpha: float = 0.05) -> tuple[Ending, ...]:
    """Count the ways in which the runs of each variant ended, in the order given, and test each against the base.

    Fisher's exact test (J. R. Stat. Soc. 1935), corrected by Holm over the variants. Not significant, but never
    finished where the base always did: LIKELY REGRESSION.
    """
    counted = {variant: Counter(ways) for variant, ways in runs.items()}
    others = [variant for variant in counted if variant != base]
    finished = {variant: (ways[FINISHED], ways.total() - ways[FINISHED]) for variant, ways in counted.items()}
    p_values = [statistics.fisher_p(finished[variant], finished[base]) for variant in others]
    levels = effects.holm(p_values, alpha)
    return tuple(
        Ending(
            variant=variant,
            counts=dict(counted[variant]),
            base_counts=dict(counted[base]),
            p_value=p_value,
            word=_word(finished[variant], finished[base], significant=p_value <= level),
        )
        for variant, p_value, level in zip(others, p_values, levels, strict=True)
    )


def _word(variant: tuple[int, int], base: tuple[int, int], *, significant: bool) -> Word | None:
    """Return the word for how many runs of each side finished, and how many did not."""
    ahead = variant[0] * sum(base) - base[0] * sum(variant)
    if ahead > 0:
        mirror = _word(base, variant, significant=significant)
        return mirror.mirrored if mirror else None
    if ahead == 0:
        return None
    if significant:
        return Word.REGRESSION
    return Word.LIKELY_REGRESSION if variant[0] == 0 and base[1] == 0 else Word.INCONCLUSIVE


def count_endings(ways: Mapping[str, int]) -> str:
    """Return the counts in words, the most frequent first."""
    total = sum(ways.values())
    parts = [f"{way} in {count} of {total}" for way, count in sorted(ways.items(), key=lambda one: -one[1])]
    return ", ".join(parts) or "was never run"


MOST_LOST = 0.25
"""The share of blocks that may be lost before the rest can't stand for the whole."""
MOST_GATED = 6
FAILURES = metrics.parse("failures")
DEFAULT_GATE = (metrics.parse("cpu per request"), metrics.parse("unreclaimable memory"))
CPU_PER_FLOW = metrics.parse("cpu per flow")
ON_SHARED_CORES = metrics.OF_SERVICE | {Kind.FAILURES, Kind.ORIGIN}
"""What can gate where generator and stack share cores: latency and throughput are then those of the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunValues:
    """One run: `values` by a metric's text, None (or left out) for what was not measured.

    `ended` is how it ended (`finished`, else the reason in a few words); `invalid` is why the measurement can't be
    trusted, from covariates only, or empty; `requests` is how many there were, and `counts`, by a metric's text,
    how many the share of one endpoint or flow is of. `rounding`, by a metric's text, is the standard deviation
    that counting in whole steps leaves in a value, in its unit. `why` is the cause of an early end.
    """

    values: Mapping[str, float | None] = field(default_factory=dict)
    ended: str = FINISHED
    invalid: str = ""
    requests: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    rounding: Mapping[str, float] = field(default_factory=dict)
    why: str = ""

    @property
    def usable(self) -> bool:
        """Whether it finished and can be trusted."""
        return self.ended == FINISHED and not self.invalid

    def value(self, metric: Metric) -> float | None:
        """Return a metric's value; None if it was not measured, or is not finite."""
        value = self.values.get(metric.text)
        return None if value is None or not math.isfinite(value) else value

    def count(self, metric: Metric) -> int:
        """Return how many requests, or flows, a metric's share is of."""
        return self.counts.get(metric.text, self.requests)


BlockValues = Mapping[str, RunValues]
"""The runs of one block, by variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The effect of a variant on a metric, or the `reason` why there is none."""

    variant: str
    metric: Metric
    effect: Effect | None = None
    reason: str = ""
    blocks: int = 0

    @property
    def p_value(self) -> float:
        """The p of no effect; 1 where there is nothing to judge, so that it still counts in its family."""
        return 1.0 if self.effect is None else effects.p_value(self.effect)


Comparable = Callable[[Metric], bool]
"""Whether a metric can be compared although the environments of the two sides differ."""


def gated_metrics(
    gate: Sequence[Metric],
    *,
    shared_cores: bool,
    comparable: Comparable = lambda _: True,
    by_flows: bool = False,
) -> tuple[list[Metric], list[Metric]]:
    """Return which metrics gate, and which of the `gate` are only shown.

    Failures gate whether named or not. On shared cores latency and throughput don't; if nothing else is named,
    processor time for each request (for each flow where runs made none, `by_flows`) and unreclaimable memory do.
    What is not comparable neither gates nor is shown. ValueError for more than six names, and if nothing is left.
    """
    named = list({one.text: one for one in gate}.values())
    if len(named) > MOST_GATED:
        raise ValueError(
            f"{len(named)} metrics in the gate: at most {MOST_GATED} are expected, as each dulls all others"
        )
    gating = [one for one in named if not shared_cores or one.kind in ON_SHARED_CORES]
    shown = [one for one in named if one not in gating and comparable(one)]
    gating = [one for one in gating if comparable(one)]
    if not [one for one in gating if one.kind is not Kind.FAILURES]:
        default = (CPU_PER_FLOW, *DEFAULT_GATE[1:]) if by_flows else DEFAULT_GATE
        gating += [one for one in default if comparable(one)]
    if FAILURES.text not in {one.text for one in gating} and comparable(FAILURES):
        gating.append(FAILURES)
    if not gating:
        raise ValueError("the environments differ so that no metric can be compared")
    return gating, shown


def by_flows(blocks: Sequence[BlockValues]) -> bool:
    """Return whether the runs made no request, and so have processor time for each flow only."""
    values = [run.values for block in blocks for run in block.values()]
    texts = (CPU_PER_FLOW.text, DEFAULT_GATE[0].text)
    flows, requests = (any(one.get(text) is not None for one in values) for text in texts)
    return flows and not requests


def variants_of(blocks: Sequence[BlockValues], base: str) -> list[str]:
    """Return the variants besides the base, in the order of their first run; ValueError if there is none."""
    names = list(dict.fromkeys(name for block in blocks for name in block))
    if base not in names:
        raise ValueError(f"the base {base!r} is in no block: {', '.join(names) or 'there is no run at all'}")
    if names == [base]:
        raise ValueError(f"there is nothing to compare: all runs are of the base {base!r}")
    return [name for name in names if name != base]


def lost_blocks(blocks: Sequence[BlockValues], base: str, variant: str) -> list[str]:
    """Return why blocks can't be used for this variant, one reason a block; how a run ended is not one of them."""
    pairs = [[block[name].invalid for name in (base, variant) if name in block] for block in blocks]
    return [reason for pair in pairs if (reason := next(filter(None, pair), ""))]


def too_many_lost(blocks: Sequence[BlockValues], base: str, variant: str) -> str:
    """Return why the blocks that are left can't stand for the whole; nothing if they can."""
    reasons = lost_blocks(blocks, base, variant)
    if len(reasons) <= MOST_LOST * len(blocks):
        return ""
    are = f"block{'' if len(blocks) == 1 else 's'} {'is' if len(reasons) == 1 else 'are'}"
    return f"{len(reasons)} of {len(blocks)} {are} invalid: {reasons[0]}"


def counted_runs(blocks: Sequence[BlockValues], name: str) -> list[RunValues]:
    """Return the runs of a variant whose ending counts: of those that can't be trusted only failed ones."""
    runs = [run for block in blocks if (run := block.get(name)) is not None]
    return [run for run in runs if not run.invalid or run.ended != FINISHED]


def never_finished(blocks: Sequence[BlockValues], name: str) -> str:
    """Return how a variant's runs ended if none of them finished, with the cause of one; else nothing."""
    runs = counted_runs(blocks, name)
    if not runs or any(run.ended == FINISHED for run in runs):
        return ""
    ways = count_endings(Counter(run.ended for run in runs))
    why = next((f" ({run.why})" for run in runs if run.why), "")
    return f"never finished: {ways} block{'' if len(runs) == 1 else 's'}{why}"


def paired(blocks: Sequence[BlockValues], base: str, variant: str, metric: Metric) -> Paired:
    """Return the effect over the blocks in which both runs finished and are valid."""
    if too_many := too_many_lost(blocks, base, variant):
        return Paired(variant=variant, metric=metric, reason=too_many)
    sides = [(block.get(base), block.get(variant)) for block in blocks]
    usable = [
        (old, new) for old, new in sides if old is not None and new is not None and old.usable and new.usable
    ]
    before, after = [old.value(metric) for old, _ in usable], [new.value(metric) for _, new in usable]
    if usable:
        reason = _why_unmeasured(before, after, base, variant)
    else:
        never = [f"{name} {how}" for name in (base, variant) if (how := never_finished(blocks, name))]
        reason = never[0] if never else "there is no block in which both finished"
    if reason:
        return Paired(variant=variant, metric=metric, reason=reason, blocks=len(usable))
    floor = _floor(usable, metric) if metric.kind is Kind.FAILURES else 0.0
    try:
        effect = effects.pair(before, after, metric.scale, floor)
    except NoRatio as error:
        return Paired(variant=variant, metric=metric, reason=str(error), blocks=len(usable))
    effect = replace(effect, least_sd=_least_sd(usable, metric))
    return Paired(variant=variant, metric=metric, effect=effect, blocks=effect.blocks)


def _why_unmeasured(before: Sequence[float | None], after: Sequence[float | None], base: str, variant: str) -> str:
    counts = [sum(value is not None for value in side) for side in (before, after)]
    if 0 in counts:
        return "never measured" if counts == [0, 0] else f"never measured with {(base, variant)[counts.index(0)]}"
    both = sum(old is not None and new is not None for old, new in zip(before, after, strict=True))
    if len(after) - both > MOST_LOST * len(after):
        return f"measured on both sides in only {both} of {len(after)} blocks"
    return ""


def _floor(usable: Sequence[tuple[RunValues, RunValues]], metric: Metric) -> float:
    """Return 3/n for the side with fewer requests: no failure at all would leave as much open."""
    fewest = min(sum(run.count(metric) for run in side) for side in zip(*usable, strict=True))
    return statistics.NO_FAILURE / fewest if fewest else 0.0


def _least_sd(usable: Sequence[tuple[RunValues, RunValues]], metric: Metric) -> float:
    """Return what the differences scatter by because both sides are counted, as the root mean square of blocks."""
    measured = [pair for pair in usable if all(run.value(metric) is not None for run in pair)]
    variance = math.fsum(
        metric_values.rounding_variance(
            metric, run.value(metric) or 0.0, run.rounding.get(metric.text, 0.0), run.count(metric)
        )
        for pair in measured
        for run in pair
    )
    return math.sqrt(variance / len(measured)) if measured else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMean:
    """The mean over so many `blocks` in the metric's unit, geometric where ratios count; ends None if unknown."""

    value: float
    low: float | None
    high: float | None
    blocks: int


def block_mean(metric: Metric, blocks: Sequence[BlockValues], variant: str) -> BlockMean | None:
    """Return the mean over the runs that finished and are valid; None where nothing was measured.

    Student's interval with 95 %, of logarithms for a ratio scale without a zero.
    """
    usable = [run for block in blocks if (run := block.get(variant)) and run.usable]
    values = [value for run in usable if (value := run.value(metric)) is not None]
    if not values:
        return None
    logs = metric.scale is Scale.RATIO and min(values) > 0
    value, low, high = statistics.mean_over_blocks(values, statistics.ALPHA, logs=logs)
    return BlockMean(value=value, low=low, high=high, blocks=len(values))

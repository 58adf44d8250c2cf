"""Blocks to paired effects; endings of runs compared by Fisher's exact test."""

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
        told = f"{count_endings(self.counts)}; the base {count_endings(self.base_counts)}"
        if self.word is None:
            return told
        return f"{self.word}: {told} (p = {self.p_value:.2g}, Fisher's exact test)"


def endings(runs: Mapping[str, Sequence[str]], base: str, alpha: float = 0.05) -> tuple[Ending, ...]:
    """Count the ways in which the runs of each variant ended, in the order given, and test each against the base.

    Fisher's exact test (J. R. Stat. Soc. 1935), corrected by Holm over the variants. Not significant, but never
    finished where the base always did: LIKELY REGRESSION.
    """
    counted = {variant: Counter(ways) for variant, ways in runs.items()}
    others = [variant for variant in counted if variant != base]
    p_values = [statistics.fisher_p(_split(counted[one]), _split(counted[base])) for one in others]
    levels = effects.holm(p_values, alpha)
    return tuple(
        Ending(
            variant=variant,
            counts=dict(counted[variant]),
            base_counts=dict(counted[base]),
            p_value=p_value,
            word=_word(_split(counted[variant]), _split(counted[base]), significant=p_value <= level),
        )
        for variant, p_value, level in zip(others, p_values, levels, strict=True)
    )


def _word(ours: tuple[int, int], theirs: tuple[int, int], *, significant: bool) -> Word | None:
    ahead = ours[0] * sum(theirs) - theirs[0] * sum(ours)
    if ahead > 0:
        mirror = _word(theirs, ours, significant=significant)
        return mirror.mirrored if mirror else None
    if ahead == 0:
        return None
    if significant:
        return Word.REGRESSION
    return Word.LIKELY_REGRESSION if ours[0] == 0 and theirs[1] == 0 else Word.INCONCLUSIVE


def _split(ways: Counter[str]) -> tuple[int, int]:
    return ways[FINISHED], ways.total() - ways[FINISHED]


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
ON_SHARED_CORES = frozenset({Kind.CPU, Kind.MEMORY, Kind.PEAK, Kind.FAILURES})
"""What can gate where generator and stack share cores: latency and throughput are then those of the host."""
_NO_FAILURE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunValues:
    """One run: `values` by a metric's text, None (or left out) for what was not measured.

    `ended` is how it ended (`finished`, else the reason in a few words); `invalid` says why the measurement can't
    be trusted, from covariates only, or nothing; `requests` is how many there were, and `counts`, by a metric's
    text, how many were behind the share of one endpoint or flow. `rounding`, by a metric's text, is the standard
    deviation that counting in whole steps leaves in a value, in its unit. `why` is what was seen at an early end.
    """

    values: Mapping[str, float | None] = field(default_factory=dict)
    ended: str = FINISHED
    invalid: str = ""
    requests: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    rounding: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


BlockValues = Mapping[str, RunValues]
"""The runs of one block, by variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The effect of a variant on a metric; without one, `reason` says why."""

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
"""Tells whether a metric can be compared although the environments of the two sides differ."""


def gated_metrics(
    gate: Sequence[Metric],
    *,
    shared_cores: bool,
    comparable: Comparable = lambda _: True,
    by_flows: bool = False,
) -> tuple[list[Metric], list[Metric]]:
    """Return which metrics gate, and which of those named are only shown.

    Failures gate whether named or not. On shared cores latency and throughput don't; if nothing else is named,
    processor time for each request (for each flow where runs made none, `by_flows`) and unreclaimable memory do.
    What is not comparable neither gates nor is shown. ValueError for more than six names, and if nothing is left.
    """
    named = list({one.text: one for one in gate}.values())
    if len(named) > MOST_GATED:
        raise ValueError(
            f"{len(named)} metrics in the gate: at most {MOST_GATED} are expected, as each costs sight"
        )
    kept = [one for one in named if not shared_cores or one.kind in ON_SHARED_CORES]
    moved = [one for one in named if one not in kept and comparable(one)]
    kept = [one for one in kept if comparable(one)]
    if not [one for one in kept if one.kind is not Kind.FAILURES]:
        default = (CPU_PER_FLOW, *DEFAULT_GATE[1:]) if by_flows else DEFAULT_GATE
        kept += [one for one in default if comparable(one)]
    if FAILURES.text not in {one.text for one in kept} and comparable(FAILURES):
        kept.append(FAILURES)
    if not kept:
        raise ValueError("no metric can be compared across what differs between the environments")
    return kept, moved


def by_flows(blocks: Sequence[BlockValues]) -> bool:
    """Tell whether the runs made no request: they have processor time for each flow, and none for each request."""
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
    return [reason for block in blocks if (reason := _invalid(block, base) or _invalid(block, variant))]


def too_many_lost(blocks: Sequence[BlockValues], base: str, variant: str) -> str:
    """Return why the blocks that are left can't stand for the whole; nothing if they can."""
    gone = lost_blocks(blocks, base, variant)
    if len(gone) <= MOST_LOST * len(blocks):
        return ""
    are = f"block{'' if len(blocks) == 1 else 's'} {'is' if len(gone) == 1 else 'are'}"
    return f"{len(gone)} of {len(blocks)} {are} invalid: {gone[0]}"


def counted_runs(blocks: Sequence[BlockValues], name: str) -> list[RunValues]:
    """Return the runs of a variant whose end counts; of one that can't be trusted only how it failed does."""
    runs = [run for block in blocks if (run := block.get(name)) is not None]
    return [run for run in runs if not run.invalid or run.ended != FINISHED]


def never_finished(blocks: Sequence[BlockValues], name: str) -> str:
    """Return how a variant's runs ended if none of them finished, with what was seen of one; else nothing."""
    runs = counted_runs(blocks, name)
    if not runs or any(run.ended == FINISHED for run in runs):
        return ""
    ways = count_endings(Counter(run.ended for run in runs))
    why = next((f" ({run.why})" for run in runs if run.why), "")
    return f"never finished: {ways} block{'' if len(runs) == 1 else 's'}{why}"


def paired(blocks: Sequence[BlockValues], base: str, variant: str, asked: Metric) -> Paired:
    """Return the effect over the blocks in which both runs finished and are valid."""
    if too_many := too_many_lost(blocks, base, variant):
        return Paired(variant=variant, metric=asked, reason=too_many)
    usable = [
        (block[base], block[variant]) for block in blocks if _usable(block, base) and _usable(block, variant)
    ]
    theirs = [_number(run, asked) for run, _ in usable]
    ours = [_number(run, asked) for _, run in usable]
    reason = _why_unmeasured(theirs, ours, base, variant) if usable else _no_common_block(blocks, base, variant)
    if reason:
        return Paired(variant=variant, metric=asked, reason=reason, blocks=len(usable))
    floor = _floor(usable, asked) if asked.kind is Kind.FAILURES else 0.0
    try:
        effect = replace(effects.pair(theirs, ours, asked.scale, floor), least_sd=_least_sd(usable, asked))
    except NoRatio as error:
        return Paired(variant=variant, metric=asked, reason=str(error), blocks=len(usable))
    return Paired(variant=variant, metric=asked, effect=effect, blocks=effect.blocks)


def _number(run: RunValues, asked: Metric) -> float | None:
    found = run.values.get(asked.text)
    return None if found is None or not math.isfinite(found) else found


def _why_unmeasured(theirs: Sequence[float | None], ours: Sequence[float | None], base: str, variant: str) -> str:
    counts = [sum(one is not None for one in side) for side in (theirs, ours)]
    if 0 in counts:
        return "never measured" if counts == [0, 0] else f"never measured with {(base, variant)[counts.index(0)]}"
    both = sum(one is not None and other is not None for one, other in zip(theirs, ours, strict=True))
    if len(ours) - both > MOST_LOST * len(ours):
        return f"measured on both sides in only {both} of {len(ours)} blocks"
    return ""


def _no_common_block(blocks: Sequence[BlockValues], base: str, variant: str) -> str:
    """Return why there is no block in which both finished."""
    never = [f"{name} {how}" for name in (base, variant) if (how := never_finished(blocks, name))]
    return never[0] if never else "there is no block in which both finished"


def _floor(usable: Sequence[tuple[RunValues, RunValues]], asked: Metric) -> float:
    """Return 3/n for the side with fewer requests asked of: what no failure at all would still leave open."""
    fewest = min(sum(_count(run, asked) for run in side) for side in zip(*usable, strict=True))
    return _NO_FAILURE / fewest if fewest else 0.0


def _least_sd(usable: Sequence[tuple[RunValues, RunValues]], asked: Metric) -> float:
    """Return what the differences scatter by because both sides are counted, as the root mean square of blocks."""
    told = [pair for pair in usable if all(_number(run, asked) is not None for run in pair)]
    found = math.fsum(
        metric_values.rounding_variance(
            asked, _number(run, asked) or 0.0, run.rounding.get(asked.text, 0.0), _count(run, asked)
        )
        for pair in told
        for run in pair
    )
    return math.sqrt(found / len(told)) if told else 0.0


def _count(run: RunValues, asked: Metric) -> int:
    return run.counts.get(asked.text, run.requests)


def _invalid(block: BlockValues, name: str) -> str:
    run = block.get(name)
    return run.invalid if run is not None else ""


def _usable(block: BlockValues, name: str) -> bool:
    run = block.get(name)
    return run is not None and run.ended == FINISHED and not run.invalid


BLOCK_MEAN_ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMean:
    """The mean over so many `blocks` in the metric's unit, geometric where ratios count; ends None if untold."""

    value: float
    low: float | None
    high: float | None
    blocks: int


def block_mean(asked: Metric, blocks: Sequence[BlockValues], variant: str) -> BlockMean | None:
    """Return the level over the runs that finished and are valid; None where nothing was measured.

    Student's interval with 95 %, of logarithms for a ratio scale without a zero.
    """
    usable = [run for block in blocks if (run := block.get(variant)) and run.ended == FINISHED and not run.invalid]
    told = [value for run in usable if (value := run.values.get(asked.text)) is not None and math.isfinite(value)]
    if not told:
        return None
    logs = asked.scale is Scale.RATIO and min(told) > 0
    values = [math.log(value) if logs else value for value in told]
    span = statistics.mean_interval(values, BLOCK_MEAN_ALPHA)
    back = math.exp if logs else float
    low, high = (None, None) if span is None else (back(span.low), back(span.high))
    return BlockMean(value=back(math.fsum(values) / len(values)), low=low, high=high, blocks=len(told))

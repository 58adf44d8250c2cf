"""A whole comparison of variants: verdicts, planned looks, noise floor.

Looking after each block at the usual level raises a false alarm in 16 % of equal pairs. A few planned looks whose
levels add up to the whole keep it, whatever the looks have in common (Bonferroni over the looks; the shares favour
the last look, as Lan and DeMets' spending functions do, Biometrika 1983).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt

from seatrial.compare import effects, pairing, verdicts
from seatrial.compare.effects import Effect
from seatrial.compare.pairing import FAILURES, FINISHED, MOST_LOST, BlockValues, Comparable, Ending, Paired
from seatrial.compare.verdicts import DECIDED, Verdict, Word, amount, counted
from seatrial.measure import statistics
from seatrial.measure.metric import Metric
from seatrial.model import Look


class Overall(StrEnum):
    """What a comparison as a whole comes to."""

    KEPT = "KEPT"
    REGRESSION = Word.REGRESSION
    INCONCLUSIVE = Word.INCONCLUSIVE
    INVALID = Word.INVALID


_OPEN = frozenset({Word.INCONCLUSIVE, Word.LIKELY_REGRESSION, Word.INVALID})


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that is said about an experiment; `gated` decides, `exploratory` is to look at.

    `discoveries` are the (variant, metric text) of the exploratory table that Benjamini and Hochberg's procedure
    points out. `host_limited`: generator and stack share cores, so that latency is shown and not gated. `lost`
    maps each variant to why its blocks can't be used, one reason a block.
    """

    base: str
    alpha: float
    blocks: int
    lost: Mapping[str, tuple[str, ...]]
    gated: tuple[Verdict, ...]
    exploratory: tuple[Verdict, ...]
    discoveries: frozenset[tuple[str, str]]
    endings: tuple[Ending, ...]
    host_limited: bool
    overall: Overall
    reason: str


def compare(
    blocks: Sequence[BlockValues],
    *,
    base: str,
    gate: Sequence[Metric],
    shown: Sequence[Metric] = (),
    alpha: float = 0.05,
    shared_cores: bool = False,
    comparable: Comparable = lambda _: True,
) -> Comparison:
    """Judge all variants that occur in the blocks against the base.

    `alpha` is that of the look. Failures gate where they are `comparable`, and withhold praise in any case; a run
    that did not finish counts in `endings`, and its block in nothing else. ValueError if the base or every other
    variant is in no block, for more than six metrics, or if none of them is comparable.
    """
    variants = pairing.variants_of(blocks, base)
    gating, moved = pairing.gated_metrics(
        gate, shared_cores=shared_cores, comparable=comparable, by_flows=pairing.by_flows(blocks)
    )
    taken = {one.text for one in gating}
    others = list({one.text: one for one in (*moved, *shown) if one.text not in taken}.values())
    others = [one for one in others if comparable(one)]
    guard = next((one for one in gate if one.text == FAILURES.text), FAILURES)
    guards = [pairing.paired(blocks, base, one, guard) for one in variants]
    family = [pairing.paired(blocks, base, one, each) for one in variants for each in gating]
    table = [pairing.paired(blocks, base, one, each) for one in variants for each in others]
    found, discovery_level = effects.benjamini_hochberg([one.p_value for one in table])
    levels = effects.holm([one.p_value for one in family], alpha)
    gated = [_judged(one, level, alpha, gated=True) for one, level in zip(family, levels, strict=True)]
    exploratory = [_judged(one, discovery_level, alpha, gated=False) for one in table]
    ways = {name: [run.ended for run in pairing.counted_runs(blocks, name)] for name in (base, *variants)}
    endings = pairing.endings(ways, base, alpha)
    lost = {one: tuple(pairing.lost_blocks(blocks, base, one)) for one in variants}
    gated = _failures_first(gated, guards)
    overall, reason = _overall(gated, endings, blocks, base)
    return Comparison(
        base=base,
        alpha=alpha,
        blocks=len(blocks),
        lost=lost,
        gated=tuple(gated),
        exploratory=tuple(_failures_first(exploratory, guards)),
        discoveries=frozenset(
            (one.variant, one.metric.text) for one, hit in zip(table, found, strict=True) if hit
        ),
        endings=endings,
        host_limited=shared_cores,
        overall=overall,
        reason=reason,
    )


def _judged(one: Paired, level: float, alpha: float, *, gated: bool) -> Verdict:
    if one.effect is None:
        return verdicts.invalid(one.variant, one.metric, one.reason, gated=gated, blocks=one.blocks)
    return verdicts.verdict(one.variant, one.metric, one.effect, alpha=level, equivalence_alpha=alpha, gated=gated)


def _failures_first(judged: Sequence[Verdict], guards: Sequence[Paired]) -> list[Verdict]:
    """Return the verdicts less the praise of who fails more; `guards` are the failures of each variant."""
    found: list[Verdict] = []
    for one in guards:
        mine = [each for each in judged if each.variant == one.variant]
        found += verdicts.withhold_gains_of_failing_side(mine, one.effect, one.metric.threshold)
    return found


def _overall(
    gated: Sequence[Verdict], endings: Sequence[Ending], blocks: Sequence[BlockValues], base: str
) -> tuple[Overall, str]:
    never = {one.variant: how for one in endings if (how := pairing.never_finished(blocks, one.variant))}
    blind = [f"{variant} {how}" for variant, how in never.items()]
    for one in endings:
        if too_many := pairing.too_many_lost(blocks, base, one.variant):
            return Overall.INVALID, "; ".join([f"{one.variant}: {too_many}", *blind])
    if not endings[0].base_counts.get(FINISHED, 0):
        return Overall.INVALID, f"the base {pairing.never_finished(blocks, base) or 'never finished'}"
    worse = [f"{one.variant}: {one.text}" for one in endings if one.word is Word.REGRESSION]
    worse += [_in_full(one) for one in gated if one.word is Word.REGRESSION]
    if worse:
        return Overall.REGRESSION, "; ".join(worse)
    blind += [
        _in_full(one)
        for one in gated
        if one.word is Word.INVALID and not one.withheld and one.variant not in never
    ]
    if blind:
        return Overall.INVALID, "; ".join(blind)
    open_endings = (Word.LIKELY_REGRESSION, Word.INCONCLUSIVE)
    undecided = [f"{one.variant}: {one.text}" for one in endings if one.word in open_endings]
    undecided += [_in_full(one) for one in gated if one.word in _OPEN]
    return (Overall.INCONCLUSIVE, "; ".join(undecided)) if undecided else (Overall.KEPT, "")


def _in_full(one: Verdict) -> str:
    return f"{one.variant}, {one.metric.text}: {one.text}"


_PLACES = ((0.3, 0.2), (0.5, 0.3), (1.0, 0.5))
"""Of a budget of 20 blocks and alpha 0.05: looks at 6, 10 and 20 with 0.010, 0.015 and 0.025."""
_OPEN_ENDINGS = frozenset({Word.LIKELY_REGRESSION, Word.INCONCLUSIVE})
_FEWEST = 4
"""With fewer blocks at a strict level only gross effects can be seen: the level is better spent later."""


class Next(StrEnum):
    """What a look advises."""

    DECIDED = "decided"
    PRECISE = "precise enough"
    FUTILE = "more blocks than the budget holds would be needed"
    OVER = "the budget is used up"
    GO_ON = "go on"


def planned(most_blocks: int, alpha: float = 0.05) -> tuple[Look, ...]:
    """Plan the looks for a budget of blocks; a look that comes too early leaves its level to the next one.

    ValueError without a block.
    """
    if most_blocks < 1:
        raise ValueError(f"{most_blocks} blocks can't be compared: at least 1 is expected")
    planned_looks: list[Look] = []
    saved = 0.0
    for place, part in _PLACES:
        blocks = round(place * most_blocks)
        saved += part * alpha
        if blocks >= _FEWEST or place == 1:
            planned_looks.append(Look(blocks=blocks, alpha=saved))
            saved = 0.0
    return tuple(planned_looks)


def next_step(found: Comparison, blocks: int, most_blocks: int) -> Next:
    """Tell what a look means for the rest: stop if all is decided, precise, out of reach, or used up.

    Precise, if all that are undecided would need more blocks than the budget holds, and their intervals reach no
    farther than the threshold to either side. Out of reach, if they would need twice the budget (the scatter of
    a few blocks is itself known only within a factor), and by scatter alone as well: an estimate that happens to
    lie near the threshold would take any number of blocks, and moves on with the next ones. What can't be judged
    at all keeps nothing going; how runs end does while Fisher's test has not decided, and so do invalid blocks
    that are too many now, and would not be if all that are left were valid.
    """
    open_ones = [one for one in found.gated if one.word not in DECIDED and not _hopeless(one)]
    unsettled = any(one.word in _OPEN_ENDINGS for one in found.endings) or _can_still_be_valid(
        found, most_blocks - blocks
    )
    if not open_ones and not unsettled:
        return Next.DECIDED
    if blocks >= most_blocks:
        return Next.OVER
    if unsettled:
        return Next.GO_ON
    if all(_precise(one) and _beyond(one, most_blocks) for one in open_ones):
        return Next.PRECISE
    return Next.FUTILE if all(_out_of_sight(one, 2 * most_blocks) for one in open_ones) else Next.GO_ON


def _can_still_be_valid(found: Comparison, left: int) -> bool:
    counts = [len(reasons) for reasons in found.lost.values()]
    return any(MOST_LOST * found.blocks < count <= MOST_LOST * (found.blocks + left) for count in counts)


def _hopeless(one: Verdict) -> bool:
    return one.word is Word.INVALID and not one.withheld


def _precise(one: Verdict) -> bool:
    if one.low is None or one.high is None:
        return False
    low, high, most = (effects.margin(end, one.metric.scale) for end in (one.low, one.high, one.metric.threshold))
    return (high - low) / 2 <= most


def _out_of_sight(one: Verdict, most_blocks: int) -> bool:
    if one.smallest_seen is None:
        return False
    seen, least = (effects.margin(each, one.metric.scale) for each in (one.smallest_seen, one.metric.threshold))
    return _beyond(one, most_blocks) and seen * math.sqrt(one.blocks / most_blocks) > least


def _beyond(one: Verdict, most_blocks: int) -> bool:
    scatter_known = one.smallest_seen is not None
    return scatter_known and (one.blocks_needed is None or one.blocks_needed > most_blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """One metric on this machine: `scatter` between blocks (sd of the differences), and what a budget can see.

    `smallest_seen` is as people read it (ratio - 1, or a difference); None where scatter can't be told.
    """

    metric: Metric
    blocks: int
    scatter: float | None
    smallest_seen: float | None

    @property
    def refusal(self) -> str:
        """Why the metric's threshold can't be used with this budget; empty if it can."""
        scale = self.metric.scale
        asked = f"{self.metric.text}: a threshold of {amount(self.metric.threshold, scale).lstrip('+')}"
        if self.smallest_seen is None:
            return f"{asked} can't be checked: {counted(self.blocks)} can't tell the scatter"
        if self.smallest_seen <= self.metric.threshold:
            return ""
        return (
            f"{asked} can't be seen here: the smallest that can is {amount(self.smallest_seen, scale).lstrip('+')}"
        )


def noise_floors(compared: Sequence[Paired], budget_blocks: int, alpha: float = 0.05) -> tuple[NoiseFloor, ...]:
    """Return what a comparison of `budget_blocks` blocks sees at `alpha` (Holm's first level: alpha / family)."""
    return tuple(
        _floor(one.metric, one.effect or Effect(differences=()), budget_blocks, alpha) for one in compared
    )


def first_level(budget_blocks: int, alpha: float, metrics: int, variants: int) -> float:
    """Return the strictest level that a comparison uses at its last look.

    Holm's first: that look's part of alpha over all gated metrics of all variants.
    """
    return planned(budget_blocks, alpha)[-1].alpha / max(metrics * variants, 1)


def refusals(found: Sequence[NoiseFloor]) -> tuple[str, ...]:
    """Return the refusals of all thresholds that are below what can be seen."""
    return tuple(one.refusal for one in found if one.refusal)


def _floor(metric: Metric, effect: Effect, budget_blocks: int, alpha: float) -> NoiseFloor:
    if effects.smallest_seen(effect, alpha) is None or budget_blocks < 2:  # noqa: PLR2004  (one has no scatter)
        return NoiseFloor(metric=metric, blocks=effect.blocks, scatter=None, smallest_seen=None)
    freedom = budget_blocks - 1
    sum_t = statistics.t_quantile(1 - alpha / 2, freedom) + statistics.t_quantile(effects.POWER, freedom)
    least = effect.floor * effect.blocks / budget_blocks
    seen = max(sum_t * effect.sd / sqrt(budget_blocks), least)
    return NoiseFloor(
        metric=metric,
        blocks=effect.blocks,
        scatter=effect.sd,
        smallest_seen=effects.shown(seen, effect.scale),
    )

"""The comparison of all variants with the base: verdicts, planned looks, noise floors.

Looking after each block at the usual level raises a false alarm in 16 % of equal pairs. A few planned looks whose
levels add up to the whole keep it, whatever the looks have in common (Bonferroni over the looks; the shares favour
the last look, as Lan and DeMets' spending functions do, Biometrika 1983).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from seatrial.compare import effects, pairing, verdicts
from seatrial.compare.effects import Effect
from seatrial.compare.pairing import FAILURES, FINISHED, MOST_LOST, BlockValues, Comparable, Ending, Paired
from seatrial.compare.verdicts import DECIDED, Verdict, Word, amount, counted
from seatrial.measure.metric import Metric
from seatrial.model import Look


class Overall(StrEnum):
    """The verdict on a comparison as a whole."""

    KEPT = "KEPT"
    REGRESSION = Word.REGRESSION
    INCONCLUSIVE = Word.INCONCLUSIVE
    INVALID = Word.INVALID


_OPEN_ENDINGS = frozenset({Word.LIKELY_REGRESSION, Word.INCONCLUSIVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The verdicts of an experiment; the `gated` decide, the `exploratory` are to look at.

    `discoveries` are the (variant, metric text) of the exploratory table that Benjamini and Hochberg's procedure
    picks out. `host_limited`: generator and stack share cores, so that latency is shown and not gated. `lost` maps
    each variant to the reasons why blocks can't be used, one a block.
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
    gating_texts = {one.text for one in gating}
    others = list({one.text: one for one in (*moved, *shown) if one.text not in gating_texts}.values())
    others = [one for one in others if comparable(one)]
    guard = next((one for one in gate if one.text == FAILURES.text), FAILURES)
    guards = [pairing.paired(blocks, base, one, guard) for one in variants]
    family = [pairing.paired(blocks, base, one, each) for one in variants for each in gating]
    table = [pairing.paired(blocks, base, one, each) for one in variants for each in others]
    hits, discovery_level = effects.benjamini_hochberg([one.p_value for one in table])
    levels = effects.holm([one.p_value for one in family], alpha)
    gated = [_verdict(one, level, alpha, gated=True) for one, level in zip(family, levels, strict=True)]
    gated = _withhold_gains(gated, guards)
    exploratory = [_verdict(one, discovery_level, alpha, gated=False) for one in table]
    ways = {name: [run.ended for run in pairing.counted_runs(blocks, name)] for name in (base, *variants)}
    endings = pairing.endings(ways, base, alpha)
    overall, reason = _overall(gated, endings, blocks, base)
    return Comparison(
        base=base,
        alpha=alpha,
        blocks=len(blocks),
        lost={one: tuple(pairing.lost_blocks(blocks, base, one)) for one in variants},
        gated=tuple(gated),
        exploratory=tuple(_withhold_gains(exploratory, guards)),
        discoveries=frozenset((one.variant, one.metric.text) for one, hit in zip(table, hits, strict=True) if hit),
        endings=endings,
        host_limited=shared_cores,
        overall=overall,
        reason=reason,
    )


def _verdict(pair: Paired, level: float, alpha: float, *, gated: bool) -> Verdict:
    if pair.effect is None:
        return verdicts.invalid(pair.variant, pair.metric, pair.reason, gated=gated, blocks=pair.blocks)
    return verdicts.verdict(
        pair.variant, pair.metric, pair.effect, alpha=level, equivalence_alpha=alpha, gated=gated
    )


def _withhold_gains(judged: Sequence[Verdict], guards: Sequence[Paired]) -> list[Verdict]:
    """Withhold gains of the side that fails more; `guards` are the failures of each variant."""
    checked: list[Verdict] = []
    for guard in guards:
        own = [verdict for verdict in judged if verdict.variant == guard.variant]
        checked += verdicts.withhold_gains_of_failing_side(own, guard.effect, guard.metric.threshold)
    return checked


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
    blind += [_in_full(one) for one in gated if _never_judged(one) and one.variant not in never]
    if blind:
        return Overall.INVALID, "; ".join(blind)
    undecided = [f"{one.variant}: {one.text}" for one in endings if one.word in _OPEN_ENDINGS]
    undecided += [_in_full(one) for one in gated if one.word in _OPEN_ENDINGS | {Word.INVALID}]
    return (Overall.INCONCLUSIVE, "; ".join(undecided)) if undecided else (Overall.KEPT, "")


def _in_full(verdict: Verdict) -> str:
    return f"{verdict.variant}, {verdict.metric.text}: {verdict.text}"


def _never_judged(verdict: Verdict) -> bool:
    return verdict.word is Word.INVALID and not verdict.withheld


_PLACES = ((0.3, 0.2), (0.5, 0.3), (1.0, 0.5))
"""Of a budget of 20 blocks and alpha 0.05: looks at 6, 10 and 20 with 0.010, 0.015 and 0.025."""
_FEWEST = 4
"""With fewer blocks at a strict level only gross effects can be seen: the level is better spent later."""


class Next(StrEnum):
    """What to do after a look."""

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


def next_step(comparison: Comparison, blocks: int, most_blocks: int) -> Next:
    """Return what to do after a look: stop if all is decided, precise, out of reach, or used up.

    Precise, if all that are undecided would need more blocks than the budget holds, and their intervals reach no
    farther than the threshold to either side. Out of reach, if they would need twice the budget (the scatter of
    a few blocks is itself known only within a factor), and by scatter alone as well: an estimate that happens to
    lie near the threshold would take any number of blocks, and moves on with the next ones. A metric that can't be
    judged at all is no reason to go on; endings are while Fisher's test has not decided, and so are invalid blocks
    that are too many now, and would not be if all that are left were valid.
    """
    undecided = [one for one in comparison.gated if one.word not in DECIDED and not _never_judged(one)]
    unsettled = any(one.word in _OPEN_ENDINGS for one in comparison.endings)
    for reasons in comparison.lost.values():
        after = comparison.blocks + most_blocks - blocks
        unsettled |= MOST_LOST * comparison.blocks < len(reasons) <= MOST_LOST * after
    if not undecided and not unsettled:
        return Next.DECIDED
    if blocks >= most_blocks:
        return Next.OVER
    if unsettled:
        return Next.GO_ON
    if all(_precise(one) and _beyond(one, most_blocks) for one in undecided):
        return Next.PRECISE
    return Next.FUTILE if all(_out_of_sight(one, 2 * most_blocks) for one in undecided) else Next.GO_ON


def _precise(verdict: Verdict) -> bool:
    if verdict.low is None or verdict.high is None:
        return False
    scale = verdict.metric.scale
    low, high, most = (effects.margin(end, scale) for end in (verdict.low, verdict.high, verdict.metric.threshold))
    return (high - low) / 2 <= most


def _out_of_sight(one: Verdict, most_blocks: int) -> bool:
    if one.smallest_seen is None:
        return False
    visible, least = (effects.margin(each, one.metric.scale) for each in (one.smallest_seen, one.metric.threshold))
    return _beyond(one, most_blocks) and visible * math.sqrt(one.blocks / most_blocks) > least


def _beyond(verdict: Verdict, most_blocks: int) -> bool:
    scatter_known = verdict.smallest_seen is not None
    return scatter_known and (verdict.blocks_needed is None or verdict.blocks_needed > most_blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """The `scatter` of one metric between blocks on this machine (sd of the differences), and what can be seen.

    `smallest_seen` is as people read it (ratio - 1, or a difference); None where scatter is unknown.
    """

    metric: Metric
    blocks: int
    scatter: float | None
    smallest_seen: float | None

    @property
    def refusal(self) -> str:
        """Why the metric's threshold can't be used with this budget; empty if it can."""
        scale = self.metric.scale
        threshold = f"{self.metric.text}: a threshold of {amount(self.metric.threshold, scale).lstrip('+')}"
        if self.smallest_seen is None:
            return f"{threshold} can't be checked: the scatter of {counted(self.blocks)} is not known"
        if self.smallest_seen <= self.metric.threshold:
            return ""
        smallest = amount(self.smallest_seen, scale).lstrip("+")
        return f"{threshold} can't be seen here: the smallest that can is {smallest}"


def noise_floors(compared: Sequence[Paired], budget_blocks: int, alpha: float = 0.05) -> tuple[NoiseFloor, ...]:
    """Return what a comparison of `budget_blocks` blocks sees at `alpha` (Holm's first level: alpha / family)."""
    floors = []
    for pair in compared:
        effect = pair.effect or Effect(differences=())
        seen = effects.smallest_seen(effect, alpha, budget_blocks)
        floor = NoiseFloor(
            metric=pair.metric,
            blocks=effect.blocks,
            scatter=None if seen is None else effect.sd,
            smallest_seen=None if seen is None else effects.shown(seen, effect.scale),
        )
        floors.append(floor)
    return tuple(floors)


def first_level(budget_blocks: int, alpha: float, metrics: int, variants: int) -> float:
    """Return the strictest level that a comparison uses at its last look.

    Holm's first: that look's part of alpha over all gated metrics of all variants.
    """
    return planned(budget_blocks, alpha)[-1].alpha / max(metrics * variants, 1)


def refusals(floors: Sequence[NoiseFloor]) -> tuple[str, ...]:
    """Return the refusals of all thresholds that are below the smallest visible effect."""
    return tuple(floor.refusal for floor in floors if floor.refusal)

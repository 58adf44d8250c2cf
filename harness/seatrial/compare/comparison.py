"""A whole comparison: from blocks of runs to a verdict for each variant and metric, and a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from seatrial.compare import categories, failing, families, pairing, verdicts
from seatrial.compare.categories import FINISHED, Ending
from seatrial.compare.pairing import FAILURES, Block, Comparable, Paired
from seatrial.compare.verdicts import Verdict
from seatrial.compare.words import Word
from seatrial.measure.metric import Metric


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
    blocks: Sequence[Block],
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
    found, discovery_level = families.benjamini_hochberg([one.p_value for one in table])
    levels = families.holm([one.p_value for one in family], alpha)
    gated = [_judged(one, level, alpha, gated=True) for one, level in zip(family, levels, strict=True)]
    exploratory = [_judged(one, discovery_level, alpha, gated=False) for one in table]
    ways = {name: [run.ended for run in pairing.ended(blocks, name)] for name in (base, *variants)}
    endings = categories.endings(ways, base, alpha)
    lost = {one: tuple(pairing.lost(blocks, base, one)) for one in variants}
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
        found += failing.withheld(mine, one.effect, one.metric.threshold)
    return found


def _overall(
    gated: Sequence[Verdict], endings: Sequence[Ending], blocks: Sequence[Block], base: str
) -> tuple[Overall, str]:
    never = {one.variant: how for one in endings if (how := pairing.never_finished(blocks, one.variant))}
    blind = [f"{variant} {how}" for variant, how in never.items()]
    for one in endings:
        if too_many := pairing.too_many_lost(blocks, base, one.variant):
            return Overall.INVALID, "; ".join([f"{one.variant}: {too_many}", *blind])
    if not endings[0].base_counts.get(FINISHED, 0):
        return Overall.INVALID, f"the base {pairing.never_finished(blocks, base) or 'never finished'}"
    worse = [f"{one.variant}: {one.text}" for one in endings if one.word is Word.REGRESSION]
    worse += [_named(one) for one in gated if one.word is Word.REGRESSION]
    if worse:
        return Overall.REGRESSION, "; ".join(worse)
    blind += [
        _named(one) for one in gated if one.word is Word.INVALID and not one.withheld and one.variant not in never
    ]
    if blind:
        return Overall.INVALID, "; ".join(blind)
    open_endings = (Word.LIKELY_REGRESSION, Word.INCONCLUSIVE)
    undecided = [f"{one.variant}: {one.text}" for one in endings if one.word in open_endings]
    undecided += [_named(one) for one in gated if one.word in _OPEN]
    return (Overall.INCONCLUSIVE, "; ".join(undecided)) if undecided else (Overall.KEPT, "")


def _named(one: Verdict) -> str:
    return f"{one.variant}, {one.metric.text}: {one.text}"

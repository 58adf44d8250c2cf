"""The noise floor of a machine: what a comparison of the base with itself could have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from seatrial.compare import effects, looks
from seatrial.compare.effects import Effect
from seatrial.compare.pairing import Paired
from seatrial.compare.verdicts import amount, counted
from seatrial.measure import statistics as distributions
from seatrial.measure.metric import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
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


def floors(compared: Sequence[Paired], budget_blocks: int, alpha: float = 0.05) -> tuple[Floor, ...]:
    """Return what a comparison of `budget_blocks` blocks sees at `alpha` (Holm's first level: alpha / family)."""
    return tuple(
        _floor(one.metric, one.effect or Effect(differences=()), budget_blocks, alpha) for one in compared
    )


def first_level(budget_blocks: int, alpha: float, metrics: int, variants: int) -> float:
    """Return the strictest level that a comparison uses at its last look.

    Holm's first: that look's part of alpha over all gated metrics of all variants.
    """
    return looks.planned(budget_blocks, alpha)[-1].alpha / max(metrics * variants, 1)


def refused(found: Sequence[Floor]) -> tuple[str, ...]:
    """Return the refusals of all thresholds that are below what can be seen."""
    return tuple(one.refusal for one in found if one.refusal)


def _floor(metric: Metric, effect: Effect, budget_blocks: int, alpha: float) -> Floor:
    if effects.smallest_seen(effect, alpha) is None or budget_blocks < 2:  # noqa: PLR2004  (one has no scatter)
        return Floor(metric=metric, blocks=effect.blocks, scatter=None, smallest_seen=None)
    freedom = budget_blocks - 1
    sum_t = distributions.t_quantile(1 - alpha / 2, freedom) + distributions.t_quantile(effects.POWER, freedom)
    least = effect.floor * effect.blocks / budget_blocks
    seen = max(sum_t * effect.sd / sqrt(budget_blocks), least)
    return Floor(
        metric=metric,
        blocks=effect.blocks,
        scatter=effect.sd,
        smallest_seen=effects.shown(seen, effect.scale),
    )

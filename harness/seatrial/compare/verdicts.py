"""The verdict on one metric of one variant: its word, its figures and its sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from seatrial.compare import effects
from seatrial.compare.effects import Effect
from seatrial.measure import statistics
from seatrial.measure.metric import Kind, Metric, Scale
from seatrial.measure.statistics import Interval


class Word(StrEnum):
    """The verdict's word for one metric of one variant against the base."""

    REGRESSION = "REGRESSION"
    LIKELY_REGRESSION = "LIKELY REGRESSION"
    WORSE_BUT_SMALL = "WORSE BUT SMALL"
    EQUIVALENT = "EQUIVALENT"
    BETTER_BUT_SMALL = "BETTER BUT SMALL"
    LIKELY_IMPROVEMENT = "LIKELY IMPROVEMENT"
    IMPROVEMENT = "IMPROVEMENT"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"

    @property
    def mirrored(self) -> Word:
        """The word with base and variant in each other's place."""
        return _MIRROR.get(self, self)


_MIRROR = {
    Word.REGRESSION: Word.IMPROVEMENT,
    Word.LIKELY_REGRESSION: Word.LIKELY_IMPROVEMENT,
    Word.WORSE_BUT_SMALL: Word.BETTER_BUT_SMALL,
    Word.IMPROVEMENT: Word.REGRESSION,
    Word.LIKELY_IMPROVEMENT: Word.LIKELY_REGRESSION,
    Word.BETTER_BUT_SMALL: Word.WORSE_BUT_SMALL,
}
WORSE = frozenset({Word.REGRESSION, Word.LIKELY_REGRESSION, Word.WORSE_BUT_SMALL})
BETTER = frozenset(word.mirrored for word in WORSE)
DECIDED = frozenset(
    {Word.REGRESSION, Word.IMPROVEMENT, Word.EQUIVALENT, Word.WORSE_BUT_SMALL, Word.BETTER_BUT_SMALL}
)


def word(worsening: Effect, margin: float, alpha: float, equivalence_alpha: float) -> tuple[Word, bool]:
    """Return the word for an effect whose positive side is worse, and whether the ranks vetoed a stronger one.

    With [L, U] the t interval at alpha and d the estimate: REGRESSION L > margin; LIKELY REGRESSION L > 0 and
    d > margin; WORSE BUT SMALL L > 0 and U <= margin (or equivalent all the same); EQUIVALENT by two one-sided
    tests at equivalence_alpha; else INCONCLUSIVE, also where L > 0 but the margin lies within [L, U]. The better
    half is the mirror. With fewer than statistics.FEWEST blocks INCONCLUSIVE.

    Where there are blocks enough for rank tests at alpha, they have a veto: an effect that signed ranks or sign
    flips don't separate from zero is EQUIVALENT or INCONCLUSIVE, and a REGRESSION whose signed-rank interval
    reaches down to the margin is LIKELY.
    """
    if not effects.decidable(worsening):
        return Word.INCONCLUSIVE, False
    if worsening.mean < 0:
        mirror, vetoed = word(worsening.mirrored(), margin, alpha, equivalence_alpha)
        return mirror.mirrored, vetoed
    equal = effects.equivalent(worsening, margin, equivalence_alpha)
    first = _by_t(worsening, margin, alpha, equal=equal)
    final = _by_ranks(first, worsening, margin, alpha, equal=equal)
    return final, final is not first


def _by_t(worsening: Effect, margin: float, alpha: float, *, equal: bool) -> Word:
    span = effects.interval(worsening, alpha)
    if span is None:
        return Word.INCONCLUSIVE
    if span.low <= 0:
        return Word.EQUIVALENT if equal else Word.INCONCLUSIVE
    if span.low > margin:
        return Word.REGRESSION
    if equal or span.high <= margin:
        return Word.WORSE_BUT_SMALL
    return Word.LIKELY_REGRESSION if worsening.mean > margin else Word.INCONCLUSIVE


def _by_ranks(first: Word, worsening: Effect, margin: float, alpha: float, *, equal: bool) -> Word:
    span = effects.signed_rank_interval(worsening, alpha) if first in WORSE else None
    if span is None:
        return first
    if span.low <= 0 or effects.sign_flip_p(worsening) > alpha:
        return Word.EQUIVALENT if equal else Word.INCONCLUSIVE
    if first is Word.REGRESSION and span.low <= margin:
        return Word.LIKELY_REGRESSION
    return first


_SMALL = frozenset({Word.WORSE_BUT_SMALL, Word.BETTER_BUT_SMALL})
_MOST = 10.0
"""A change of more than tenfold is shown as that: its digits are scatter."""


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """An interval as people read it, and with which confidence it encloses the effect (0.9: 90 %)."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on one metric of one variant.

    Effects (`effect`, `low`, `high`, the robust ones, `smallest_seen`) are as people read them: ratio - 1, or the
    difference of shares; positive is more, which is worse or better as the metric has it. `blocks` were used,
    `missing` could not be. `alpha` is the level of the interval after the correction for several tests. From
    `equal_low` to `equal_high` is the (1 - 2 equal_alpha) interval of two one-sided tests of equivalence, which is
    not corrected: that all are equal is claimed only where each one passes (Berger, Technometrics 1982).
    `vetoed`: the t interval alone would give a stronger word. `withheld`: not comparable, as one side fails more.
    """

    variant: str
    metric: Metric
    word: Word
    gated: bool
    reason: str = ""
    blocks: int = 0
    missing: int = 0
    alpha: float = 0.05
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    equal_alpha: float = 0.05
    equal_low: float | None = None
    equal_high: float | None = None
    p_value: float | None = None
    robust_effect: float | None = None
    robust_low: float | None = None
    robust_high: float | None = None
    sign_flip_p: float | None = None
    smallest_seen: float | None = None
    blocks_needed: int | None = None
    vetoed: bool = False
    withheld: bool = False

    @property
    def deciding_interval(self) -> ConfidenceInterval | None:
        """The interval that decides the word; None where there is none."""
        low, high, confidence = self.low, self.high, 1 - self.alpha
        if self.by_two_tests:
            low, high, confidence = self.equal_low, self.equal_high, 1 - 2 * self.equal_alpha
        return None if low is None or high is None else ConfidenceInterval(low, high, confidence)

    @property
    def by_two_tests(self) -> bool:
        """Whether only the two one-sided tests show that the effect is within the threshold.

        So it is for EQUIVALENT, and for a small effect whose interval at the corrected level reaches beyond it.
        """
        most = effects.margin(self.metric.threshold, self.metric.scale)
        ends = [effects.margin(end, self.metric.scale) for end in (self.low, self.high) if end is not None]
        return self.word is Word.EQUIVALENT or (self.word in _SMALL and any(abs(end) > most for end in ends))

    @property
    def text(self) -> str:
        """The verdict in one sentence, without the names of variant and metric."""
        if self.reason:
            return f"{self.word}: {self.reason}"
        limit = amount(self.metric.threshold, self.metric.scale).replace("+", "")
        parts = [] if self.effect is None else [self._estimate(self.effect)]
        parts.append(f"within ±{limit}" if self.by_two_tests else f"threshold {limit}")
        if self.word is Word.INCONCLUSIVE:
            parts.append(self._smallest_visible())
        if self.vetoed:
            parts.append("the ranks do not confirm what the mean says")
        return f"{self.word}: " + "; ".join(parts)

    def _estimate(self, effect: float) -> str:
        estimate = f"{amount(effect, self.metric.scale)} in {counted(self.blocks)}"
        interval = self.deciding_interval
        if interval is None:
            return estimate
        low, high = amount(interval.low, self.metric.scale), amount(interval.high, self.metric.scale)
        of = " of two one-sided tests" if self.by_two_tests else ""
        return f"{estimate} ({100 * interval.confidence:.4g} % interval{of} {low} to {high})"

    def _smallest_visible(self) -> str:
        if self.smallest_seen is None:
            return f"too few blocks to know the scatter: at least {statistics.FEWEST} are needed"
        more = f"not even {effects.MOST_BLOCKS} blocks would decide"
        if self.blocks_needed is not None:
            count = self.blocks_needed - self.blocks
            more = f"about {count} more block{'' if count == 1 else 's'} would decide"
        return f"can only see {amount(self.smallest_seen, self.metric.scale).lstrip('+')} or more; {more}"


def verdict(
    variant: str, metric: Metric, effect: Effect, *, alpha: float, equivalence_alpha: float, gated: bool
) -> Verdict:
    """Judge one effect; `alpha` is already corrected for the family, `equivalence_alpha` is the look's own."""
    margin = effects.margin(metric.threshold, metric.scale)
    worsening = effect if metric.worse == "higher" else effect.mirrored()
    decided, vetoed = word(worsening, margin, alpha, equivalence_alpha)
    scale = effect.scale if effect.blocks else metric.scale
    enough = effects.decidable(effect)
    low, high = _ends(effects.interval(effect, alpha) if enough else None, scale)
    equal_low, equal_high = _ends(effects.interval(effect, 2 * equivalence_alpha) if enough else None, scale)
    robust_low, robust_high = _ends(effects.signed_rank_interval(effect, alpha), scale)
    return Verdict(
        variant=variant,
        metric=metric,
        word=decided,
        gated=gated,
        blocks=effect.blocks,
        missing=effect.missing,
        alpha=alpha,
        effect=effects.shown(effect.mean, scale) if effect.blocks else None,
        low=low,
        high=high,
        equal_alpha=equivalence_alpha,
        equal_low=equal_low,
        equal_high=equal_high,
        p_value=effects.p_value(effect),
        robust_effect=_shown(effects.hodges_lehmann(effect), scale),
        robust_low=robust_low,
        robust_high=robust_high,
        sign_flip_p=effects.sign_flip_p(effect),
        smallest_seen=_shown(effects.smallest_seen(effect, alpha), scale),
        blocks_needed=effects.blocks_needed(effect, margin, alpha, equivalence_alpha),
        vetoed=vetoed,
    )


def invalid(variant: str, metric: Metric, reason: str, *, gated: bool, blocks: int = 0) -> Verdict:
    """Return the verdict on a metric that can't be judged."""
    return Verdict(variant=variant, metric=metric, word=Word.INVALID, gated=gated, reason=reason, blocks=blocks)


def _ends(span: Interval | None, scale: Scale) -> tuple[float | None, float | None]:
    return (None, None) if span is None else (effects.shown(span.low, scale), effects.shown(span.high, scale))


def _shown(difference: float | None, scale: Scale) -> float | None:
    return None if difference is None else effects.shown(difference, scale)


def amount(value: float, scale: Scale) -> str:
    """Return an effect as people read it, with its sign: `+2.5 %`, of shares `+1 point`."""
    if value > _MOST:
        return f"> {100 * _MOST:+,.0f} %"
    percent = f"{100 * value:+.3g}"
    if scale is Scale.RATIO:
        return f"{percent} %"
    return f"{percent} {'point' if percent in ('+1', '-1') else 'points'}"


def counted(count: int) -> str:
    """Return how many blocks there are."""
    return "one block" if count == 1 else f"{count} blocks"


PER_WORK = frozenset({Kind.LATENCY, Kind.THROUGHPUT, Kind.CPU, Kind.DETAIL, Kind.ORIGIN})
"""Metrics over requests or flows, which failures make look better; memory is held whether they fail or not."""


def withhold_gains_of_failing_side(
    verdicts: Sequence[Verdict], failures: Effect | None, threshold: float
) -> list[Verdict]:
    """Withhold the verdicts in favour of a side that fails more by more than the threshold, on average.

    `failures` are the differences of the share that failed; None: not measured, then no improvement is believed.
    There is no test: to withhold praise needs less evidence than to blame. The word becomes INVALID.
    """
    if failures is None or not failures.blocks:
        favourable, reason = BETTER, "not comparable: failures were not measured"
    elif abs(failures.mean) <= threshold:
        return list(verdicts)
    else:  # equality favours a side that fails more
        side, words = ("it", BETTER) if failures.mean > 0 else ("the base", WORSE)
        more = amount(abs(failures.mean), failures.scale).lstrip("+")
        favourable, reason = words | {Word.EQUIVALENT}, f"not comparable: {side} fails more, by {more}"
    return [
        replace(one, word=Word.INVALID, reason=reason, withheld=True)
        if one.metric.kind in PER_WORK and one.word in favourable
        else one
        for one in verdicts
    ]

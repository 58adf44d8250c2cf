"""The verdict on one metric, in words."""

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
    """What is said about one metric of one variant against the base."""

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
    """Return the word for an effect whose positive side is worse, and whether the ranks took it back.

    With [L, U] the t interval at alpha and d the estimate: REGRESSION L > margin; LIKELY REGRESSION L > 0 and
    d > margin; WORSE BUT SMALL L > 0 and U <= margin (or equivalent all the same); EQUIVALENT by two one-sided
    tests at equivalence_alpha; else INCONCLUSIVE, also where L > 0 but whether the margin is passed can't be told.
    The better half is the mirror. With fewer than distributions.FEWEST blocks INCONCLUSIVE.

    Where there are blocks enough for ranks to speak at alpha, they have a veto: what signed ranks or sign flips
    don't tell from zero is EQUIVALENT or INCONCLUSIVE, and a REGRESSION whose signed-rank interval reaches down to
    the margin is LIKELY.
    """
    if not effects.decidable(worsening):
        return Word.INCONCLUSIVE, False
    if worsening.mean < 0:
        found, vetoed = word(worsening.mirrored(), margin, alpha, equivalence_alpha)
        return found.mirrored, vetoed
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
"""A change of more than tenfold is told as that: its digits tell of scatter."""


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """An interval as people read it, and with which confidence it encloses the effect (0.9: 90 %)."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said about one metric of one variant.

    Effects (`effect`, `low`, `high`, the robust ones, `smallest_seen`) are as people read them: ratio - 1, or the
    difference of shares; positive is more, which is worse or better as the metric has it. `blocks` were used,
    `missing` could not be. `alpha` is the level of the interval after the correction for several tests. From
    `equal_low` to `equal_high` is the (1 - 2 equal_alpha) interval of two one-sided tests of equivalence, which is
    not corrected: that all are equal is claimed only where each one passes (Berger, Technometrics 1982).
    `vetoed`: the t interval alone would have said more. `withheld`: not comparable, as one side fails more.
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
    def rests_on(self) -> ConfidenceInterval | None:
        """The interval that the word rests on; None where there is none."""
        if self.by_two_tests:
            return _confidence_interval(self.equal_low, self.equal_high, 1 - 2 * self.equal_alpha)
        return _confidence_interval(self.low, self.high, 1 - self.alpha)

    @property
    def by_two_tests(self) -> bool:
        """Whether the two one-sided tests say that it is within the threshold, and the other interval does not.

        So is EQUIVALENT, and a small effect whose interval at the corrected level reaches beyond the threshold.
        """
        return self.word is Word.EQUIVALENT or (self.word in _SMALL and self._reaches_beyond())

    @property
    def text(self) -> str:
        """The verdict in one sentence, without the names of variant and metric."""
        if self.reason:
            return f"{self.word}: {self.reason}"
        parts = [part for part in (self._estimate(), self._threshold(), self._sight(), self._doubt()) if part]
        return f"{self.word}: " + "; ".join(parts)

    def _estimate(self) -> str:
        if self.effect is None:
            return ""
        told = f"{amount(self.effect, self.metric.scale)} in {counted(self.blocks)}"
        span = self.rests_on
        if span is None:
            return told
        low, high = amount(span.low, self.metric.scale), amount(span.high, self.metric.scale)
        of = " of two one-sided tests" if self.by_two_tests else ""
        return f"{told} ({100 * span.confidence:.4g} % interval{of} {low} to {high})"

    def _threshold(self) -> str:
        limit = amount(self.metric.threshold, self.metric.scale).replace("+", "")
        return f"within ±{limit}" if self.by_two_tests else f"threshold {limit}"

    def _reaches_beyond(self) -> bool:
        most = effects.margin(self.metric.threshold, self.metric.scale)
        ends = [end for end in (self.low, self.high) if end is not None]
        return any(abs(effects.margin(end, self.metric.scale)) > most for end in ends)

    def _sight(self) -> str:
        if self.word is not Word.INCONCLUSIVE:
            return ""
        if self.smallest_seen is None:
            return f"so few blocks tell nothing about scatter: at least {statistics.FEWEST} are needed"
        return f"can only see {amount(self.smallest_seen, self.metric.scale).lstrip('+')} or more; {self._more()}"

    def _more(self) -> str:
        if self.blocks_needed is None:
            return f"not even {effects.MOST_BLOCKS} blocks would decide"
        more = self.blocks_needed - self.blocks
        return f"about {more} more block{'' if more == 1 else 's'} would decide"

    def _doubt(self) -> str:
        return "the ranks do not confirm what the mean says" if self.vetoed else ""


def verdict(
    variant: str, metric: Metric, effect: Effect, *, alpha: float, equivalence_alpha: float, gated: bool
) -> Verdict:
    """Judge one effect; `alpha` is already corrected for the family, `equivalence_alpha` is the look's own."""
    margin = effects.margin(metric.threshold, metric.scale)
    worsening = effect if metric.worse == "higher" else effect.mirrored()
    found, vetoed = word(worsening, margin, alpha, equivalence_alpha)
    scale = effect.scale if effect.blocks else metric.scale
    told = effects.decidable(effect)
    low, high = _ends(effects.interval(effect, alpha) if told else None, scale)
    equal_low, equal_high = _ends(effects.interval(effect, 2 * equivalence_alpha) if told else None, scale)
    robust_low, robust_high = _ends(effects.signed_rank_interval(effect, alpha), scale)
    return Verdict(
        variant=variant,
        metric=metric,
        word=found,
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
    """Return the verdict about what can't be judged."""
    return Verdict(variant=variant, metric=metric, word=Word.INVALID, gated=gated, reason=reason, blocks=blocks)


def favours_variant(found: Word) -> bool:
    """Tell whether a word is good news about the variant; equality is, for a side that fails more."""
    return found in BETTER or found is Word.EQUIVALENT


def favours_base(found: Word) -> bool:
    """Tell whether a word is good news about the base."""
    return found in WORSE or found is Word.EQUIVALENT


def _confidence_interval(low: float | None, high: float | None, confidence: float) -> ConfidenceInterval | None:
    return None if low is None or high is None else ConfidenceInterval(low, high, confidence)


def _ends(span: Interval | None, scale: Scale) -> tuple[float | None, float | None]:
    return (None, None) if span is None else (effects.shown(span.low, scale), effects.shown(span.high, scale))


def _shown(difference: float | None, scale: Scale) -> float | None:
    return None if difference is None else effects.shown(difference, scale)


def amount(value: float, scale: Scale) -> str:
    """Return an effect as people read it, with its sign: `+2.5 %`, of shares `+1 point`."""
    if value > _MOST:
        return f"> {100 * _MOST:+,.0f} %"
    told = f"{100 * value:+.3g}"
    if scale is Scale.RATIO:
        return f"{told} %"
    return f"{told} {'point' if told in ('+1', '-1') else 'points'}"


def counted(count: int) -> str:
    """Return how many blocks there are."""
    return "one block" if count == 1 else f"{count} blocks"


PER_WORK = frozenset({Kind.LATENCY, Kind.THROUGHPUT, Kind.CPU, Kind.DETAIL})
"""What is reckoned over requests or flows; memory is held whether they fail or not."""


def withhold_gains_of_failing_side(
    verdicts: Sequence[Verdict], failures: Effect | None, threshold: float
) -> list[Verdict]:
    """Take back what is said in favour of a side that fails more by more than the threshold, on average.

    `failures` are the differences of the share that failed; None: not measured, then nothing better is believed.
    No test is asked: to withhold praise needs less evidence than to blame. The word becomes INVALID.
    """
    if failures is None or not failures.blocks:
        reason = "not comparable: failures were not measured"
        return [_withheld(one, reason) if _better(one) else one for one in verdicts]
    more = failures.mean
    if abs(more) <= threshold:
        return list(verdicts)
    side, favours = ("it", favours_variant) if more > 0 else ("the base", favours_base)
    reason = f"not comparable: {side} fails more, by {amount(abs(more), failures.scale).lstrip('+')}"
    return [
        _withheld(one, reason) if one.metric.kind in PER_WORK and favours(one.word) else one for one in verdicts
    ]


def _better(one: Verdict) -> bool:
    return one.metric.kind in PER_WORK and one.word is not Word.EQUIVALENT and favours_variant(one.word)


def _withheld(one: Verdict, reason: str) -> Verdict:
    return replace(one, word=Word.INVALID, reason=reason, withheld=True)

"""The words of a verdict, and the rule that finds them from an interval and a threshold."""

from __future__ import annotations

from enum import StrEnum

from seatrial.compare import effects, ranks
from seatrial.compare.effects import Effect


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
    span = ranks.signed_rank_interval(worsening, alpha) if first in WORSE else None
    if span is None:
        return first
    if span.low <= 0 or ranks.sign_flip_p(worsening) > alpha:
        return Word.EQUIVALENT if equal else Word.INCONCLUSIVE
    if first is Word.REGRESSION and span.low <= margin:
        return Word.LIKELY_REGRESSION
    return first

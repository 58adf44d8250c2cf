"""One verdict: a word about one metric of one variant, with the numbers that it rests on, and a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from seatrial.judge import effects, ranks
from seatrial.judge.effects import Effect, Interval, Scale
from seatrial.judge.metric import Metric
from seatrial.judge.words import BETTER, WORSE, Word, word


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said about one metric of one variant.

    Effects (`effect`, `low`, `high`, the robust ones, `smallest_seen`) are as people read them: ratio - 1, or the
    difference of shares; positive is more, which is worse or better as the metric has it. `blocks` were used,
    `missing` could not be. `alpha` is the level of the interval after the correction for several tests.
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
    def text(self) -> str:
        """The verdict in one sentence, without the names of variant and metric."""
        if self.reason:
            return f"{self.word}: {self.reason}"
        parts = [part for part in (self._estimate(), self._threshold(), self._sight(), self._doubt()) if part]
        return f"{self.word}: " + "; ".join(parts)

    def _estimate(self) -> str:
        if self.effect is None:
            return ""
        told = f"{_amount(self.effect, self.metric.scale)} in {_blocks(self.blocks)}"
        if self.low is None or self.high is None:
            return told
        low, high = _amount(self.low, self.metric.scale), _amount(self.high, self.metric.scale)
        return f"{told} ({100 * (1 - self.alpha):.4g} % interval {low} to {high})"

    def _threshold(self) -> str:
        limit = _amount(self.metric.threshold, self.metric.scale).lstrip("+")
        return f"within ±{limit}" if self.word is Word.EQUIVALENT else f"threshold {limit}"

    def _sight(self) -> str:
        if self.word is not Word.INCONCLUSIVE:
            return ""
        if self.smallest_seen is None:
            return "so few blocks tell nothing about scatter: at least 3 are needed"
        return f"can only see {_amount(self.smallest_seen, self.metric.scale).lstrip('+')} or more; {self._more()}"

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
    low, high = _ends(effects.interval(effect, alpha), scale)
    robust_low, robust_high = _ends(ranks.signed_rank_interval(effect, alpha), scale)
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
        p_value=effects.p_value(effect),
        robust_effect=_shown(ranks.hodges_lehmann(effect), scale),
        robust_low=robust_low,
        robust_high=robust_high,
        sign_flip_p=ranks.sign_flip_p(effect),
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


def _ends(span: Interval | None, scale: Scale) -> tuple[float | None, float | None]:
    return (None, None) if span is None else (effects.shown(span.low, scale), effects.shown(span.high, scale))


def _shown(difference: float | None, scale: Scale) -> float | None:
    return None if difference is None else effects.shown(difference, scale)


def _amount(value: float, scale: Scale) -> str:
    return f"{100 * value:+.3g} {'%' if scale is Scale.RATIO else 'points'}"


def _blocks(count: int) -> str:
    return "one block" if count == 1 else f"{count} blocks"

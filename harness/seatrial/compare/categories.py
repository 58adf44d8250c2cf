"""How the runs of each variant ended, counted over the blocks, and whether that differs from the base."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seatrial.compare import families
from seatrial.compare.words import Word
from seatrial.measure import statistics as distributions

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
        told = f"{counted(self.counts)}; the base {counted(self.base_counts)}"
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
    p_values = [distributions.fisher_p(_split(counted[one]), _split(counted[base])) for one in others]
    levels = families.holm(p_values, alpha)
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


def counted(ways: Mapping[str, int]) -> str:
    """Return the counts in words, the most frequent first."""
    total = sum(ways.values())
    parts = [f"{way} in {count} of {total}" for way, count in sorted(ways.items(), key=lambda one: -one[1])]
    return ", ".join(parts) or "was never run"

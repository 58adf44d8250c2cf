"""Failures come before everything that a failing side gains by failing: a refusal is fast and costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seatrial.compare.effects import Effect
from seatrial.compare.verdicts import Verdict, amount, favours_base, favours_variant
from seatrial.compare.words import Word
from seatrial.measure.metric import Kind

EASED = frozenset({Kind.LATENCY, Kind.THROUGHPUT, Kind.CPU, Kind.DETAIL})
"""What is reckoned over requests or flows; memory is held whether they fail or not."""


def withheld(verdicts: Sequence[Verdict], failures: Effect | None, threshold: float) -> list[Verdict]:
    """Take back what is said in favour of a side that fails more by more than the threshold, on average.

    `failures` are the differences of the share that failed; None: not measured, then nothing better is believed.
    No test is asked: to withhold praise needs less evidence than to blame. The word becomes INVALID.
    """
    if failures is None or not failures.blocks:
        reason = "not comparable: failures were not measured"
        return [_taken_back(one, reason) if _better(one) else one for one in verdicts]
    more = failures.mean
    if abs(more) <= threshold:
        return list(verdicts)
    side, favours = ("it", favours_variant) if more > 0 else ("the base", favours_base)
    reason = f"not comparable: {side} fails more, by {amount(abs(more), failures.scale).lstrip('+')}"
    return [
        _taken_back(one, reason) if one.metric.kind in EASED and favours(one.word) else one for one in verdicts
    ]


def _better(one: Verdict) -> bool:
    return one.metric.kind in EASED and one.word is not Word.EQUIVALENT and favours_variant(one.word)


def _taken_back(one: Verdict, reason: str) -> Verdict:
    return replace(one, word=Word.INVALID, reason=reason, withheld=True)

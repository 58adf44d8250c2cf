"""Made-up verdicts and capacities, and a name that a page must not take for HTML."""

from __future__ import annotations

from dataclasses import replace

from seatrial.compare.capacity import CapacityResult, TrialResult
from seatrial.compare.verdicts import Verdict, Word
from seatrial.measure import metric

MS = 1_000_000
HOSTILE = "<b>gevent</b>"


def verdict(variant: str, metric_text: str, word: Word, effect: float, margin: float = 0.03) -> Verdict:
    """Return a verdict over six blocks with an interval of `margin` to either side, and a threshold of 0.05."""
    low, high = effect - margin, effect + margin
    return Verdict(
        variant=variant,
        metric=replace(metric.parse(metric_text), threshold=0.05),
        word=word,
        gated=True,
        effect=effect,
        low=low,
        high=high,
        equal_low=low,
        equal_high=high,
        blocks=6,
        smallest_seen=0.04,
    )


def capacities() -> list[CapacityResult]:
    """Return the capacities of three variants, one of which has a hostile name."""
    return [carries(name, 100 + 40 * place) for place, name in enumerate(("base", HOSTILE, "unbuffered"))]


def carries(variant: str, capacity_per_s: float) -> CapacityResult:
    """Return a search that ended at a capacity, with a trial beyond it that nothing could time."""
    trials = [
        _trial(capacity_per_s * share, round(10 * MS / (1.05 - share)), excess=0.5)
        for share in (0.5, 0.8, 0.95, 1.0)
    ]
    trials += [_trial(capacity_per_s * 1.1, 900 * MS, excess=3.0), _trial(capacity_per_s * 2, None, excess=9.0)]
    return CapacityResult(
        variant=variant,
        budgets=('p95 of "blob" < 100ms',),
        percentile=95,
        of="blob",
        lower_per_s=capacity_per_s,
        upper_per_s=capacity_per_s * 1.04,
        trials=tuple(trials),
        search_s=90.0,
        trial_s=77.0,
        users=200,
    )


def _trial(rate_per_s: float, latency_ns: int | None, *, excess: float) -> TrialResult:
    return TrialResult(
        after_s=1.0,
        rate_per_s=rate_per_s,
        duration_s=5.0,
        arrivals=round(5 * rate_per_s),
        completed_per_s=rate_per_s,
        failed=0,
        lost=0,
        latency_ns=latency_ns,
        excess=excess,
        text="",
    )

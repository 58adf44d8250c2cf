"""Made-up runs of blocks, verdicts, trials and capacities, and a name that a page must not take for HTML."""

from __future__ import annotations

from dataclasses import replace

from seatrial.compare.capacity import CapacityResult, TrialResult
from seatrial.compare.pairing import FAILURES, RunValues
from seatrial.compare.verdicts import Verdict, Word
from seatrial.measure import metric

MS = 1_000_000
HOSTILE = "<b>gevent</b>"
P95, CPU, MEMORY = (metric.parse(text) for text in ('p95 of "token"', "cpu per request", "unreclaimable memory"))


def run(
    p95: float | None = 100, failures: float | None = 0.0, cpu: float | None = 10, **more: object
) -> RunValues:
    """Make a finished run of 10,000 requests."""
    values = {P95.text: p95, CPU.text: cpu, FAILURES.text: failures, MEMORY.text: 50.0}
    return RunValues(values=values, requests=10_000, **more)  # type: ignore[arg-type]


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
        tried(capacity_per_s * share, excess=0.5, latency_ns=round(10 * MS / (1.05 - share)))
        for share in (0.5, 0.8, 0.95, 1.0)
    ]
    trials += [tried(capacity_per_s * 1.1, excess=3.0, latency_ns=900 * MS), tried(capacity_per_s * 2, excess=9.0)]
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


def tried(
    rate_per_s: float,
    duration_s: float = 5.0,
    *,
    excess: float,
    completed_per_s: float | None = None,
    latency_ns: int | None = None,
    invalid: str = "",
) -> TrialResult:
    """Return one trial, by default of a stack that completed what came."""
    return TrialResult(
        after_s=1.0,
        rate_per_s=rate_per_s,
        duration_s=duration_s,
        arrivals=round(duration_s * rate_per_s),
        completed_per_s=rate_per_s if completed_per_s is None else completed_per_s,
        failed=0,
        lost=0,
        latency_ns=latency_ns,
        excess=excess,
        text="",
        invalid=invalid,
    )

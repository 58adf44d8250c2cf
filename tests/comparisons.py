"""A made-up comparison with every kind of row, and the text that a page must not take for HTML."""

from __future__ import annotations

import numpy as np

from seatrial.judge.series import rise
from seatrial.report.comparison import BlockValue, Carried, Comparison, Course, Step, Verdict

MS = 1_000_000
HOSTILE = "<b>gevent</b>"
VARIANTS = ("base", HOSTILE, "unbuffered")


def comparison() -> Comparison:
    """Return a comparison of three variants over six blocks, one of which was not used."""
    return Comparison(
        title="Which worker class serves logins best?",
        base="base",
        said=(f"REGRESSION: {HOSTILE} is worse in p95 of token.", "unbuffered: nothing is decided yet."),
        verdicts=(
            verdict("unbuffered", "cpu per request", "INCONCLUSIVE", 0.02, more_blocks=7),
            verdict(HOSTILE, "p95 of token", "REGRESSION", 0.12),
            verdict(HOSTILE, "memory of auth", "IMPROVEMENT", -0.2),
            verdict("unbuffered", "p50 of blob", "EQUIVALENT", 0.002, gated=False),
            Verdict(
                variant="unbuffered",
                metric="failures",
                word="INVALID",
                gated=True,
                effect=None,
                low=None,
                high=None,
                threshold=0.05,
                blocks=0,
                why="the base never failed",
            ),
        ),
        courses=(Course(metric="p95 of token", unit="ms", values=tuple(values())),),
        rises=tuple(rise(name, spread(seed)) for seed, name in enumerate(VARIANTS)),
        carried=tuple(carried(name, 100 + 40 * place) for place, name in enumerate(VARIANTS)),
    )


def verdict(
    variant: str, metric: str, word: str, effect: float, *, gated: bool = True, more_blocks: int | None = None
) -> Verdict:
    """Return a verdict with an interval of three per cent to either side."""
    return Verdict(
        variant=variant,
        metric=metric,
        word=word,
        gated=gated,
        effect=effect,
        low=effect - 0.03,
        high=effect + 0.03,
        threshold=0.05,
        blocks=6,
        seen=0.04,
        more_blocks=more_blocks,
    )


def values() -> list[BlockValue]:
    """Return each variant's value in each block; the fourth block was disturbed."""
    return [
        BlockValue(
            variant=variant,
            block=block,
            value=20.0 + place + block / 5,
            value_said=f"{20.0 + place + block / 5:.1f} ms",
            invalid="foreign CPU" if block == 4 else "",
        )
        for place, variant in enumerate(VARIANTS)
        for block in range(1, 7)
    ]


def spread(seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return latencies of the usual shape, one value for each of ten thousand requests."""
    drawn = np.random.default_rng(seed).lognormal(np.log(20 * MS) + seed / 4, 0.5, 10_000)
    return drawn.astype(np.int64)


def carried(variant: str, capacity_per_s: float) -> Carried:
    """Return a search that ended at a capacity, with a trial beyond it that nobody could time."""
    rates = [capacity_per_s * share for share in (0.5, 0.8, 0.95, 1.0)]
    steps = [
        Step(rate_per_s=rate, latency_ns=round(10 * MS / (1.05 - rate / capacity_per_s)), kept=True)
        for rate in rates
    ]
    steps += [
        Step(rate_per_s=capacity_per_s * 1.1, latency_ns=900 * MS, kept=False),
        Step(rate_per_s=capacity_per_s * 2, latency_ns=None, kept=False),
    ]
    return Carried(variant=variant, low_per_s=capacity_per_s, high_per_s=capacity_per_s * 1.04, steps=tuple(steps))

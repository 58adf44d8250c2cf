"""Several tests at once: how strict each has to be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DISCOVERY_RATE = 0.10
"""The share of false ones among what an exploratory table points out."""


def holm(p_values: Sequence[float], alpha: float) -> list[float]:
    """Return the level at which each test is judged, so that one false alarm in all has probability alpha.

    Step down from the smallest p: alpha/m, alpha/(m-1), ... until one is not reached; that level then holds for
    all others (Holm, Scand. J. Stat. 1979). Intervals at these levels exclude zero where the step-down test
    rejects.
    """
    levels = [0.0] * len(p_values)
    reached = 0
    for place in np.argsort(np.array(p_values), kind="stable"):
        levels[place] = alpha / (len(p_values) - reached)
        if p_values[place] <= levels[place]:
            reached = min(reached + 1, len(p_values) - 1)
        else:
            break
    last = alpha / (len(p_values) - reached) if p_values else alpha
    return [level or last for level in levels]


def benjamini_hochberg(p_values: Sequence[float], rate: float = DISCOVERY_RATE) -> tuple[list[bool], float]:
    """Return which tests are discoveries at this false discovery rate, and the level for intervals.

    The k smallest p, k the largest with p(k) <= rate k/m (Benjamini and Hochberg, JRSS B 1995); intervals at
    rate k/m keep the share of false ones among them (Benjamini and Yekutieli, JASA 2005).
    """
    if not p_values:
        return [], rate
    ordered = np.sort(np.array(p_values))
    passed = np.flatnonzero(ordered <= rate * np.arange(1, len(ordered) + 1) / len(ordered))
    count = int(passed[-1]) + 1 if len(passed) else 0
    level = rate * max(count, 1) / len(ordered)
    return [p <= level for p in p_values] if count else [False] * len(ordered), level

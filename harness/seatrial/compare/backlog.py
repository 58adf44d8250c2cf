"""Whether a stack keeps up with the rate of a trial: by its flows as wholes, of which no budget speaks.

A trial that is shorter than its flows sees hardly any of them end: all their requests may be in time, but on a
stack that is not loaded any more. So what counts is how many arrivals are under way while the gate is still open.
A stack that keeps up has L = rate times time in flight of them (Little, Operations Research 9, 1961), and that
time is known from trials at low rates, where nothing queues. What is under way beyond it was not carried:
MLRsearch (draft-ietf-bmwg-mlrsearch) calls loss all that was offered in a trial and did not come out of it. What
Little's law grants is what RFC 2544, section 23, grants with its two seconds after the stream: what is in transit
is not lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from seatrial.compare.capacity_trial import Excess, TrialCounts
from seatrial.units import NS_PER_S

SHARE = 0.05
"""The share of the arrivals that may be under way beyond that: about the width of the search."""

LEAST_FLOWS = 2.0
"""A trial that is shorter than so many flows says nothing: half of what it offers can't end within it."""

GOOD_FLOWS = 5.0
"""From so many on, four fifths of a trial show whether flows end as fast as they begin."""

_CALM_PART = 0.25


def calm_flow_s(warmup: TrialCounts | None, kept: Sequence[TrialCounts], rate_per_s: float) -> float | None:
    """Return how long a flow takes where nothing queues, in seconds; None if none ended.

    It is the mean over the trials that were kept at up to a quarter of the rate, or at the lowest that was tried;
    of the warm-up, which is slower because all is new, only where there is no such trial.
    """
    ended = [trial for trial in kept if trial.completed]
    limit = max(_CALM_PART * rate_per_s, min((trial.rate_per_s for trial in ended), default=0.0))
    low = [trial for trial in ended if trial.rate_per_s <= limit]
    if not low:
        return None if warmup is None else warmup.flow_s
    return sum(trial.took_ns for trial in low) / sum(trial.completed for trial in low) / NS_PER_S


def backlog_excess(counts: TrialCounts, flow_s: float | None, wait_s: float) -> Excess:
    """Return how far a trial was from keeping up: up to a `value` of 1.0 it did.

    `flow_s` is how long a flow takes where nothing queues (None: not known, and then nothing is held against the
    trial), `wait_s` how much longer a budget lets it wait. The number under way is about Poisson distributed
    (exactly so in M/G/inf: Takacs, Introduction to the Theory of Queues, 1962): one standard deviation of it is
    chance, which the median of the trials takes care of beyond that.
    """
    arrivals = counts.open_arrivals
    if flow_s is None or not arrivals:
        return Excess(value=0.0, text="")
    mean = counts.rate_per_s * min(flow_s + wait_s, counts.open_s)
    explained = mean + mean**0.5
    beyond, may = counts.open_under_way - explained, max(SHARE * arrivals, 1.0)
    text = (
        f"{counts.open_under_way} of {arrivals} arrivals were under way after {counts.open_s:.1f} s, "
        f"of which flows of {flow_s:.2g} s explain {explained:.0f}; {may:.3g} more may"
    )
    return Excess(value=max(beyond, 0.0) / may, text=text)


def too_high(rate_per_s: float, flow_s: float, wait_s: float, trial_s: float) -> float:
    """Return by which share a bound may be above what the stack carries, as far as flows show it; 0.1 is 10 %.

    What `backlog_excess` lets be under way, a rate that is too high piles up in the trial less the time of one
    flow. 0 where flows are shorter than what their budgets allow: those see a queue sooner.
    """
    if flow_s <= wait_s or flow_s >= trial_s:
        return 0.0
    chance_s = ((flow_s + wait_s) / rate_per_s) ** 0.5
    piled = (wait_s + chance_s + SHARE * trial_s) / (trial_s - flow_s)
    return piled / (1.0 - piled) if piled < 1.0 else 1.0

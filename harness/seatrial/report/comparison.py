"""What the page shows of a comparison: values that were judged elsewhere, ready to be put into words and charts.

Effects are ratios to the base less one: 0.05 is five per cent more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seatrial.judge.series import Rise


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of one metric of one variant beside the base.

    `word` is the verdict, `effect` with `low` and `high` its estimate and the interval that the word rests on,
    `threshold` the change that matters, `seen` the smallest change that these `blocks` could have shown,
    `more_blocks` how many would decide; None where nobody can tell. With `points` these are differences of shares,
    and no ratios. A metric that is not `gated` is exploratory.
    """

    variant: str
    metric: str
    word: str
    gated: bool
    effect: float | None
    low: float | None
    high: float | None
    threshold: float
    blocks: int
    seen: float | None = None
    more_blocks: int | None = None
    why: str = ""
    points: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockValue:
    """One metric of one variant in one block; `value_said` is it in words, `invalid` why it was not used."""

    variant: str
    block: int
    value: float
    value_said: str
    invalid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One metric in the order of the blocks, in `unit`: a drift of the machine is seen there."""

    metric: str
    unit: str
    values: Sequence[BlockValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One trial of a search for capacity: the rate offered, what came of it, and whether budgets were kept."""

    rate_per_s: float
    latency_ns: int | None
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What one variant carries: between `low_per_s`, which kept the budgets, and `high_per_s`, which did not."""

    variant: str
    low_per_s: float | None
    high_per_s: float | None
    steps: Sequence[Step]
    percentile: str = "p95"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A comparison of variants with `base`; `said` are the sentences under the verdict, the gravest first."""

    title: str
    base: str
    said: Sequence[str]
    verdicts: Sequence[Verdict]
    courses: Sequence[Course] = ()
    rises: Sequence[Rise] = ()
    carried: Sequence[Carried] = ()

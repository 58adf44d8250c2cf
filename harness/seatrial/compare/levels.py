"""What a metric was over the blocks of one variant, as a value with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seatrial.compare.categories import FINISHED
from seatrial.compare.effects import Scale
from seatrial.compare.pairing import Block
from seatrial.measure import statistics as distributions
from seatrial.measure.metric import Metric

ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The mean over so many `blocks` in the metric's unit, geometric where ratios count; ends None if untold."""

    value: float
    low: float | None
    high: float | None
    blocks: int


def level(asked: Metric, blocks: Sequence[Block], variant: str) -> Level | None:
    """Return the level over the runs that finished and are valid; None where nothing was measured.

    Student's interval with 95 %, of logarithms for a ratio scale without a zero.
    """
    usable = [run for block in blocks if (run := block.get(variant)) and run.ended == FINISHED and not run.invalid]
    told = [value for run in usable if (value := run.values.get(asked.text)) is not None and math.isfinite(value)]
    if not told:
        return None
    logs = asked.scale is Scale.RATIO and min(told) > 0
    values = [math.log(value) if logs else value for value in told]
    span = distributions.mean_interval(values, ALPHA)
    back = math.exp if logs else float
    low, high = (None, None) if span is None else (back(span.low), back(span.high))
    return Level(value=back(math.fsum(values) / len(values)), low=low, high=high, blocks=len(told))

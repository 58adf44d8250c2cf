"""The ticks of a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bokeh.models import Axis, BasicTickFormatter, FixedTicker

_FEW_DECADES = 4
_NEAR = 5.0
"""From 1 to 5 there are at least two of 1, 2, 5, 10 in any such stretch."""


def logarithmic(axis: Axis, values: Sequence[float]) -> None:
    """Put ticks at 1, 2 and 5 of each decade of the values (of many decades at 1 alone), without exponents.

    Where values lie so near each other that hardly one of these is among them, ticks are even.
    """
    axis.ticker = FixedTicker(ticks=_ticks(min(values), max(values)))
    axis.formatter = BasicTickFormatter(use_scientific=False, precision="auto")


def _ticks(least: float, most: float) -> list[float]:
    if most < _NEAR * least:
        rough = max(most - least, least / 10) / 5
        decade = 10.0 ** math.floor(math.log10(rough))
        step = next(mantissa * decade for mantissa in (1, 2, 5, 10) if mantissa * decade >= rough)
        return [place * step for place in range(math.floor(least / step), math.ceil(most / step) + 1) if place]
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    mantissas = (1, 2, 5) if len(decades) <= _FEW_DECADES else (1,)
    return [mantissa * 10.0**decade for decade in decades for mantissa in mantissas]

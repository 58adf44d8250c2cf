"""Ticks of a logarithmic axis: every span of values has at least two."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from bokeh.models import ColumnDataSource, LogAxis
from bokeh.models.renderers import GlyphRenderer

from seatrial.analysis.results import Event
from seatrial.measure.tables import Window
from seatrial.report.timeline import BLUE, GREY, VERMILLION, Timeline, logarithmic_ticks


def ticks(values: Sequence[float]) -> list[float]:
    """Return the ticks that lie among the values, and those next to them."""
    axis = LogAxis()
    logarithmic_ticks(axis, values)
    return [float(tick) for tick in axis.ticker.ticks]  # type: ignore[attr-defined]


def test_kills_and_actions_stand_out_among_events() -> None:
    """A signal that asks a server to reload kills nothing."""
    events = [
        Event(after_ns=1, service="app", event=event, detail=detail)
        for event, detail in (
            ("action", {"action": "restart"}),
            ("kill", {"signal": "15"}),
            ("kill", {"signal": "1"}),
            ("die", {}),
            ("start", {}),
        )
    ]
    window = Window(opened=True, from_ns=0, until_ns=10**9, length_ns=10**9)

    chart = Timeline(window, (), events, 0, 10**9).chart()

    (marks,) = (one.data_source for one in chart.renderers if isinstance(one, GlyphRenderer))
    assert isinstance(marks, ColumnDataSource)
    assert list(marks.data["colour"]) == [BLUE, VERMILLION, GREY, VERMILLION, GREY]


@pytest.mark.parametrize("values", [(20.9, 30.8), (2.1, 4.9), (0.51, 0.9), (1010.0, 1900.0), (21.0, 99.0)])
def test_values_near_each_other_have_ticks_among_them(values: tuple[float, float]) -> None:
    """Between 20.9 and 30.8 there is none of 1, 2, 5 and 10, and the axis would have no tick."""
    low, high = values

    assert sum(low <= tick <= high for tick in ticks(values)) >= 2


def test_one_value_alone_has_ticks_about_it() -> None:
    """All requests may take equally long."""
    assert min(ticks((20.0, 20.0))) <= 20.0 <= max(ticks((20.0, 20.0)))


def test_decades_have_round_ticks() -> None:
    """1, 2 and 5 of each; of many decades one."""
    assert ticks((1.0, 60.0)) == [1, 2, 5, 10, 20, 50, 100, 200, 500]
    assert ticks((0.1, 9000.0)) == pytest.approx([0.1, 1, 10, 100, 1000, 10000])

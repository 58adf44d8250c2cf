"""The forest plot: each effect with its interval and its threshold, on an axis that no wide interval spoils."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Sequence
from typing import Any

from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from seatrial.compare.verdicts import Verdict
from seatrial.compare.words import Word
from seatrial.report import numbers, palette
from seatrial.report.curves import Chart, Key
from seatrial.report.experiment_cells import interval, points
from seatrial.report.timeline import nearest, plain

_FURTHEST = 8.0
"""How many times the middle interval the axis goes: half of the intervals still take an eighth of their side."""

_LABEL_CHARS = 52
"""Of 12 px, so that a label fits into 366 px: a telephone's 390 without the margins."""

_LINE_PX, _POINT_PX = 15, 9
_WORSE, _BETTER, _NEITHER = palette.VERMILLION, palette.BLUE, palette.GREY
_COLOURS = {
    Word.REGRESSION: _WORSE,
    Word.LIKELY_REGRESSION: _WORSE,
    Word.IMPROVEMENT: _BETTER,
    Word.LIKELY_IMPROVEMENT: _BETTER,
}


def forest(verdicts: Sequence[Verdict], base: str) -> Chart:
    """Return a row for each verdict: its effect, its interval, and the changes that would not matter.

    What reaches beyond the axis ends in an arrow, and its label has the numbers.
    """
    axis = ends(verdicts)
    labels = [_label(one, axis) for one in verdicts]
    row_px = 2 * _POINT_PX + 16 + _LINE_PX * max(label.count("\n") + 1 for label in labels)
    chart = _empty(len(verdicts), row_px, axis)
    source = ColumnDataSource(_columns(verdicts, axis, row_px) | {"label": labels})
    chart.hbar("row", left="least", right="most", height=16 / row_px, source=source, color=palette.GREY, alpha=0.3)
    chart.segment("low", "row", "high", "row", source=source, color="colour", line_width=3)
    drawn = chart.scatter("effect", "row", source=source, size=10, color="colour")
    nearest(chart, drawn, [("", "@who"), ("", "@said")])
    cut = _arrows(chart, verdicts, axis)
    chart.text(
        "begin",
        "above",
        "label",
        source=source,
        text_font_size="12px",
        text_color=palette.GREY,
        text_baseline="bottom",
    )
    chart.add_layout(Span(location=0, dimension="height", line_color=palette.GREY))
    chart.xaxis.formatter = NumeralTickFormatter(format="+0.[0] %")
    chart.xaxis.axis_label = f"change against {base}"
    said = "The point is the estimate, the line its interval; grey are the changes that are too small to matter."
    said += " An arrow: it goes on beyond the axis, to the numbers that stand there." if cut else ""
    return Chart(name="effects", title="Effects", unit="", said=said, keys=_KEYS, figure=chart)


_KEYS = (
    Key("worse", _WORSE),
    Key("better", _BETTER),
    Key("neither, or not decided", _NEITHER),
    Key("too small to matter", palette.GREY, "area"),
)


def ends(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """Return where the axis begins and ends: at the furthest interval, or at _FURTHEST times the middle one.

    Every threshold lies within it. Differences of shares are mostly so small that they are no measure for ratios.
    """
    lows = [min(_interval(one)[0], -one.metric.threshold) for one in verdicts]
    highs = [max(_interval(one)[1], one.metric.threshold) for one in verdicts]
    reach = [max(-low, high) for low, high in zip(lows, highs, strict=True)]
    ratios = [far for far, one in zip(reach, verdicts, strict=True) if not points(one)]
    middle = statistics.median_low(ratios or reach)
    furthest = max(_FURTHEST * middle, *(1.1 * one.metric.threshold for one in verdicts), 1e-6)
    return max(min(lows), -furthest), min(max(highs), furthest)


def _empty(rows: int, row_px: int, axis: tuple[float, float]) -> figure:
    margin = (axis[1] - axis[0]) * 0.05
    chart = figure(
        height=60 + row_px * rows,
        sizing_mode="stretch_width",
        x_range=Range1d(start=axis[0] - margin, end=axis[1] + margin),
        y_range=Range1d(start=0.5, end=rows + 0.8),
        toolbar_location=None,
        tools=[],
    )
    plain(chart)
    chart.yaxis.visible = False
    chart.ygrid.visible = False
    chart.min_border_left = 12
    return chart


def _columns(verdicts: Sequence[Verdict], axis: tuple[float, float], row_px: int) -> dict[str, list[Any]]:
    rows = _rows(verdicts)
    return {
        "row": rows,
        "above": [row + _POINT_PX / row_px for row in rows],
        "begin": [axis[0] - (axis[1] - axis[0]) * 0.04] * len(rows),
        "effect": [_within(one.effect, axis) for one in verdicts],
        "low": [min(max(_interval(one)[0], axis[0]), axis[1]) for one in verdicts],
        "high": [min(max(_interval(one)[1], axis[0]), axis[1]) for one in verdicts],
        "least": [-one.metric.threshold for one in verdicts],
        "most": [one.metric.threshold for one in verdicts],
        **_said(verdicts),
    }


def _rows(verdicts: Sequence[Verdict]) -> list[int]:
    return list(range(len(verdicts), 0, -1))


def _said(verdicts: Sequence[Verdict]) -> dict[str, list[Any]]:
    return {
        "colour": [_COLOURS.get(one.word, _NEITHER) for one in verdicts],
        "who": [f"{one.variant}: {one.metric.text}" for one in verdicts],
        "said": [f"{one.word}: {_numbers(one)}" for one in verdicts],
    }


def _arrows(chart: figure, verdicts: Sequence[Verdict], axis: tuple[float, float]) -> bool:
    """Draw an arrow where an interval is cut off; return whether any is."""
    rows = list(zip(verdicts, _rows(verdicts), strict=True))
    left = [(one, row) for one, row in rows if _interval(one)[0] < axis[0]]
    right = [(one, row) for one, row in rows if _interval(one)[1] > axis[1]]
    for cut, at, angle, name in (
        (left, axis[0], math.pi / 2, "cut-left"),
        (right, axis[1], -math.pi / 2, "cut-right"),
    ):
        if cut:
            places = {"x": [at] * len(cut), "row": [row for _, row in cut]}
            source = ColumnDataSource(places | _said([one for one, _ in cut]))
            drawn = chart.scatter(
                "x", "row", source=source, marker="triangle", angle=angle, size=13, color="colour", name=name
            )
            nearest(chart, drawn, [("", "@who"), ("", "@said")])
    return bool(left or right)


def _interval(verdict: Verdict) -> tuple[float, float]:
    span = verdict.rests_on
    return (span.low, span.high) if span else (0.0, 0.0)


def _within(effect: float | None, axis: tuple[float, float]) -> float:
    return effect if effect is not None and axis[0] <= effect <= axis[1] else math.nan


def _label(one: Verdict, axis: tuple[float, float]) -> str:
    """Return who it is, with the numbers where they lie beyond the axis, in lines that a telephone can show."""
    low, high = _interval(one)
    cut = low < axis[0] or high > axis[1]
    text = f"{one.variant}: {one.metric.text}" + (f": {_numbers(one)}" if cut else "")
    return "\n".join(textwrap.wrap(text, _LABEL_CHARS))


def _numbers(one: Verdict) -> str:
    return f"{numbers.change(one.effect, points=points(one))} ({interval(one)})"

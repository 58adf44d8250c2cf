"""The charts of a comparison: effects with their intervals, blocks in time, distributions, capacity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bokeh.models import BasicTicker, ColumnDataSource, NumeralTickFormatter, Range1d
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.plotting import figure

from seatrial.report import charts, numbers, palette
from seatrial.report.comparison import Carried, Comparison, Course, Step, Verdict
from seatrial.report.comparison_sheets import interval
from seatrial.report.curves import Chart, Key
from seatrial.report.timeline import logarithmic, nearest, plain

_MS = 1_000_000
_ROW_PX = 52
_WORSE, _BETTER, _NEITHER = palette.VERMILLION, palette.BLUE, palette.GREY
_BAD = ("REGRESSION", "WORSE")
_GOOD = ("IMPROVEMENT", "BETTER")


def of(comparison: Comparison) -> Iterator[Chart]:
    """Yield the charts of a comparison that there is something to draw of."""
    estimated = [one for one in comparison.verdicts if None not in (one.effect, one.low, one.high)]
    if estimated:
        yield forest(estimated, comparison.base)
    for index, course in enumerate(comparison.courses):
        yield blocks(course, index)
    spread = charts.distribution(comparison.rises, name="variants", title="Latency by variant")
    if spread:
        yield spread
    if any(one.steps for one in comparison.carried):
        yield capacity(comparison.carried)


def forest(verdicts: Sequence[Verdict], base: str) -> Chart:
    """Return a row for each verdict: its effect, its interval, and the changes that would not matter."""
    rows = list(range(len(verdicts), 0, -1))
    lows = [min(verdict.low or 0.0, -verdict.threshold) for verdict in verdicts]
    highs = [max(verdict.high or 0.0, verdict.threshold) for verdict in verdicts]
    margin = (max(highs) - min(lows)) * 0.05
    chart = figure(
        height=60 + _ROW_PX * len(rows),
        sizing_mode="stretch_width",
        x_range=Range1d(start=min(lows) - margin, end=max(highs) + margin),
        y_range=Range1d(start=0.5, end=len(rows) + 0.6),
        toolbar_location=None,
        tools=[],
    )
    plain(chart)
    chart.yaxis.visible = False
    chart.ygrid.visible = False
    chart.min_border_left = 12
    source = ColumnDataSource(
        {
            "row": rows,
            "above": [row + 0.32 for row in rows],
            "begin": [min(lows) - margin * 0.8] * len(rows),
            "effect": [verdict.effect for verdict in verdicts],
            "low": [verdict.low for verdict in verdicts],
            "high": [verdict.high for verdict in verdicts],
            "least": [-verdict.threshold for verdict in verdicts],
            "most": [verdict.threshold for verdict in verdicts],
            "colour": [_colour(verdict.word) for verdict in verdicts],
            "who": [f"{verdict.variant}: {verdict.metric}" for verdict in verdicts],
            "said": [f"{verdict.word}: {_change(verdict)} ({interval(verdict)})" for verdict in verdicts],
        }
    )
    chart.hbar("row", left="least", right="most", height=0.3, source=source, color=palette.GREY, alpha=0.3)
    chart.segment("low", "row", "high", "row", source=source, color="colour", line_width=3)
    drawn = chart.scatter("effect", "row", source=source, size=10, color="colour")
    chart.text(
        "begin",
        "above",
        "who",
        source=source,
        text_font_size="12px",
        text_color=palette.GREY,
        text_baseline="middle",
    )
    chart.add_layout(Span(location=0, dimension="height", line_color=palette.GREY))
    chart.xaxis.formatter = NumeralTickFormatter(format="+0.[0] %")
    chart.xaxis.axis_label = f"change against {base}"
    nearest(chart, drawn, [("", "@who"), ("", "@said")])
    keys = (
        Key("worse", _WORSE),
        Key("better", _BETTER),
        Key("neither, or not decided", _NEITHER),
        Key("too small to matter", palette.GREY, "area"),
    )
    said = "The point is the estimate, the line its interval; grey are the changes that are too small to matter."
    return Chart(name="effects", title="Effects", unit="", said=said, keys=keys, figure=chart)


def blocks(course: Course, index: int = 0) -> Chart:
    """Return one metric in the order of the blocks; a hollow point was not used."""
    chart = figure(height=220, sizing_mode="stretch_width", toolbar_location=None, tools=[])
    plain(chart)
    keys = []
    for place, variant in enumerate(dict.fromkeys(value.variant for value in course.values)):
        colour, dash = palette.line(place)
        mine = [value for value in course.values if value.variant == variant]
        source = ColumnDataSource(
            {
                "block": [value.block for value in mine],
                "value": [value.value for value in mine],
                "fill": [0.0 if value.invalid else 1.0 for value in mine],
                "said": [f"{variant}: {value.value_said}" for value in mine],
                "why": [f"not used: {value.invalid}" if value.invalid else "" for value in mine],
            }
        )
        chart.line("block", "value", source=source, color=colour, line_dash=dash, alpha=0.5)
        drawn = chart.scatter(
            "block",
            "value",
            source=source,
            size=9,
            line_color=colour,
            fill_color=colour,
            fill_alpha="fill",
        )
        nearest(chart, drawn, [("block", "@block"), ("", "@said"), ("", "@why")])
        keys.append(Key(variant, colour, "dot", dash))
    chart.xaxis.axis_label = "block"
    chart.xaxis.ticker = BasicTicker(min_interval=1)
    said = "In the order in which blocks were run: a slope is a drift of the machine; a hollow point was not used."
    return Chart(
        name=f"blocks-{index}",
        title=f"{course.metric}, block by block",
        unit=course.unit,
        said=said,
        keys=tuple(keys),
        figure=chart,
    )


def capacity(carried: Sequence[Carried]) -> Chart:
    """Return latency against the rate that was offered, and between which rates each variant's capacity lies."""
    chart = figure(height=320, sizing_mode="stretch_width", y_axis_type="log", toolbar_location=None, tools=[])
    plain(chart)
    keys = []
    for place, one in enumerate(carried):
        colour, dash = palette.line(place)
        steps = sorted(
            (step for step in one.steps if step.latency_ns is not None), key=lambda step: step.rate_per_s
        )
        took = [step.latency_ns or 0 for step in steps]
        source = ColumnDataSource(
            {
                "rate": [step.rate_per_s for step in steps],
                "ms": [max(took_ns, 1) / _MS for took_ns in took],
                "fill": [1.0 if step.kept else 0.0 for step in steps],
                "said": [_step(one, step) for step in steps],
                "kept": ["budgets kept" if step.kept else "budgets broken" for step in steps],
            }
        )
        chart.line("rate", "ms", source=source, color=colour, line_dash=dash, line_width=2)
        drawn = chart.scatter(
            "rate", "ms", source=source, size=8, line_color=colour, fill_color=colour, fill_alpha="fill"
        )
        nearest(chart, drawn, [("", "@said"), ("", "@kept")])
        if one.low_per_s is not None and one.high_per_s is not None:
            chart.add_layout(
                BoxAnnotation(
                    left=one.low_per_s, right=one.high_per_s, fill_color=colour, fill_alpha=0.15, line_color=None
                )
            )
        keys.append(Key(one.variant, colour, dash=dash))
    chart.xaxis.axis_label = "requests per second, offered"
    logarithmic(chart.yaxis[0], [took_ms for one in carried for took_ms in _took_ms(one)])
    said = (
        "A full point kept the budgets, a hollow one did not; the shaded rates hold the capacity of each variant."
    )
    return Chart(
        name="capacity",
        title="Capacity",
        unit=f"{carried[0].percentile} in ms",
        said=said,
        keys=tuple(keys),
        figure=chart,
    )


def _change(verdict: Verdict) -> str:
    return numbers.change(verdict.effect, points=verdict.points)


def _colour(word: str) -> str:
    if "SMALL" in word:
        return _NEITHER
    if any(bad in word for bad in _BAD):
        return _WORSE
    return _BETTER if any(good in word for good in _GOOD) else _NEITHER


def _took_ms(one: Carried) -> list[float]:
    return [max(step.latency_ns, 1) / _MS for step in one.steps if step.latency_ns is not None]


def _step(one: Carried, step: Step) -> str:
    took = numbers.duration(step.latency_ns)
    return f"{one.variant}: {numbers.rate(step.rate_per_s)}/s, {one.percentile} {took}"

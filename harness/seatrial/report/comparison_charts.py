"""The charts of a comparison: effects with their intervals, blocks in time, distributions, capacity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bokeh.models import BasicTicker, ColumnDataSource
from bokeh.models.annotations import BoxAnnotation
from bokeh.plotting import figure

from seatrial.report import charts, effects_chart, numbers, palette
from seatrial.report.comparison import Carried, Comparison, Course, Step
from seatrial.report.curves import Chart, Key
from seatrial.report.ticks import logarithmic
from seatrial.report.timeline import nearest, plain

_MS = 1_000_000


def of(comparison: Comparison) -> Iterator[Chart]:
    """Yield the charts of a comparison that there is something to draw of."""
    estimated = [one for one in comparison.verdicts if None not in (one.effect, one.low, one.high)]
    if estimated:
        yield effects_chart.forest(estimated, comparison.base)
    for index, course in enumerate(comparison.courses):
        yield blocks(course, index)
    spread = charts.distribution(comparison.rises, name="variants", title="Latency by variant")
    if spread:
        yield spread
    if any(one.steps for one in comparison.carried):
        yield capacity(comparison.carried)


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


def _took_ms(one: Carried) -> list[float]:
    return [max(step.latency_ns, 1) / _MS for step in one.steps if step.latency_ns is not None]


def _step(one: Carried, step: Step) -> str:
    took = numbers.duration(step.latency_ns)
    return f"{one.variant}: {numbers.rate(step.rate_per_s)}/s, {one.percentile} {took}"

"""The charts of one run: latency above memory, service by service, on one time axis; then its distributions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from seatrial.measure.series import Rise
from seatrial.measure.validity import RESERVED
from seatrial.report import numbers, palette
from seatrial.report.curves import Chart, Curves, Key
from seatrial.report.service_charts import cores, generator, lag, memory
from seatrial.report.ticks import logarithmic
from seatrial.report.timeline import Timeline, hover, known, nearest, plain, said_of
from seatrial.wire.streams import NULL

_MS = 1_000_000


def of_time(curves: Curves) -> Iterator[Chart]:
    """Yield the charts that share the time axis, from the top down."""
    time, half_ns = axis_of(curves), curves.pace.step_ns // 2
    if curves.pace.asked.any():
        if curves.latency_told:
            yield _latency(curves, time)
        yield _rate(curves, time)
    stack = [held for held in curves.held if held.service not in RESERVED]
    for place, held in enumerate(stack, 1):
        yield memory(held, time, place)
    if curves.worked:
        yield cores(curves.worked, time, half_ns)
    if not np.all(np.isnan(curves.pulse.cpu_fraction)):
        yield generator(curves.pulse, time, half_ns)
        yield lag(curves.pulse, time, half_ns)


def axis_of(curves: Curves) -> Timeline:
    """Return the axis that holds everything that was recorded."""
    stamps = np.concatenate([curves.pace.t_ns, *(held.t_ns for held in curves.held)])
    ends = [span.until_ns for span in curves.spans]
    return Timeline(curves.window, curves.spans, curves.events, int(stamps.min()), max([int(stamps.max()), *ends]))


def distribution(
    rises: Sequence[Rise], *, name: str = "distribution", title: str = "Latency by endpoint"
) -> Chart | None:
    """Return how the latency of each endpoint, or variant, is distributed; None where there is nothing to show."""
    if not rises:
        return None
    chart = figure(
        height=320,
        sizing_mode="stretch_width",
        x_axis_type="log",
        toolbar_location=None,
        tools=[],
        y_range=Range1d(start=0, end=1.02),
    )
    plain(chart)
    keys = []
    for index, one in enumerate(rises):
        colour, dash = palette.line(index)
        source = ColumnDataSource(
            {
                "ms": np.maximum(one.value_ns, 1) / _MS,
                "share": one.share,
                "who": [one.name] * len(one.share),
                "took": [numbers.duration(value) for value in one.value_ns.tolist()],
                "part": [numbers.percent(share) for share in one.share.tolist()],
            }
        )
        drawn = chart.step("ms", "share", source=source, color=colour, line_dash=dash, line_width=2, mode="after")
        keys.append(Key(one.name, colour, dash=dash))
        nearest(chart, drawn, [("", "@who"), ("", "@part took at most @took")])
    chart.xaxis.axis_label = "latency in ms"
    logarithmic(chart.xaxis[0], [max(end, 1) / _MS for one in rises for end in one.value_ns[[0, -1]].tolist()])
    chart.yaxis.formatter = NumeralTickFormatter(format="0 %")
    said = "The share of the successes in the window that took at most so long; the axis of time is logarithmic."
    return Chart(name=name, title=title, unit="share", said=said, keys=tuple(keys), figure=chart)


def _latency(curves: Curves, time: Timeline) -> Chart:
    pace = curves.pace
    lines = (
        ("p50", pace.p50_ns, palette.SKY, "solid"),
        ("p95", pace.p95_ns, palette.BLUE, "solid"),
        ("p99", pace.p99_ns, palette.VERMILLION, "dashed"),
    )
    chart = time.chart(log=True, height_px=260)
    told = np.concatenate([pace.p50_ns, pace.max_ns])
    logarithmic(chart.yaxis[0], [max(value, 1) / _MS for value in told[told != NULL].tolist()] or [1.0])
    source = ColumnDataSource({"x": time.all_at(pace.t_ns + pace.step_ns // 2), "when": time.moments(pace.t_ns)})
    for label, values, _, _ in (*lines, ("highest", pace.max_ns, "", "")):
        source.data[label] = known(values, _MS)
        source.data[f"{label}_said"] = [said_of(value) for value in values.tolist()]
    chart.scatter("x", "highest", source=source, size=3, color=palette.GREY, alpha=0.8)
    for label, _, colour, dash in lines:
        chart.line("x", label, source=source, color=colour, line_width=2, line_dash=dash)
        # a value between two gaps has no line to either side
        chart.scatter("x", label, source=source, size=3, color=colour)
    labels = ("highest", "p99", "p95", "p50")
    hover(chart, source, [("", "@when"), *((label, f"@{label}_said") for label in labels)], "highest")
    there = [(label, colour, dash) for label, values, colour, dash in lines if np.any(values != NULL)]
    return Chart(
        name="latency",
        title="Latency",
        unit="ms",
        said=f"Of the successes that began in each {_each(pace.step_ns)}; a gap: too few to tell; logarithmic.",
        keys=(
            *(Key(label, colour, dash=dash) for label, colour, dash in there),
            Key("highest", palette.GREY, "dot"),
        ),
        figure=chart,
    )


def _rate(curves: Curves, time: Timeline) -> Chart:
    pace = curves.pace
    each_s = pace.step_ns / 1_000_000_000
    source = ColumnDataSource(
        {
            "x": time.all_at(pace.t_ns + pace.step_ns // 2),
            "when": time.moments(pace.t_ns),
            "asked": pace.asked / each_s,
            "failed": pace.failed / each_s,
            "asked_said": [numbers.rate(count / each_s) for count in pace.asked.tolist()],
            "failed_said": [numbers.rate(count / each_s) for count in pace.failed.tolist()],
        }
    )
    chart = time.chart()
    chart.y_range.start = 0  # type: ignore[attr-defined]
    chart.line("x", "asked", source=source, color=palette.BLUE, line_width=2)
    chart.varea("x", y1=0, y2="failed", source=source, color=palette.VERMILLION, alpha=0.8)
    hover(chart, source, [("", "@when"), (f"{curves.work}/s", "@asked_said"), ("failed/s", "@failed_said")])
    keys = (Key(curves.work, palette.BLUE), Key("failed", palette.VERMILLION, "area"))
    title, each = curves.work.capitalize(), _each(pace.step_ns)
    said = f"{title} that began in each {each}, and those of them that failed; as so many per second."
    return Chart(name="rate", title=title, unit="per second", said=said, keys=keys, figure=chart)


def _each(step_ns: int) -> str:
    step_s = step_ns // 1_000_000_000
    return "second" if step_s == 1 else f"{numbers.count(step_s)} seconds"

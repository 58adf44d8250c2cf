"""The charts of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from seatrial.measure.timeseries import CpuSeries, GeneratorSeries, LatencyDistribution, MemorySeries
from seatrial.measure.validity import RESERVED
from seatrial.report import numbers, timeline
from seatrial.report.timeline import (
    Chart,
    Curves,
    Key,
    Timeline,
    hover,
    known,
    logarithmic_ticks,
    nearest,
    plain,
    said_of,
)
from seatrial.wire.streams import NULL

_MS = 1_000_000
_MIB = 1 << 20
_CLASSES = (
    ("anon_bytes", "anon", timeline.BLUE),
    ("kernel_bytes", "kernel", timeline.ORANGE),
    ("shmem_bytes", "shmem", timeline.GREEN),
    ("sock_bytes", "sock", timeline.PURPLE),
    ("file_dirty_bytes", "dirty", timeline.VERMILLION),
    ("file_clean_bytes", "clean cache", timeline.GREY),
)
"""Class, its word, its colour, from the bottom up; what can be taken back at once lies on top."""


def memory_charts(held: MemorySeries, time: Timeline, place: int) -> Chart:
    """Return the classes of memory of the service in this place, stacked."""
    shown = [one for one in _CLASSES if one[0] in held.classes]
    source = ColumnDataSource({"x": time.all_at(held.t_ns), "when": time.moments(held.t_ns)})
    below = np.zeros(len(held.t_ns))
    chart = time.chart()
    chart.y_range.start = 0  # type: ignore[attr-defined]
    keys = []
    for name, label, colour in shown:
        values = np.nan_to_num(known(held.classes[name], _MIB))
        source.data[name], source.data[f"{name}_low"] = values, below
        below = below + values
        source.data[f"{name}_high"] = below
        if values.any():
            light = 0.35 if name == "file_clean_bytes" else 0.75
            chart.varea("x", f"{name}_low", f"{name}_high", source=source, color=colour, alpha=light)
            keys.append(Key(label, colour, "area"))
    source.data["usage"] = known(held.usage_bytes, _MIB)
    chart.line("x", "usage", source=source, color=timeline.GREY, line_width=1.5, line_dash="dotted")
    rows = [(label, f"@{name}" + "{0,0.0} MiB") for name, label, _ in reversed(shown)]
    hover(chart, source, [("", "@when"), ("usage", "@usage{0,0.0} MiB"), *rows])
    return Chart(
        name=f"memory-{place}",
        title=f"Memory of {held.service}",
        unit="MiB",
        said="Classes of memory, stacked; the dotted line is what the kernel charges in all.",
        keys=(*keys, Key("usage", timeline.GREY, dash="dotted")),
        figure=chart,
    )


def cpu_chart(worked: Sequence[CpuSeries], time: Timeline, half_ns: int) -> Chart:
    """Return what each service used; `half_ns` is from the begin of a stretch to its middle."""
    chart = time.chart()
    chart.y_range.start = 0  # type: ignore[attr-defined]
    source = ColumnDataSource({"x": time.all_at(worked[0].t_ns + half_ns), "when": time.moments(worked[0].t_ns)})
    keys, rows = [], [("", "@when")]
    for index, one in enumerate(worked):
        colour, dash = timeline.line_style(index)
        source.data[f"cores{index}"] = one.cores
        source.data[f"said{index}"] = [
            numbers.cores(None if np.isnan(value) else value) for value in one.cores.tolist()
        ]
        chart.line(
            "x", f"cores{index}", source=source, color=colour, line_dash=dash, line_width=2, name=one.service
        )
        keys.append(Key(one.service, colour, dash=dash))
        rows.append((one.service, f"@said{index}"))
    hover(chart, source, rows)
    said_of_all = "Cores in use by each service; host is the whole machine with everything that runs on it."
    return Chart(name="cores", title="CPU", unit="cores", said=said_of_all, keys=tuple(keys), figure=chart)


def generator_chart(pulse: GeneratorSeries, time: Timeline, half_ns: int) -> Chart:
    """Return how near the load processes were to the limit of their core."""
    source = ColumnDataSource(
        {"x": time.all_at(pulse.t_ns + half_ns), "cpu": pulse.cpu_fraction, "when": time.moments(pulse.t_ns)}
    )
    source.data["said"] = [numbers.percent(None if np.isnan(one) else one) for one in pulse.cpu_fraction.tolist()]
    chart = time.chart(height_px=160)
    chart.y_range.start, chart.y_range.end = 0, max(1.0, float(np.nanmax(pulse.cpu_fraction)) * 1.05)  # type: ignore[attr-defined]
    chart.yaxis.formatter = NumeralTickFormatter(format="0 %")
    chart.line("x", "cpu", source=source, color=timeline.GREEN, line_width=2)
    hover(chart, source, [("", "@when"), ("CPU", "@said")])
    said = "CPU of the busiest load process; near 100 % latency holds the generator's own queueing."
    return Chart(
        name="generator",
        title="Load generator: CPU",
        unit="share of a core",
        said=said,
        keys=(Key("CPU", timeline.GREEN),),
        figure=chart,
    )


def lag_chart(pulse: GeneratorSeries, time: Timeline, half_ns: int) -> Chart:
    """Return how late the load's event loop was."""
    source = ColumnDataSource({"x": time.all_at(pulse.t_ns + half_ns), "lag": known(pulse.loop_lag_p99_ns, _MS)})
    source.data["when"] = time.moments(pulse.t_ns)
    source.data["said"] = [said_of(value) for value in pulse.loop_lag_p99_ns.tolist()]
    source.data["flight"] = [numbers.count(None if n == NULL else n) for n in pulse.in_flight.tolist()]
    chart = time.chart(height_px=160)
    chart.y_range.start = 0  # type: ignore[attr-defined]
    chart.line("x", "lag", source=source, color=timeline.PURPLE, line_width=2)
    hover(chart, source, [("", "@when"), ("loop lag p99", "@said"), ("in flight", "@flight")])
    said = "How late the event loop of the load was (p99 of each second); latency can't be told finer than that."
    keys = (Key("loop lag p99", timeline.PURPLE),)
    return Chart(
        name="generator-lag", title="Load generator: loop lag", unit="ms", said=said, keys=keys, figure=chart
    )


def time_charts(curves: Curves) -> Iterator[Chart]:
    """Yield the charts that share the time axis, from the top down."""
    time, half_ns = axis_of(curves), curves.pace.step_ns // 2
    if curves.pace.asked.any():
        if curves.latency_told:
            yield _latency(curves, time)
        yield _rate(curves, time)
    stack = [held for held in curves.held if held.service not in RESERVED]
    for place, held in enumerate(stack, 1):
        yield memory_charts(held, time, place)
    if curves.worked:
        yield cpu_chart(curves.worked, time, half_ns)
    if not np.all(np.isnan(curves.pulse.cpu_fraction)):
        yield generator_chart(curves.pulse, time, half_ns)
        yield lag_chart(curves.pulse, time, half_ns)


def axis_of(curves: Curves) -> Timeline:
    """Return the axis that holds everything that was recorded."""
    stamps = np.concatenate([curves.pace.t_ns, *(held.t_ns for held in curves.held)])
    ends = [span.until_ns for span in curves.spans]
    return Timeline(curves.window, curves.spans, curves.events, int(stamps.min()), max([int(stamps.max()), *ends]))


def distribution_chart(
    rises: Sequence[LatencyDistribution], *, name: str = "distribution", title: str = "Latency by endpoint"
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
        colour, dash = timeline.line_style(index)
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
    logarithmic_ticks(
        chart.xaxis[0], [max(end, 1) / _MS for one in rises for end in one.value_ns[[0, -1]].tolist()]
    )
    chart.yaxis.formatter = NumeralTickFormatter(format="0 %")
    said = "The share of the successes in the window that took at most so long; the axis of time is logarithmic."
    return Chart(name=name, title=title, unit="share", said=said, keys=tuple(keys), figure=chart)


def _latency(curves: Curves, time: Timeline) -> Chart:
    pace = curves.pace
    lines = (
        ("p50", pace.p50_ns, timeline.SKY, "solid"),
        ("p95", pace.p95_ns, timeline.BLUE, "solid"),
        ("p99", pace.p99_ns, timeline.VERMILLION, "dashed"),
    )
    chart = time.chart(log=True, height_px=260)
    told = np.concatenate([pace.p50_ns, pace.max_ns])
    logarithmic_ticks(chart.yaxis[0], [max(value, 1) / _MS for value in told[told != NULL].tolist()] or [1.0])
    source = ColumnDataSource({"x": time.all_at(pace.t_ns + pace.step_ns // 2), "when": time.moments(pace.t_ns)})
    for label, values, _, _ in (*lines, ("highest", pace.max_ns, "", "")):
        source.data[label] = known(values, _MS)
        source.data[f"{label}_said"] = [said_of(value) for value in values.tolist()]
    chart.scatter("x", "highest", source=source, size=3, color=timeline.GREY, alpha=0.8)
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
            Key("highest", timeline.GREY, "dot"),
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
    chart.line("x", "asked", source=source, color=timeline.BLUE, line_width=2)
    chart.varea("x", y1=0, y2="failed", source=source, color=timeline.VERMILLION, alpha=0.8)
    hover(chart, source, [("", "@when"), (f"{curves.work}/s", "@asked_said"), ("failed/s", "@failed_said")])
    keys = (Key(curves.work, timeline.BLUE), Key("failed", timeline.VERMILLION, "area"))
    title, each = curves.work.capitalize(), _each(pace.step_ns)
    said = f"{title} that began in each {each}, and those of them that failed; as so many per second."
    return Chart(name="rate", title=title, unit="per second", said=said, keys=keys, figure=chart)


def _each(step_ns: int) -> str:
    step_s = step_ns // 1_000_000_000
    return "second" if step_s == 1 else f"{numbers.count(step_s)} seconds"

"""Bokeh charts of one run over time, and of the distribution of latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d

from seatrial.measure.experience import SessionPoints
from seatrial.measure.timeseries import CpuSeries, GeneratorSeries, LatencyDistribution, MemorySeries
from seatrial.measure.validity import RESERVED
from seatrial.report import numbers, timeline
from seatrial.report.timeline import (
    Chart,
    Key,
    RunSeries,
    Timeline,
    blank,
    durations,
    hover,
    known,
    logarithmic_ticks,
    nearest,
)
from seatrial.units import NS_PER_S
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
"""Memory class, label and colour, from the bottom up; the reclaimable class lies on top."""


def time_charts(series: RunSeries) -> Iterator[Chart]:
    """Yield the charts that share the time axis, from the top down."""
    time, half_ns = series.time(), series.load.step_ns // 2
    if series.load.asked.any():
        if series.has_latency:
            yield _latency_chart(series, time)
        yield _rate_chart(series, time)
    if series.sessions is not None:
        yield _sessions_chart(series.sessions, time)
    stack = [memory for memory in series.memory if memory.service not in RESERVED]
    for place, memory in enumerate(stack, 1):
        yield _memory_chart(memory, time, place)
    if series.cpu:
        yield _cpu_chart(series.cpu, time, half_ns)
    if not np.all(np.isnan(series.generator.cpu_fraction)):
        yield _generator_chart(series.generator, time, half_ns)
        yield _lag_chart(series.generator, time, half_ns)


def distribution_chart(
    distributions: Sequence[LatencyDistribution], *, name: str = "distribution", title: str = "Latency by endpoint"
) -> Chart | None:
    """Return the latency distribution of each endpoint, flow or variant; None without any."""
    if not distributions:
        return None
    chart = blank(320, x_axis_type="log", y_range=Range1d(start=0, end=1.02))
    keys = []
    for index, distribution in enumerate(distributions):
        colour, dash = timeline.line_style(index)
        values_ns, shares = distribution.value_ns, distribution.share
        source = ColumnDataSource(
            {
                "ms": np.maximum(values_ns, 1) / _MS,
                "share": shares,
                "who": [distribution.name] * len(shares),
                "took": [numbers.duration(value) for value in values_ns.tolist()],
                "part": [numbers.percent(share) for share in shares.tolist()],
            }
        )
        drawn = chart.step("ms", "share", source=source, color=colour, line_dash=dash, line_width=2, mode="after")
        keys.append(Key(distribution.name, colour, dash=dash))
        nearest(chart, drawn, [("", "@who"), ("", "@part took at most @took")])
    chart.xaxis.axis_label = "latency in ms"
    ends = [end for distribution in distributions for end in distribution.value_ns[[0, -1]].tolist()]
    logarithmic_ticks(chart.xaxis[0], [max(end, 1) / _MS for end in ends])
    chart.yaxis.formatter = NumeralTickFormatter(format="0 %")
    caption = (
        "The share of the successes in the window that took at most so long; the axis of time is logarithmic."
    )
    return Chart(name=name, title=title, unit="share", caption=caption, keys=tuple(keys), figure=chart)


def _latency_chart(series: RunSeries, time: Timeline) -> Chart:
    load, step = series.load, _step(series.load.step_ns)
    lines = (
        ("p50", load.p50_ns, timeline.SKY, "solid"),
        ("p95", load.p95_ns, timeline.BLUE, "solid"),
        ("p99", load.p99_ns, timeline.VERMILLION, "dashed"),
    )
    chart = time.chart(log=True, height_px=260)
    values = np.concatenate([load.p50_ns, load.max_ns])
    logarithmic_ticks(chart.yaxis[0], [max(value, 1) / _MS for value in values[values != NULL].tolist()] or [1.0])
    source = time.source(load.t_ns, load.step_ns // 2)
    for label, values, _, _ in (*lines, ("highest", load.max_ns, "", "")):
        source.data[label] = known(values, _MS)
        source.data[f"{label}_said"] = durations(values)
    chart.scatter("x", "highest", source=source, size=3, color=timeline.GREY, alpha=0.8)
    for label, _, colour, dash in lines:
        chart.line("x", label, source=source, color=colour, line_width=2, line_dash=dash)
        # a value between two gaps has no line to either side
        chart.scatter("x", label, source=source, size=3, color=colour)
    labels = ("highest", "p99", "p95", "p50")
    hover(chart, source, [("", "@when"), *((label, f"@{label}_said") for label in labels)], "highest")
    keys = [Key(label, colour, dash=dash) for label, values, colour, dash in lines if np.any(values != NULL)]
    return Chart(
        name="latency",
        title="Latency",
        unit="ms",
        caption=f"Of the successes that began in each {step}; a gap: too few to tell; logarithmic.",
        keys=(*keys, Key("highest", timeline.GREY, "dot")),
        figure=chart,
    )


def _rate_chart(series: RunSeries, time: Timeline) -> Chart:
    load, counted = series.load, "flows" if series.by_flows else "requests"
    source = time.source(load.t_ns, load.step_ns // 2)
    rates = {
        name: counts / (load.step_ns / NS_PER_S)
        for name, counts in (("asked", load.asked), ("failed", load.failed))
    }
    for name, per_s in rates.items():
        source.data[name] = per_s
    for name, per_s in rates.items():
        source.data[f"{name}_said"] = list(map(numbers.rate, per_s.tolist()))
    chart = time.chart()
    chart.line("x", "asked", source=source, color=timeline.BLUE, line_width=2)
    chart.varea("x", y1=0, y2="failed", source=source, color=timeline.VERMILLION, alpha=0.8)
    hover(chart, source, [("", "@when"), (f"{counted}/s", "@asked_said"), ("failed/s", "@failed_said")])
    title, step = counted.capitalize(), _step(load.step_ns)
    return Chart(
        name="rate",
        title=title,
        unit="per second",
        caption=f"{title} that began in each {step}, and those of them that failed; as so many per second.",
        keys=(Key(counted, timeline.BLUE), Key("failed", timeline.VERMILLION, "area")),
        figure=chart,
    )


def _sessions_chart(sessions: SessionPoints, time: Timeline) -> Chart:
    """Return a point for each session: when it began, how long it waited for its first picture, how it went on."""
    chart = time.chart(log=True)
    waited_s = np.maximum(sessions.waited_ns / NS_PER_S, 1e-3)
    logarithmic_ticks(chart.yaxis[0], waited_s.tolist())
    stalled = (sessions.stalls > 0) & ~sessions.abandoned
    groups = (
        ("played without a stall", ~stalled & ~sessions.abandoned, timeline.BLUE, "circle"),
        ("stalled later", stalled, timeline.VERMILLION, "circle"),
        ("gave up waiting", sessions.abandoned, timeline.PURPLE, "x"),
    )
    keys = []
    for label, rows, colour, marker in groups:
        if not rows.any():
            continue
        source = time.source(sessions.t_ns[rows], waited=waited_s[rows])
        source.data["took"] = durations(sessions.waited_ns[rows].astype(np.int64))
        source.data["stalls"] = [numbers.count(round(count)) for count in sessions.stalls[rows].tolist()]
        source.data["stalled"] = durations(sessions.stalled_ns[rows].astype(np.int64))
        drawn = chart.scatter("x", "waited", source=source, size=6, color=colour, alpha=0.7, marker=marker)
        more = [("stalls", "@stalls"), ("stalled", "@stalled")] if label == "stalled later" else []
        nearest(chart, drawn, [("", f"@when: {label}"), ("waited", "@took"), *more])
        keys.append(Key(label, colour, "dot"))
    one_in = f" One in {numbers.count(sessions.every)} is shown." if sessions.every > 1 else ""
    return Chart(
        name="sessions",
        title="Start-up of viewers",
        unit="s",
        caption=f"Each viewer's wait for the first picture, where the session began; logarithmic.{one_in}",
        keys=tuple(keys),
        figure=chart,
    )


def _memory_chart(memory: MemorySeries, time: Timeline, place: int) -> Chart:
    """Return the memory classes of the service in this place, stacked."""
    shown = [each for each in _CLASSES if each[0] in memory.classes]
    source = time.source(memory.t_ns)
    below = np.zeros(len(memory.t_ns))
    chart = time.chart()
    keys = []
    for name, label, colour in shown:
        values = np.nan_to_num(known(memory.classes[name], _MIB))
        source.data[name], source.data[f"{name}_low"] = values, below
        below = below + values
        source.data[f"{name}_high"] = below
        if values.any():
            alpha = 0.35 if name == "file_clean_bytes" else 0.75
            chart.varea("x", f"{name}_low", f"{name}_high", source=source, color=colour, alpha=alpha)
            keys.append(Key(label, colour, "area"))
    source.data["usage"] = known(memory.usage_bytes, _MIB)
    chart.line("x", "usage", source=source, color=timeline.GREY, line_width=1.5, line_dash="dotted")
    rows = [(label, f"@{name}" + "{0,0.0} MiB") for name, label, _ in reversed(shown)]
    hover(chart, source, [("", "@when"), ("usage", "@usage{0,0.0} MiB"), *rows])
    return Chart(
        name=f"memory-{place}",
        title=f"Memory of {memory.service}",
        unit="MiB",
        caption="Classes of memory, stacked; the dotted line is what the kernel charges in all.",
        keys=(*keys, Key("usage", timeline.GREY, dash="dotted")),
        figure=chart,
    )


def _cpu_chart(cpu: Sequence[CpuSeries], time: Timeline, half_ns: int) -> Chart:
    """Return the cores that each service used; `half_ns` is from the begin of a step to its middle."""
    chart = time.chart()
    source = time.source(cpu[0].t_ns, half_ns)
    keys, rows = [], [("", "@when")]
    for index, series in enumerate(cpu):
        name, (colour, dash) = series.service, timeline.line_style(index)
        values = [numbers.cores(None if np.isnan(value) else value) for value in series.cores.tolist()]
        source.data[f"cores{index}"], source.data[f"said{index}"] = series.cores, values
        chart.line("x", f"cores{index}", source=source, color=colour, line_dash=dash, line_width=2, name=name)
        keys.append(Key(name, colour, dash=dash))
        rows.append((name, f"@said{index}"))
    hover(chart, source, rows)
    return Chart(
        name="cores",
        title="CPU",
        unit="cores",
        caption="Cores in use by each service; host is the whole machine with everything that runs on it.",
        keys=tuple(keys),
        figure=chart,
    )


def _generator_chart(generator: GeneratorSeries, time: Timeline, half_ns: int) -> Chart:
    """Return the CPU of the busiest load process."""
    cpu = generator.cpu_fraction
    source = time.source(generator.t_ns, half_ns, cpu=cpu)
    source.data["said"] = [numbers.percent(None if np.isnan(share) else share) for share in cpu.tolist()]
    chart = time.chart(height_px=160)
    chart.y_range.end = max(1.0, float(np.nanmax(cpu)) * 1.05)  # type: ignore[attr-defined]
    chart.yaxis.formatter = NumeralTickFormatter(format="0 %")
    chart.line("x", "cpu", source=source, color=timeline.GREEN, line_width=2)
    hover(chart, source, [("", "@when"), ("CPU", "@said")])
    return Chart(
        name="generator",
        title="Load generator: CPU",
        unit="share of a core",
        caption="CPU of the busiest load process; near 100 % latency holds the generator's own queueing.",
        keys=(Key("CPU", timeline.GREEN),),
        figure=chart,
    )


def _lag_chart(generator: GeneratorSeries, time: Timeline, half_ns: int) -> Chart:
    """Return the delay of the load's event loop."""
    source = time.source(generator.t_ns, half_ns, lag=known(generator.loop_lag_p99_ns, _MS))
    source.data["said"] = durations(generator.loop_lag_p99_ns)
    source.data["flight"] = [numbers.count(None if n == NULL else n) for n in generator.in_flight.tolist()]
    chart = time.chart(height_px=160)
    chart.line("x", "lag", source=source, color=timeline.PURPLE, line_width=2)
    hover(chart, source, [("", "@when"), ("loop lag p99", "@said"), ("in flight", "@flight")])
    return Chart(
        name="generator-lag",
        title="Load generator: loop lag",
        unit="ms",
        caption=(
            "How late the event loop of the load was (p99 of each second); latency can't be told finer than that."
        ),
        keys=(Key("loop lag p99", timeline.PURPLE),),
        figure=chart,
    )


def _step(step_ns: int) -> str:
    step_s = step_ns // NS_PER_S
    return "second" if step_s == 1 else f"{numbers.count(step_s)} seconds"

"""The charts of what services hold and use, and of the load generator, on the time axis that all charts share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.models import ColumnDataSource, NumeralTickFormatter

from seatrial.measure.series import Pulse
from seatrial.measure.timeseries import Held, Worked
from seatrial.report import numbers, palette
from seatrial.report.curves import Chart, Key
from seatrial.report.timeline import Timeline, hover, known, said_of
from seatrial.wire.streams import NULL

_MS = 1_000_000
_MIB = 1 << 20
_CLASSES = (
    ("anon_bytes", "anon", palette.BLUE),
    ("kernel_bytes", "kernel", palette.ORANGE),
    ("shmem_bytes", "shmem", palette.GREEN),
    ("sock_bytes", "sock", palette.PURPLE),
    ("file_dirty_bytes", "dirty", palette.VERMILLION),
    ("file_clean_bytes", "clean cache", palette.GREY),
)
"""Class, its word, its colour, from the bottom up; what can be taken back at once lies on top."""


def memory(held: Held, time: Timeline, place: int) -> Chart:
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
    chart.line("x", "usage", source=source, color=palette.GREY, line_width=1.5, line_dash="dotted")
    rows = [(label, f"@{name}" + "{0,0.0} MiB") for name, label, _ in reversed(shown)]
    hover(chart, source, [("", "@when"), ("usage", "@usage{0,0.0} MiB"), *rows])
    return Chart(
        name=f"memory-{place}",
        title=f"Memory of {held.service}",
        unit="MiB",
        said="Classes of memory, stacked; the dotted line is what the kernel charges in all.",
        keys=(*keys, Key("usage", palette.GREY, dash="dotted")),
        figure=chart,
    )


def cores(worked: Sequence[Worked], time: Timeline, half_ns: int) -> Chart:
    """Return what each service used; `half_ns` is from the begin of a stretch to its middle."""
    chart = time.chart()
    chart.y_range.start = 0  # type: ignore[attr-defined]
    source = ColumnDataSource({"x": time.all_at(worked[0].t_ns + half_ns), "when": time.moments(worked[0].t_ns)})
    keys, rows = [], [("", "@when")]
    for index, one in enumerate(worked):
        colour, dash = palette.line(index)
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


def generator(pulse: Pulse, time: Timeline, half_ns: int) -> Chart:
    """Return how near the load processes were to the limit of their core."""
    source = ColumnDataSource(
        {"x": time.all_at(pulse.t_ns + half_ns), "cpu": pulse.cpu_fraction, "when": time.moments(pulse.t_ns)}
    )
    source.data["said"] = [numbers.percent(None if np.isnan(one) else one) for one in pulse.cpu_fraction.tolist()]
    chart = time.chart(height_px=160)
    chart.y_range.start, chart.y_range.end = 0, max(1.0, float(np.nanmax(pulse.cpu_fraction)) * 1.05)  # type: ignore[attr-defined]
    chart.yaxis.formatter = NumeralTickFormatter(format="0 %")
    chart.line("x", "cpu", source=source, color=palette.GREEN, line_width=2)
    hover(chart, source, [("", "@when"), ("CPU", "@said")])
    said = "CPU of the busiest load process; near 100 % latency holds the generator's own queueing."
    return Chart(
        name="generator",
        title="Load generator: CPU",
        unit="share of a core",
        said=said,
        keys=(Key("CPU", palette.GREEN),),
        figure=chart,
    )


def lag(pulse: Pulse, time: Timeline, half_ns: int) -> Chart:
    """Return how late the load's event loop was."""
    source = ColumnDataSource({"x": time.all_at(pulse.t_ns + half_ns), "lag": known(pulse.loop_lag_p99_ns, _MS)})
    source.data["when"] = time.moments(pulse.t_ns)
    source.data["said"] = [said_of(value) for value in pulse.loop_lag_p99_ns.tolist()]
    source.data["flight"] = [numbers.count(None if n == NULL else n) for n in pulse.in_flight.tolist()]
    chart = time.chart(height_px=160)
    chart.y_range.start = 0  # type: ignore[attr-defined]
    chart.line("x", "lag", source=source, color=palette.PURPLE, line_width=2)
    hover(chart, source, [("", "@when"), ("loop lag p99", "@said"), ("in flight", "@flight")])
    said = "How late the event loop of the load was (p99 of each second); latency can't be told finer than that."
    keys = (Key("loop lag p99", palette.PURPLE),)
    return Chart(
        name="generator-lag", title="Load generator: loop lag", unit="ms", said=said, keys=keys, figure=chart
    )

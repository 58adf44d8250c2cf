"""What all charts share: the time axis with phases and events, palette, ticks, tooltips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import (
    Axis,
    BasicTickFormatter,
    BoxZoomTool,
    ColumnDataSource,
    CrosshairTool,
    FixedTicker,
    HoverTool,
    Range1d,
    ResetTool,
)
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure

from seatrial.analysis.results import ACTION, Event
from seatrial.measure.experience import SessionPoints
from seatrial.measure.tables import Floats, Ints, Window
from seatrial.measure.timeseries import CpuSeries, GeneratorSeries, LatencyDistribution, LoadSeries, MemorySeries
from seatrial.model import Phase
from seatrial.model import Span as PhaseSpan
from seatrial.report import numbers, run_sections
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8A8A8A"
"""Instead of the palette's black, which can't be seen on a dark page: 3.4 : 1 on white, 5 : 1 on dark."""
LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
"""In the order of use; without yellow, because a thin yellow line can't be seen on white."""
DASHES = ("solid", "dashed", "dotted", "dotdash")
"""After all colours are used, they come again with the next dash."""


def line_style(index: int) -> tuple[str, str]:
    """Return colour and dash of the curve with this index; they repeat after 28."""
    return LINES[index % len(LINES)], DASHES[index // len(LINES) % len(DASHES)]


_UNITS = ((4 * 3600, 3600, "hours"), (1200, 60, "minutes"), (0, 1, "seconds"))
"""From how many seconds on the axis has this unit, and the unit in seconds."""
_KILLS = frozenset({"oom", "oom_kill", "die", "kill"})
_ASKING = frozenset({"1", "10", "12", "28"})
"""The signals of Docker's event `kill` that end nothing: HUP, USR1, USR2, WINCH (signal(7))."""
_MARGIN = 0.01


def _mark(event: Event) -> tuple[str, float, list[int]]:
    """Return colour, width and dash of an event's line: kills and actions stand out."""
    if event.event == ACTION:
        return BLUE, 2.5, []
    if event.event in _KILLS and str(event.detail.get("signal")) not in _ASKING:
        return VERMILLION, 2.5, []
    return GREY, 1.2, [3, 3]


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a chart's legend: a `line`, a `dot`, or an `area`."""

    label: str
    colour: str
    kind: str = "line"
    dash: str = "solid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart with its texts: `name` is its anchor, `unit` that of its vertical axis."""

    name: str
    title: str
    unit: str
    caption: str
    keys: tuple[Key, ...]
    figure: figure


class Timeline:
    """The time axis of all charts of a run: time from the start of the window, in a unit that fits."""

    def __init__(
        self, window: Window, spans: Sequence[PhaseSpan], events: Sequence[Event], begin_ns: int, end_ns: int
    ) -> None:
        self._window, self._spans, self._events = window, spans, events
        end_ns = max(end_ns, begin_ns + 1)  # of a run that failed before its load; Bokeh refuses an empty range
        lasts_s = (end_ns - begin_ns) / NS_PER_S
        self._unit_s, self.unit = next((unit_s, unit) for least, unit_s, unit in _UNITS if lasts_s >= least)
        begin, end = self.at(begin_ns), self.at(end_ns)
        margin = (end - begin) * _MARGIN
        begin, end = begin - margin, end + margin
        self._range = Range1d(start=begin, end=end, bounds=(begin, end), name="time")
        self._crosshair = Span(dimension="height", line_color=GREY, line_width=1, name="crosshair")
        styles = [_mark(event) for event in events]
        self._marks = ColumnDataSource(
            data={
                "x": [self.at(window.from_ns + event.after_ns) for event in events],
                "said": [run_sections.event_line(event) for event in events],
                "colour": [colour for colour, _, _ in styles],
                "width": [width for _, width, _ in styles],
                "dash": [dash for _, _, dash in styles],
            }
        )

    def at(self, stamp_ns: int) -> float:
        """Return the place of a stamp on the axis."""
        return (stamp_ns - self._window.from_ns) / NS_PER_S / self._unit_s

    def source(self, stamps_ns: Ints, after_ns: int = 0, **columns: Any) -> ColumnDataSource:  # noqa: ANN401  (numpy's)
        """Return a source with the stamps in words, and their places on the axis so much later."""
        moments = [numbers.moment(after) for after in (stamps_ns - self._window.from_ns).tolist()]
        places: Floats = (stamps_ns + after_ns - self._window.from_ns) / (NS_PER_S * self._unit_s)
        return ColumnDataSource({"x": places, **columns, "when": moments})

    def chart(self, *, log: bool = False, height_px: int = 210) -> figure:
        """Return an empty chart on this axis: phases shaded, events marked, the shared crosshair in place."""
        scale = "log" if log else "linear"
        chart = blank(height_px, x_range=self._range, y_axis_type=scale, output_backend="canvas")
        zoom = BoxZoomTool(dimensions="width")
        chart.add_tools(zoom, ResetTool(), CrosshairTool(overlay=self._crosshair))
        chart.toolbar.active_drag = zoom
        chart.xaxis.axis_label = f"{self.unit} from the start of the window"
        if not log:
            chart.y_range.start = 0  # type: ignore[attr-defined]
        for span in self._spans:
            if span.phase is not Phase.WINDOW:
                left, right = self.at(span.from_ns), self.at(span.until_ns)
                shade = BoxAnnotation(left=left, right=right, fill_color=GREY, fill_alpha=0.16)
                shade.update(line_color=None, level="underlay")
                chart.add_layout(shade)
        if self._events:
            drawn = chart.vspan(
                x="x",
                source=self._marks,
                line_color="colour",
                line_width="width",
                line_dash="dash",
                level="annotation",
            )
            chart.add_tools(HoverTool(renderers=[drawn], tooltips="@said", point_policy="follow_mouse"))
        return chart


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeries:
    """What the charts of one run are drawn from; `memory` stands in the order of the request's way.

    Stamps are those of the run's clock. `has_latency` is False for a saturated run, whose latency grows with its
    length. `sessions` are those of viewers. The load is counted `by_flows` where no request was made.
    """

    window: Window
    spans: Sequence[PhaseSpan]
    events: Sequence[Event]
    load: LoadSeries
    distributions: Sequence[LatencyDistribution]
    memory: Sequence[MemorySeries]
    cpu: Sequence[CpuSeries]
    generator: GeneratorSeries
    sessions: SessionPoints | None = None
    has_latency: bool = True
    by_flows: bool = False

    @property
    def group(self) -> str:
        """The rows of the load: endpoints or flows."""
        return "flow" if self.by_flows else "endpoint"

    def time(self) -> Timeline:
        """Return an axis that holds everything that was recorded."""
        stamps = np.concatenate([self.load.t_ns, *(memory.t_ns for memory in self.memory)])
        ends = [span.until_ns for span in self.spans]
        return Timeline(self.window, self.spans, self.events, int(stamps.min()), max([int(stamps.max()), *ends]))


def hover(
    chart: figure, source: ColumnDataSource, rows: Sequence[tuple[str, str]], level: str | None = None
) -> None:
    """Show `rows` (a word, and a column such as `@p50`) of the moment that is nearest to the pointer.

    The pointer hits an invisible line along the column `level`, or along zero, which has no gaps.
    """
    if level is None:
        level = "zero"
        source.data[level] = np.zeros(len(source.data["x"]))
    invisible = chart.line("x", level, source=source, alpha=0)
    chart.add_tools(
        HoverTool(
            renderers=[invisible],
            tooltips=list(rows),
            mode="vline",
            line_policy="nearest",
            point_policy="follow_mouse",
            attachment="horizontal",
        )
    )


def nearest(chart: figure, drawn: GlyphRenderer[Any], rows: Sequence[tuple[str, str]]) -> None:
    """Show `rows` of the point under the pointer."""
    chart.add_tools(HoverTool(renderers=[drawn], tooltips=list(rows)))


def blank(height_px: int, **options: Any) -> figure:  # noqa: ANN401  (those of a figure)
    """Return a transparent chart as wide as the page, whose script sets the colours of text."""
    chart = figure(height=height_px, sizing_mode="stretch_width", toolbar_location=None, tools=[], **options)
    chart.background_fill_alpha = 0
    chart.border_fill_alpha = 0
    chart.outline_line_color = None
    chart.grid.grid_line_color = GREY
    chart.grid.grid_line_alpha = 0.25
    chart.axis.axis_line_color = GREY
    chart.axis.major_tick_line_color = GREY
    chart.axis.minor_tick_line_color = None
    chart.axis.axis_label_text_font_style = "normal"
    chart.min_border_right = 12
    chart.min_border_left = 58  # whatever its labels: the charts stand below each other, moment below moment
    return chart


def known(values: Ints, unit: int) -> Floats:
    """Return values in another unit, NaN where they are NULL: a gap in the line."""
    return np.where(values == NULL, np.nan, values / unit)


def durations(values_ns: Ints) -> list[str]:
    """Return durations in words, also where they are NULL."""
    return [numbers.duration(None if value == NULL else value) for value in values_ns.tolist()]


_FEW_DECADES = 4
_NEAR = 5.0
"""From 1 to 5 there are at least two of 1, 2, 5, 10 in any such stretch."""


def logarithmic_ticks(axis: Axis, values: Sequence[float]) -> None:
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

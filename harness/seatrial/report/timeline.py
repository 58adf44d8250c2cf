"""The shared time axis of all charts: palette, ticks, hover, phases, events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
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

from seatrial.analysis.results import Event
from seatrial.measure.tables import Floats, Ints, Window
from seatrial.measure.timeseries import CpuSeries, GeneratorSeries, LatencyDistribution, LoadSeries, MemorySeries
from seatrial.model import Phase
from seatrial.model import Span as PhaseSpan
from seatrial.report import numbers, run_sections
from seatrial.wire.streams import NULL

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8A8A8A"
"""In place of their black, which a dark page swallows: 3.4 : 1 on white, 5 : 1 on the dark page."""
LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
"""In the order of use; yellow is left out, because a thin line of it can't be seen on white."""
DASHES = ("solid", "dashed", "dotted", "dotdash")
"""After all colours are used, they come again with the next dash."""


def line_style(index: int) -> tuple[str, str]:
    """Return colour and dash of the curve with this index; they repeat after 28."""
    return LINES[index % len(LINES)], DASHES[index // len(LINES) % len(DASHES)]


HEIGHT_PX = 210
_UNITS = ((4 * 3600, 3600, "hours"), (1200, 60, "minutes"), (0, 1, "seconds"))
_NS = 1_000_000_000
_KILLS = frozenset({"oom", "oom_kill", "die", "kill"})
_MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class Timeline:
    """Time from the start of the window, in a unit that fits the length of the run."""

    window: Window
    spans: Sequence[PhaseSpan]
    events: Sequence[Event]
    begin_ns: int
    end_ns: int
    range: Range1d = field(init=False)
    crosshair: Span = field(init=False)
    marks: ColumnDataSource = field(init=False)

    def __post_init__(self) -> None:
        begin, end = self.at(self.begin_ns), self.at(self.end_ns)
        margin = (end - begin) * _MARGIN
        begin, end = begin - margin, end + margin
        shared = Range1d(start=begin, end=end, bounds=(begin, end), name="time")
        object.__setattr__(self, "range", shared)
        line = Span(dimension="height", line_color=GREY, line_width=1, name="crosshair")
        object.__setattr__(self, "crosshair", line)
        object.__setattr__(self, "marks", self._marks())

    @property
    def unit(self) -> str:
        """The unit of the axis."""
        return self._scale[1]

    @property
    def _scale(self) -> tuple[int, str]:
        lasts_s = (self.end_ns - self.begin_ns) / _NS
        return next((factor, unit) for least, factor, unit in _UNITS if lasts_s >= least)

    def at(self, stamp_ns: int) -> float:
        """Return where a stamp lies on the axis."""
        return (stamp_ns - self.window.from_ns) / _NS / self._scale[0]

    def all_at(self, stamps_ns: Ints) -> Floats:
        """Return where stamps lie on the axis."""
        found: Floats = (stamps_ns - self.window.from_ns) / (_NS * self._scale[0])
        return found

    def moments(self, stamps_ns: Ints) -> list[str]:
        """Return the stamps in words."""
        return [numbers.moment(after) for after in (stamps_ns - self.window.from_ns).tolist()]

    def chart(self, *, log: bool = False, height_px: int = HEIGHT_PX) -> figure:
        """Return an empty chart on this axis: phases shaded, events marked, the shared crosshair in place."""
        chart = figure(
            height=height_px,
            sizing_mode="stretch_width",
            x_range=self.range,
            y_axis_type="log" if log else "linear",
            toolbar_location=None,
            tools=[],
            output_backend="canvas",
        )
        zoom = BoxZoomTool(dimensions="width")
        chart.add_tools(zoom, ResetTool(), CrosshairTool(overlay=self.crosshair))
        chart.toolbar.active_drag = zoom
        chart.xaxis.axis_label = f"{self.unit} from the start of the window"
        plain(chart)
        self._shade(chart)
        self._mark(chart)
        return chart

    def _shade(self, chart: figure) -> None:
        for span in self.spans:
            if span.phase is not Phase.WINDOW:
                chart.add_layout(
                    BoxAnnotation(
                        left=self.at(span.from_ns),
                        right=self.at(span.until_ns),
                        fill_color=GREY,
                        fill_alpha=0.16,
                        line_color=None,
                        level="underlay",
                    )
                )

    def _marks(self) -> ColumnDataSource:
        killed = [event.event in _KILLS for event in self.events]
        return ColumnDataSource(
            data={
                "x": [self.at(self.window.from_ns + event.after_ns) for event in self.events],
                "said": [in_words(event) for event in self.events],
                "colour": [VERMILLION if kill else GREY for kill in killed],
                "width": [2.5 if kill else 1.2 for kill in killed],
                "dash": [[] if kill else [3, 3] for kill in killed],
            }
        )

    def _mark(self, chart: figure) -> None:
        if not self.events:
            return
        drawn = chart.vspan(
            x="x", source=self.marks, line_color="colour", line_width="width", line_dash="dash", level="annotation"
        )
        chart.add_tools(HoverTool(renderers=[drawn], tooltips="@said", point_policy="follow_mouse"))


def in_words(event: Event) -> str:
    """Return one event in a line, as the text report says it, without the image's name."""
    return f"{numbers.moment(event.after_ns)} {run_sections.event_text(event)}"


def hover(
    chart: figure, source: ColumnDataSource, rows: Sequence[tuple[str, str]], level: str | None = None
) -> None:
    """Show `rows` (a word, and a column such as `@p50`) of the moment that the pointer is nearest to.

    What is hit is an unseen line along the column `level`, or along zero: it is there where others have gaps.
    """
    if level is None:
        level = "zero"
        source.data[level] = np.zeros(len(source.data["x"]))
    unseen = chart.line("x", level, source=source, alpha=0)
    chart.add_tools(
        HoverTool(
            renderers=[unseen],
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


def plain(chart: figure) -> None:
    """Take off what hides the page's own colours; text and grid get theirs from the page's script."""
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
    chart.min_border_left = 58  # of any labels: the charts stand below each other, moment below moment


def known(values: Ints, unit: int) -> Floats:
    """Return values in another unit, NaN where they are NULL: a gap in the line."""
    return np.where(values == NULL, np.nan, values / unit)


def said_of(value_ns: int) -> str:
    """Return a duration in words, also where it is NULL."""
    return numbers.duration(None if value_ns == NULL else value_ns)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """One run over time, and how its latency is distributed; `held` stands in the order of the request's way.

    All share the clock of the run; `window` tells where its zero is on the page. Without `latency_told` latency
    says how long the run was and nothing of the server, and is not shown. `work` names what the load is counted
    in: requests, or flows where no request was made.
    """

    window: Window
    spans: Sequence[PhaseSpan]
    events: Sequence[Event]
    pace: LoadSeries
    rises: Sequence[LatencyDistribution]
    held: Sequence[MemorySeries]
    worked: Sequence[CpuSeries]
    pulse: GeneratorSeries
    latency_told: bool = True
    work: str = "requests"


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a chart's legend: a `line`, a `dot`, or an `area`."""

    label: str
    colour: str
    kind: str = "line"
    dash: str = "solid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart with its words: `name` is its anchor, `unit` that of its upright axis, `said` what it shows."""

    name: str
    title: str
    unit: str
    said: str
    keys: tuple[Key, ...]
    figure: figure

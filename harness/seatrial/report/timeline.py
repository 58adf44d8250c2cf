"""The one time axis that charts share: its unit, its range, its crosshair, and what is marked on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CrosshairTool,
    HoverTool,
    Range1d,
    ResetTool,
)
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure

from seatrial.analysis.contents import Happened
from seatrial.measure.tables import Floats, Ints
from seatrial.measure.window import Window
from seatrial.model import Phase
from seatrial.model import Span as PhaseSpan
from seatrial.report import numbers, palette, words
from seatrial.wire.streams import NULL

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
    events: Sequence[Happened]
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
        line = Span(dimension="height", line_color=palette.GREY, line_width=1, name="crosshair")
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
                        fill_color=palette.GREY,
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
                "colour": [palette.VERMILLION if kill else palette.GREY for kill in killed],
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


def in_words(event: Happened) -> str:
    """Return one event in a line, as the text report says it, without the image's name."""
    return f"{numbers.moment(event.after_ns)} {words.event(event)}"


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
    chart.grid.grid_line_color = palette.GREY
    chart.grid.grid_line_alpha = 0.25
    chart.axis.axis_line_color = palette.GREY
    chart.axis.major_tick_line_color = palette.GREY
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

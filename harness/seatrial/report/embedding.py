"""Charts as parts of a page: one script for all of them, so that they share ranges and the crosshair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bokeh.embed import components
from bokeh.resources import Resources
from markupsafe import Markup

from seatrial.report.curves import Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """BokehJS itself, the script that draws, and for each chart's name the element that it is drawn into."""

    library: Markup
    script: Markup
    places: Mapping[str, Markup]


def drawn(charts: Sequence[Chart]) -> Drawn | None:
    """Return what the page needs for its charts; None without any. Bokeh's core is enough: no widgets."""
    if not charts:
        return None
    script, places = components({chart.name: chart.figure for chart in charts}, wrap_script=True)
    library = Resources(mode="inline", components=["bokeh"], log_level="error").render_js()
    return Drawn(
        library=Markup(library),  # noqa: S704  (Bokeh's own file)
        script=Markup(script),  # noqa: S704  (JSON that Bokeh has escaped)
        places={name: Markup(place) for name, place in places.items()},  # noqa: S704  (an empty div)
    )

"""What the charts of one run are drawn from, and the chart itself as the page places it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bokeh.plotting import figure

from seatrial.analysis.contents import Happened
from seatrial.measure.series import Pace, Pulse, Rise
from seatrial.measure.timeseries import Held, Worked
from seatrial.measure.window import Window
from seatrial.model import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """One run over time, and how its latency is distributed; `held` stands in the order of the request's way.

    All share the clock of the run; `window` tells where its zero is on the page. Without `latency_told` latency
    says how long the run was and nothing of the server, and is not shown. `work` names what the load is counted
    in: requests, or flows where no request was made.
    """

    window: Window
    spans: Sequence[Span]
    events: Sequence[Happened]
    pace: Pace
    rises: Sequence[Rise]
    held: Sequence[Held]
    worked: Sequence[Worked]
    pulse: Pulse
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

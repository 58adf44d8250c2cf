"""The charts of an experiment: effects, blocks in time, distributions, capacity curve."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from bokeh.models import BasicTicker, ColumnDataSource, NumeralTickFormatter, Range1d
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.plotting import figure

from seatrial.analysis.results import ExperimentResult
from seatrial.compare.capacity import CapacityResult, CapacityWord, TrialResult
from seatrial.compare.verdicts import Verdict, Word
from seatrial.measure.metric import Metric, Unit
from seatrial.measure.timeseries import LatencyDistribution
from seatrial.report import capacity_sections, experiment_sections, numbers, run_charts, timeline
from seatrial.report.experiment_sections import interval, points
from seatrial.report.timeline import Chart, Key, logarithmic_ticks, nearest, plain

_FURTHEST = 8.0
"""How many times the middle interval the axis goes: half of the intervals still take an eighth of their side."""
_LABEL_CHARS = 52
"""Of 12 px, so that a label fits into 366 px: a telephone's 390 without the margins."""
_LINE_PX, _POINT_PX = 15, 9
_WORSE, _BETTER, _NEITHER = timeline.VERMILLION, timeline.BLUE, timeline.GREY
_COLOURS = {
    Word.REGRESSION: _WORSE,
    Word.LIKELY_REGRESSION: _WORSE,
    Word.IMPROVEMENT: _BETTER,
    Word.LIKELY_IMPROVEMENT: _BETTER,
}


def forest(verdicts: Sequence[Verdict], base: str) -> Chart:
    """Return a row for each verdict: its effect, its interval, and the changes that would not matter.

    What reaches beyond the axis ends in an arrow, and its label has the numbers.
    """
    axis = interval_ends(verdicts)
    labels = [_label(one, axis) for one in verdicts]
    row_px = 2 * _POINT_PX + 16 + _LINE_PX * max(label.count("\n") + 1 for label in labels)
    chart = _empty(len(verdicts), row_px, axis)
    source = ColumnDataSource(_columns(verdicts, axis, row_px) | {"label": labels})
    chart.hbar(
        "row", left="least", right="most", height=16 / row_px, source=source, color=timeline.GREY, alpha=0.3
    )
    chart.segment("low", "row", "high", "row", source=source, color="colour", line_width=3)
    drawn = chart.scatter("effect", "row", source=source, size=10, color="colour")
    nearest(chart, drawn, [("", "@who"), ("", "@said")])
    cut = _arrows(chart, verdicts, axis)
    chart.text(
        "begin",
        "above",
        "label",
        source=source,
        text_font_size="12px",
        text_color=timeline.GREY,
        text_baseline="bottom",
    )
    chart.add_layout(Span(location=0, dimension="height", line_color=timeline.GREY))
    chart.xaxis.formatter = NumeralTickFormatter(format="+0.[0] %")
    chart.xaxis.axis_label = f"change against {base}"
    said = "The point is the estimate, the line its interval; grey are the changes that are too small to matter."
    said += " An arrow: it goes on beyond the axis, to the numbers that stand there." if cut else ""
    return Chart(name="effects", title="Effects", unit="", said=said, keys=_KEYS, figure=chart)


_KEYS = (
    Key("worse", _WORSE),
    Key("better", _BETTER),
    Key("neither, or not decided", _NEITHER),
    Key("too small to matter", timeline.GREY, "area"),
)


def interval_ends(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """Return where the axis begins and ends: at the furthest interval, or at _FURTHEST times the middle one.

    Every threshold lies within it. Differences of shares are mostly so small that they are no measure for ratios.
    """
    lows = [min(_interval(one)[0], -one.metric.threshold) for one in verdicts]
    highs = [max(_interval(one)[1], one.metric.threshold) for one in verdicts]
    reach = [max(-low, high) for low, high in zip(lows, highs, strict=True)]
    ratios = [far for far, one in zip(reach, verdicts, strict=True) if not points(one)]
    middle = statistics.median_low(ratios or reach)
    furthest = max(_FURTHEST * middle, *(1.1 * one.metric.threshold for one in verdicts), 1e-6)
    return max(min(lows), -furthest), min(max(highs), furthest)


def _empty(rows: int, row_px: int, axis: tuple[float, float]) -> figure:
    margin = (axis[1] - axis[0]) * 0.05
    chart = figure(
        height=60 + row_px * rows,
        sizing_mode="stretch_width",
        x_range=Range1d(start=axis[0] - margin, end=axis[1] + margin),
        y_range=Range1d(start=0.5, end=rows + 0.8),
        toolbar_location=None,
        tools=[],
    )
    plain(chart)
    chart.yaxis.visible = False
    chart.ygrid.visible = False
    chart.min_border_left = 12
    return chart


def _columns(verdicts: Sequence[Verdict], axis: tuple[float, float], row_px: int) -> dict[str, list[Any]]:
    rows = _rows(verdicts)
    return {
        "row": rows,
        "above": [row + _POINT_PX / row_px for row in rows],
        "begin": [axis[0] - (axis[1] - axis[0]) * 0.04] * len(rows),
        "effect": [_within(one.effect, axis) for one in verdicts],
        "low": [min(max(_interval(one)[0], axis[0]), axis[1]) for one in verdicts],
        "high": [min(max(_interval(one)[1], axis[0]), axis[1]) for one in verdicts],
        "least": [-one.metric.threshold for one in verdicts],
        "most": [one.metric.threshold for one in verdicts],
        **_said(verdicts),
    }


def _rows(verdicts: Sequence[Verdict]) -> list[int]:
    return list(range(len(verdicts), 0, -1))


def _said(verdicts: Sequence[Verdict]) -> dict[str, list[Any]]:
    return {
        "colour": [_COLOURS.get(one.word, _NEITHER) for one in verdicts],
        "who": [f"{one.variant}: {one.metric.text}" for one in verdicts],
        "said": [f"{one.word}: {_numbers(one)}" for one in verdicts],
    }


def _arrows(chart: figure, verdicts: Sequence[Verdict], axis: tuple[float, float]) -> bool:
    """Draw an arrow where an interval is cut off; return whether any is."""
    rows = list(zip(verdicts, _rows(verdicts), strict=True))
    left = [(one, row) for one, row in rows if _interval(one)[0] < axis[0]]
    right = [(one, row) for one, row in rows if _interval(one)[1] > axis[1]]
    for cut, at, angle, name in (
        (left, axis[0], math.pi / 2, "cut-left"),
        (right, axis[1], -math.pi / 2, "cut-right"),
    ):
        if cut:
            places = {"x": [at] * len(cut), "row": [row for _, row in cut]}
            source = ColumnDataSource(places | _said([one for one, _ in cut]))
            drawn = chart.scatter(
                "x", "row", source=source, marker="triangle", angle=angle, size=13, color="colour", name=name
            )
            nearest(chart, drawn, [("", "@who"), ("", "@said")])
    return bool(left or right)


def _interval(verdict: Verdict) -> tuple[float, float]:
    span = verdict.rests_on
    return (span.low, span.high) if span else (0.0, 0.0)


def _within(effect: float | None, axis: tuple[float, float]) -> float:
    return effect if effect is not None and axis[0] <= effect <= axis[1] else math.nan


def _label(one: Verdict, axis: tuple[float, float]) -> str:
    """Return who it is, with the numbers where they lie beyond the axis, in lines that a telephone can show."""
    low, high = _interval(one)
    cut = low < axis[0] or high > axis[1]
    text = f"{one.variant}: {one.metric.text}" + (f": {_numbers(one)}" if cut else "")
    return "\n".join(textwrap.wrap(text, _LABEL_CHARS))


def _numbers(one: Verdict) -> str:
    return f"{numbers.change(one.effect, points=points(one))} ({interval(one)})"


_MS = 1_000_000
_UNITS = {**numbers.UNITS, Unit.PER_S: ("per second", 1.0)}


def experiment_charts(result: ExperimentResult, rises: Sequence[LatencyDistribution] = ()) -> Iterator[Chart]:
    """Yield the charts that there is something to draw of; `rises` are the latencies of each variant."""
    gated = experiment_sections.ordered(result.comparison.gated) if result.comparison else []
    estimated = [verdict for verdict in gated if verdict.effect is not None and verdict.rests_on]
    if estimated:
        yield forest(estimated, result.base)
    measured = [
        metric for metric in dict.fromkeys(verdict.metric for verdict in gated) if _has_values(result, metric)
    ]
    for index, metric in enumerate(measured):
        yield blocks_chart(result, metric, index)
    spread = run_charts.distribution_chart(rises, name="variants", title="Latency by variant")
    if spread:
        yield spread


def blocks_chart(result: ExperimentResult, metric: Metric, index: int = 0) -> Chart:
    """Return one metric in the order of the blocks, the base first; a hollow point was not used."""
    chart = figure(height=220, sizing_mode="stretch_width", toolbar_location=None, tools=[])
    plain(chart)
    unit, factor = _UNITS[metric.unit]
    keys: list[Key] = []
    for variant in _variants(result):
        runs = [
            (number, block[variant], value)
            for number, block in zip(result.numbers, result.blocks, strict=True)
            if variant in block and (value := block[variant].values.get(metric.text)) is not None
        ]
        if not runs:
            continue
        colour, dash = timeline.line_style(len(keys))
        source = ColumnDataSource(
            {
                "block": [number for number, _, _ in runs],
                "value": [value * factor for _, _, value in runs],
                "fill": [0.0 if run.invalid else 1.0 for _, run, _ in runs],
                "said": [f"{variant}: {numbers.measured(value, metric.unit)}" for _, _, value in runs],
                "why": [f"not used: {run.invalid}" if run.invalid else "" for _, run, _ in runs],
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
        title=f"{metric.text}, block by block",
        unit=unit,
        said=said,
        keys=tuple(keys),
        figure=chart,
    )


def capacity_chart(found: Sequence[CapacityResult]) -> Chart | None:
    """Return latency against the rate that was offered, and between which rates each variant's capacity lies.

    Trials that the generator spoiled are left out; None where no other was timed. A search that was cut short has
    no bounds: they would look like a result.
    """
    timed = [_timed(result) for result in found]
    if not any(timed):
        return None
    chart = figure(height=320, sizing_mode="stretch_width", y_axis_type="log", toolbar_location=None, tools=[])
    plain(chart)
    keys = []
    for place, (result, trials) in enumerate(zip(found, timed, strict=True)):
        colour, dash = timeline.line_style(place)
        curve = capacity_sections.curve(result)
        source = ColumnDataSource(
            {
                "rate": [trial.rate_per_s for trial, _ in trials],
                "ms": [max(took_ns, 1) / _MS for _, took_ns in trials],
                "fill": [1.0 if trial.kept else 0.0 for trial, _ in trials],
                "said": [
                    f"{result.variant}: {numbers.rate(trial.rate_per_s)}/s, {curve} {numbers.duration(took_ns)}"
                    for trial, took_ns in trials
                ],
                "kept": ["budgets kept" if trial.kept else "budgets broken" for trial, _ in trials],
            }
        )
        chart.line("rate", "ms", source=source, color=colour, line_dash=dash, line_width=2)
        drawn = chart.scatter(
            "rate", "ms", source=source, size=8, line_color=colour, fill_color=colour, fill_alpha="fill"
        )
        nearest(chart, drawn, [("", "@said"), ("", "@kept")])
        low, high = result.lower_per_s, result.upper_per_s
        if low is not None and high is not None and result.word is not CapacityWord.INTERRUPTED:
            chart.add_layout(
                BoxAnnotation(left=low, right=high, fill_color=colour, fill_alpha=0.15, line_color=None)
            )
        keys.append(Key(result.variant, colour, dash=dash))
    chart.xaxis.axis_label = "requests per second, offered"
    logarithmic_ticks(chart.yaxis[0], [max(took_ns, 1) / _MS for trials in timed for _, took_ns in trials])
    said = (
        "A full point kept the budgets, a hollow one did not; the shaded rates hold the capacity of each variant."
    )
    return Chart(
        name="capacity",
        title="Capacity",
        unit=f"{capacity_sections.curve(found[0])} in ms",
        said=said,
        keys=tuple(keys),
        figure=chart,
    )


def _variants(result: ExperimentResult) -> list[str]:
    names = dict.fromkeys(name for block in result.blocks for name in block)
    return sorted(names, key=lambda name: name != result.base)


def _has_values(result: ExperimentResult, metric: Metric) -> bool:
    return any(run.values.get(metric.text) is not None for block in result.blocks for run in block.values())


def _timed(result: CapacityResult) -> list[tuple[TrialResult, int]]:
    """Return the trials that say something of the stack, in the order of the rates, and how long requests took."""
    trials = sorted(result.trials, key=lambda trial: trial.rate_per_s)
    return [(trial, trial.latency_ns) for trial in trials if not trial.invalid and trial.latency_ns is not None]

"""Bokeh charts of an experiment: forest plot of effects, blocks in time, distributions, capacity curve."""

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
from seatrial.report.experiment_sections import in_points, interval
from seatrial.report.timeline import Chart, Key, blank, logarithmic_ticks, nearest

_FURTHEST = 8.0
"""How many times the middle interval the axis goes: half of the intervals still take an eighth of their side."""
_LABEL_CHARS = 52
"""Of 12 px, so that a label fits into 366 px: a phone's 390 without the margins."""
_LINE_PX, _POINT_PX = 15, 9
_WORSE, _BETTER, _NEITHER = timeline.VERMILLION, timeline.BLUE, timeline.GREY
_COLOURS = {
    Word.REGRESSION: _WORSE,
    Word.LIKELY_REGRESSION: _WORSE,
    Word.IMPROVEMENT: _BETTER,
    Word.LIKELY_IMPROVEMENT: _BETTER,
}
_KEYS = (
    Key("worse", _WORSE),
    Key("better", _BETTER),
    Key("neither, or not decided", _NEITHER),
    Key("too small to matter", timeline.GREY, "area"),
)
_MS = 1_000_000
_UNITS = {**numbers.UNITS, Unit.PER_S: ("per second", 1.0)}


def experiment_charts(
    result: ExperimentResult, distributions: Sequence[LatencyDistribution] = ()
) -> Iterator[Chart]:
    """Yield the charts that have something to draw; `distributions` are the latencies of each variant."""
    gated = experiment_sections.ordered(result.comparison.gated) if result.comparison else []
    estimated = [verdict for verdict in gated if verdict.effect is not None and verdict.deciding_interval]
    if estimated:
        yield forest(estimated, result.base)
    runs = [run for block in result.blocks for run in block.values()]
    metrics = dict.fromkeys(verdict.metric for verdict in gated)
    measured = [metric for metric in metrics if any(run.values.get(metric.text) is not None for run in runs)]
    for index, metric in enumerate(measured):
        yield _blocks_chart(result, metric, index)
    distribution = run_charts.distribution_chart(distributions, name="variants", title="Latency by variant")
    if distribution:
        yield distribution


def forest(verdicts: Sequence[Verdict], base: str) -> Chart:
    """Return a forest plot: a row for each verdict with its effect, its interval and its threshold.

    What lies beyond the axis ends in an arrow, and its label has the numbers.
    """
    axis = axis_ends(verdicts)
    labels = [_label(verdict, axis) for verdict in verdicts]
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
    caption = (
        "The point is the estimate, the line its interval; grey are the changes that are too small to matter."
    )
    caption += " An arrow: it goes on beyond the axis, to the numbers that stand there." if cut else ""
    return Chart(name="effects", title="Effects", unit="", caption=caption, keys=_KEYS, figure=chart)


def axis_ends(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """Return where the axis begins and ends: at the furthest interval, or at _FURTHEST times the middle one.

    Every threshold lies within it. Differences of shares are too small to set the axis of ratios.
    """
    lows = [min(_ends(verdict)[0], -verdict.metric.threshold) for verdict in verdicts]
    highs = [max(_ends(verdict)[1], verdict.metric.threshold) for verdict in verdicts]
    reach = [max(-low, high) for low, high in zip(lows, highs, strict=True)]
    ratios = [each for each, verdict in zip(reach, verdicts, strict=True) if not in_points(verdict)]
    middle = statistics.median_low(ratios or reach)
    furthest = max(_FURTHEST * middle, *(1.1 * verdict.metric.threshold for verdict in verdicts), 1e-6)
    return max(min(lows), -furthest), min(max(highs), furthest)


def _empty(rows: int, row_px: int, axis: tuple[float, float]) -> figure:
    margin = (axis[1] - axis[0]) * 0.05
    chart = blank(
        60 + row_px * rows,
        x_range=Range1d(start=axis[0] - margin, end=axis[1] + margin),
        y_range=Range1d(start=0.5, end=rows + 0.8),
    )
    chart.yaxis.visible = False
    chart.ygrid.visible = False
    chart.min_border_left = 12
    return chart


def _columns(verdicts: Sequence[Verdict], axis: tuple[float, float], row_px: int) -> dict[str, list[Any]]:
    begin, end = axis
    rows = list(range(len(verdicts), 0, -1))
    effects = [math.nan if verdict.effect is None else verdict.effect for verdict in verdicts]
    return {
        "row": rows,
        "above": [row + _POINT_PX / row_px for row in rows],
        "begin": [begin - (end - begin) * 0.04] * len(rows),
        "effect": [effect if begin <= effect <= end else math.nan for effect in effects],
        "low": [min(max(_ends(verdict)[0], begin), end) for verdict in verdicts],
        "high": [min(max(_ends(verdict)[1], begin), end) for verdict in verdicts],
        "least": [-verdict.metric.threshold for verdict in verdicts],
        "most": [verdict.metric.threshold for verdict in verdicts],
        **_texts(verdicts),
    }


def _texts(verdicts: Sequence[Verdict]) -> dict[str, list[Any]]:
    return {
        "colour": [_COLOURS.get(verdict.word, _NEITHER) for verdict in verdicts],
        "who": [f"{verdict.variant}: {verdict.metric.text}" for verdict in verdicts],
        "said": [f"{verdict.word}: {_numbers(verdict)}" for verdict in verdicts],
    }


def _arrows(chart: figure, verdicts: Sequence[Verdict], axis: tuple[float, float]) -> bool:
    """Draw an arrow where an interval is cut off; return whether any is."""
    rows = list(zip(verdicts, range(len(verdicts), 0, -1), strict=True))
    left = [(verdict, row) for verdict, row in rows if _ends(verdict)[0] < axis[0]]
    right = [(verdict, row) for verdict, row in rows if _ends(verdict)[1] > axis[1]]
    for cut, at, angle, name in (
        (left, axis[0], math.pi / 2, "cut-left"),
        (right, axis[1], -math.pi / 2, "cut-right"),
    ):
        if cut:
            places = {"x": [at] * len(cut), "row": [row for _, row in cut]}
            source = ColumnDataSource(places | _texts([verdict for verdict, _ in cut]))
            drawn = chart.scatter(
                "x", "row", source=source, marker="triangle", angle=angle, size=13, color="colour", name=name
            )
            nearest(chart, drawn, [("", "@who"), ("", "@said")])
    return bool(left or right)


def _ends(verdict: Verdict) -> tuple[float, float]:
    span = verdict.deciding_interval
    return (span.low, span.high) if span else (0.0, 0.0)


def _label(verdict: Verdict, axis: tuple[float, float]) -> str:
    """Return variant and metric, with the numbers if they lie beyond the axis, in lines that fit a phone."""
    low, high = _ends(verdict)
    cut = low < axis[0] or high > axis[1]
    text = f"{verdict.variant}: {verdict.metric.text}" + (f": {_numbers(verdict)}" if cut else "")
    return "\n".join(textwrap.wrap(text, _LABEL_CHARS))


def _numbers(verdict: Verdict) -> str:
    return f"{numbers.change(verdict.effect, points=in_points(verdict))} ({interval(verdict)})"


def _blocks_chart(result: ExperimentResult, metric: Metric, index: int) -> Chart:
    """Return one metric block by block, a line for each variant; a hollow point was not used."""
    chart = blank(220)
    unit, factor = _UNITS[metric.unit]
    keys: list[Key] = []
    names = dict.fromkeys(name for block in result.blocks for name in block)
    for variant in sorted(names, key=lambda name: name != result.base):
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
        points: dict[str, Any] = {"line_color": colour, "fill_color": colour, "fill_alpha": "fill"}
        drawn = chart.scatter("block", "value", source=source, size=9, **points)
        nearest(chart, drawn, [("block", "@block"), ("", "@said"), ("", "@why")])
        keys.append(Key(variant, colour, "dot", dash))
    chart.xaxis.axis_label = "block"
    chart.xaxis.ticker = BasicTicker(min_interval=1)
    caption = (
        "In the order in which blocks were run: a slope is a drift of the machine; a hollow point was not used."
    )
    return Chart(
        name=f"blocks-{index}",
        title=f"{metric.text}, block by block",
        unit=unit,
        caption=caption,
        keys=tuple(keys),
        figure=chart,
    )


def capacity_chart(results: Sequence[CapacityResult]) -> Chart | None:
    """Return latency over the offered rate, with the bounds of each variant's capacity; None if nothing was timed.

    Invalid trials are left out, and so are the bounds of an interrupted search, which would look like a result.
    """
    timed = [_timed(result) for result in results]
    if not any(timed):
        return None
    chart = blank(320, y_axis_type="log")
    keys = []
    for place, (result, trials) in enumerate(zip(results, timed, strict=True)):
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
        points: dict[str, Any] = {"line_color": colour, "fill_color": colour, "fill_alpha": "fill"}
        drawn = chart.scatter("rate", "ms", source=source, size=8, **points)
        nearest(chart, drawn, [("", "@said"), ("", "@kept")])
        low, high = result.lower_per_s, result.upper_per_s
        if low is not None and high is not None and result.word is not CapacityWord.INTERRUPTED:
            shade = BoxAnnotation(left=low, right=high, fill_color=colour, fill_alpha=0.15, line_color=None)
            chart.add_layout(shade)
        keys.append(Key(result.variant, colour, dash=dash))
    chart.xaxis.axis_label = "requests per second, offered"
    logarithmic_ticks(chart.yaxis[0], [max(took_ns, 1) / _MS for trials in timed for _, took_ns in trials])
    caption = (
        "A full point kept the budgets, a hollow one did not; the shaded rates hold the capacity of each variant."
    )
    return Chart(
        name="capacity",
        title="Capacity",
        unit=f"{capacity_sections.curve(results[0])} in ms",
        caption=caption,
        keys=tuple(keys),
        figure=chart,
    )


def _timed(result: CapacityResult) -> list[tuple[TrialResult, int]]:
    """Return the valid trials with a latency, in the order of the rates."""
    trials = sorted(result.trials, key=lambda trial: trial.rate_per_s)
    return [(trial, trial.latency_ns) for trial in trials if not trial.invalid and trial.latency_ns is not None]

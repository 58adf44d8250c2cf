"""The charts of an experiment: effects with their intervals, blocks in time, distributions; and of a capacity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bokeh.models import BasicTicker, ColumnDataSource
from bokeh.models.annotations import BoxAnnotation
from bokeh.plotting import figure

from seatrial.analysis.results import Weighed
from seatrial.compare.capacity import TrialResult
from seatrial.compare.carrying import Carries, Word
from seatrial.measure.metric import Metric, Unit
from seatrial.measure.series import Rise
from seatrial.report import capacity_sections as capacity_words
from seatrial.report import experiment_charts as effects_chart
from seatrial.report import experiment_sections as words
from seatrial.report import numbers, palette
from seatrial.report import run_charts as charts
from seatrial.report.curves import Chart, Key
from seatrial.report.ticks import logarithmic
from seatrial.report.timeline import nearest, plain

_MS = 1_000_000
_UNITS = {**numbers.UNITS, Unit.PER_S: ("per second", 1.0)}


def of_experiment(result: Weighed, rises: Sequence[Rise] = ()) -> Iterator[Chart]:
    """Yield the charts that there is something to draw of; `rises` are the latencies of each variant."""
    gated = words.ordered(result.comparison.gated) if result.comparison else []
    estimated = [verdict for verdict in gated if verdict.effect is not None and verdict.rests_on]
    if estimated:
        yield effects_chart.forest(estimated, result.base)
    measured = [
        metric for metric in dict.fromkeys(verdict.metric for verdict in gated) if _has_values(result, metric)
    ]
    for index, metric in enumerate(measured):
        yield blocks(result, metric, index)
    spread = charts.distribution(rises, name="variants", title="Latency by variant")
    if spread:
        yield spread


def blocks(result: Weighed, metric: Metric, index: int = 0) -> Chart:
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
        colour, dash = palette.line(len(keys))
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


def capacity(found: Sequence[Carries]) -> Chart | None:
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
        colour, dash = palette.line(place)
        curve = capacity_words.curve(result)
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
        if low is not None and high is not None and result.word is not Word.INTERRUPTED:
            chart.add_layout(
                BoxAnnotation(left=low, right=high, fill_color=colour, fill_alpha=0.15, line_color=None)
            )
        keys.append(Key(result.variant, colour, dash=dash))
    chart.xaxis.axis_label = "requests per second, offered"
    logarithmic(chart.yaxis[0], [max(took_ns, 1) / _MS for trials in timed for _, took_ns in trials])
    said = (
        "A full point kept the budgets, a hollow one did not; the shaded rates hold the capacity of each variant."
    )
    return Chart(
        name="capacity",
        title="Capacity",
        unit=f"{capacity_words.curve(found[0])} in ms",
        said=said,
        keys=tuple(keys),
        figure=chart,
    )


def _variants(result: Weighed) -> list[str]:
    names = dict.fromkeys(name for block in result.blocks for name in block)
    return sorted(names, key=lambda name: name != result.base)


def _has_values(result: Weighed, metric: Metric) -> bool:
    return any(run.values.get(metric.text) is not None for block in result.blocks for run in block.values())


def _timed(result: Carries) -> list[tuple[TrialResult, int]]:
    """Return the trials that say something of the stack, in the order of the rates, and how long requests took."""
    trials = sorted(result.trials, key=lambda trial: trial.rate_per_s)
    return [(trial, trial.latency_ns) for trial in trials if not trial.invalid and trial.latency_ns is not None]

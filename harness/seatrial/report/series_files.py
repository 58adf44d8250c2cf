"""The files of an experiment that programs read, and those of tools that watch figures from commit to commit."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seatrial.analysis.results import Weighed
from seatrial.compare.levels import Level
from seatrial.measure.metric import Kind, Metric, Unit
from seatrial.record.durable import replacing, writing
from seatrial.report import ci_exports as junit
from seatrial.report import experiment_markdown, numbers
from seatrial.report import json_export as experiment_json
from seatrial.report.json_export import moment

_NO_NAME = re.compile(r"[^A-Za-z0-9]+")


def benchmark(weighed: Weighed) -> str:
    """Return `customSmallerIsBetter` of github-action-benchmark: a name, a value and its range for each metric.

    Throughput, of which more is better, is left out.
    """
    rows = [
        _entry(variant, metric, weighed.levels[variant][metric.text])
        for variant in weighed.levels
        for metric in _watched(weighed)
        if metric.kind is not Kind.THROUGHPUT and metric.text in weighed.levels[variant]
    ]
    return json.dumps(rows, indent=1) + "\n"


def changes(weighed: Weighed) -> str:
    """Return one row a block: time, commit, and a column for each variant's metric; empty where untold."""
    watched = [(name, metric) for name in weighed.levels for metric in _watched(weighed)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["time", "commit", *(_column(name, metric) for name, metric in watched)])
    began = {one.block: one.began_ns for one in reversed(weighed.taken) if one.began_ns is not None}
    for number, block in zip(weighed.numbers, weighed.blocks, strict=True):
        values = [_value(block.get(name), metric) for name, metric in watched]
        writer.writerow([moment(began.get(number)) or "", weighed.commit, *values])
    return stream.getvalue()


def _watched(weighed: Weighed) -> list[Metric]:
    """Return what is gated, else what budgets are about, else all."""
    if weighed.comparison:
        return list(dict.fromkeys(one.metric for one in weighed.comparison.gated))
    limited = [one.budget.metric for each in weighed.budgets.values() for one in each]
    return [*{one.text: one for one in limited}.values()] or list(weighed.metrics.values())


def _entry(variant: str, metric: Metric, level: Level) -> dict[str, Any]:
    unit, factor = numbers.UNITS[metric.unit]
    entry: dict[str, Any] = {"name": f"{variant}: {metric.text}", "unit": unit, "value": level.value * factor}
    if level.low is not None and level.high is not None:
        entry["range"] = f"± {(level.high - level.low) / 2 * factor:.3g}"
    return {**entry, "extra": f"mean of {level.blocks} block{'' if level.blocks == 1 else 's'}, range with 95 %"}


def _column(variant: str, metric: Metric) -> str:
    unit = {Unit.NS: "ns", Unit.BYTES: "bytes", Unit.SHARE: "share", Unit.PER_S: "per_s", Unit.COUNT: "count"}[
        metric.unit
    ]
    return "_".join(_NO_NAME.sub("_", part).strip("_") for part in (variant, metric.text, unit))


def _value(run: Any, metric: Metric) -> str:  # noqa: ANN401  (a run, or None)
    if run is None or run.invalid or run.ended != "finished":
        return ""
    value = run.values.get(metric.text)
    return "" if value is None else f"{value:.9g}"


FORMS: Mapping[str, tuple[str, Callable[[Weighed], str]]] = {
    "json": ("verdict.json", experiment_json.text),
    "markdown": ("verdict.md", experiment_markdown.render),
    "junit": ("junit.xml", junit.render),
    "benchmark": ("benchmark.json", benchmark),
    "csv": ("changes.csv", changes),
}
"""By the name of the form: its file, and what makes it."""


def save(weighed: Weighed, experiment: Path) -> None:
    """Write every form into the folder, each whole or not at all; ResultsUnwritable if the disk refuses."""
    for name, form in FORMS.values():
        with writing(experiment / name), replacing(experiment / name) as stream:
            stream.write(form(weighed).encode())

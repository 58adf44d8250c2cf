"""The HTML page of a run or an experiment: one offline file with tables and Bokeh charts."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.embed import components
from bokeh.models import CrosshairTool
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seatrial.analysis.results import Event, ExperimentResult, RunResult, StoredRun
from seatrial.analysis.run import RecordedRun, load_run, run_result
from seatrial.analysis.stored_runs import RunCache
from seatrial.compare.capacity import CapacityResult
from seatrial.measure import requests as measure_requests
from seatrial.measure import timeseries
from seatrial.measure.experience import session_points
from seatrial.measure.requests import success_latency
from seatrial.measure.timeseries import LatencyDistribution, TimeGrid
from seatrial.measure.validity import RESERVED
from seatrial.record import documents
from seatrial.record.folder import RunFolder, replacing, writing
from seatrial.report import capacity_sections, experiment_charts, experiment_sections, run_charts, run_sections
from seatrial.report.timeline import Chart, RunSeries
from seatrial.wire.streams import NULL

NAME = "report.html"
_MOST_EVENTS = 50
_MOST_VARIANTS = 6
"""Charts over time of more variants would be many megabytes; `seatrial report RUN` draws any run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRun:
    """One run as a page shows it: its result, its series for the charts, and the facts in run.json.

    `choice` is why an experiment's page shows this run of its variant.
    """

    result: RunResult
    series: RunSeries
    facts: Mapping[str, Any]
    choice: str = ""


def write_run(folder: RunFolder, output: Path | None = None) -> Path:
    """Write the page to `output`, or into the experiment's folder; return where.

    UsageError if the run can't be read or was not sealed, ResultsUnwritable if the disk refuses.
    """
    return _write(run_page(folder), output or folder.experiment / NAME)


def write_experiment(
    result: ExperimentResult, experiment: Path, output: Path | None = None, cache: RunCache | None = None
) -> Path:
    """Write the page of an experiment to `output`, or into its folder; return where. Errors as for `write_run`.

    `cache` is the one that the experiment was analysed with.
    """
    return _write(experiment_page(result, experiment, cache or RunCache()), output or experiment / NAME)


def _write(page: str, path: Path) -> Path:
    with writing(path), replacing(path) as stream:
        stream.write(page.encode())
    return path


def run_page(folder: RunFolder) -> str:
    """Return the page of the run in `folder`, below the capacities that its experiment found."""
    runs = [RunFolder(root) for root in sorted((folder.experiment / "runs").glob("*"))]
    capacities = [capacity for capacity in map(documents.load_capacity, runs) if capacity is not None]
    return render_run(shown_run(load_run(folder)), folder.experiment, capacities)


def render_run(run: ShownRun, experiment: Path, capacities: Sequence[CapacityResult] = ()) -> str:
    """Return the page of a run and of the capacities of its experiment."""
    result, series = run.result, run.series
    capacity = experiment_charts.capacity_chart(capacities)
    timed = list(run_charts.time_charts(series))
    distribution = (
        run_charts.distribution_chart(series.distributions, title=f"Latency by {series.group}")
        if series.has_latency
        else None
    )
    return _render(
        "run.html.j2",
        [run],
        experiment,
        timed=timed,
        charts=(capacity, *timed, distribution),
        title=run_sections.title(result),
        word=run_sections.word(result),
        sections=run_sections.sections(result),
        result=result,
        headline=run_sections.headline(result),
        reasons=run_sections.reasons(result),
        capacities=capacity_sections.sentences(capacities),
        capacity_title=f"Capacity: {experiment.name}",
        capacity=capacity,
        advice=run_sections.ADVICE,
        events=_event_lines(result.events),
        distribution=distribution,
    )


def experiment_page(result: ExperimentResult, experiment: Path, cache: RunCache) -> str:
    """Return the page of an experiment, with one run of each variant over time."""
    compared = list(experiment_charts.experiment_charts(result, _distributions(result, cache)))
    runs = list(_typical_runs(result, cache))
    parts = [_part(number, run) for number, run in enumerate(runs)]
    timed = [chart for part in parts for chart in part["charts"]]
    _share_time(timed)
    return _render(
        "experiment.html.j2",
        runs,
        experiment,
        timed=timed,
        charts=(*compared, *timed),
        title=experiment_sections.title(result),
        word=result.word,
        sections=experiment_sections.sections(result),
        question=result.plan.question,
        reasons=list(experiment_sections.reasons(result)),
        compared=compared,
        parts=parts,
    )


def _render(
    template: str,
    runs: Sequence[ShownRun],
    experiment: Path,
    *,
    timed: Sequence[Chart],
    charts: Sequence[Chart | None],
    **values: Any,  # noqa: ANN401  (what this template alone shows)
) -> str:
    """Return a page; those of its `charts` that are `timed` share the time axis of the first of the `runs`."""
    environment = Environment(
        loader=PackageLoader("seatrial.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    window_end = runs[0].series.time().at(runs[0].series.window.until_ns) if timed else None
    page: str = environment.get_template(template).render(
        **values,
        timed=timed,
        drawn=_embedded([chart for chart in charts if chart]),
        window=(0.0, window_end),
        marked=any(run.series.events for run in runs),
        facts=run_sections.fact_lines(runs[0].facts) if runs else (),
        plan=run_sections.fact_lines(_plan(experiment)),
    )
    return page


def _embedded(charts: Sequence[Chart]) -> dict[str, Any] | None:
    """Return BokehJS, the script that draws, and the element of each chart by its name; None without charts.

    Bokeh's core is enough, because there are no widgets.
    """
    if not charts:
        return None
    script, places = components({chart.name: chart.figure for chart in charts}, wrap_script=True)
    library = Resources(mode="inline", components=["bokeh"], log_level="error").render_js()
    return {
        "library": Markup(library),  # noqa: S704  (Bokeh's own file)
        "script": Markup(script),  # noqa: S704  (JSON that Bokeh has escaped)
        "places": {name: Markup(place) for name, place in places.items()},  # noqa: S704  (an empty div)
    }


def _plan(experiment: Path) -> dict[str, Any]:
    """Return plan.json; empty where there is none, as in a run folder that was moved alone."""
    try:
        plan = json.loads((experiment / "plan.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}


def _event_lines(events: Sequence[Event]) -> list[str]:
    """Return the first events, each in a line, and how many more there are."""
    lines = [run_sections.event_line(event) for event in sorted(events, key=lambda event: event.after_ns)]
    more = len(lines) - _MOST_EVENTS
    return [*lines[:_MOST_EVENTS], f"{more} more in events.jsonl"] if more > 0 else lines


def _part(number: int, run: ShownRun) -> dict[str, Any]:
    """Return one run for the template of an experiment."""
    result, variant = run.result, run.result.info.variant
    return {
        "anchor": f"run-{number}-{re.sub(r'[^a-z0-9-]', '-', variant.lower())}",
        "name": variant,
        "choice": run.choice,
        "word": run_sections.word(result),
        "headline": run_sections.headline(result),
        "reasons": run_sections.reasons(result),
        "notes": [f"{note.kind}: {note.text}" for note in result.notes if not note.invalidates],
        "events": _event_lines(run.series.events),
        "lines": run_sections.run_lines(result),
        "charts": [
            replace(chart, name=f"{chart.name}-{number}", title=f"{variant}: {chart.title}")
            for chart in run_charts.time_charts(run.series)
        ],
    }


def _share_time(timed: Sequence[Chart]) -> None:
    """Give the charts of several runs one time range and one crosshair: equal moments stand below each other."""
    if not timed:
        return
    first = timed[0].figure
    alike = [chart.figure for chart in timed if chart.figure.xaxis[0].axis_label == first.xaxis[0].axis_label]
    ranges: list[Any] = [each.x_range for each in alike]
    begin, end = min(each.start for each in ranges), max(each.end for each in ranges)
    first.x_range.update(start=begin, end=end, bounds=(begin, end))
    crosshairs = [next(tool for tool in each.tools if isinstance(tool, CrosshairTool)) for each in alike]
    for each, crosshair in zip(alike, crosshairs, strict=True):
        each.x_range = first.x_range
        crosshair.overlay = crosshairs[0].overlay


def _typical_runs(result: ExperimentResult, cache: RunCache) -> Iterator[ShownRun]:
    """Yield one run of each variant: that whose first gated metric is nearest to the median of its runs."""
    metric = next(iter(result.metrics), "")
    for name in result.plan.variants[:_MOST_VARIANTS]:
        chosen = _typical([run for run in result.runs if run.variant == name], metric)
        if chosen:
            run, choice = chosen
            yield replace(shown_run(cache.recorded(RunFolder(Path(run.folder)))), choice=choice)


def _typical(runs: Sequence[StoredRun], metric: str) -> tuple[StoredRun, str] | None:
    measured = [run for run in runs if run.usable and run.measured.values.get(metric) is not None]
    if measured:
        middle = statistics.median_low(run.measured.values[metric] or 0 for run in measured)
        run = next(run for run in measured if run.measured.values[metric] == middle)
        return run, f"block {run.block}: of {len(measured)} runs that with the middle value of {metric}"
    readable = [run for run in runs if run.readable]
    return (readable[-1], f"block {readable[-1].block}: no run of this variant is judged") if readable else None


def _distributions(result: ExperimentResult, cache: RunCache) -> list[LatencyDistribution]:
    """Return the latency distribution of each variant over all its usable runs."""
    distributions = []
    for name in result.plan.variants:
        runs = [run for run in result.runs if run.variant == name and run.usable]
        latencies = [success_latency(cache.recorded(RunFolder(Path(run.folder))).requests)[1] for run in runs]
        if any(map(len, latencies)):
            distributions.append(timeseries.latency_distribution(name, np.concatenate(latencies)))
    return distributions


def shown_run(run: RecordedRun) -> ShownRun:
    """Return a run as a page shows it; UsageError for a budget that can't be read."""
    result = run_result(run)
    requests, grid = (run.requests, run.other_requests), _grid(run)
    ranks = {service.use.service: rank for rank, service in enumerate(result.services)}
    by_flows = not any(len(table.t_start_ns) for table in requests) and len(run.flows.t_start_ns) > 0
    series = RunSeries(
        window=run.window,
        spans=run.document.spans,
        events=(*result.events, *_kills(run)),
        load=measure_requests.load_series([run.flows] if by_flows else requests, grid),
        distributions=measure_requests.distributions(run.flows_in_window if by_flows else run.requests),
        memory=sorted(
            timeseries.memory_series(run.samples), key=lambda memory: ranks.get(memory.service, len(ranks))
        ),
        cpu=sorted(timeseries.cpu_series(run.samples, grid), key=lambda cpu: ranks.get(cpu.service, len(ranks))),
        generator=timeseries.generator_series(run.generator, grid),
        sessions=session_points(run.flows, run.details),
        has_latency=not result.saturated,
        by_flows=by_flows,
    )
    return ShownRun(result=result, series=series, facts=run.document.facts)


def _grid(run: RecordedRun) -> TimeGrid:
    """Return a grid over everything that was recorded."""
    requests = (run.requests, run.other_requests)
    stamps = [
        run.samples.numbers["t_ns"],
        run.generator.t_ns,
        *(table.t_start_ns for table in requests),
        *(table.t_end_ns[table.t_end_ns != NULL] for table in requests),
    ]
    stretches = [(run.window.from_ns, run.window.until_ns)]
    stretches += [(span.from_ns, span.until_ns) for span in run.document.spans]
    ends = [edge for from_ns, until_ns in stretches for edge in (from_ns, until_ns - 1)]
    ends += [int(end) for column in stamps if len(column) for end in (column.min(), column.max())]
    return timeseries.time_grid(min(ends), max(ends), run.window.from_ns)


def _kills(run: RecordedRun) -> list[Event]:
    """Return the kernel's kills as events: Docker reports the end of a container, but not of a child process."""
    return [
        Event(
            after_ns=kill.t_ns - run.window.from_ns,
            service=kill.service,
            event="oom_kill",
            detail={"processes": kill.processes},
        )
        for kill in timeseries.oom_kills(run.samples)
        if kill.service not in RESERVED
    ]

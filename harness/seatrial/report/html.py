"""report.html of a run or an experiment, in one offline page; imports Bokeh."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.embed import components
from bokeh.models import CrosshairTool
from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seatrial.analysis.results import Event, ExperimentResult, RunResult, StoredRun
from seatrial.analysis.run import RecordedRun, load_run, run_result
from seatrial.analysis.stored_runs import RunCache
from seatrial.compare.capacity import CapacityResult
from seatrial.compare.pairing import FINISHED
from seatrial.measure import requests as measure_requests
from seatrial.measure import timeseries
from seatrial.measure.requests import success_latency
from seatrial.measure.timeseries import LatencyDistribution, TimeGrid
from seatrial.measure.validity import RESERVED
from seatrial.record import documents
from seatrial.record.folder import RunFolder, replacing, writing
from seatrial.report import capacity_sections, experiment_charts, experiment_sections, run_charts, run_sections
from seatrial.report.run_sections import MENDS
from seatrial.report.timeline import Chart, Curves, in_words
from seatrial.wire.streams import NULL


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedChart:
    """BokehJS itself, the script that draws, and for each chart's name the element that it is drawn into."""

    library: Markup
    script: Markup
    places: Mapping[str, Markup]


def embedded(charts: Sequence[Chart]) -> EmbeddedChart | None:
    """Return what the page needs for its charts; None without any. Bokeh's core is enough: no widgets."""
    if not charts:
        return None
    script, places = components({chart.name: chart.figure for chart in charts}, wrap_script=True)
    library = Resources(mode="inline", components=["bokeh"], log_level="error").render_js()
    return EmbeddedChart(
        library=Markup(library),  # noqa: S704  (Bokeh's own file)
        script=Markup(script),  # noqa: S704  (JSON that Bokeh has escaped)
        places={name: Markup(place) for name, place in places.items()},  # noqa: S704  (an empty div)
    )


_MOST_EVENTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """One run as the page shows it; `facts` and `plan` are what run.json and plan.json hold."""

    review: RunResult
    curves: Curves
    facts: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)


def render_run(shown: RunPage, capacities: Sequence[CapacityResult] = (), title: str = "") -> str:
    """Return the page of a run, below the capacities that were found with it, under their own title."""
    result = shown.review
    capacity = experiment_charts.capacity_chart(capacities)
    timed = list(run_charts.time_charts(shown.curves))
    by = "Latency by endpoint" if shown.curves.work == "requests" else "Latency by flow"
    spread = run_charts.distribution_chart(shown.curves.rises, title=by) if shown.curves.latency_told else None
    text: str = template("page.html.j2").render(
        result=result,
        title=run_sections.run_title(result),
        summary=run_sections.run_headline(result),
        word=run_sections.run_word(result),
        reasons=run_sections.run_reasons(result),
        capacities=capacity_sections.sentences(capacities),
        capacity_title=title,
        capacity=capacity,
        sections=run_sections.sections(result),
        mends=MENDS,
        events=event_lines(result.events),
        timed=timed,
        marked=bool(shown.curves.events),
        spread=spread,
        window=ends(timed, shown.curves),
        facts=run_sections.fact_sections(shown.facts),
        plan=run_sections.fact_sections(shown.plan),
        drawn=embedded([chart for chart in (capacity, *timed, spread) if chart]),
    )
    return text


def event_lines(events: Sequence[Event]) -> list[str]:
    """Return the first events, each in a line, and how many more there are."""
    lines = [in_words(event) for event in sorted(events, key=lambda event: event.after_ns)]
    more = len(lines) - _MOST_EVENTS
    return [*lines[:_MOST_EVENTS], f"{more} more in events.jsonl"] if more > 0 else lines


def ends(timed: Sequence[Chart], curves: Curves) -> tuple[float, float] | None:
    """Return where the window begins and ends on the shared axis."""
    if not timed:
        return None
    window = curves.window
    return 0.0, run_charts.axis_of(curves).at(window.until_ns)


def template(name: str) -> Any:  # noqa: ANN401  (jinja2's own type is a Template)
    """Return one of the templates, in which everything is taken for text."""
    environment = Environment(
        loader=PackageLoader("seatrial.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantPage:
    """One run that stands for its variant, and why it is this one."""

    variant: str
    said: str
    shown: RunPage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    anchor: str
    name: str
    said: str
    word: str
    result: str
    reasons: Sequence[str]
    notes: Sequence[str]
    events: Sequence[str]
    run: Sequence[tuple[str, str]]
    charts: Sequence[Chart] = field(default_factory=tuple)


def render_experiment(
    result: ExperimentResult,
    rises: Sequence[LatencyDistribution],
    members: Sequence[VariantPage],
    plan: Mapping[str, Any] | None = None,
) -> str:
    """Return the page; `rises` are the latencies of each variant, `plan` is what plan.json holds."""
    compared = list(experiment_charts.experiment_charts(result, rises))
    parts = [_part(number, member) for number, member in enumerate(members)]
    timed = [chart for part in parts for chart in part.charts]
    _share_time(timed)
    text: str = template("experiment.html.j2").render(
        word=result.word,
        title=experiment_sections.experiment_title(result),
        question=result.plan.question,
        said=list(experiment_sections.experiment_reasons(result)),
        sections=experiment_sections.sections(result),
        compared=compared,
        members=parts,
        timed=bool(timed),
        marked=any(member.shown.curves.events for member in members),
        window=ends(timed, members[0].shown.curves) if timed else None,
        plan=run_sections.fact_sections(plan or {}),
        facts=run_sections.fact_sections(members[0].shown.facts) if members else (),
        drawn=embedded([*compared, *timed]),
    )
    return text


def _part(number: int, member: VariantPage) -> _Part:
    review = member.shown.review
    drawn = run_charts.time_charts(member.shown.curves)
    return _Part(
        anchor=f"run-{number}-{re.sub(r'[^a-z0-9-]', '-', member.variant.lower())}",
        name=member.variant,
        said=member.said,
        word=run_sections.run_word(review),
        result=run_sections.run_headline(review),
        reasons=run_sections.run_reasons(review),
        notes=[f"{note.kind}: {note.text}" for note in review.notes if not note.invalidates],
        events=event_lines(member.shown.curves.events),
        run=run_sections.run_lines(review),
        charts=[
            replace(one, name=f"{one.name}-{number}", title=f"{member.variant}: {one.title}") for one in drawn
        ],
    )


def _share_time(drawn: Sequence[Chart]) -> None:
    """Give all charts one range and one crosshair: one moment after the start stands in one column everywhere."""
    if not drawn:
        return
    first = drawn[0].figure
    line = _crosshair(first).overlay
    alike = [one.figure for one in drawn if one.figure.xaxis[0].axis_label == first.xaxis[0].axis_label]
    begin, end = (
        choose(getattr(one.x_range, side) for one in alike) for choose, side in ((min, "start"), (max, "end"))
    )
    shared = first.x_range
    shared.update(start=begin, end=end, bounds=(begin, end))
    for one in alike:
        one.x_range = shared
        _crosshair(one).overlay = line


def _crosshair(drawn: figure) -> CrosshairTool:
    return next(tool for tool in drawn.tools if isinstance(tool, CrosshairTool))


NAME = "report.html"
_MOST_MEMBERS = 6
"""Of more variants the charts over time would be many megabytes; `seatrial report RUN` draws any of them."""


def page_of(folder: RunFolder) -> str:
    """Return the page of the run in `folder`; UsageError if it can't be read or was not sealed."""
    runs = [RunFolder(root) for root in sorted((folder.experiment / "runs").glob("*"))]
    searched = [found for found in map(documents.load_capacity, runs) if found is not None]
    return render_run(shown(load_run(folder)), searched, f"Capacity: {folder.experiment.name}")


def shown(run: RecordedRun) -> RunPage:
    """Return what the page shows of a run, for a page that shows more; UsageError as for `page_of`."""
    result = run_result(run)
    plan = _plan(run.folder.experiment / "plan.json")
    return RunPage(review=result, curves=_curves(run, result), facts=run.document.facts, plan=plan)


def write(folder: RunFolder, output: Path | None = None) -> Path:
    """Write the page to `output`, or into the experiment's folder; return where. ResultsUnwritable if refused."""
    path = output or folder.experiment / NAME
    text = page_of(folder)
    with writing(path), replacing(path) as stream:
        stream.write(text.encode())
    return path


def write_experiment(
    weighed: ExperimentResult, experiment: Path, output: Path | None = None, cache: RunCache | None = None
) -> Path:
    """Write the page of an experiment to `output`, or into its folder; return where. Errors as for `write`.

    `cache` is what the experiment was analysed with.
    """
    path, cache = output or experiment / NAME, cache or RunCache()
    rises, members = _rises(weighed, cache), _members(weighed, cache)
    text = render_experiment(weighed, rises, members, _plan(experiment / "plan.json"))
    with writing(path), replacing(path) as stream:
        stream.write(text.encode())
    return path


def _members(weighed: ExperimentResult, cache: RunCache) -> list[VariantPage]:
    """Return one run for each variant: that whose first gated metric is nearest to the median of its runs."""
    first = next(iter(weighed.metrics), "")
    names = weighed.plan.variants[:_MOST_MEMBERS]
    found = (_typical([one for one in weighed.runs if one.variant == name], first) for name in names)
    return [
        VariantPage(variant=run.variant, said=why, shown=shown(cache.recorded(RunFolder(Path(run.folder)))))
        for run, why in filter(None, found)
    ]


def _typical(taken: Sequence[StoredRun], metric: str) -> tuple[StoredRun, str] | None:
    usable = [one for one in taken if not one.measured.invalid and one.measured.ended == FINISHED]
    told = [(value, one) for one in usable if (value := one.measured.values.get(metric)) is not None]
    if told:
        middle = statistics.median_low(value for value, _ in told)
        chosen = next(one for value, one in told if value == middle)
        return chosen, f"block {chosen.block}: of {len(told)} runs that with the middle value of {metric}"
    readable = [one for one in taken if one.readable]
    return (readable[-1], f"block {readable[-1].block}: no run of this variant is judged") if readable else None


def _rises(weighed: ExperimentResult, cache: RunCache) -> list[LatencyDistribution]:
    """Return how the latency of all judged runs of each variant is distributed."""
    kept = [run for run in weighed.runs if not run.measured.invalid and run.measured.ended == FINISHED]
    rises = []
    for name in weighed.plan.variants:
        runs = (cache.recorded(RunFolder(Path(run.folder))) for run in kept if run.variant == name)
        took = [success_latency(run.requests)[1] for run in runs]
        if any(len(latencies) for latencies in took):
            rises.append(timeseries.latency_distribution(name, np.concatenate(took)))
    return rises


def _curves(run: RecordedRun, result: RunResult) -> Curves:
    requests, order = (run.requests, run.other_requests), [placed.use.service for placed in result.services]
    grid = _grid(run)
    by_flows = not any(len(table.t_start_ns) for table in requests) and len(run.flows.t_start_ns) > 0

    def rank(service: str) -> int:
        return order.index(service) if service in order else len(order)

    return Curves(
        window=run.window,
        spans=run.document.spans,
        events=(*result.events, *_killed(run)),
        pace=measure_requests.load_series([run.flows] if by_flows else requests, grid),
        rises=measure_requests.distributions(run.flows_in_window if by_flows else run.requests),
        held=sorted(timeseries.memory_series(run.samples), key=lambda held: rank(held.service)),
        worked=sorted(timeseries.cpu_series(run.samples, grid), key=lambda worked: rank(worked.service)),
        pulse=timeseries.generator_series(run.generator, grid),
        latency_told=not result.saturated,
        work="flows" if by_flows else "requests",
    )


def _grid(run: RecordedRun) -> TimeGrid:
    """Return a grid over all that was recorded, whatever it is of."""
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


def _killed(run: RecordedRun) -> list[Event]:
    """Return the kernel's own count of kills as events: Docker tells of a container's end, not of a child's."""
    from_ns = run.window.from_ns
    return [
        Event(
            after_ns=kill.t_ns - from_ns,
            service=kill.service,
            event="oom_kill",
            detail={"processes": kill.processes},
        )
        for kill in timeseries.oom_kills(run.samples)
        if kill.service not in RESERVED
    ]


def _plan(path: Path) -> dict[str, Any]:
    """Return the experiment's plan; empty where there is none, as in a run folder that was moved alone."""
    try:
        plan = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}

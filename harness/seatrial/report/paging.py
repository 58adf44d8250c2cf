"""Makes the page of a run: reads and judges it once, and hands tables and curves to the page."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seatrial.analysis.contents import Happened, Review
from seatrial.analysis.results import Taken, Weighed
from seatrial.analysis.run import RecordedRun, load, run_result
from seatrial.analysis.stored_runs import RunCache
from seatrial.compare.categories import FINISHED
from seatrial.measure import grid as grids
from seatrial.measure import requests as tally
from seatrial.measure import series
from seatrial.measure import timeseries as service_series
from seatrial.measure.grid import Grid
from seatrial.measure.latency import took_ns
from seatrial.measure.series import Rise
from seatrial.measure.validity import RESERVED
from seatrial.record import capacities
from seatrial.record.durable import replacing, writing
from seatrial.record.folder import RunFolder
from seatrial.report import html as experiment_page
from seatrial.report import page
from seatrial.report.curves import Curves
from seatrial.report.html import Member
from seatrial.report.page import Shown
from seatrial.wire.streams import NULL

NAME = "report.html"

_MOST_MEMBERS = 6
"""Of more variants the charts over time would be many megabytes; `seatrial report RUN` draws any of them."""


def page_of(folder: RunFolder) -> str:
    """Return the page of the run in `folder`; UsageError if it can't be read or was not sealed."""
    runs = [RunFolder(root) for root in sorted((folder.experiment / "runs").glob("*"))]
    searched = [found for found in map(capacities.load, runs) if found is not None]
    return page.render(shown(load(folder)), searched, f"Capacity: {folder.experiment.name}")


def shown(run: RecordedRun) -> Shown:
    """Return what the page shows of a run, for a page that shows more; UsageError as for `page_of`."""
    result = run_result(run)
    plan = _plan(run.folder.experiment / "plan.json")
    return Shown(review=result, curves=_curves(run, result), facts=run.document.facts, plan=plan)


def write(folder: RunFolder, output: Path | None = None) -> Path:
    """Write the page to `output`, or into the experiment's folder; return where. ResultsUnwritable if refused."""
    path = output or folder.experiment / NAME
    text = page_of(folder)
    with writing(path), replacing(path) as stream:
        stream.write(text.encode())
    return path


def write_experiment(
    weighed: Weighed, experiment: Path, output: Path | None = None, cache: RunCache | None = None
) -> Path:
    """Write the page of an experiment to `output`, or into its folder; return where. Errors as for `write`.

    `cache` is what the experiment was analysed with.
    """
    path, cache = output or experiment / NAME, cache or RunCache()
    rises, members = _rises(weighed, cache), _members(weighed, cache)
    text = experiment_page.render(weighed, rises, members, _plan(experiment / "plan.json"))
    with writing(path), replacing(path) as stream:
        stream.write(text.encode())
    return path


def _members(weighed: Weighed, cache: RunCache) -> list[Member]:
    """Return one run for each variant: that whose first gated metric is nearest to the median of its runs."""
    first = next(iter(weighed.metrics), "")
    names = weighed.plan.variants[:_MOST_MEMBERS]
    found = (_typical([one for one in weighed.taken if one.variant == name], first) for name in names)
    return [
        Member(variant=taken.variant, said=why, shown=shown(cache.recorded(RunFolder(Path(taken.folder)))))
        for taken, why in filter(None, found)
    ]


def _typical(taken: Sequence[Taken], metric: str) -> tuple[Taken, str] | None:
    usable = [one for one in taken if not one.run.invalid and one.run.ended == FINISHED]
    told = [(value, one) for one in usable if (value := one.run.values.get(metric)) is not None]
    if told:
        middle = statistics.median_low(value for value, _ in told)
        chosen = next(one for value, one in told if value == middle)
        return chosen, f"block {chosen.block}: of {len(told)} runs that with the middle value of {metric}"
    readable = [one for one in taken if one.readable]
    return (readable[-1], f"block {readable[-1].block}: no run of this variant is judged") if readable else None


def _rises(weighed: Weighed, cache: RunCache) -> list[Rise]:
    """Return how the latency of all judged runs of each variant is distributed."""
    kept = [taken for taken in weighed.taken if not taken.run.invalid and taken.run.ended == FINISHED]
    rises = []
    for name in weighed.plan.variants:
        runs = (cache.recorded(RunFolder(Path(taken.folder))) for taken in kept if taken.variant == name)
        took = [took_ns(run.requests)[1] for run in runs]
        if any(len(latencies) for latencies in took):
            rises.append(series.rise(name, np.concatenate(took)))
    return rises


def _curves(run: RecordedRun, result: Review) -> Curves:
    requests, order = (run.requests, run.other_requests), [placed.use.service for placed in result.services]
    grid = _grid(run)
    by_flows = not any(len(table.t_start_ns) for table in requests) and len(run.flows.t_start_ns) > 0

    def rank(service: str) -> int:
        return order.index(service) if service in order else len(order)

    return Curves(
        window=run.window,
        spans=run.document.spans,
        events=(*result.events, *_killed(run)),
        pace=tally.load_series([run.flows] if by_flows else requests, grid),
        rises=tally.distributions(run.flows_in_window if by_flows else run.requests),
        held=sorted(service_series.held(run.samples), key=lambda held: rank(held.service)),
        worked=sorted(service_series.worked(run.samples, grid), key=lambda worked: rank(worked.service)),
        pulse=series.pulse(run.generator, grid),
        latency_told=not result.saturated,
        work="flows" if by_flows else "requests",
    )


def _grid(run: RecordedRun) -> Grid:
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
    return grids.grid(min(ends), max(ends), run.window.from_ns)


def _killed(run: RecordedRun) -> list[Happened]:
    """Return the kernel's own count of kills as events: Docker tells of a container's end, not of a child's."""
    from_ns = run.window.from_ns
    return [
        Happened(
            after_ns=kill.t_ns - from_ns,
            service=kill.service,
            event="oom_kill",
            detail={"processes": kill.processes},
        )
        for kill in service_series.kills(run.samples)
        if kill.service not in RESERVED
    ]


def _plan(path: Path) -> dict[str, Any]:
    """Return the experiment's plan; empty where there is none, as in a run folder that was moved alone."""
    try:
        plan = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}

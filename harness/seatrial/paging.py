"""Makes the page of a run: reads and judges it once, and hands tables and curves to the page."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seatrial.judge import series, service_series
from seatrial.judge.categories import FINISHED
from seatrial.judge.columns import Ints, rows
from seatrial.judge.series import Rise
from seatrial.judge.validity import RESERVED
from seatrial.model import Phase
from seatrial.record import capacities, pieces
from seatrial.record.durable import replacing, writing
from seatrial.record.folder import RunFolder
from seatrial.report import capacity_words, experiment_page, experiment_values, page
from seatrial.report.comparison import Comparison
from seatrial.report.contents import Happened
from seatrial.report.curves import Curves
from seatrial.report.experiment_page import Member
from seatrial.report.page import Shown
from seatrial.report.weighed import Taken, Weighed
from seatrial.review import Judged, judge
from seatrial.wire.streams import NULL
from seatrial.wire.tables import Outcome

NAME = "report.html"

_MOST_MEMBERS = 6
"""Of more variants the charts over time would be many megabytes; `seatrial report RUN` draws any of them."""


def page_of(folder: RunFolder) -> str:
    """Return the page of the run in `folder`; UsageError if it can't be read or was not sealed."""
    return page.render(shown(folder), _capacity(folder))


def shown(folder: RunFolder) -> Shown:
    """Return what the page shows of a run, for a page that shows more; UsageError as for `page_of`."""
    judged = judge(folder)
    plan = _plan(folder.experiment / "plan.json")
    return Shown(review=judged.review, curves=_curves(judged), facts=judged.document.facts, plan=plan)


def write(folder: RunFolder, output: Path | None = None) -> Path:
    """Write the page to `output`, or into the experiment's folder; return where. ResultsUnwritable if refused."""
    path = output or folder.experiment / NAME
    text = page_of(folder)
    with writing(path), replacing(path) as stream:
        stream.write(text.encode())
    return path


def _capacity(folder: RunFolder) -> Comparison | None:
    """Return what was found by the search for capacity that the run belongs to; None if it belongs to none."""
    runs = [RunFolder(root) for root in sorted((folder.experiment / "runs").glob("*"))]
    found = [one for one in map(capacities.load, runs) if one is not None]
    title = f"Capacity: {folder.experiment.name}"
    return capacity_words.comparison(title, found) if found else None


def write_experiment(weighed: Weighed, experiment: Path, output: Path | None = None) -> Path:
    """Write the page of an experiment to `output`, or into its folder; return where. Errors as for `write`."""
    path = output or experiment / NAME
    drawn = experiment_values.comparison(weighed, _rises(weighed))
    text = experiment_page.render(weighed, drawn, _members(weighed), _plan(experiment / "plan.json"))
    with writing(path), replacing(path) as stream:
        stream.write(text.encode())
    return path


def _members(weighed: Weighed) -> list[Member]:
    """Return one run for each variant: that whose first gated metric is nearest to the median of its runs."""
    first = next(iter(weighed.metrics), "")
    names = weighed.plan.variants[:_MOST_MEMBERS]
    found = (_typical([one for one in weighed.taken if one.variant == name], first) for name in names)
    return [
        Member(variant=taken.variant, said=why, shown=shown(RunFolder(Path(taken.folder))))
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


def _rises(weighed: Weighed) -> list[Rise]:
    """Return how the latency of all judged runs of each variant is distributed."""
    kept = [one for one in weighed.taken if not one.run.invalid and one.run.ended == FINISHED]
    found = []
    for name in weighed.plan.variants:
        folders = [RunFolder(Path(one.folder)) for one in kept if one.variant == name]
        took = [latencies for folder in folders for latencies in _latencies(folder)]
        if any(len(one) for one in took):
            found.append(series.rise(name, np.concatenate(took)))
    return found


def _latencies(folder: RunFolder) -> Iterator[Ints]:
    for piece in pieces.requests(folder):
        inside = rows(piece, piece.phase.is_(Phase.WINDOW))
        began = np.where(inside.t_intended_ns == NULL, inside.t_start_ns, inside.t_intended_ns)
        yield (inside.t_end_ns - began)[inside.outcome.is_(Outcome.OK) & (inside.t_end_ns != NULL)]


def _curves(judged: Judged) -> Curves:
    review, samples, grid = judged.review, judged.recorded.samples, judged.tally.grid
    flows, pace, rises = judged.recorded.flows, judged.tally.pace(), judged.tally.rises()
    by_flows = not pace.asked.any() and len(flows.t_start_ns) > 0
    if by_flows:
        pace, rises = series.of_flows(flows, review.window.rows(flows.phase), grid)
    order = [placed.use.service for placed in review.services]

    def rank(service: str) -> int:
        return order.index(service) if service in order else len(order)

    return Curves(
        window=review.window,
        spans=judged.document.spans,
        events=(*review.events, *_killed(judged)),
        pace=pace,
        rises=rises,
        held=sorted(service_series.held(samples), key=lambda held: rank(held.service)),
        worked=sorted(service_series.worked(samples, grid), key=lambda worked: rank(worked.service)),
        pulse=series.pulse(judged.recorded.generator, grid),
        latency_told=not review.saturated,
        work="flows" if by_flows else "requests",
    )


def _killed(judged: Judged) -> list[Happened]:
    """Return the kernel's own count of kills as events: Docker tells of a container's end, not of a child's."""
    from_ns = judged.review.window.from_ns
    return [
        Happened(
            after_ns=kill.t_ns - from_ns,
            service=kill.service,
            event="oom_kill",
            detail={"processes": kill.processes},
        )
        for kill in service_series.kills(judged.recorded.samples)
        if kill.service not in RESERVED
    ]


def _plan(path: Path) -> dict[str, Any]:
    """Return the experiment's plan; empty where there is none, as in a run folder that was moved alone."""
    try:
        plan = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}

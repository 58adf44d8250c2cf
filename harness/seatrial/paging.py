"""Makes the page of a run: reads and judges it once, and hands tables and curves to the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seatrial.judge import series, service_series
from seatrial.judge.validity import RESERVED
from seatrial.record.durable import replacing, writing
from seatrial.record.folder import RunFolder
from seatrial.report import page
from seatrial.report.contents import Happened
from seatrial.report.curves import Curves
from seatrial.report.page import Shown
from seatrial.review import Judged, judge

NAME = "report.html"


def page_of(folder: RunFolder) -> str:
    """Return the page of the run in `folder`; UsageError if it can't be read or was not sealed."""
    return page.render(shown(folder))


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


def _curves(judged: Judged) -> Curves:
    review, samples, grid = judged.review, judged.recorded.samples, judged.tally.grid
    order = [placed.use.service for placed in review.services]

    def rank(service: str) -> int:
        return order.index(service) if service in order else len(order)

    return Curves(
        window=review.window,
        spans=judged.document.spans,
        events=(*review.events, *_killed(judged)),
        pace=judged.tally.pace(),
        rises=judged.tally.rises(),
        held=sorted(service_series.held(samples), key=lambda held: rank(held.service)),
        worked=sorted(service_series.worked(samples, grid), key=lambda worked: rank(worked.service)),
        pulse=series.pulse(judged.recorded.generator, grid),
        latency_told=not review.saturated,
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

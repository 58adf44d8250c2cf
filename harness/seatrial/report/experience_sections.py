"""Quality of experience and bytes from the origin, as sections of the reports of runs and of experiments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from seatrial.analysis.results import ExperimentResult, RunResult
from seatrial.compare.pairing import BlockMean
from seatrial.measure import metric as metrics
from seatrial.measure.experience import ViewerExperience, is_viewer
from seatrial.measure.metric import Kind, Metric, Unit
from seatrial.measure.origin import OriginUse
from seatrial.report import numbers
from seatrial.report.tables import Section, Table, TableColumn, TableColumnKind, column

_SEEN = (
    ("start-up p95", "p95", "startup_s"),
    ("stalls", "mean", "stalls_count"),
    ("stalled", "mean", "stall_ratio"),
    ("seek p95", "p95", "seek_s"),
    ("abandoned", "mean", "abandoned_ratio"),
    ("waste", "mean", "waste_ratio"),
)
"""Head, statistic and key of what an experiment shows of each variant."""
_PER_PLAYED = metrics.parse("origin bytes per played byte")


def of_run(result: RunResult) -> list[Section]:
    """Return what viewers saw, their bytes, and the origin's; those without rows are empty."""
    return [_experience(result.viewers), _bytes(result.viewers), _origin(result.origin)]


def _experience(viewers: Sequence[ViewerExperience]) -> Section:
    """One row for each kind of viewer."""
    columns = (
        column("flow", viewers, lambda one: one.flow, TableColumnKind.WORDS),
        column("sessions", viewers, lambda one: numbers.count(one.sessions)),
        *(
            column(head, viewers, _measured(name, unit))
            for head, name, unit in (
                ("start-up p50", "startup_p50_ns", Unit.NS),
                ("p95", "startup_p95_ns", Unit.NS),
                ("stalls", "stalls", Unit.COUNT),
                ("stalled", "stall_ratio", Unit.SHARE),
                ("seek p50", "seek_p50_ns", Unit.NS),
                ("p95", "seek_p95_ns", Unit.NS),
                ("abandoned", "abandoned", Unit.SHARE),
            )
        ),
    )
    caption = "stalls: of a session; stalled: share of its time; - : too few to tell"
    return Section(name="experience", title="Quality of experience", caption=caption, table=Table(columns))


def _bytes(viewers: Sequence[ViewerExperience]) -> Section:
    """One row for each kind of viewer that reports bytes."""
    rows = [one for one in viewers if one.received_bytes is not None]
    columns = (
        column("flow", rows, lambda one: one.flow, TableColumnKind.WORDS),
        column("received", rows, _measured("received_bytes", Unit.BYTES)),
        column("played", rows, _measured("played_bytes", Unit.BYTES)),
        column("received/played", rows, _measured("received_per_played", Unit.COUNT)),
        column("distinct", rows, _measured("distinct_bytes", Unit.BYTES)),
        column("again", rows, _measured("repeated", Unit.SHARE)),
        column("waste", rows, _measured("waste", Unit.SHARE)),
    )
    caption = "again: received before; waste: not played, mean over sessions"
    return Section(name="viewer-bytes", title="Bytes of viewers", caption=caption, table=Table(columns))


def _origin(origin: Sequence[OriginUse]) -> Section:
    """One row for each service whose log tells what it fetched."""
    columns = (
        column("service", origin, lambda one: one.service, TableColumnKind.WORDS),
        column("from the origin", origin, _measured("bytes", Unit.BYTES)),
        column("for a received byte", origin, _measured("per_received", Unit.COUNT)),
        column("for a played byte", origin, _measured("per_played", Unit.COUNT)),
    )
    caption = "what a proxy fetched, by its log, for requests of the window"
    return Section(name="origin", title="Origin", caption=caption, table=Table(columns))


def _measured(name: str, unit: Unit) -> Callable[[Any], str]:
    return lambda row: numbers.measured(getattr(row, name), unit)


def of_experiment(result: ExperimentResult) -> Section:
    """Return what the viewers of each variant saw: means over the blocks, a row for each variant and kind."""
    keys: dict[str, set[str]] = {}
    for metric in result.metrics.values():
        if metric.kind is Kind.DETAIL and metric.of is not None:
            keys.setdefault(metric.of, set()).add(metric.key)
    flows = sorted(flow for flow, reported in keys.items() if is_viewer(reported))
    rows = [(variant, flow) for variant in result.levels for flow in flows]
    columns = [
        column("variant", rows, lambda row: row[0], TableColumnKind.NAME),
        column("flow", rows, lambda row: row[1], TableColumnKind.WORDS),
    ]
    for head, statistic, key in _SEEN:
        wanted = [(variant, metrics.detail(statistic, key, flow)) for variant, flow in rows]
        columns.append(TableColumn(head, [_level(result, variant, metric) for variant, metric in wanted]))
    columns.append(TableColumn("origin/played", [_level(result, variant, _PER_PLAYED) for variant, _ in rows]))
    shown = [one for one in columns if set(one.cells) != {numbers.UNKNOWN}]
    return Section(
        name="experience",
        title="Quality of experience",
        caption="mean over the blocks; stalls: of a session; stalled: share of playing and stalling",
        table=Table(tuple(shown)),
    )


def _level(result: ExperimentResult, variant: str, metric: Metric) -> str:
    level: BlockMean | None = result.levels[variant].get(metric.text)
    return numbers.measured(None if level is None else level.value, metric.unit)

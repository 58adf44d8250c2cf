"""Analysis of one run: reads a sealed run folder, each table once, and computes its RunResult."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from seatrial.analysis.results import ACTION, Event, Overheads, RunInfo, RunResult, ServiceResult
from seatrial.compare import budgets
from seatrial.errors import UsageError
from seatrial.measure import experience, origin, validity, values
from seatrial.measure import requests as measure_requests
from seatrial.measure import services as measure_services
from seatrial.measure import slices as slice_counts
from seatrial.measure.generator import generator_use, late_limit_ns
from seatrial.measure.services import ServiceUse
from seatrial.measure.slices import SliceTimes
from seatrial.measure.tables import (
    Floats,
    FlowColumns,
    GeneratorColumns,
    RequestColumns,
    SampleColumns,
    TierColumns,
    Window,
    measured_window,
    where,
)
from seatrial.measure.validity import RESERVED, Restart, Sampling
from seatrial.measure.values import Tables
from seatrial.model import Note
from seatrial.record import documents, read
from seatrial.record.documents import NO_ENGINE, RunDocument
from seatrial.record.folder import RunFolder
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL, TABLES

SAMPLE_HZ = 10.0
"""The sampler's rate unless `facts` says another."""
_DIED = "die"
"""The daemon's event for a container that has ended; a restart begins with one."""
_NO_END_NS = (1 << 63) - 1
_TIERS = ("proxy", "app", "store")
"""In the order in which a request passes them."""


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """The contents of a sealed run folder: run.json and its tables.

    `requests` are those of the window, `other_requests` of the other phases. `details` are the numbers that flows
    reported, by key: one for each row of `flows`, NaN where it has none. `slices` are the turns of the load in the
    slices design, else None.
    """

    folder: RunFolder
    document: RunDocument
    window: Window
    requests: RequestColumns
    other_requests: RequestColumns
    flows: FlowColumns
    details: Mapping[str, Floats]
    samples: SampleColumns
    generator: GeneratorColumns
    tiers: TierColumns
    events: tuple[Mapping[str, Any], ...]
    slices: SliceTimes | None

    @cached_property
    def flows_in_window(self) -> FlowColumns:
        """The flows of the window."""
        return where(self.flows, self.window.rows(self.flows.phase))

    @cached_property
    def samples_in_window(self) -> SampleColumns:
        """The samples of the window."""
        return where(self.samples, self.window.rows(self.samples.phase))

    @cached_property
    def tables(self) -> Tables:
        """The tables that metrics are computed from."""
        inside = self.window.rows(self.flows.phase)
        return Tables(
            requests=self.requests,
            flows=self.flows_in_window,
            samples=self.samples_in_window,
            window_ns=self.window.length_ns,
            details={key: numbers[inside] for key, numbers in self.details.items()},
            tiers=where(self.tiers, self.window.rows(self.tiers.phase)),
            slices=self.slices,
            run_samples=None if self.slices is None else self.samples,
            by_flows=not len(self.requests.t_start_ns) and bool(inside.any()),
        )


def load_run(folder: RunFolder) -> RecordedRun:
    """Read the run in `folder`; UsageError if it can't be read or was not sealed."""
    document, stamps, samples = documents.load_document(folder), read.request_stamps(folder), read.samples(folder)
    window = measured_window(document.spans, stamps, samples.numbers["t_ns"])
    inside, outside = measure_requests.request_stats(
        read.request_batches(folder), window, read.request_count(folder)
    )
    flows = read.flows(folder)
    return RecordedRun(
        folder=folder,
        document=document,
        window=window,
        requests=inside,
        other_requests=outside,
        flows=flows,
        details=read.flow_details(folder),
        samples=samples,
        generator=read.generator(folder),
        tiers=read.tiers(folder),
        events=tuple(read.events(folder)),
        slices=slice_counts.slice_times(document.spans, (inside, outside), flows),
    )


def analyse_run(folder: RunFolder) -> RunResult:
    """Read and analyse the run in `folder`; UsageError as for `load_run`."""
    return run_result(load_run(folder))


def run_result(run: RecordedRun) -> RunResult:
    """Return the result of a run; UsageError for a budget that can't be read."""
    document, window = run.document, run.window
    total = measure_requests.all_requests(run.requests, window.length_ns)
    flows = measure_requests.flow_traffic(run.flows_in_window, window.length_ns)
    served = values.flows_begun(run.flows_in_window)
    services = measure_services.service_use(run.samples_in_window, window.length_ns, total.count, served)
    if run.slices is not None:
        services = slice_counts.services_in_slices(services, run.samples, run.slices)
    generator = generator_use(
        slice_counts.cpu_while_open(run.generator, document.spans),
        window.seconds(run.generator.phase, run.generator.t_ns),
        late_limit_ns(total.latency_ns),
    )
    restarts = asked_restarts(run.events)
    died = ((str(event.get("service", "")), event["t_ns"]) for event in run.events if event.get("event") == _DIED)
    deaths = Counter(
        service
        for service, t_ns in died
        if window.holds(t_ns) and not any(restart.holds(service, t_ns) for restart in restarts)
    )
    notes = (
        *document.notes,
        *validity.service_notes(services, _sampling(document, window, restarts), deaths),
        *validity.work_notes(total.count, served, loaded="load" in document.scenario),
        *(validity.generator_notes(generator) if window.opened else ()),
        *(validity.slice_notes(flows or (total,), document.spans) if run.slices is not None else ()),
        *_host_notes(run),
    )
    return RunResult(
        info=_info(run.folder, document),
        valid=document.status == "complete" and window.opened and not any(note.invalidates for note in notes),
        saturated=window.opened and generator.saturated,
        window=window,
        total=total,
        endpoints=measure_requests.endpoints(run.requests, window.length_ns),
        flows=flows,
        details=measure_requests.flow_details(run.flows_in_window, run.tables.details),
        viewers=experience.viewers(run.flows_in_window, run.tables.details),
        origin=origin.origin_use(run.tables.tiers, total.bytes_received, run.tables.details),
        services=_along_the_way(services, document.scenario.get("tiers") or {}),
        generator=generator,
        events=tuple(
            Event(
                after_ns=event["t_ns"] - window.from_ns,
                service=str(event.get("service", "")),
                event=str(event.get("event", "")),
                detail=event.get("detail") or {},
            )
            for event in run.events
        ),
        notes=notes,
        overheads=_overheads(run),
        budgets=_budgets(run),
        ranges=documents.load_ranges(run.folder),
    )


def asked_restarts(events: Sequence[Mapping[str, Any]]) -> tuple[Restart, ...]:
    """Return the restarts among a run's events that its scenario asked for.

    One after which the service had not answered until the load ended has no end.
    """
    actions = [(event, event.get("detail") or {}) for event in events if event.get("event") == ACTION]
    return tuple(
        Restart(
            service=str(event.get("service", "")),
            from_ns=event["t_ns"],
            until_ns=_NO_END_NS if (after := detail.get("answered_after_ns")) is None else event["t_ns"] + after,
        )
        for event, detail in actions
        if detail.get("action") == "restart"
    )


def _host_notes(run: RecordedRun) -> tuple[Note, ...]:
    """Return the notes about other users of the processors; none for a run without load."""
    document = run.document
    cores = ((document.facts.get("environment") or {}).get("host") or {}).get("cores")
    if not cores or not run.window.opened or "load" not in document.scenario:
        return ()
    others = [] if run.slices is None else read.samples_beside(run.folder, document.block)
    share = validity.host_share(run.samples, others, validity.host_stretches(document.spans), cores)
    return validity.host_notes(share, _sampling(document, run.window))


def _budgets(run: RecordedRun) -> tuple[budgets.BudgetResult, ...]:
    try:
        parsed = [budgets.parse(text) for text in run.document.scenario.get("budgets") or ()]
    except ValueError as error:
        raise UsageError("a budget can't be read", where=str(run.folder.document), seen=str(error)) from error
    return tuple(budget_result(run, budget) for budget in parsed)


def budget_result(run: RecordedRun, budget: budgets.Budget) -> budgets.BudgetResult:
    """Judge a budget by the window of this run alone; one that is relative to the base is not decided."""
    if budget.limit is None:
        return budgets.judge_alone(budget)
    return budgets.judge(budget, [values.estimate(budget.metric, run.tables)])


def _sampling(document: RunDocument, window: Window, restarts: Sequence[Restart] = ()) -> Sampling:
    sampler = document.facts.get("sampler") or {}
    down_ns: Counter[str] = Counter()
    for restart in restarts:
        down_ns[restart.service] += max(
            min(restart.until_ns, window.until_ns) - max(restart.from_ns, window.from_ns), 0
        )
    return Sampling(
        hz=float(sampler.get("hz", SAMPLE_HZ)),
        window_ns=window.length_ns,
        expected=document.services or tuple(document.scenario.get("tiers") or ()),
        sources=sampler.get("sources") or {},
        down_ns=down_ns,
        watched=document.engine != NO_ENGINE,
    )


def _along_the_way(used: Sequence[ServiceUse], tiers: Mapping[str, Any]) -> tuple[ServiceResult, ...]:
    """Order services as a request passes them: by tier, the stack's others, then generator, host and sampler."""
    places = {name: tier.get("place", "") if isinstance(tier, Mapping) else tier for name, tier in tiers.items()}
    order = list(places)

    def rank(service: ServiceResult) -> tuple[int, int, str]:
        name = service.use.service
        if name in RESERVED:
            return (len(_TIERS) + 1, ("generator", "host", "sampler").index(name), "")
        tier = _TIERS.index(service.place) if service.place in _TIERS else len(_TIERS)
        return (tier, order.index(name) if name in order else len(order), name)

    return tuple(sorted((ServiceResult(place=places.get(use.service, ""), use=use) for use in used), key=rank))


def _info(folder: RunFolder, document: RunDocument) -> RunInfo:
    load, wall_ns = document.scenario.get("load") or {}, document.clock.get("wall_ns")
    results = folder.experiment.parent.absolute()
    tables = (f"{table}.parquet" for table in TABLES)
    names = [*tables, "events.jsonl", "run.json", "catalogue.json", documents.RANGES_FILE, "logs"]
    return RunInfo(
        scenario=document.scenario_name,
        question=str(document.scenario.get("question", "")),
        variant=document.variant,
        block=document.block,
        engine=document.engine,
        engine_reason=document.engine_reason,
        url_via=document.url_via,
        status=document.status,
        error=document.error,
        began_utc="" if wall_ns is None else utc(wall_ns),
        users=load.get("users"),
        rate=_rate(load.get("rate")),
        pinning=(document.facts.get("environment") or {}).get("pinning") or {},
        show=folder.experiment.name if results == Path("results").absolute() else str(folder.root),
        folder=str(folder.root),
        rows=document.rows,
        files=tuple(name for name in names if (folder.root / name).exists()),
    )


def _rate(rate: Mapping[str, Any] | None) -> str:
    """Return the schedule in run.json as words; empty in the closed model."""
    if not rate:
        return ""
    return f"{rate['text']} (at random)" if rate["poisson"] else str(rate["text"])


def utc(wall_ns: int) -> str:
    """Return a moment of the wall clock: `2026-11-21 06:15:00 UTC`."""
    return datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _overheads(run: RecordedRun) -> Overheads:
    """Measure the time before and after the load; the end is the last stamp that the harness wrote."""
    timing, requests = run.document.timing, (run.requests, run.other_requests)
    first_ns = min((int(table.t_start_ns.min()) for table in requests if len(table.t_start_ns)), default=None)
    # a request without an end is NULL there, which is less than every stamp
    last_ns = max((int(table.t_end_ns.max()) for table in requests if len(table.t_end_ns)), default=NULL)
    end_ns = timing.get("exit_ns", timing.get("torn_down_ns"))
    return Overheads(
        command_to_first_request_ns=first_ns - timing["command_ns"]
        if first_ns is not None and "command_ns" in timing
        else None,
        last_request_to_end_ns=end_ns - last_ns if last_ns != NULL and end_ns is not None else None,
    )

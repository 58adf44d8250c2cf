"""A run as text: title, verdict, reasons, and the sections of its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seatrial.analysis.results import ACTION, Event, RunResult, ServiceResult
from seatrial.compare.budgets import BudgetResult, BudgetWord
from seatrial.measure.generator import ArrivalSummary
from seatrial.measure.requests import FlowDetail, Traffic
from seatrial.measure.validity import RESERVED
from seatrial.model import EngineName, Note, NoteKind
from seatrial.report import experience_sections, numbers, range_sections
from seatrial.report.tables import Section, Table, TableColumn, TableColumnKind, column, pairs
from seatrial.wire.streams import NOT_FAILURES, Outcome

ADVICE = {
    NoteKind.TASK_EXCEPTION: "a bug in the locustfile or in Seatrial: the traceback is in logs/task-errors.jsonl",
    NoteKind.NO_REQUESTS: "look at logs/locust.log, and try the locustfile alone: locust -f FILE --host URL",
    NoteKind.SERVICE_RESTARTED: "look at the service's log under logs/, and at its memory limit",
    NoteKind.OOM_KILL: "raise the service's memory limit, or lower what it may hold",
    NoteKind.RANGE_DEVIATIONS: "players survive it; other clients and caches may not: docs/reference/ranges.md",
    NoteKind.SAMPLES_MISSING: "leave the machine to the run (seatrial doctor shows other load), and run again",
    NoteKind.COARSE_SAMPLES: "run on the host of the Docker daemon, where its cgroup files can be read",
    NoteKind.TORN_RECORDS: "a process was killed while it wrote its last record, or the disk was full (df -h)",
    NoteKind.SLOW_STORAGE_DRIVER: "compare only with runs on this driver; overlay2 is faster (seatrial doctor)",
    NoteKind.LOCAL_ENGINE: "start Docker for containers (seatrial doctor); compare only with runs of this engine",
    NoteKind.PUBLISHED_PORT: "run on Linux beside the daemon, where containers have addresses that can be reached",
    NoteKind.GENERATOR_BUSY: "use fewer users or more cores: latency may hold the generator's own queueing",
    NoteKind.GENERATOR_LATE: "leave the machine to the run, or the load cores of its own (pinning, more cores)",
    NoteKind.SATURATED: "ask for less, or look for what holds the stack back: at this rate its queue grows",
    NoteKind.LATE_ARRIVALS: "raise users: an open load needs as many as it has arrivals in flight, and some more",
    NoteKind.WORKER_LOST: "look at logs/locust.log: a load process was killed (for want of memory?) or crashed",
    NoteKind.LOCUST_EVENTS: "build the users on seatrial.user for exact bytes, first byte, and outcomes",
    NoteKind.WARMUP_UNSTABLE: "raise the limit of the warm-up, or look for what still changes in the stack",
    NoteKind.LONG_FLOWS: "let them settle for longer (compare: {slice: 2s, settle: 500ms}), or compare by runs",
    NoteKind.SHARED_CORES: "a machine with more cores lets load and stack have their own",
    NoteKind.FOREIGN_CPU: "end what else runs on this host (`top` shows it), or measure on one that is left alone",
    NoteKind.STOLEN_CPU: "use a machine with processors of its own, or more blocks in a quieter hour",
    NoteKind.LOAD_THROTTLED: "start Seatrial where no CPU quota, or a larger one, holds it (docker run --cpus)",
    NoteKind.SERVICE_THROTTLED: "its limit (cpus, deploy.resources.limits) is part of what is measured; raise it?",
    NoteKind.LOAD_ENDED_EARLY: "look at logs/locust.log; a locustfile must not stop or quit its runner by itself",
    NoteKind.STOPPED_EARLY: "look at what the rule saw; if it is too strict, change stop_when",
    NoteKind.RULE_WITHOUT_VALUE: "look at the rule's name, and for a share of memory at the service's limit",
    NoteKind.LOG_UNREAD: "look at logs/, and at the log's format: tiers: {NAME: {log: ...}} names its fields",
    NoteKind.INTERRUPTED: "run it again to the end; what was recorded until then is shown",
    NoteKind.RECOVERED: "run it again; what was recorded until the kill is shown",
}
"""What to do about each kind of note."""
_MEMORY = (
    ("unreclaimable_bytes", "unrecl.", False),
    ("anon_bytes", "anon", False),
    ("kernel_bytes", "kernel", False),
    ("shmem_bytes", "shmem", False),
    ("sock_bytes", "sock", False),
    ("file_dirty_bytes", "dirty", False),
    ("file_clean_bytes", "clean", False),
    ("swap_bytes", "swap", False),
    ("usage_bytes", "usage", True),
    ("working_set_bytes", "work.set", True),
)
"""Memory class, its head, and whether a narrow terminal leaves it out."""
_MOMENTS = ("start", "median", "peak", "end")
_MOST_EVENTS = 20


def title(result: RunResult) -> str:
    """Return what was run: scenario, variant, engine and load."""
    info = result.info
    # a recording of Locust alone has no engine
    engine = f"{info.engine} engine" if info.engine in tuple(EngineName) else "no stack watched"
    load = "no load" if info.users is None else numbers.counted(info.users, "user")
    if info.rate:
        load = f"{info.rate}, at most {numbers.counted(info.users or 0, 'user')}"
    return f"{info.scenario} · {info.variant} · {engine} · {load}"


def word(result: RunResult) -> str:
    """Return the verdict in one or two words; budgets count only for a valid run."""
    if not result.valid:
        return "INVALID"
    return "BUDGET BROKEN" if _broken(result) else "VALID"


def headline(result: RunResult) -> str:
    """Return how many requests and flows ran, over which time, and how many of them failed."""
    # a dropped arrival is counted as a failed flow, but it never ran
    ran = sum(flow.count - flow.outcomes.get(Outcome.DROPPED, 0) for flow in result.flows)
    counted, rows = numbers.counted(ran, "flow"), result.flows
    if result.total.count or not result.flows:
        counted, rows = f"{numbers.counted(result.total.count, 'request')} and {counted}", (result.total,)
    count, failures = sum(row.count for row in rows), sum(row.failures for row in rows)
    failed = (
        f"{numbers.count(failures)} failed ({numbers.percent(failures / count)})" if failures else "no failures"
    )
    window = f"in a window of {numbers.duration(result.window.length_ns)}"
    where = window if result.window.opened else "in all; no window was opened"
    return f"{counted} {where}; {failed if count else 'nothing was asked'}"


def reasons(result: RunResult) -> list[str]:
    """Return why the run can't be trusted, and which budgets it broke."""
    untrusted = [f"not to be trusted: {note.kind}: {note.text}" for note in result.notes if note.invalidates]
    if result.info.status != "complete" and not untrusted:
        untrusted.append(f"the run did not come to its end: {result.info.status}")
    error = [result.info.error] if result.info.error else []
    return [*untrusted, *error, *(budget.text for budget in _broken(result))]


def sections(result: RunResult) -> list[Section]:
    """Return the sections that have rows, in the order in which every form shows them."""
    every = (
        _budgets(result.budgets),
        *experience_sections.of_run(result),
        _requests(result),
        _flows(result),
        _flow_details(result.details),
        _outcomes([*result.endpoints, *result.flows]),
        _memory([service for service in result.services if service.use.service not in RESERVED]),
        _work(result.services),
        range_sections.section({} if result.ranges is None else {"": [result.ranges]}),
        _events(result.events),
        _notes(result.notes),
        Section(name="run", title="Run", table=pairs(run_lines(result))),
    )
    return [section for section in every if section.table.rows]


def event_line(event: Event) -> str:
    """Return one event with its moment in a line."""
    return f"{numbers.moment(event.after_ns)} {_event_text(event)}"


def run_lines(result: RunResult) -> list[tuple[str, str]]:
    """Return how the run was measured and where its data lies, as named lines."""
    info, overheads = result.info, result.overheads
    lines = [
        ("question", info.question),
        ("began", info.began_utc),
        ("engine", f"{info.engine}: {info.engine_reason}" if info.engine_reason else info.engine),
        ("load went by", info.url_via),
        ("arrivals", _arrivals(result.generator.arrivals, result.window.length_ns)),
        ("generator", _generator(result)),
        ("cores", _cores(info.pinning)),
        ("sampler", _sampler(result.services)),
        ("to first request", _since(overheads.command_to_first_request_ns, "from the command")),
        ("to the end", _since(overheads.last_request_to_end_ns, "from the last request, with teardown")),
        ("data", info.folder),
        ("", f"{', '.join(info.files)}; pandas, polars and DuckDB open the tables"),
        ("see it again", f"seatrial show {info.show}"),
    ]
    return [(name, text) for name, text in lines if text]


def fact_lines(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return nested values as named lines: `host.kernel`, `6.1`; a list in one line, empty values left out."""
    return [(name.removeprefix("."), text) for name, text in _flattened("", values) if text]


def _flattened(name: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  (any JSON value)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flattened(f"{name}.{key}", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield name, ", ".join(map(str, value))
    else:
        yield name, "" if value is None else str(value)


def _broken(result: RunResult) -> list[BudgetResult]:
    return [budget for budget in result.budgets if budget.word is BudgetWord.BROKEN]


def _event_text(event: Event) -> str:
    """Return service, event and its details without the image's name; an action of the scenario in words."""
    if event.event == ACTION:
        after_ns = event.detail.get("answered_after_ns")
        parts = (
            f"{numbers.duration(event.detail.get('late_ns'))} late",
            f"took {numbers.duration(event.detail.get('took_ns'))}",
            "no answer before the end" if after_ns is None else f"answered after {numbers.duration(after_ns)}",
        )
        return f"{event.service} {event.event}: {event.detail.get('action', '')} ({', '.join(parts)})"
    detail = (f"{name}={value}" for name, value in event.detail.items() if name != "image")
    return " ".join((event.service, event.event, *detail))


def _budgets(budgets: Sequence[BudgetResult]) -> Section:
    words = TableColumnKind.WORDS
    table = Table(
        (
            column("verdict", budgets, lambda budget: str(budget.word).upper(), TableColumnKind.VERDICT),
            column("budget", budgets, lambda budget: budget.budget.text, words),
            column("measured", budgets, lambda budget: budget.reason, words),
        )
    )
    return Section(name="budgets", title="Budgets", caption="judged by this run alone, with 95 %", table=table)


def _requests(result: RunResult) -> Section:
    """One row for each endpoint, and one for all; in the open model without the first byte."""
    endpoints = result.endpoints
    rows = [*endpoints, result.total] if len(endpoints) > 1 else list(endpoints)
    columns = _counts("endpoint", rows) + _durations(rows, result)
    if not result.saturated and not result.open_model:
        columns.append(column("first byte", rows, lambda row: numbers.duration(row.first_byte_ns.p50)))
    return Section(
        name="requests", title="Requests", caption=_latency_caption(result), table=Table((*columns, *_rates(rows)))
    )


def _latency_caption(result: RunResult) -> str:
    if result.saturated:
        return "no latency: arrivals piled up, and waited as long as the run let them"
    whose = "latency of the successes, " if result.total.failures else "latency "
    if result.open_model:
        return f"{whose}from the scheduled start; service: from the real"
    begin = "start" if result.total.failures else "from start"
    return f"{whose}{begin} to last byte; first byte: p50; - : too few to tell"


def _flows(result: RunResult) -> Section:
    """One row for each kind of flow; without their requests where none was made."""
    rows = result.flows
    columns = _counts("flow", rows) + _durations(rows, result)
    if any(row.requests for row in rows):
        narrow = result.open_model and not result.saturated
        columns.append(column("requests", rows, lambda row: numbers.count(row.requests), wide_only=narrow))
    caption = "a flow is one task of a user, such as a whole pull"
    return Section(name="flows", title="Flows", caption=caption, table=Table((*columns, *_rates(rows))))


def _flow_details(details: Sequence[FlowDetail]) -> Section:
    """One row for each number that flows of one name reported."""
    columns = (
        column("flow", details, lambda detail: detail.flow, TableColumnKind.WORDS),
        column("detail", details, lambda detail: detail.key, TableColumnKind.WORDS),
        column("count", details, lambda detail: numbers.count(detail.count)),
        *(
            TableColumn(head, [numbers.measured(getattr(detail, head), detail.unit) for detail in details])
            for head in ("mean", "p50", "p95", "max")
        ),
    )
    return Section(
        name="details",
        title="Flow details",
        caption="what the flows in the window reported of themselves; - : too few to tell",
        table=Table(columns),
    )


def _outcomes(rows: Sequence[Traffic]) -> Section:
    """One row for each endpoint or flow that had other outcomes than ok."""
    bad = [row for row in rows if any(outcome != "ok" for outcome in row.outcomes)]
    names = dict.fromkeys(outcome for row in bad for outcome in row.outcomes if outcome != "ok")
    columns = [
        TableColumn(
            f"{name}*" if name in NOT_FAILURES else name, [numbers.count(row.outcomes.get(name, 0)) for row in bad]
        )
        for name in names
    ]
    rows_named = column("ended otherwise than ok", bad, lambda row: row.name, TableColumnKind.WORDS)
    return Section(
        name="outcomes",
        title="Outcomes",
        caption="* is not a failure: given up on purpose (aborted), or by the end of the run (cut)",
        table=Table((rows_named, *columns)),
    )


def _memory(services: Sequence[ServiceResult]) -> Section:
    """Four rows for each service: start, median, peak and end of each memory class, in MiB."""
    swaps = any(service.use.memory["swap_bytes"].peak for service in services)
    rows = [(service, moment) for service in services for moment in _MOMENTS]
    names = [
        (f"{service.use.service} ({service.place})" if service.place else service.use.service)
        if moment == _MOMENTS[0]
        else ""
        for service, moment in rows
    ]
    columns = (
        TableColumn("service", names, TableColumnKind.WORDS),
        TableColumn("MiB", [moment for _, moment in rows], TableColumnKind.WORDS),
        *(
            TableColumn(
                head,
                [numbers.mebibytes(getattr(service.use.memory[name], moment)) for service, moment in rows],
                wide_only=wide_only,
            )
            for name, head, wide_only in _MEMORY
            if name != "swap_bytes" or swaps
        ),
    )
    peaks = frozenset(index for index, (_, moment) in enumerate(rows) if moment == "peak")
    return Section(
        name="memory",
        title="Memory",
        caption="unrecl. = anon + kernel + shmem + sock + dirty; clean: cache that can be taken back",
        table=Table(columns, bold=peaks),
    )


def _work(services: Sequence[ServiceResult]) -> Section:
    """One row for each service: CPU, stalls and limits, and how it was sampled."""
    used = [service.use for service in services]
    pressure = [
        TableColumn(head, [text(use.gained[name]) for use in used])
        for head, name, text in (
            ("throttled", "throttled_ns", numbers.duration),
            ("CPU stall", "cpu_stall_ns", numbers.duration),
            ("mem. stall", "memory_stall_ns", numbers.duration),
            ("I/O stall", "io_stall_ns", numbers.duration),
            ("limit hits", "limit_hits", numbers.count),
            ("OOM", "oom_kills", numbers.count),
        )
    ]
    empty = [each.head for each in pressure if set(each.cells) <= {"0", numbers.UNKNOWN}]
    columns = (
        column("service", used, lambda use: use.service, TableColumnKind.WORDS),
        column("cores", used, lambda use: numbers.cores(use.cpu_cores)),
        column("CPU/flow", used, lambda use: numbers.duration(use.cpu_per_flow_ns))
        if any(use.cpu_per_flow_ns is not None for use in used)
        else column("CPU/request", used, lambda use: numbers.duration(use.cpu_per_request_ns)),
        *(each for each in pressure if each.head not in empty),
        column("samples/s", used, lambda use: numbers.rate(use.samples_per_s)),
        column("gap p99", used, lambda use: numbers.duration(use.period_ns.p99), wide_only=True),
    )
    return Section(
        name="work",
        title="Work",
        caption="CPU in the window; stall: time in which some task waited; gap: time between two samples",
        table=Table(columns),
        footnote=f"0 or not told for every service: {', '.join(empty)}" if empty else "",
    )


def _events(events: Sequence[Event]) -> Section:
    rows = [(numbers.moment(event.after_ns), _event_text(event)) for event in events[:_MOST_EVENTS]]
    if len(events) > _MOST_EVENTS:
        rows.append(("...", f"{len(events) - _MOST_EVENTS} more in events.jsonl"))
    return Section(name="events", title="Events", caption="from the start of the window", table=pairs(rows))


def _notes(notes: Sequence[Note]) -> Section:
    rows = []
    for note in notes:
        rows.append((("! " if note.invalidates else "  ") + note.kind, note.text))
        if advice := ADVICE.get(note.kind):
            rows.append(("", f"-> {advice}"))
    caption = "what to keep in mind, and what to do about it"
    return Section(name="notes", title="Notes", caption=caption, table=pairs(rows))


def _counts(head: str, rows: Sequence[Traffic]) -> list[TableColumn]:
    """Return name, count and failures; those of endpoints not in a narrow table, which has their outcomes."""
    return [
        column(head, rows, lambda row: row.name, TableColumnKind.WORDS),
        column("count", rows, lambda row: numbers.count(row.count)),
        column("failed", rows, lambda row: numbers.count(row.failures), wide_only=head == "endpoint"),
    ]


def _durations(rows: Sequence[Traffic], result: RunResult) -> list[TableColumn]:
    """Return the latency, and the service time in the open model; neither of a saturated run."""
    if result.saturated:
        return [TableColumn("latency", ["saturated"] * len(rows))]
    columns = [
        TableColumn(head, [numbers.duration(getattr(row.latency_ns, head)) for row in rows])
        for head in ("p50", "p95", "p99", "max")
    ]
    if result.open_model:
        columns.append(column("service p95", rows, lambda row: numbers.duration(row.service_ns.p95)))
    return columns


def _rates(rows: Sequence[Traffic]) -> list[TableColumn]:
    return [
        column("per s", rows, lambda row: numbers.rate(row.per_s)),
        column("MB/s", rows, lambda row: numbers.megabytes_per_s(row.bytes_per_s), wide_only=True),
    ]


def _since(took_ns: int | None, what: str) -> str:
    return "" if took_ns is None else f"{numbers.duration(took_ns)} {what}"


def _arrivals(arrivals: ArrivalSummary | None, window_ns: int) -> str:
    """Return the counts of the load's whole seconds, without the partial ones at the window's edges."""
    if arrivals is None:
        return ""
    seconds = max(arrivals.seconds, 1)
    offered, completed = (
        f"{numbers.count(count)} {name} ({numbers.rate(count / seconds)}/s)"
        for count, name in ((arrivals.offered, "offered"), (arrivals.completed, "completed"))
    )
    return (
        f"in {numbers.counted(arrivals.seconds, 'whole second')} of {numbers.duration(window_ns)}: "
        f"{offered}, {completed}; {numbers.count(arrivals.late)} found no idle user, "
        f"{numbers.count(arrivals.dropped)} dropped in the window"
    )


def _generator(result: RunResult) -> str:
    use = result.generator
    if not use.seconds:
        return ""
    text = (
        f"{'1 process' if use.workers == 1 else f'{numbers.count(use.workers)} processes'}, "
        f"CPU {numbers.percent(use.cpu_median)} of what it may use (at most {numbers.percent(use.cpu_max)}), "
        f"loop lag p99 at most {numbers.duration(use.loop_lag_p99_max_ns)}"
    )
    if use.arrivals is None:
        return text
    return f"{text}, schedule slip p99 at most {numbers.duration(use.slip_p99_max_ns)}"


def _cores(pinning: Mapping[str, Sequence[int] | None]) -> str:
    """Return the cores of load and stack; empty where they are unknown, as for a daemon on another host."""
    load, stack = pinning.get("generator"), pinning.get("stack")
    if not load or not stack:
        return ""
    apart = "apart" if set(load).isdisjoint(stack) else "shared"
    return f"load on {', '.join(map(str, load))}, stack on {', '.join(map(str, stack))}: {apart}"


def _sampler(services: Sequence[ServiceResult]) -> str:
    own = [service.use for service in services if service.use.service == "sampler"]
    readings = [service.use.reading_ns.p50 for service in services if service.use.service not in RESERVED]
    known = [reading for reading in readings if reading is not None]
    if not own or not known:
        return ""
    least, most = numbers.duration(min(known)), numbers.duration(max(known))
    return f"{numbers.percent(own[0].cpu_cores)} of a core; {least} to {most} for one reading of a service (p50)"

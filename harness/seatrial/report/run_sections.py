"""The sections of a run's report: titles, tables, notes, advice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from seatrial.analysis.results import Event, RunResult, ServiceResult
from seatrial.compare.budgets import BudgetResult, BudgetWord
from seatrial.measure.generator import ArrivalSummary
from seatrial.measure.requests import FlowDetail, Traffic
from seatrial.measure.validity import RESERVED
from seatrial.model import EngineName, Note, NoteKind
from seatrial.report import numbers
from seatrial.report.tables import Section, Table, TableColumn, TableColumnKind, of_rows, pairs
from seatrial.wire.streams import NOT_FAILURES, Outcome


def run_title(review: RunResult) -> str:
    """Return what was run: scenario, variant, where, under which load."""
    about = review.info
    # a recording of Locust alone has no engine that is known
    place = f"{about.engine} engine" if about.engine in tuple(EngineName) else "no stack watched"
    load = "no load" if about.users is None else numbers.counted(about.users, "user")
    if about.rate:
        load = f"{about.rate}, at most {numbers.counted(about.users or 0, 'user')}"
    return f"{about.scenario} · {about.variant} · {place} · {load}"


def run_word(review: RunResult) -> str:
    """Return the whole in one or two words; one that can't be trusted keeps or breaks no budget."""
    if not review.valid:
        return "INVALID"
    return "BUDGET BROKEN" if _broken(review) else "VALID"


def run_headline(review: RunResult) -> str:
    """Return how much was asked, over which time, and how much of it failed."""
    where = (
        f"in a window of {numbers.duration(review.window.length_ns)}"
        if review.window.opened
        else "in all; no window was opened"
    )
    if not review.total.count and review.flows:
        return f"{_flow_count(review.flows)} {where}; {_failed(*_counts(review.flows))}"
    asked = f"{numbers.counted(review.total.count, 'request')} and {_flow_count(review.flows)}"
    return f"{asked} {where}; {_failed(*_counts([review.total]))}"


def run_reasons(review: RunResult) -> list[str]:
    """Return why the run is not to be trusted, and which budgets it broke; empty if nothing says so."""
    untrusted = [f"not to be trusted: {note.kind}: {note.text}" for note in review.notes if note.invalidates]
    if review.info.status != "complete" and not untrusted:
        untrusted.append(f"the run did not come to its end: {review.info.status}")
    return [
        *untrusted,
        *([review.info.error] if review.info.error else []),
        *(one.text for one in _broken(review)),
    ]


def traffic_explained(review: RunResult) -> str:
    """Return what the columns of the requests mean."""
    if review.saturated:
        return "no latency: arrivals piled up, and waited as long as the run let them"
    whose = "latency of the successes, " if review.total.failures else "latency "
    if review.open_model:
        return f"{whose}from the scheduled start; service: from the real"
    begin = "start" if review.total.failures else "from start"
    return f"{whose}{begin} to last byte; first byte: p50; - : too few to tell"


def event_text(happened: Event) -> str:
    """Return what happened to which service, with what is known of it besides the image's name."""
    detail = (f"{name}={value}" for name, value in happened.detail.items() if name != "image")
    return " ".join((happened.service, happened.event, *detail))


def _broken(review: RunResult) -> list[BudgetResult]:
    return [one for one in review.budgets if one.word is BudgetWord.BROKEN]


def _flow_count(flows: Sequence[Traffic]) -> str:
    """Say how many ran: an arrival that was dropped is counted as a failure, but nothing was done."""
    done = sum(flow.count - flow.outcomes.get(Outcome.DROPPED, 0) for flow in flows)
    return numbers.counted(done, "flow")


def _counts(rows: Sequence[Traffic]) -> tuple[int, int]:
    return sum(row.count for row in rows), sum(row.failures for row in rows)


def _failed(count: int, failures: int) -> str:
    if not count:
        return "nothing was asked"
    if not failures:
        return "no failures"
    return f"{numbers.count(failures)} failed ({numbers.percent(failures / count)})"


MENDS = {
    NoteKind.TASK_EXCEPTION: "a bug in the locustfile or in Seatrial: the traceback is in logs/task-errors.jsonl",
    NoteKind.NO_REQUESTS: "look at logs/locust.log, and try the locustfile alone: locust -f FILE --host URL",
    NoteKind.SERVICE_RESTARTED: "look at the service's log under logs/, and at its memory limit",
    NoteKind.OOM_KILL: "raise the service's memory limit, or lower what it may hold",
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
    NoteKind.INTERRUPTED: "run it again to the end; what was recorded until then is shown",
    NoteKind.RECOVERED: "run it again; what was recorded until the kill is shown",
}


def mend(kind: NoteKind) -> str:
    """Return the advice for a note; empty if there is none."""
    return MENDS.get(kind, "")


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
"""Class, its head, and whether it is left out on a narrow terminal."""
_MOMENTS = ("start", "median", "peak", "end")
_MOST_EVENTS = 20


class Spans(Enum):
    """Which durations a run can tell: those of its model, or none."""

    CLOSED = "closed"
    OPEN = "open"
    SATURATED = "saturated"


def sections(result: RunResult) -> list[Section]:
    """Return the sections that have rows, in the order in which every form shows them."""
    stack = [placed for placed in result.services if placed.use.service not in RESERVED]
    every = (
        _budgets(result),
        _requests(result),
        _flows(result),
        _flow_details(result.details),
        _outcomes([*result.endpoints, *result.flows]),
        _memory(stack),
        _work(result.services),
        _events(result.events),
        _notes(result.notes),
        Section(name="run", title="Run", table=pairs(run_lines(result))),
    )
    return [section for section in every if section.table.rows]


def _budgets(result: RunResult) -> Section:
    return Section(
        name="budgets",
        title="Budgets",
        caption="judged by this run alone, with 95 %",
        table=of_rows(
            (
                ("verdict", TableColumnKind.VERDICT),
                ("budget", TableColumnKind.WORDS),
                ("measured", TableColumnKind.WORDS),
            ),
            [(str(judged.word).upper(), judged.budget.text, judged.reason) for judged in result.budgets],
        ),
    )


def _requests(result: RunResult) -> Section:
    """One row for each endpoint, and one for all; a narrow table leaves failures to that of outcomes.

    In the open model the service time takes the place of the first byte.
    """
    endpoints = result.endpoints
    rows = [*endpoints, result.total] if len(endpoints) > 1 else list(endpoints)
    spans = _spans(result)
    first_byte = TableColumn("first byte", [numbers.duration(row.first_byte_ns.p50) for row in rows])
    columns = (
        *_counts_run_lines("endpoint", rows, failed_wide_only=True),
        *_durations(rows, spans),
        *([first_byte] if spans is Spans.CLOSED else []),
        *_rates(rows),
    )
    return Section(name="requests", title="Requests", caption=traffic_explained(result), table=Table(columns))


def _flows(result: RunResult) -> Section:
    """One row for each kind of flow; their requests are left out where there are none, or no room for them."""
    rows, spans = result.flows, _spans(result)
    asked = TableColumn("requests", [numbers.count(row.requests) for row in rows], wide_only=spans is Spans.OPEN)
    columns = (
        *_counts_run_lines("flow", rows),
        *_durations(rows, spans),
        *([asked] if any(row.requests for row in rows) else []),
        *_rates(rows),
    )
    return Section(
        name="flows",
        title="Flows",
        caption="a flow is one task of a user, such as a whole pull",
        table=Table(columns),
    )


def _flow_details(details: Sequence[FlowDetail]) -> Section:
    """One row for each number that flows of one name reported."""
    columns = [
        TableColumn(head, [numbers.measured(getattr(detail, head), detail.unit) for detail in details])
        for head in ("mean", "p50", "p95", "max")
    ]
    return Section(
        name="details",
        title="Flow details",
        caption="what the flows in the window reported of themselves; - : too few to tell",
        table=Table(
            (
                TableColumn("flow", [detail.flow for detail in details], TableColumnKind.WORDS),
                TableColumn("detail", [detail.key for detail in details], TableColumnKind.WORDS),
                TableColumn("count", [numbers.count(detail.count) for detail in details]),
                *columns,
            )
        ),
    )


def _outcomes(rows: Sequence[Traffic]) -> Section:
    """One row for each endpoint or flow that did not always end well, with how often it ended how."""
    bad = [row for row in rows if any(outcome != "ok" for outcome in row.outcomes)]
    names = dict.fromkeys(outcome for row in bad for outcome in row.outcomes if outcome != "ok")
    columns = [
        TableColumn(
            f"{name}*" if name in NOT_FAILURES else name, [numbers.count(row.outcomes.get(name, 0)) for row in bad]
        )
        for name in names
    ]
    return Section(
        name="outcomes",
        title="Outcomes",
        caption="* is not a failure: given up on purpose (aborted), or by the end of the run (cut)",
        table=Table(
            (TableColumn("ended otherwise than ok", [row.name for row in bad], TableColumnKind.WORDS), *columns)
        ),
    )


def _memory(services: Sequence[ServiceResult]) -> Section:
    """Four rows for each service: start, median, peak and end of each memory class, in MiB."""
    swaps = any(placed.use.memory["swap_bytes"].peak for placed in services)
    rows = [(placed, moment) for placed in services for moment in _MOMENTS]
    columns = [
        TableColumn(
            head,
            [numbers.mebibytes(getattr(placed.use.memory[name], moment)) for placed, moment in rows],
            wide_only=wide_only,
        )
        for name, head, wide_only in _MEMORY
        if name != "swap_bytes" or swaps
    ]
    named = [_named(placed) if moment == _MOMENTS[0] else "" for placed, moment in rows]
    table = Table(
        (
            TableColumn("service", named, TableColumnKind.WORDS),
            TableColumn("MiB", [moment for _, moment in rows], TableColumnKind.WORDS),
            *columns,
        ),
        bold=frozenset(index for index, (_, moment) in enumerate(rows) if moment == "peak"),
    )
    said = "unrecl. = anon + kernel + shmem + sock + dirty; clean: cache that can be taken back"
    return Section(name="memory", title="Memory", caption=said, table=table)


def _work(services: Sequence[ServiceResult]) -> Section:
    """One row for each service: CPU, what held it up, how it was watched."""
    used = [placed.use for placed in services]
    trouble = [
        TableColumn("throttled", [numbers.duration(use.gained["throttled_ns"]) for use in used]),
        TableColumn("CPU stall", [numbers.duration(use.gained["cpu_stall_ns"]) for use in used]),
        TableColumn("mem. stall", [numbers.duration(use.gained["memory_stall_ns"]) for use in used]),
        TableColumn("I/O stall", [numbers.duration(use.gained["io_stall_ns"]) for use in used]),
        TableColumn("limit hits", [numbers.count(use.gained["limit_hits"]) for use in used]),
        TableColumn("OOM", [numbers.count(use.gained["oom_kills"]) for use in used]),
    ]
    empty = [column.head for column in trouble if set(column.cells) <= {"0", numbers.UNKNOWN}]
    columns = (
        TableColumn("service", [use.service for use in used], TableColumnKind.WORDS),
        TableColumn("cores", [numbers.cores(use.cpu_cores) for use in used]),
        TableColumn("CPU/flow", [numbers.duration(use.cpu_per_flow_ns) for use in used])
        if any(use.cpu_per_flow_ns is not None for use in used)
        else TableColumn("CPU/request", [numbers.duration(use.cpu_per_request_ns) for use in used]),
        *(column for column in trouble if column.head not in empty),
        TableColumn("samples/s", [numbers.rate(use.samples_per_s) for use in used]),
        TableColumn("gap p99", [numbers.duration(use.period_ns.p99) for use in used], wide_only=True),
    )
    return Section(
        name="work",
        title="Work",
        caption="CPU in the window; stall: time in which some task waited; gap: time between two samples",
        table=Table(columns),
        footnote=f"0 or not told for every service: {', '.join(empty)}" if empty else "",
    )


def _events(events: Sequence[Event]) -> Section:
    rows = [(numbers.moment(event.after_ns), event_text(event)) for event in events[:_MOST_EVENTS]]
    if len(events) > _MOST_EVENTS:
        rows.append(("...", f"{len(events) - _MOST_EVENTS} more in events.jsonl"))
    return Section(name="events", title="Events", caption="from the start of the window", table=pairs(rows))


def _notes(notes: Sequence[Note]) -> Section:
    rows = []
    for note in notes:
        rows.append((("! " if note.invalidates else "  ") + note.kind, note.text))
        if advice := mend(note.kind):
            rows.append(("", f"-> {advice}"))
    said = "what to keep in mind, and what to do about it"
    return Section(name="notes", title="Notes", caption=said, table=pairs(rows))


def _spans(result: RunResult) -> Spans:
    if result.saturated:
        return Spans.SATURATED
    return Spans.OPEN if result.open_model else Spans.CLOSED


def _counts_run_lines(head: str, rows: Sequence[Traffic], *, failed_wide_only: bool = False) -> list[TableColumn]:
    return [
        TableColumn(head, [row.name for row in rows], TableColumnKind.WORDS),
        TableColumn("count", [numbers.count(row.count) for row in rows]),
        TableColumn("failed", [numbers.count(row.failures) for row in rows], wide_only=failed_wide_only),
    ]


def _durations(rows: Sequence[Traffic], spans: Spans) -> list[TableColumn]:
    if spans is Spans.SATURATED:
        return [TableColumn("latency", [spans.value for _ in rows])]
    columns = [
        TableColumn("p50", [numbers.duration(row.latency_ns.p50) for row in rows]),
        TableColumn("p95", [numbers.duration(row.latency_ns.p95) for row in rows]),
        TableColumn("p99", [numbers.duration(row.latency_ns.p99) for row in rows]),
        TableColumn("max", [numbers.duration(row.latency_ns.max) for row in rows]),
    ]
    if spans is Spans.OPEN:
        columns.append(TableColumn("service p95", [numbers.duration(row.service_ns.p95) for row in rows]))
    return columns


def _rates(rows: Sequence[Traffic]) -> list[TableColumn]:
    return [
        TableColumn("per s", [numbers.rate(row.per_s) for row in rows]),
        TableColumn("MB/s", [numbers.megabytes_per_s(row.bytes_per_s) for row in rows], wide_only=True),
    ]


def _named(placed: ServiceResult) -> str:
    return f"{placed.use.service} ({placed.place})" if placed.place else placed.use.service


def run_lines(result: RunResult) -> list[tuple[str, str]]:
    """Return what was run, how the load and the sampler fared, and where the data lies; without empty lines."""
    about, times = result.info, result.overheads
    rows = [
        ("question", about.question),
        ("began", about.began_utc),
        ("engine", f"{about.engine}: {about.engine_reason}" if about.engine_reason else about.engine),
        ("load went by", about.url_via),
        ("arrivals", _arrivals(result.generator.arrivals, result.window.length_ns)),
        ("generator", _generator(result)),
        ("cores", _cores(about.pinning)),
        ("sampler", _sampler(result)),
        ("to first request", _since(times.command_to_first_request_ns, "from the command")),
        ("to the end", _since(times.last_request_to_end_ns, "from the last request, with teardown")),
        ("data", about.folder),
        ("", f"{', '.join(about.files)}; pandas, polars and DuckDB open the tables"),
        ("see it again", f"seatrial show {about.show}"),
    ]
    return [(name, text) for name, text in rows if text]


def fact_sections(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return nested values as named lines: `host.kernel`, `6.1`; lists in one line, nothing for nothing."""
    return [(name.removeprefix("."), text) for name, text in _flat("", values) if text]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  (any JSON value)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield name, ", ".join(map(str, value))
    else:
        yield name, "" if value is None else str(value)


def _since(took_ns: int | None, what: str) -> str:
    return "" if took_ns is None else f"{numbers.duration(took_ns)} {what}"


def _arrivals(seen: ArrivalSummary | None, window_ns: int) -> str:
    """Tell what the load's whole seconds counted; the window's edges lie in seconds that are left out."""
    if seen is None:
        return ""
    ended = f"{numbers.count(seen.completed)} completed ({_per_s(seen.completed, seen)})"
    waited = f"{numbers.count(seen.late)} found no idle user, {numbers.count(seen.dropped)} dropped in the window"
    of = f"in {numbers.counted(seen.seconds, 'whole second')} of {numbers.duration(window_ns)}: "
    return f"{of}{numbers.count(seen.offered)} offered ({_per_s(seen.offered, seen)}), {ended}; {waited}"


def _per_s(count: int, seen: ArrivalSummary) -> str:
    return f"{numbers.rate(count / max(seen.seconds, 1))}/s"


def _generator(review: RunResult) -> str:
    use = review.generator
    if not use.seconds:
        return ""
    processes = "1 process" if use.workers == 1 else f"{numbers.count(use.workers)} processes"
    usual, most = numbers.percent(use.cpu_median), numbers.percent(use.cpu_max)
    lag = numbers.duration(use.loop_lag_p99_max_ns)
    slip = numbers.duration(use.slip_p99_max_ns)
    said = f"{processes}, CPU {usual} of what it may use (at most {most}), loop lag p99 at most {lag}"
    return said if use.arrivals is None else f"{said}, schedule slip p99 at most {slip}"


def _cores(pinning: Mapping[str, Sequence[int] | None]) -> str:
    """Say which cores load and stack had; nothing where that is not known, as for a daemon on another host."""
    load, stack = pinning.get("generator"), pinning.get("stack")
    if not load or not stack:
        return ""
    apart = "apart" if set(load).isdisjoint(stack) else "shared"
    return f"load on {_listed(load)}, stack on {_listed(stack)}: {apart}"


def _listed(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores))


def _sampler(review: RunResult) -> str:
    own = [placed.use for placed in review.services if placed.use.service == "sampler"]
    reading = [placed.use.reading_ns.p50 for placed in review.services if placed.use.service not in RESERVED]
    told = [took for took in reading if took is not None]
    if not own or not told:
        return ""
    least, most = numbers.duration(min(told)), numbers.duration(max(told))
    return f"{numbers.percent(own[0].cpu_cores)} of a core; {least} to {most} for one reading of a service (p50)"

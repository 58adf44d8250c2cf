"""Makers of streams and of whole run folders, as the load and the sampler write them, for tests.

Times are seconds after `BEGIN_NS`; the made-up run has a warm-up of 10 s, a window of 30 s and a drain of 2 s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seatrial.http.messages import Response
from seatrial.measure.requests import request_stats
from seatrial.measure.tables import RequestColumns, Window
from seatrial.model import Phase, Span
from seatrial.record import documents, read
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder, create_experiment, create_run
from seatrial.record.seal import seal
from seatrial.record.tables import open_part
from seatrial.units import NS_PER_S
from seatrial.wire.streams import (
    CONNECTIONS,
    METHODS,
    NULL,
    OUTCOMES,
    Layout,
    line_header,
    read_layout,
    requests_layout,
    samples_layout,
)

BEGIN_NS = 1_000 * NS_PER_S
WALL_NS = 1_795_241_700 * NS_PER_S
MIB = 1 << 20
NGINX, REGISTRY = "a" * 64, "b" * 64
QUESTION = "How fast are pulls, and what do they cost in memory?"
TIERS = {"nginx": "proxy", "registry": "app"}
ENDPOINTS = ("token", "manifest by tag", "blob")


def at(seconds: float) -> int:
    """Return the stamp so many seconds after the run began."""
    return BEGIN_NS + round(seconds * NS_PER_S)


SPANS = (
    Span(phase=Phase.WARMUP, from_ns=at(0), until_ns=at(10)),
    Span(phase=Phase.WINDOW, from_ns=at(10), until_ns=at(40)),
    Span(phase=Phase.DRAIN, from_ns=at(40), until_ns=at(42)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of a made-up stream."""

    start_s: float
    took_ms: float = 10.0
    endpoint: str = "blob"
    outcome: str = "ok"
    status: int = 200
    intended_s: float | None = None
    bytes_received: int = 1000


def write_requests(
    streams: Path, requests: Iterable[Asked], *, worker: int = 0, endpoints: tuple[str, ...] = ENDPOINTS
) -> Path:
    """Write one worker's requests; the first byte comes halfway, and a refused request has none."""
    layout = requests_layout(endpoints, worker)
    path = streams / f"requests-{worker}.bin"
    rows = (layout.record.pack(*_row(request, endpoints)) for request in requests)
    path.write_bytes(layout.header() + b"".join(rows))
    return path


def _row(request: Asked, endpoints: tuple[str, ...]) -> tuple[int, ...]:
    took_s = request.took_ms / 1000
    return (
        NULL if request.intended_s is None else at(request.intended_s),
        at(request.start_s),
        NULL if request.outcome == "refused" else at(request.start_s + took_s / 2),
        at(request.start_s + took_s),
        endpoints.index(request.endpoint),
        METHODS.index("GET"),
        request.status,
        OUTCOMES.index(request.outcome),
        request.bytes_received,
        200,
        CONNECTIONS.index("reused"),
        1,
        7,
    )


def write_samples(
    streams: Path, service: str, readings: Iterable[Mapping[str, int]], *, container: str = ""
) -> Path:
    """Write one container's samples; columns that are left out are NULL."""
    layout = samples_layout(service, container)
    path = streams / f"samples-{service}-{container[:12]}.bin"
    rows = (layout.record.pack(*(reading.get(name, NULL) for name in layout.columns)) for reading in readings)
    path.write_bytes(layout.header() + b"".join(rows))
    return path


def write_lines(
    streams: Path, name: str, rows: Iterable[Mapping[str, Any]], *, table: str, worker: int = 0
) -> Path:
    """Write a line stream: `flows`, `generator` or `errors`."""
    path = streams / f"{name}-{worker}.jsonl"
    path.write_bytes(
        line_header(table, worker=worker) + b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    )
    return path


def response(endpoint: str = "page", start_ns: int = 0, **fields: object) -> Response:
    """Return the row of a request with these fields, as the client fills it in."""
    made = Response("GET", endpoint, start_ns)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def read_lines(path: Path) -> tuple[Layout, list[dict[str, Any]]]:
    """Read a line stream back; a torn last line is left out."""
    with path.open("rb") as stream:
        return read_layout(stream), [json.loads(line) for line in stream if line.endswith(b"\n")]


def read_column(path: Path, name: str) -> list[int]:
    """Read one column of a stream of records."""
    column: list[int] = open_part(path).rows[name].tolist()
    return column


def read_requests(path: Path) -> list[dict[str, Any]]:
    """Read a file of requests back, codes turned into labels (None without one), with the file's constants."""
    part = open_part(path)
    rows = [dict(zip(part.layout.columns, values, strict=True)) for values in part.rows.tolist()]
    for name, labels in part.layout.labels.items():
        for row in rows:
            row[name] = labels[row[name]] if row[name] < len(labels) else None
    return [{**row, **part.layout.constants} for row in rows]


def readings(
    *, seconds: float = 42, hz: float = 10, grow_mib_per_s: float = 0.0, cores: float = 0.1, anon_mib: float = 8
) -> list[dict[str, int]]:
    """Return the samples of a service that uses `cores` and grows steadily."""
    constant = {"file_clean_bytes": 3 * MIB, "file_dirty_bytes": MIB // 2, "shmem_bytes": MIB // 4}
    constant |= {"kernel_bytes": MIB, "sock_bytes": 0, "swap_bytes": 0}
    zero = dict.fromkeys(("oom_kills", "limit_hits", "throttled_ns", "memory_stall_ns", "io_stall_ns"), 0)
    rows = []
    for index in range(round(seconds * hz)):
        after_s = index / hz
        anon = round((anon_mib + grow_mib_per_s * after_s) * MIB)
        usage = anon + sum(constant.values())
        levels = {"anon_bytes": anon, "usage_bytes": usage, "working_set_bytes": usage - 3 * MIB}
        stamps = {"t_ns": at(after_s), "t_after_ns": at(after_s) + 20_000}
        rising = {
            "cpu_ns": round(after_s * cores * NS_PER_S),
            "major_faults": index,
            "cpu_stall_ns": index * 50_000,
        }
        rows.append(stamps | levels | constant | rising | zero)
    return rows


def flow(number: int, start_s: float, *, took_ms: float = 100, outcome: str = "ok", **more: Any) -> dict[str, Any]:  # noqa: ANN401  (fields of a flow)
    """Return one flow of four requests."""
    whole = {"flow_id": number, "flow": "pull", "profile": "containerd", "t_intended_ns": None, "user": 7}
    ends = {"t_start_ns": at(start_s), "t_end_ns": at(start_s + took_ms / 1000), "outcome": outcome}
    return {**whole, **ends, "requests": 4, "bytes_received": 4000, "detail": {"layers": 3}, **more}


def second(after_s: float, *, cpu_fraction: float = 0.3) -> dict[str, Any]:
    """Return one second of a load process."""
    lags = {"loop_lag_p50_ns": 20_000, "loop_lag_p99_ns": 900_000, "slip_p99_ns": None}
    return {"t_ns": at(after_s), "cpu_fraction": cpu_fraction, "users": 8, "in_flight": 5, **lags}


def document(**changes: Any) -> RunDocument:  # noqa: ANN401  (fields of RunDocument)
    """Return the run.json of a complete run of two services, not sealed yet."""
    whole = RunDocument(
        status="complete",
        scenario_name="registry-pull",
        scenario={"question": QUESTION, "tiers": TIERS, "load": {"users": 8}},
        engine="compose",
        clock={"wall_ns": WALL_NS, "monotonic_ns": BEGIN_NS},
        spans=SPANS,
        timing={"command_ns": at(-20), "torn_down_ns": at(46)},
        facts={"subject": {}, "environment": {}, "sampler": {"sources": dict.fromkeys(TIERS, "cgroup v1")}},
    )
    return replace(whole, **changes)


def thousand_requests() -> list[Asked]:
    """Return 1000 requests over 42 s: 239 in the warm-up, 714 in the window, 47 in the drain; each tenth fails."""
    ends: tuple[dict[str, Any], ...] = ({}, {"outcome": "status", "status": 503})
    return [
        Asked(
            start_s=index * 0.042, took_ms=5 + index % 50, endpoint=ENDPOINTS[index % 3], **ends[index % 10 == 9]
        )
        for index in range(1000)
    ]


def run(
    results: Path,
    requests: Sequence[Asked] | None = None,
    flows: Sequence[Mapping[str, Any]] | None = None,
    **changes: Any,  # noqa: ANN401  (fields of RunDocument)
) -> RunFolder:
    """Make an unsealed run folder with every kind of stream, and its run.json."""
    experiment = create_experiment(results, "registry-pull", WALL_NS)
    folder = create_run(experiment, "base", 1, WALL_NS)
    write_requests(folder.streams, thousand_requests() if requests is None else requests)
    write_samples(folder.streams, "nginx", readings(), container=NGINX)
    write_samples(
        folder.streams, "registry", readings(grow_mib_per_s=0.5, cores=0.4, anon_mib=20), container=REGISTRY
    )
    for service in ("host", "sampler", "generator"):
        write_samples(folder.streams, service, readings(cores=0.004))
    done = [flow(n, n * 0.2) for n in range(200)] if flows is None else flows
    write_lines(folder.streams, "flows", done, table="flows")
    write_lines(folder.streams, "generator", (second(n) for n in range(42)), table="generator")
    event = {"t_ns": at(12.5), "service": "nginx", "event": "health_status", "detail": {"health": "healthy"}}
    folder.events.write_text(json.dumps(event) + "\n")
    documents.save_document(folder, document(**changes))
    return folder


def sealed_open_run(results: Path, *, completed: int = 50, late: int = 0, dropped: int = 0) -> RunFolder:
    """Seal a run with 50 arrivals a second, each with one request that was sent 20 ms late and took 10 ms."""
    asked = [Asked(start_s=10.02 + n * 0.02, intended_s=10 + n * 0.02) for n in range(1500)]
    rate = {"text": "50/s", "stretches": [[None, 50.0, 50.0]], "poisson": False}
    folder = run(results, asked, scenario={"tiers": TIERS, "load": {"users": 20, "rate": rate}})
    counts = {"arrivals": 50, "arrivals_completed": completed, "arrivals_late": late, "arrivals_dropped": dropped}
    rows = [{**second(n), **counts, "slip_p99_ns": 1_250_000} for n in range(42)]
    write_lines(folder.streams, "generator", rows, table="generator")
    flows = [flow(n, 10.02 + n * 0.2, took_ms=60, t_intended_ns=at(10 + n * 0.2)) for n in range(150)]
    nothing = {"flow": "arrival", "t_intended_ns": at(12), "requests": 0, "bytes_received": 0}
    flows += [flow(1000 + n, 12, took_ms=0, outcome="dropped", **nothing) for n in range(dropped)]
    write_lines(folder.streams, "flows", flows, table="flows")
    seal(folder, documents.load_document(folder))
    return folder


def requests_of(folder: RunFolder) -> RequestColumns:
    """Return all requests of a sealed run, of whatever phase."""
    everything = Window(opened=False, from_ns=0, until_ns=0, length_ns=0)
    return request_stats(read.request_batches(folder), everything, read.request_count(folder))[0]


def sealed_run(results: Path, *streams: Any, **changes: Any) -> RunFolder:  # noqa: ANN401  (as `run` takes them)
    """Make a sealed run folder."""
    folder = run(results, *streams, **changes)
    seal(folder, documents.load_document(folder))
    return folder


def write_process(proc: Path, pid: int, parent: int, name: str = "x") -> None:
    """Write one process of a made-up /proc, the youngest so far."""
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} 1 1")
    (proc / "loadavg").write_text(f"0.00 0.00 0.00 1/2 {pid}\n")

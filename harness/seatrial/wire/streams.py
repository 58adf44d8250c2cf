"""The binary and line streams of a run: tables, columns, outcomes, append-only writer.

A binary stream is one JSON line (the header: table, columns with their struct codes, constants that hold for every
row, and the labels of the coded columns), then records of one fixed size. A process that is killed leaves a
readable file: a torn last record is ignored. A line stream is a JSON header line, then one JSON object per line.

Stamps are CLOCK_MONOTONIC nanoseconds: one clock for every process of a host since its boot.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from seatrial.errors import ResultsUnwritable

SCHEMA_VERSION = 1
NULL = -(2**63)
"""Stands for "did not happen" or "this source can't tell" in a 64-bit column; sealing makes null of it."""
MAGIC = "seatrial-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of one binary stream.

    `columns` maps a name to its struct code (little-endian, no padding); `labels` maps a column of codes to the
    labels that the codes stand for; `constants` are columns with one value for the whole file.
    """

    table: str
    columns: Mapping[str, str]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    constants: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def record(self) -> struct.Struct:
        """The packer of one row."""
        return struct.Struct("<" + "".join(self.columns.values()))

    def header(self) -> bytes:
        """Return the file's first line."""
        head = {
            "magic": MAGIC,
            "schema": SCHEMA_VERSION,
            "table": self.table,
            "columns": dict(self.columns),
            "labels": {name: list(values) for name, values in self.labels.items()},
            "constants": dict(self.constants),
        }
        return json.dumps(head, separators=(",", ":")).encode() + b"\n"


def read_layout(stream: BinaryIO) -> Layout:
    """Read the first line of a binary stream; ValueError if it is not one of ours."""
    try:
        head = json.loads(stream.readline())
    except ValueError as error:
        raise ValueError("the stream has no readable header") from error
    if not isinstance(head, dict) or head.get("magic") != MAGIC:
        raise ValueError("the stream has no Seatrial header")
    if head["schema"] > SCHEMA_VERSION:
        raise ValueError(f"the stream has schema {head['schema']}, newer than {SCHEMA_VERSION}")
    return Layout(table=head["table"], columns=head["columns"], labels=head["labels"], constants=head["constants"])


def line_header(table: str, **constants: str | int) -> bytes:
    """Return the first line of a line stream."""
    return Layout(table=table, columns={}, constants=constants).header()


def end_mark(folder: Path, worker: int) -> Path:
    """Return the file by which a load process says that it has written all that it recorded into `folder`."""
    return folder / f"ended-{worker}"


class StreamWriter:
    """Appends to a file of its own: `pending` gathers rows, `flush` writes what was gathered."""

    def __init__(self, path: Path, header: bytes) -> None:
        """Create the file with its header; ResultsUnwritable if that can't be, as where it is there already."""
        self.path = path
        self.pending = bytearray(header)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ResultsUnwritable("a record file can't be opened", where=str(path), seen=str(error)) from error
        self.flush()

    def line(self, row: Mapping[str, Any]) -> None:
        """Gather one JSON object."""
        self.pending += json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

    def flush(self) -> None:
        """Write; what can't be written stays for the next time, and ResultsUnwritable says why."""
        while self.pending:
            try:
                count = os.write(self._file, self.pending)
            except OSError as error:
                raise ResultsUnwritable(
                    "records can't be written", where=str(self.path), seen=str(error)
                ) from error
            del self.pending[:count]

    def close(self) -> None:
        """Write what is left, and close."""
        try:
            self.flush()
        finally:
            os.close(self._file)


class Outcome(StrEnum):
    """How a request or a flow ended; closed, so that nothing can fail in an unnamed way."""

    OK = "ok"
    STATUS = "status"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    RESET = "reset"
    TRUNCATED = "truncated"
    DIGEST = "digest"
    RANGE = "range"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    ABORTED = "aborted"
    CUT = "cut"
    DROPPED = "dropped"
    REJECTED = "rejected"


OUTCOMES = tuple(Outcome)
NOT_FAILURES = frozenset({Outcome.OK, Outcome.ABORTED, Outcome.CUT})
"""`aborted` is the user model's purpose and `cut` the end of the run; neither says anything about the stack.

`dropped`, an arrival that no user was free to serve, is a failure of the load that was asked for: it is counted,
in flows named `arrival`, and has no latency.
"""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER")
CONNECTIONS = ("new", "reused", "replaced")
UNKNOWN_CODE = 255
"""Stands for "this source can't tell" in a column of labels; sealing makes null of it."""
UNKNOWN_USER = 2**32 - 1
"""The same for the number of a user."""
LABEL_LIMIT = 200
"""So many endpoints a person can still read as a table; more are one for each object that was asked for."""


class ColumnKind(Enum):
    """What a column holds, and where a stream has it: in each row, or once in its header for all of them."""

    NUMBER = "number"
    LABEL = "label"
    """One of a few words: its code in a binary stream, itself in a line stream."""
    TEXT = "text"
    FILE_NUMBER = "number of a file"
    FILE_LABEL = "label of a file"
    PHASE = "phase"
    """In no stream: sealing gives each row the label of the phase that it belongs to."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `code` is the struct code of its numbers, "" for words that have none."""

    name: str
    code: str = "q"
    kind: ColumnKind = ColumnKind.NUMBER

    @property
    def in_rows(self) -> bool:
        """Whether each row of a stream has its own value."""
        return self.kind in {ColumnKind.NUMBER, ColumnKind.LABEL, ColumnKind.TEXT}

    @property
    def labelled(self) -> bool:
        """Whether the column holds few different words."""
        return self.kind in {ColumnKind.LABEL, ColumnKind.FILE_LABEL, ColumnKind.PHASE}


class Reading(NamedTuple):
    """One row of `samples` without its stamps, in the same words for every source; NULL where it can't tell.

    `usage_bytes`: what the kernel charges (cgroup usage); process tree: the sum of resident sizes, so that pages
    which several processes share count several times; host: total minus available.
    `working_set_bytes`: usage minus inactive file cache, never below 0.
    `anon_bytes`: heap, stacks, private mappings.
    `file_clean_bytes`: page cache that can be dropped at once: file minus shmem, dirty and write-back, at least 0.
    `file_dirty_bytes`: page cache that has to reach a disk first (dirty plus write-back).
    `shmem_bytes`: tmpfs, /dev/shm and shared anonymous mappings: looks like cache, needs swap to be reclaimed.
    `kernel_bytes`: slab, page tables, kernel stacks. `sock_bytes`: TCP buffers.
    `limit_bytes`: NULL where unlimited.
    `cpu_ns`, `throttled_ns`, `oom_kills`, `limit_hits`, `major_faults`, `read_bytes`, `written_bytes`, `rx_bytes`
    and `tx_bytes` count since the target began, and begin again when a container is restarted.
    `throttled_ns` of the sampler: of the cgroups that it runs in, with the harness and the load.
    `*_stall_ns`: PSI `some`: at least one task waited. `processes`: tasks, that is processes and their threads.
    Of the host only: `stolen_ns`, time for which a hypervisor kept its processors, since boot, all added up;
    `engine_ns`, what Docker's own processes have used.
    """

    usage_bytes: int = NULL
    working_set_bytes: int = NULL
    anon_bytes: int = NULL
    file_clean_bytes: int = NULL
    file_dirty_bytes: int = NULL
    shmem_bytes: int = NULL
    kernel_bytes: int = NULL
    sock_bytes: int = NULL
    swap_bytes: int = NULL
    limit_bytes: int = NULL
    cpu_ns: int = NULL
    throttled_ns: int = NULL
    oom_kills: int = NULL
    limit_hits: int = NULL
    cpu_stall_ns: int = NULL
    memory_stall_ns: int = NULL
    io_stall_ns: int = NULL
    major_faults: int = NULL
    read_bytes: int = NULL
    written_bytes: int = NULL
    rx_bytes: int = NULL
    tx_bytes: int = NULL
    processes: int = NULL
    stolen_ns: int = NULL
    engine_ns: int = NULL


_PHASE = Column("phase", "", ColumnKind.PHASE)
_WORKER = Column("worker", "i", ColumnKind.FILE_NUMBER)
REQUESTS = (
    Column("t_intended_ns"),
    Column("t_start_ns"),
    Column("t_first_byte_ns"),
    Column("t_end_ns"),
    Column("endpoint", "H", ColumnKind.LABEL),
    Column("method", "B", ColumnKind.LABEL),
    Column("status", "H"),
    Column("outcome", "B", ColumnKind.LABEL),
    _PHASE,
    Column("bytes_received"),
    Column("bytes_sent"),
    Column("connection", "B", ColumnKind.LABEL),
    Column("flow_id"),
    Column("user", "I"),
    _WORKER,
)
FLOWS = (
    Column("flow_id"),
    Column("flow", "", ColumnKind.LABEL),
    Column("profile", "", ColumnKind.LABEL),
    Column("t_intended_ns"),
    Column("t_start_ns"),
    Column("t_end_ns"),
    Column("outcome", "", ColumnKind.LABEL),
    _PHASE,
    Column("requests"),
    Column("bytes_received"),
    Column("user", "I"),
    _WORKER,
    Column("detail", "", ColumnKind.TEXT),
)
SAMPLES = (
    Column("t_ns"),
    Column("t_after_ns"),
    Column("service", "", ColumnKind.FILE_LABEL),
    Column("container", "", ColumnKind.FILE_LABEL),
    _PHASE,
    *(Column(name) for name in Reading._fields),
)
GENERATOR = (
    Column("t_ns"),
    _WORKER,
    _PHASE,
    Column("users"),
    Column("in_flight"),
    Column("offered"),
    Column("completed"),
    Column("cpu_fraction", "d"),
    Column("loop_lag_p50_ns"),
    Column("loop_lag_p99_ns"),
    Column("slip_p99_ns"),
    Column("arrivals"),
    Column("arrivals_completed"),
    Column("arrivals_late"),
    Column("arrivals_dropped"),
)
TIERS = (
    Column("t_ns"),
    Column("service", "", ColumnKind.LABEL),
    Column("counter", "", ColumnKind.LABEL),
    Column("value", "d"),
)
TABLES: Mapping[str, tuple[Column, ...]] = {
    "requests": REQUESTS,
    "flows": FLOWS,
    "samples": SAMPLES,
    "generator": GENERATOR,
    "tiers": TIERS,
}
"""Every table of a run, its columns in the order in which streams and tables have them."""
DETAIL_ENDINGS = ("_s", "_ratio", "_bytes", "_count")
"""The units in which a number in a flow's `detail` is measured: the key ends in one of them."""
MOST_DETAILS = 32
"""So many numbers of flows, by flow and key, are kept; a key for each object that was asked for says nothing."""
_MEASURED = re.compile(rf"[A-Za-z]\w*?(?P<ending>{'|'.join(DETAIL_ENDINGS)})\Z", re.ASCII)


def row_columns(table: Iterable[Column]) -> dict[str, str]:
    """Return what stands in each row of a stream: names and struct codes, in the stream's order."""
    return {column.name: column.code for column in table if column.in_rows}


@lru_cache(maxsize=1024)
def detail_ending(key: str) -> str | None:
    """Return the unit in which a detail is measured; None for a key without one."""
    match = _MEASURED.match(key)
    return None if match is None else match["ending"]


def detail_numbers(detail: Mapping[str, object]) -> dict[str, float]:
    """Return what is measured among a flow's details: finite numbers whose key ends in a unit."""
    return {
        key: float(value)
        for key, value in detail.items()
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and detail_ending(key)
        and math.isfinite(value)
    }


def requests_layout(endpoints: tuple[str, ...], worker: int) -> Layout:
    """One HTTP request a row; `endpoints` is the locustfile's closed list of labels."""
    return Layout(
        table="requests",
        columns=row_columns(REQUESTS),
        labels={"endpoint": endpoints, "method": METHODS, "outcome": OUTCOMES, "connection": CONNECTIONS},
        constants={"worker": worker},
    )


def samples_layout(service: str, container: str) -> Layout:
    """One reading of one container a row."""
    return Layout(
        table="samples",
        columns=row_columns(SAMPLES),
        constants={"service": service, "container": container},
    )

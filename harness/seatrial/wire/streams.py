"""The append-only streams of a run: their two file formats, the columns of each table, outcomes, a writer.

A binary stream is one JSON line (the header: table, columns with their struct codes, constants that hold for every
row, and the labels of the coded columns), then records of one fixed size. A line stream is a JSON header line,
then one JSON object per line. A killed process leaves a readable file: a torn last record is ignored.

Stamps are CLOCK_MONOTONIC nanoseconds: one clock for every process of a host since its boot.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import Enum, StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from seatrial.errors import ResultsUnwritable

SCHEMA_VERSION = 1
NULL = -(2**63)
"""In a 64-bit column: did not happen, or is not known to this source; sealing makes null of it."""
MAGIC = "seatrial-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The header of a stream, and the columns of a binary one.

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
        head = {"magic": MAGIC, "schema": SCHEMA_VERSION, **asdict(self)}
        return json.dumps(head, separators=(",", ":")).encode() + b"\n"


def read_layout(stream: BinaryIO) -> Layout:
    """Read the first line of a binary stream; ValueError if it is not a Seatrial stream."""
    head = None
    with suppress(ValueError):
        head = json.loads(stream.readline())
    if not isinstance(head, dict) or head.get("magic") != MAGIC:
        raise ValueError("the stream has no Seatrial header")
    if head["schema"] > SCHEMA_VERSION:
        raise ValueError(f"the stream has schema {head['schema']}, newer than {SCHEMA_VERSION}")
    return Layout(table=head["table"], columns=head["columns"], labels=head["labels"], constants=head["constants"])


def line_header(table: str, **constants: str | int) -> bytes:
    """Return the first line of a line stream."""
    return Layout(table=table, columns={}, constants=constants).header()


def end_mark(folder: Path, worker: int) -> Path:
    """Return the file that a load process makes once it has written all its records into `folder`."""
    return folder / f"ended-{worker}"


class StreamWriter:
    """Appends to a file of its own: rows are gathered in `pending`, and `flush` writes them."""

    def __init__(self, path: Path, header: bytes) -> None:
        """Create the file with its header; ResultsUnwritable if that fails, also where it exists already."""
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
        """Write `pending`; ResultsUnwritable if that fails: what was not written stays for the next call."""
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
    """How a request or a flow ended: a closed set, so that every failure has a name."""

    OK = "ok"
    STATUS = "status"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    RESET = "reset"
    TRUNCATED = "truncated"
    DIGEST = "digest"
    RANGE = "range"
    WHOLE = "whole"
    CHANGED = "changed"
    ADMITTED = "admitted"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    ABORTED = "aborted"
    CUT = "cut"
    DROPPED = "dropped"
    REJECTED = "rejected"


OUTCOMES = tuple(Outcome)
NOT_FAILURES = frozenset({Outcome.OK, Outcome.ABORTED, Outcome.CUT})
"""`aborted` is intended by the user model and `cut` is the end of the run: neither is a fault of the stack.

`dropped`, an arrival that no user was free to serve, is a failure of the requested load: it is counted, in flows
named `arrival`, and has no latency.
"""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER")
CONNECTIONS = ("new", "reused", "replaced")
UNKNOWN_CODE = 255
"""In a column of labels: not known to this source; sealing makes null of it."""
UNKNOWN_USER = 2**32 - 1
"""In the column `user`: not known to this source."""
LABEL_LIMIT = 200
"""More endpoints can't be read as a table; most often they are one for each requested object."""


class ColumnKind(Enum):
    """What a column holds, and where a stream has it: in each row, or once in its header for the whole file."""

    NUMBER = "number"
    LABEL = "label"
    """One of a few words: as a code in a binary stream, as text in a line stream."""
    TEXT = "text"
    FILE_NUMBER = "number of a file"
    FILE_LABEL = "label of a file"
    PHASE = "phase"
    """In no stream: sealing gives each row the label of its phase."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `code` is the struct code of its values, "" for text."""

    name: str
    code: str = "q"
    kind: ColumnKind = ColumnKind.NUMBER

    @property
    def labelled(self) -> bool:
        """Whether the column holds few different words."""
        return self.kind in {ColumnKind.LABEL, ColumnKind.FILE_LABEL, ColumnKind.PHASE}


class Reading(NamedTuple):
    """One row of `samples` without its stamps, the same for every source; NULL for what a source does not know.

    `usage_bytes`: what the kernel charges (cgroup usage); process tree: the sum of resident sizes, so that pages
    shared by several processes count several times; host: total minus available.
    `working_set_bytes`: usage minus inactive file cache, never below 0.
    `anon_bytes`: heap, stacks, private mappings.
    `file_clean_bytes`: page cache that can be dropped at once: file minus shmem, dirty and write-back, at least 0.
    `file_dirty_bytes`: page cache that has to reach a disk first (dirty plus write-back).
    `shmem_bytes`: tmpfs, /dev/shm and shared anonymous mappings: looks like cache, needs swap to be reclaimed.
    `kernel_bytes`: slab, page tables, kernel stacks. `sock_bytes`: TCP buffers.
    `limit_bytes`: NULL where unlimited.
    `cpu_ns`, `throttled_ns`, `oom_kills`, `limit_hits`, `major_faults`, `read_bytes`, `written_bytes`, `rx_bytes`
    and `tx_bytes` count since the target began, and begin again when a container is restarted.
    `throttled_ns` of the sampler is that of its own cgroups, which hold harness and load, too.
    `*_stall_ns`: PSI `some`: at least one task waited. `processes`: tasks, that is processes and their threads.
    Of the host only: `stolen_ns`, the time since boot that a hypervisor gave to others, summed over processors;
    `engine_ns`, the CPU time of Docker's own processes.
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
TABLES: Mapping[str, tuple[Column, ...]] = {
    "requests": REQUESTS,
    "flows": FLOWS,
    "samples": SAMPLES,
    "generator": GENERATOR,
    "tiers": (
        Column("t_ns"),
        _PHASE,
        Column("service", "", ColumnKind.LABEL),
        Column("counter", "", ColumnKind.LABEL),
        Column("value", "d"),
    ),
}
"""Every table of a run; columns in the order of streams and tables."""
DETAIL_ENDINGS = ("_s", "_ratio", "_bytes", "_count")
"""A number in a flow's `detail` is a measurement if its key ends in one of these units."""
MOST_DETAILS = 32
"""The most keys that are kept of a run: one key for each requested object would be no measurement."""
MOST_COUNTED_DETAILS = 256
"""The most pairs of flow and key that a load process counts each second: all keys of eight kinds of flow."""
_MEASURED = re.compile(rf"[A-Za-z]\w*?(?P<ending>{'|'.join(DETAIL_ENDINGS)})\Z", re.ASCII)


def row_columns(table: Iterable[Column]) -> dict[str, str]:
    """Return the columns in each row of a stream: names and struct codes, in the stream's order."""
    in_rows = {ColumnKind.NUMBER, ColumnKind.LABEL, ColumnKind.TEXT}
    return {column.name: column.code for column in table if column.kind in in_rows}


@lru_cache(maxsize=1024)
def detail_ending(key: str) -> str | None:
    """Return the unit in which a detail's key ends; None for a key without one."""
    match = _MEASURED.match(key)
    return None if match is None else match["ending"]


def detail_numbers(detail: Mapping[str, object]) -> dict[str, float]:
    """Return the measurements among a flow's details: finite numbers whose key ends in a unit."""
    numbers = {
        key: float(value)
        for key, value in detail.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and detail_ending(key)
    }
    return {key: value for key, value in numbers.items() if math.isfinite(value)}


def requests_layout(endpoints: tuple[str, ...], worker: int) -> Layout:
    """Return the layout of requests; `endpoints` is the locustfile's closed list of labels."""
    return Layout(
        table="requests",
        columns=row_columns(REQUESTS),
        labels={"endpoint": endpoints, "method": METHODS, "outcome": OUTCOMES, "connection": CONNECTIONS},
        constants={"worker": worker},
    )


def samples_layout(service: str, container: str) -> Layout:
    """Return the layout of the samples of one container."""
    constants = {"service": service, "container": container}
    return Layout(table="samples", columns=row_columns(SAMPLES), constants=constants)

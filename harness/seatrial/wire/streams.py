"""Append-only streams: what a process writes while it runs, and what sealing turns into tables.

A binary stream is one JSON line (the header: table, columns with their struct codes, constants that hold for every
row, and the labels of the coded columns), then records of one fixed size. A process that is killed leaves a
readable file: a torn last record is ignored. A line stream is a JSON header line, then one JSON object per line.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

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

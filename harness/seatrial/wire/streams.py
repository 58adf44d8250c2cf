"""Append-only streams: what a process writes while it runs, and what sealing turns into tables.

A binary stream is one JSON line (the header: table, columns with their struct codes, constants that hold for every
row, and the labels of the coded columns), then records of one fixed size. A process that is killed leaves a
readable file: a torn last record is ignored. A line stream is a JSON header line, then one JSON object per line.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

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


def read_lines(path: Path) -> tuple[Layout, list[dict[str, Any]]]:
    """Read a line stream; a torn last line is ignored."""
    with path.open("rb") as stream:
        layout = read_layout(stream)
        return layout, list(_whole_lines(stream))


def _whole_lines(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    for line in stream:
        if line.endswith(b"\n"):
            yield json.loads(line)

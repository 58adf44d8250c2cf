"""The Arrow schemas of the tables, and merging recorded streams into them.

Held are 16 bytes a row (the start stamp and the order); the records themselves stay mapped files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seatrial.measure.tables import Ints, began_ns
from seatrial.model import Phase, Span
from seatrial.wire.streams import NULL, TABLES, UNKNOWN_USER, Column, ColumnKind, Layout, read_layout

Arrow: TypeAlias = Any
"""Any value of pyarrow, which has no types."""
CODED = pa.dictionary(pa.int32(), pa.string())
_NUMBERS = {"q": pa.int64(), "i": pa.int32(), "I": pa.uint32(), "H": pa.uint16(), "d": pa.float64()}


def _arrow_type(column: Column) -> Arrow:
    if column.labelled:
        return CODED
    return pa.string() if column.kind is ColumnKind.TEXT else _NUMBERS[column.code]


SCHEMAS: dict[str, Arrow] = {
    name: pa.schema([(column.name, _arrow_type(column)) for column in columns]) for name, columns in TABLES.items()
}
LATER = {
    "generator": ("arrivals", "arrivals_completed", "arrivals_late", "arrivals_dropped"),
    "samples": ("stolen_ns", "engine_ns"),
}
"""Columns that schema 1 had not from its beginning; where a folder has none of them, they read as null."""
_FEW_VALUES = frozenset({"status", "bytes_received", "bytes_sent", "user", "worker", "users", "limit_bytes"})


def start_column(table: str) -> str:
    """Return the stamp that the table is sorted by."""
    return "t_start_ns" if table in ("requests", "flows") else "t_ns"


def writer_options(schema: Arrow) -> dict[str, Any]:
    """Return how columns are packed: labels and small sets as dictionaries, other 64-bit integers as deltas."""
    deltas = [f.name for f in schema if f.type == pa.int64() and f.name not in _FEW_VALUES]
    return {
        "compression": "zstd",
        "use_dictionary": [f.name for f in schema if f.name not in deltas],
        "column_encoding": dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
    }


PHASES = tuple(Phase)


def phase_codes(stamps_ns: NDArray[np.int64], spans: Sequence[Span]) -> NDArray[np.int32]:
    """Return the index into PHASES for each stamp.

    Before the first span, and where there is none at all, is warm-up; after the last drain; between two idle.
    """
    if not spans:
        return np.full(len(stamps_ns), PHASES.index(Phase.WARMUP), dtype=np.int32)
    ordered = sorted(spans, key=lambda span: span.from_ns)
    begins = np.array([span.from_ns for span in ordered], dtype=np.int64)
    ends = np.array([span.until_ns for span in ordered], dtype=np.int64)
    codes = np.array([PHASES.index(span.phase) for span in ordered], dtype=np.int32)
    at = np.searchsorted(begins, stamps_ns, side="right") - 1
    found = codes[np.maximum(at, 0)]
    late = stamps_ns >= ends[np.maximum(at, 0)]
    found[late] = PHASES.index(Phase.IDLE)
    found[late & (at == len(ordered) - 1)] = PHASES.index(Phase.DRAIN)
    found[at < 0] = PHASES.index(Phase.WARMUP)
    return found


_NULLS = {np.dtype(np.int64): NULL, np.dtype(np.uint32): UNKNOWN_USER}


@dataclass(frozen=True, slots=True)
class Part:
    """One stream file: its header, its whole records, and the bytes of a torn last one."""

    layout: Layout
    rows: NDArray[np.void]
    torn_bytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of several parts in their common order; `part` says which part each row came from."""

    rows: NDArray[np.void]
    part: NDArray[np.int64]


def open_part(path: Path) -> Part:
    """Map the whole records of one stream; ValueError if its header can't be read."""
    with path.open("rb") as stream:
        layout = read_layout(stream)
        begin = stream.tell()
    kind = np.dtype([(name, f"<{code}") for name, code in layout.columns.items()])
    count, torn = divmod(path.stat().st_size - begin, kind.itemsize)
    if count == 0:
        return Part(layout, np.empty(0, dtype=kind), torn)
    return Part(layout, np.memmap(path, dtype=kind, mode="r", offset=begin, shape=(count,)), torn)


def in_order(parts: Sequence[Part], table: str, rows_at_once: int) -> Iterator[Chunk]:
    """Yield all rows sorted by their start stamp, `rows_at_once` at a time."""
    if not parts:
        return
    order = np.argsort(np.concatenate([part.rows[start_column(table)] for part in parts]), kind="stable")
    begins = np.cumsum([0] + [len(part.rows) for part in parts])
    for begin in range(0, len(order), rows_at_once):
        picked = order[begin : begin + rows_at_once]
        origin = np.searchsorted(begins, picked, side="right") - 1
        rows = np.empty(len(picked), dtype=parts[0].rows.dtype)
        for index in np.unique(origin):
            mine = origin == index
            rows[mine] = parts[index].rows[picked[mine] - begins[index]]
        yield Chunk(rows, origin)


class Columns:
    """Turns chunks of one table into Arrow tables of `schema`; labels get one code over all parts."""

    def __init__(self, schema: Arrow, parts: Sequence[Part], table: str, spans: Sequence[Span]) -> None:
        self._schema = schema
        self._parts = parts
        self._start = start_column(table)
        self._spans = spans

    def arrow(self, chunk: Chunk) -> Arrow:
        """Return one Arrow table with every column of the schema; what no stream tells is null."""
        return pa.table([self._column(field, chunk) for field in self._schema], schema=self._schema)

    def _column(self, field: Arrow, chunk: Chunk) -> Arrow:
        if field.name == "phase":
            return _coded(phase_codes(self._moments(chunk), self._spans), PHASES)
        if field.name in self._parts[0].layout.constants:
            return self._constant(field, chunk)
        if field.name not in (chunk.rows.dtype.names or ()):
            return pa.nulls(len(chunk.rows), field.type)
        if field.type == CODED:
            return self._labelled(field.name, chunk)
        values = np.ascontiguousarray(chunk.rows[field.name])
        missing = values == _NULLS[values.dtype] if values.dtype in _NULLS else None
        return pa.array(values, field.type, mask=missing if missing is not None and missing.any() else None)

    def _moments(self, chunk: Chunk) -> NDArray[np.int64]:
        started: NDArray[np.int64] = chunk.rows[self._start]
        scheduled = "t_intended_ns" in (chunk.rows.dtype.names or ())
        return began_ns(chunk.rows["t_intended_ns"], started) if scheduled else started

    def _constant(self, field: Arrow, chunk: Chunk) -> Arrow:
        values = [part.layout.constants[field.name] for part in self._parts]
        if field.type == CODED:
            labels = tuple(dict.fromkeys(str(value) for value in values))
            codes = np.array([labels.index(str(value)) for value in values], dtype=np.int32)
            return _coded(codes[chunk.part], labels)
        return pa.array(np.array(values)[chunk.part], field.type)

    def _labelled(self, name: str, chunk: Chunk) -> Arrow:
        """Translate each part's own codes; one without a label (nobody could tell, or damage) becomes null."""
        labels = tuple(dict.fromkeys(label for part in self._parts for label in part.layout.labels[name]))
        codes = np.full(len(chunk.rows), -1, dtype=np.int32)
        for index in np.unique(chunk.part):
            own = [labels.index(label) for label in self._parts[index].layout.labels[name]]
            table = np.array([*own, -1], dtype=np.int32)
            mine = chunk.part == index
            codes[mine] = table[np.minimum(chunk.rows[name][mine], len(own))]
        return _coded(codes, labels)


def _coded(codes: NDArray[np.int32], labels: Sequence[str]) -> Arrow:
    missing = codes < 0
    indices = pa.array(codes, mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(indices, pa.array(labels, pa.string()))


_ROWS_AT_ONCE = 65_536


@dataclass(slots=True)
class LineFile:
    """One line stream; iterating gives its rows with the header's constants, and counts the torn lines."""

    path: Path
    torn: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the whole rows; ValueError if the header can't be read."""
        self.torn = 0
        with self.path.open("rb") as stream:
            constants = dict(read_layout(stream).constants)
            for line in stream:
                row = _row(line)
                if row is None:
                    self.torn += 1
                else:
                    yield constants | row


def _row(line: bytes) -> dict[str, Any] | None:
    """Read one line; None if it was cut off, by a kill or a full disk."""
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def sorted_table(schema: Arrow, files: Sequence[LineFile], table: str, spans: Sequence[Span]) -> Arrow:
    """Return the rows of all files as one Arrow table of `schema`, sorted by their start stamp."""
    batches = [batch for file in files for batch in _batches(schema, file)]
    if not batches:
        return schema.empty_table()
    start = start_column(table)
    whole = pa.concat_tables(batches).unify_dictionaries().sort_by(start)
    moments = _stamps(whole[start])
    if "t_intended_ns" in schema.names:
        moments = began_ns(_stamps(whole["t_intended_ns"]), moments)
    codes = phase_codes(moments, spans)
    phase = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(PHASES, pa.string()))
    return whole.set_column(schema.get_field_index("phase"), schema.field("phase"), phase)


def _stamps(column: Arrow) -> Ints:
    stamps: Ints = column.fill_null(NULL).to_numpy()
    return stamps


def _batches(schema: Arrow, file: LineFile) -> Iterator[Arrow]:
    rows = iter(file)
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield pa.table([_column(column, some) for column in schema], schema=schema)


def _column(column: Arrow, rows: Sequence[dict[str, Any]]) -> Arrow:
    values = [row.get(column.name) for row in rows]
    if column.name == "phase":
        values = [None] * len(rows)
    elif column.type == pa.string():
        values = [text if text is None or isinstance(text, str) else json.dumps(text) for text in values]
    elif column.type != CODED:
        values = [None if number == NULL else number for number in values]
    return pa.array(values, column.type)

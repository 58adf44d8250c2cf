"""Arrow schemas of the tables, and the conversion of recorded streams, sorted by time, into Arrow tables.

Memory holds 16 bytes a row (the start stamp and the order); the records themselves stay in mapped files.
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
PHASES = tuple(Phase)
_NUMBERS = {"q": pa.int64(), "i": pa.int32(), "I": pa.uint32(), "H": pa.uint16(), "d": pa.float64()}
_NULLS = {np.dtype(np.int64): NULL, np.dtype(np.uint32): UNKNOWN_USER}
_ROWS_AT_ONCE = 65_536


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
    "tiers": ("phase",),
}
"""Columns that schema 1 did not have from its beginning; in a folder without them they read as null."""
_FEW_VALUES = frozenset({"status", "bytes_received", "bytes_sent", "user", "worker", "users", "limit_bytes"})


def start_column(table: str) -> str:
    """Return the name of the stamp by which the table is sorted."""
    return "t_start_ns" if table in ("requests", "flows") else "t_ns"


def writer_options(schema: Arrow) -> dict[str, Any]:
    """Return how columns are encoded: labels and small sets as dictionaries, other 64-bit integers as deltas."""
    deltas = [column.name for column in schema if column.type == pa.int64() and column.name not in _FEW_VALUES]
    return {
        "compression": "zstd",
        "use_dictionary": [column.name for column in schema if column.name not in deltas],
        "column_encoding": dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
    }


def phase_codes(stamps_ns: NDArray[np.int64], spans: Sequence[Span]) -> NDArray[np.int32]:
    """Return the index into PHASES for each stamp.

    A stamp before the first span is in the warm-up, as is every stamp where there is no span; one after the last
    span is in the drain, and one between two spans is idle.
    """
    if not spans:
        return np.full(len(stamps_ns), PHASES.index(Phase.WARMUP), dtype=np.int32)
    ordered = sorted(spans, key=lambda span: span.from_ns)
    begins = np.array([span.from_ns for span in ordered], dtype=np.int64)
    ends = np.array([span.until_ns for span in ordered], dtype=np.int64)
    codes = np.array([PHASES.index(span.phase) for span in ordered], dtype=np.int32)
    at = np.searchsorted(begins, stamps_ns, side="right") - 1
    phases = codes[np.maximum(at, 0)]
    late = stamps_ns >= ends[np.maximum(at, 0)]
    phases[late] = PHASES.index(Phase.IDLE)
    phases[late & (at == len(ordered) - 1)] = PHASES.index(Phase.DRAIN)
    phases[at < 0] = PHASES.index(Phase.WARMUP)
    return phases


@dataclass(frozen=True, slots=True)
class Part:
    """One stream file: its header, its whole records, and the bytes of a torn last one."""

    layout: Layout
    rows: NDArray[np.void]
    torn_bytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of several parts in their common order; `part` is the index of the part of each row."""

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
            own = origin == index
            rows[own] = parts[index].rows[picked[own] - begins[index]]
        yield Chunk(rows, origin)


class Columns:
    """Converts chunks of one table into Arrow tables of `schema`; a label has the same code in all parts."""

    def __init__(self, schema: Arrow, parts: Sequence[Part], table: str, spans: Sequence[Span]) -> None:
        self._schema = schema
        self._parts = parts
        self._start = start_column(table)
        self._spans = spans

    def arrow(self, chunk: Chunk) -> Arrow:
        """Return one Arrow table with every column of the schema; a column that no stream has is null."""
        return pa.table([self._column(field, chunk) for field in self._schema], schema=self._schema)

    def _column(self, field: Arrow, chunk: Chunk) -> Arrow:
        if field.name == "phase":
            started: Ints = chunk.rows[self._start]
            scheduled = "t_intended_ns" in (chunk.rows.dtype.names or ())
            begins = began_ns(chunk.rows["t_intended_ns"], started) if scheduled else started
            return _coded(phase_codes(begins, self._spans), PHASES)
        if field.name in self._parts[0].layout.constants:
            return self._constant(field, chunk)
        if field.name not in (chunk.rows.dtype.names or ()):
            return pa.nulls(len(chunk.rows), field.type)
        if field.type == CODED:
            return self._labelled(field.name, chunk)
        values = np.ascontiguousarray(chunk.rows[field.name])
        missing = values == _NULLS[values.dtype] if values.dtype in _NULLS else None
        return pa.array(values, field.type, mask=missing if missing is not None and missing.any() else None)

    def _constant(self, field: Arrow, chunk: Chunk) -> Arrow:
        values = [part.layout.constants[field.name] for part in self._parts]
        if field.type == CODED:
            labels = tuple(dict.fromkeys(str(value) for value in values))
            codes = np.array([labels.index(str(value)) for value in values], dtype=np.int32)
            return _coded(codes[chunk.part], labels)
        return pa.array(np.array(values)[chunk.part], field.type)

    def _labelled(self, name: str, chunk: Chunk) -> Arrow:
        """Translate the codes of each part; a code without a label (unknown, or damaged) becomes null."""
        labels = tuple(dict.fromkeys(label for part in self._parts for label in part.layout.labels[name]))
        codes = np.full(len(chunk.rows), -1, dtype=np.int32)
        for index in np.unique(chunk.part):
            translated = [labels.index(label) for label in self._parts[index].layout.labels[name]]
            table = np.array([*translated, -1], dtype=np.int32)
            own = chunk.part == index
            codes[own] = table[np.minimum(chunk.rows[name][own], len(translated))]
        return _coded(codes, labels)


def _coded(codes: NDArray[np.int32], labels: Sequence[str]) -> Arrow:
    missing = codes < 0
    indices = pa.array(codes, mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(indices, pa.array(labels, pa.string()))


@dataclass(slots=True)
class LineFile:
    """One line stream; iteration yields its rows with the constants of its header, and counts torn lines."""

    path: Path
    torn: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the whole rows; ValueError if the header can't be read."""
        self.torn = 0
        with self.path.open("rb") as stream:
            constants = dict(read_layout(stream).constants)
            for line in stream:  # cut off, by a kill or a full disk, it has no line's end
                try:
                    row = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    row = None
                if isinstance(row, dict):
                    yield constants | row
                else:
                    self.torn += 1


def sorted_table(schema: Arrow, files: Sequence[LineFile], table: str, spans: Sequence[Span]) -> Arrow:
    """Return the rows of all files as one Arrow table of `schema`, sorted by their start stamp."""
    batches = [batch for file in files for batch in _batches(schema, file)]
    if not batches:
        return schema.empty_table()
    start = start_column(table)
    whole = pa.concat_tables(batches).unify_dictionaries().sort_by(start)
    begins: Ints = whole[start].fill_null(NULL).to_numpy()
    if "t_intended_ns" in schema.names:
        begins = began_ns(whole["t_intended_ns"].fill_null(NULL).to_numpy(), begins)
    phase = _coded(phase_codes(begins, spans), PHASES)
    return whole.set_column(schema.get_field_index("phase"), schema.field("phase"), phase)


def _batches(schema: Arrow, file: LineFile) -> Iterator[Arrow]:
    rows = iter(file)
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        yield pa.table([_column_of_lines(column, batch) for column in schema], schema=schema)


def _column_of_lines(column: Arrow, rows: Sequence[dict[str, Any]]) -> Arrow:
    values = [row.get(column.name) for row in rows]
    if column.name == "phase":
        values = [None] * len(rows)
    elif column.type == pa.string():
        values = [text if text is None or isinstance(text, str) else json.dumps(text) for text in values]
    elif column.type != CODED:
        values = [None if number == NULL else number for number in values]
    return pa.array(values, column.type)


def tier_rows(rows: Sequence[dict[str, Any]], spans: Sequence[Span]) -> Arrow:
    """Return rows of `tiers`, in the order of their stamps, each with the phase that it lies in."""
    codes = phase_codes(np.array([row["t_ns"] for row in rows], dtype=np.int64), spans)
    phases = [PHASES[code] for code in codes.tolist()]
    whole = [{**row, "phase": str(phase)} for row, phase in zip(rows, phases, strict=True)]
    return pa.table(
        {column.name: pa.array([row[column.name] for row in whole], column.type) for column in SCHEMAS["tiers"]}
    )

"""Binary streams of many processes, merged into one order without holding them in memory.

Held are 16 bytes a row (the start stamp and the order); the records themselves stay mapped files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seatrial.measure.tables import began_ns
from seatrial.model import Span
from seatrial.record.phases import PHASES, phase_codes
from seatrial.record.schema import CODED, Arrow, start_column
from seatrial.wire.streams import NULL, Layout, read_layout
from seatrial.wire.tables import UNKNOWN_USER

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

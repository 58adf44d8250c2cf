"""The public tables as Arrow has them. They change only with the schema version."""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow as pa

from seatrial.wire.tables import TABLES, Column, ColumnKind

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

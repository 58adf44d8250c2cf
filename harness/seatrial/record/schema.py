"""The public tables: names and Arrow types of their columns. They change only with the schema version."""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow as pa

from seatrial.wire.tables import SAMPLE_COLUMNS

Arrow: TypeAlias = Any
"""Any value of pyarrow, which has no types."""

CODED = pa.dictionary(pa.int32(), pa.string())

_STAMPS = ("t_intended_ns", "t_start_ns", "t_first_byte_ns", "t_end_ns")

REQUESTS = pa.schema(
    [(name, pa.int64()) for name in _STAMPS]
    + [
        ("endpoint", CODED),
        ("method", CODED),
        ("status", pa.uint16()),
        ("outcome", CODED),
        ("phase", CODED),
        ("bytes_received", pa.int64()),
        ("bytes_sent", pa.int64()),
        ("connection", CODED),
        ("flow_id", pa.int64()),
        ("user", pa.uint32()),
        ("worker", pa.int32()),
    ]
)
FLOWS = pa.schema(
    [
        ("flow_id", pa.int64()),
        ("flow", CODED),
        ("profile", CODED),
        ("t_intended_ns", pa.int64()),
        ("t_start_ns", pa.int64()),
        ("t_end_ns", pa.int64()),
        ("outcome", CODED),
        ("phase", CODED),
        ("requests", pa.int64()),
        ("bytes_received", pa.int64()),
        ("user", pa.uint32()),
        ("worker", pa.int32()),
        ("detail", pa.string()),
    ]
)
SAMPLES = pa.schema(
    [("t_ns", pa.int64()), ("t_after_ns", pa.int64()), ("service", CODED), ("container", CODED), ("phase", CODED)]
    + [(name, pa.int64()) for name in SAMPLE_COLUMNS if name not in ("t_ns", "t_after_ns")]
)
GENERATOR = pa.schema(
    [
        ("t_ns", pa.int64()),
        ("worker", pa.int32()),
        ("phase", CODED),
        ("users", pa.int64()),
        ("in_flight", pa.int64()),
        ("offered", pa.int64()),
        ("completed", pa.int64()),
        ("cpu_fraction", pa.float64()),
        ("loop_lag_p50_ns", pa.int64()),
        ("loop_lag_p99_ns", pa.int64()),
        ("slip_p99_ns", pa.int64()),
        ("arrivals", pa.int64()),
        ("arrivals_completed", pa.int64()),
        ("arrivals_late", pa.int64()),
        ("arrivals_dropped", pa.int64()),
    ]
)
TIERS = pa.schema([("t_ns", pa.int64()), ("service", CODED), ("counter", CODED), ("value", pa.float64())])

SCHEMAS: dict[str, Arrow] = {
    "requests": REQUESTS,
    "flows": FLOWS,
    "samples": SAMPLES,
    "generator": GENERATOR,
    "tiers": TIERS,
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

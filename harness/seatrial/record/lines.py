"""Line streams (flows, generator seconds, task errors), read as far as they are whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from seatrial.measure.tables import Ints, began_ns
from seatrial.model import Span
from seatrial.record.phases import PHASES, phase_codes
from seatrial.record.schema import CODED, Arrow, start_column
from seatrial.wire.streams import NULL, read_layout

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

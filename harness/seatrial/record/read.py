"""Sealed tables as arrays: only the columns that are judged, labels as codes, null as `NULL`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seatrial.errors import UsageError
from seatrial.measure.tables import Coded, Floats, Flows, Generator, Samples
from seatrial.record.folder import RunFolder, beside
from seatrial.record.schema import CODED, LATER, SCHEMAS, Arrow
from seatrial.wire.streams import NULL
from seatrial.wire.tables import MOST_DETAILS, SAMPLES, detail_numbers


def flows(folder: RunFolder) -> Flows:
    """Read the flows; UsageError if the run has no sealed tables."""
    return Flows(**_columns(folder, "flows", [column.name for column in fields(Flows)]))


def flow_details(folder: RunFolder) -> dict[str, Floats]:
    """Read what is measured among the flows' own details: for each key a number a flow, NaN where it has none.

    At most MOST_DETAILS keys, the first that occur; none where the table has no such column. UsageError as for
    `flows`.
    """
    path = sealed_table(folder, "flows")
    try:
        texts = pq.ParquetFile(path).read(columns=["detail"])["detail"].to_pylist()
    except KeyError:
        return {}
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error
    details: dict[str, Floats] = {}
    for row, text in enumerate(texts):
        for key, value in _measured(text).items():
            if key not in details and len(details) < MOST_DETAILS:
                details[key] = np.full(len(texts), np.nan)
            if key in details:
                details[key][row] = value
    return details


def _measured(text: str | None) -> dict[str, float]:
    try:
        detail = json.loads(text) if text else {}
    except ValueError:
        return {}
    return detail_numbers(detail) if isinstance(detail, dict) else {}


def samples(folder: RunFolder) -> Samples:
    """Read the samples of all services; UsageError if the run has no sealed tables."""
    columns = _columns(folder, "samples", [column.name for column in SAMPLES])
    labels = {column.name: columns.pop(column.name) for column in SAMPLES if column.labelled}
    return Samples(**labels, numbers=columns)


def samples_beside(folder: RunFolder, block: int) -> list[Samples]:
    """Read the samples of the experiment's other runs of a block; those that can't be read are passed over."""
    found = []
    for other in beside(folder, block):
        with suppress(UsageError):
            found.append(samples(other))
    return found


def generator(folder: RunFolder) -> Generator:
    """Read the generator's seconds; UsageError if the run has no sealed tables."""
    return Generator(**_columns(folder, "generator", [column.name for column in fields(Generator)]))


def events(folder: RunFolder) -> list[dict[str, Any]]:
    """Read what happened to the services, in the order of their stamps; lines that are cut off are left out."""
    if not folder.events.exists():
        return []
    found = [_event(line) for line in folder.events.read_bytes().splitlines()]
    return sorted((event for event in found if event), key=lambda event: event["t_ns"])


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) and isinstance(event.get("t_ns"), int) else {}


def sealed_table(folder: RunFolder, table: str) -> Path:
    """Return where a table lies; UsageError if the run has none."""
    path = folder.table(table)
    if not path.exists():
        raise UsageError(
            f"this run has no {path.name}",
            where=str(folder.root),
            expected="a run that was sealed",
            hint=f"seatrial recover {folder.root}",
        )
    return path


def unreadable(path: Path, error: Exception) -> UsageError:
    """Return what to raise where a table is there and can't be read."""
    return UsageError(f"{path.name} can't be read", where=str(path), seen=str(error))


def _columns(folder: RunFolder, table: str, names: Sequence[str]) -> dict[str, Any]:
    path = sealed_table(folder, table)
    try:
        read = _read(path, table, names)
        return {name: _array(read[name]) for name in names}
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error


def _read(path: Path, table: str, names: Sequence[str]) -> Arrow:
    """Read the columns; those that folders of before don't have are all null."""
    file = pq.ParquetFile(path)  # not `read_table`: with pyarrow.dataset comes pandas, which takes 0.3 s to import
    lacking = set(LATER.get(table, ())).difference(file.schema_arrow.names).intersection(names)
    read = file.read(columns=[name for name in names if name not in lacking])
    for name in lacking:
        read = read.append_column(name, pa.nulls(read.num_rows, SCHEMAS[table].field(name).type))
    return read


def _array(column: Arrow) -> Any:  # noqa: ANN401  (an array, or a coded column)
    if pa.types.is_dictionary(column.type):
        return _coded(column)
    if pa.types.is_floating(column.type):
        return filled(_whole(column), np.nan)
    return filled(_whole(column), NULL).astype(np.int64, copy=False)


def _coded(column: Arrow) -> Coded:
    whole = _whole((column if column.type == CODED else column.cast(CODED)).unify_dictionaries())
    return Coded(filled(whole.indices, -1), tuple(whole.dictionary.to_pylist()))


def _whole(column: Arrow) -> Arrow:
    """Return a column as one array."""
    whole = column.combine_chunks()
    if not isinstance(whole, pa.ChunkedArray):
        return whole
    return whole.chunk(0) if whole.num_chunks else pa.array([], whole.type)


def filled(array: Arrow, null: float) -> NDArray[Any]:
    """Return an array of numbers with `null` in place of what is missing.

    From its buffers: of a sealed table any conversion of pyarrow's own imports pandas, which takes 0.3 s.
    """
    validity, data = array.buffers()
    if not len(array):
        return np.empty(0, dtype=str(array.type))
    rows = slice(array.offset, array.offset + len(array))
    values: NDArray[Any] = np.frombuffer(data, dtype=str(array.type))[rows]
    if not array.null_count:
        return values
    valid = np.unpackbits(np.frombuffer(validity, dtype=np.uint8), bitorder="little")[rows]
    return np.where(valid, values, values.dtype.type(null))

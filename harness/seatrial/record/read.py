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

from seatrial.errors import UsageError
from seatrial.judge.columns import Coded, Floats, Flows, Generator, Requests, Samples
from seatrial.record.folder import RunFolder, beside
from seatrial.record.schema import CODED, LATER, SCHEMAS, Arrow
from seatrial.wire.streams import NULL
from seatrial.wire.tables import MOST_DETAILS, detail_numbers

_LABELS_OF_SAMPLES = ("service", "container", "phase")


def requests(folder: RunFolder) -> Requests:
    """Read the requests; UsageError if the run has no sealed tables."""
    names = "t_intended_ns t_start_ns t_first_byte_ns t_end_ns bytes_received endpoint outcome phase".split()
    return Requests(**_columns(folder, "requests", names))


def flows(folder: RunFolder) -> Flows:
    """Read the flows; UsageError if the run has no sealed tables."""
    names = "t_intended_ns t_start_ns t_end_ns requests bytes_received flow outcome phase".split()
    return Flows(**_columns(folder, "flows", names))


def flow_details(folder: RunFolder) -> dict[str, Floats]:
    """Read what is measured among the flows' own details: for each key a number a flow, NaN where it has none.

    At most MOST_DETAILS keys, the first that occur; none where the table has no such column. UsageError as for
    `flows`.
    """
    path = sealed_table(folder, "flows")
    try:
        texts = pq.read_table(path, columns=["detail"])["detail"].to_pylist()
    except KeyError:
        return {}
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error
    found: dict[str, Floats] = {}
    for row, text in enumerate(texts):
        for key, value in _measured(text).items():
            if key not in found and len(found) < MOST_DETAILS:
                found[key] = np.full(len(texts), np.nan)
            if key in found:
                found[key][row] = value
    return found


def _measured(text: str | None) -> dict[str, float]:
    try:
        detail = json.loads(text) if text else {}
    except ValueError:
        return {}
    return detail_numbers(detail) if isinstance(detail, dict) else {}


def samples(folder: RunFolder) -> Samples:
    """Read the samples of all services; UsageError if the run has no sealed tables."""
    found = _columns(folder, "samples", SCHEMAS["samples"].names)
    labels = {name: found.pop(name) for name in _LABELS_OF_SAMPLES}
    return Samples(**labels, numbers=found)


def samples_beside(folder: RunFolder, block: int) -> list[Samples]:
    """Read the samples of the experiment's other runs of a block; those that can't be read are passed over."""
    found = []
    for other in beside(folder, block):
        with suppress(UsageError):
            found.append(samples(other))
    return found


def generator(folder: RunFolder) -> Generator:
    """Read the generator's seconds; UsageError if the run has no sealed tables."""
    names = [column.name for column in fields(Generator)]
    return Generator(**_columns(folder, "generator", names))


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
    lacking = set(LATER.get(table, ())).difference(pq.read_schema(path).names).intersection(names)
    read = pq.read_table(path, columns=[name for name in names if name not in lacking])
    for name in lacking:
        read = read.append_column(name, pa.nulls(read.num_rows, SCHEMAS[table].field(name).type))
    return read


def _array(column: Arrow) -> Any:  # noqa: ANN401  (an array, or a coded column)
    if pa.types.is_dictionary(column.type):
        return _coded(column)
    if pa.types.is_floating(column.type):
        return column.to_numpy()
    return column.cast(pa.int64()).fill_null(NULL).to_numpy()


def _coded(column: Arrow) -> Coded:
    whole = column.cast(CODED).unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], CODED)
    codes = whole.indices.fill_null(-1).to_numpy().astype(np.int32)
    return Coded(codes, tuple(whole.dictionary.to_pylist()))

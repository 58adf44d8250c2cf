"""The requests of a sealed run in pieces: ten million of them are not held as whole columns at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seatrial.measure.tables import Coded, Ints, Requests
from seatrial.record.folder import RunFolder
from seatrial.record.read import filled, sealed_table, unreadable
from seatrial.record.schema import Arrow
from seatrial.wire.streams import NULL
from seatrial.wire.tables import REQUESTS

_NAMES = tuple(column.name for column in fields(Requests))
_LABELS = frozenset(column.name for column in REQUESTS if column.labelled).intersection(_NAMES)
_ROWS = 1 << 18


def requests(folder: RunFolder) -> Iterator[Requests]:
    """Read the requests piece by piece, in the table's order; UsageError if the table is missing or unreadable.

    The codes of a label are the same in every piece; later pieces may know more labels.
    """
    yield from _batches(folder)
    pa.default_memory_pool().release_unused()  # of ten million rows it keeps 150 MiB


def _batches(folder: RunFolder) -> Iterator[Requests]:
    known: dict[str, dict[str, int]] = {name: {} for name in _LABELS}
    with _opened(folder) as file:
        try:
            for batch in file.iter_batches(batch_size=_ROWS, columns=list(_NAMES), use_threads=False):
                yield _piece(batch, known)
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise unreadable(folder.table("requests"), error) from error


def count(folder: RunFolder) -> int:
    """Return the number of requests, without reading them."""
    with _opened(folder) as file:
        return int(file.metadata.num_rows)


def stamps(folder: RunFolder) -> Ints:
    """Return the lowest and highest of starts and ends, from the table's own statistics; empty without a row."""
    with _opened(folder) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    told = [column.statistics for column in columns if column.path_in_schema in ("t_start_ns", "t_end_ns")]
    ends = [end for one in told if one is not None and one.has_min_max for end in (one.min, one.max)]
    return np.array([min(ends), max(ends)] if ends else [], dtype=np.int64)


def _opened(folder: RunFolder) -> Any:  # noqa: ANN401  (pyarrow has no types)
    path = sealed_table(folder, "requests")
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error


def _piece(batch: Arrow, known: dict[str, dict[str, int]]) -> Requests:
    columns: dict[str, Any] = {
        name: _coded(batch[name], known[name]) if name in _LABELS else filled(batch[name], NULL) for name in _NAMES
    }
    return Requests(**columns)


def _coded(column: Arrow, known: dict[str, int]) -> Coded:
    # a dictionary that is not one in the file (an empty table, or another writer's) becomes one here
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    mine = [known.setdefault(label, len(known)) for label in column.dictionary.to_pylist()]
    table = np.array([*mine, -1], dtype=np.int32)  # the last one is what a null's code, -1, finds
    return Coded(table[filled(column.indices, -1)], tuple(known))

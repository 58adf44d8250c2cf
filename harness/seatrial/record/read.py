"""Reading sealed Parquet tables into numpy arrays: whole, or requests in batches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seatrial.errors import UsageError
from seatrial.measure.tables import (
    Floats,
    FlowColumns,
    GeneratorColumns,
    Ints,
    LabelColumn,
    RequestColumns,
    SampleColumns,
    TierColumns,
)
from seatrial.record.folder import RunFolder, other_runs_of_block
from seatrial.record.tables import CODED, LATER, SCHEMAS, Arrow
from seatrial.wire.streams import DETAIL_ENDINGS, MOST_DETAILS, NULL, REQUESTS, SAMPLES, detail_numbers

_NAMES = tuple(column.name for column in fields(RequestColumns))
_LABELS = frozenset(column.name for column in REQUESTS if column.labelled).intersection(_NAMES)
_ROWS = 1 << 18
_FLOWS_AT_ONCE = 1 << 14
"""Their details as texts and objects: a few kilobytes each."""
_UNIT_KEY = re.compile(rf'(?:{"|".join(DETAIL_ENDINGS)})"\s*:'.encode())
"""A key of a flow's details that ends in a unit."""


def flows(folder: RunFolder) -> FlowColumns:
    """Read the flows; UsageError if the run has no sealed tables."""
    return FlowColumns(**_columns(folder, "flows", [column.name for column in fields(FlowColumns)]))


def flow_details(folder: RunFolder) -> dict[str, Floats]:
    """Read the numeric details of flows: for each key one number a flow, NaN where it has none.

    At most MOST_DETAILS keys, the first that occur; none where the table has no such column. UsageError as for
    `flows`.
    """
    path = sealed_table(folder, "flows")
    try:
        column = pq.ParquetFile(path).read(columns=["detail"])["detail"]
    except KeyError:
        return {}
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error
    details: dict[str, Floats] = {}
    first = 0
    for chunk in column.chunks:
        text_bytes = chunk.buffers()[2]
        # a hundredth of the time that parsing every text takes
        texts = chunk.to_pylist() if text_bytes is not None and _UNIT_KEY.search(text_bytes) else []
        for row, text in enumerate(texts, first):
            for key, value in _numbers(text).items():
                if key not in details and len(details) < MOST_DETAILS:
                    details[key] = np.full(len(column), np.nan)
                if key in details:
                    details[key][row] = value
        first += len(chunk)
    return details


class FlowRow(NamedTuple):
    """One flow with all of its details; `phase` is empty where there is none."""

    flow_id: int
    flow: str
    phase: str
    t_start_ns: int
    detail: dict[str, Any]


def flow_rows(folder: RunFolder) -> Iterator[FlowRow]:
    """Yield the flows with all that they reported, batch by batch; UsageError as for `flows`."""
    path = sealed_table(folder, "flows")
    names = ("flow_id", "flow", "phase", "t_start_ns", "detail")
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=_FLOWS_AT_ONCE, columns=list(names)):
            columns = (batch[name].to_pylist() for name in names)
            for flow_id, flow, phase, t_start_ns, text in zip(*columns, strict=True):
                yield FlowRow(flow_id, flow or "", phase or "", t_start_ns, _details(text))
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error


def _details(text: str | None) -> dict[str, Any]:
    try:
        detail = json.loads(text) if text else {}
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}


def _numbers(text: str | None) -> dict[str, float]:
    return detail_numbers(_details(text))


def samples(folder: RunFolder) -> SampleColumns:
    """Read the samples of all services; UsageError if the run has no sealed tables."""
    columns = _columns(folder, "samples", [column.name for column in SAMPLES])
    labels = {column.name: columns.pop(column.name) for column in SAMPLES if column.labelled}
    return SampleColumns(**labels, numbers=columns)


def samples_beside(folder: RunFolder, block: int) -> list[SampleColumns]:
    """Read the samples of the experiment's other runs of a block, without those that can't be read."""
    readable = []
    for other in other_runs_of_block(folder, block):
        with suppress(UsageError):
            readable.append(samples(other))
    return readable


def generator(folder: RunFolder) -> GeneratorColumns:
    """Read the generator's seconds; UsageError if the run has no sealed tables."""
    return GeneratorColumns(**_columns(folder, "generator", [column.name for column in fields(GeneratorColumns)]))


def tiers(folder: RunFolder) -> TierColumns:
    """Read what the services' own logs tell; UsageError if the run has no sealed tables."""
    return TierColumns(**_columns(folder, "tiers", [column.name for column in fields(TierColumns)]))


def events(folder: RunFolder) -> list[dict[str, Any]]:
    """Read the events of the services' containers, in the order of their stamps; torn lines are left out."""
    if not folder.events.exists():
        return []
    whole = []
    for line in folder.events.read_bytes().splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("t_ns"), int):
                whole.append(event)
    return sorted(whole, key=lambda event: event["t_ns"])


def request_batches(folder: RunFolder) -> Iterator[RequestColumns]:
    """Read the requests in batches, in the table's order; UsageError if the table is missing or unreadable.

    The codes of a label are the same in every batch; later batches may have more labels.
    """
    codes: dict[str, dict[str, int]] = {name: {} for name in _LABELS}
    with _opened(folder) as file:
        try:
            for batch in file.iter_batches(batch_size=_ROWS, columns=list(_NAMES), use_threads=False):
                columns: dict[str, Any] = {
                    name: _labels(batch[name], codes[name]) if name in _LABELS else filled(batch[name], NULL)
                    for name in _NAMES
                }
                yield RequestColumns(**columns)
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise unreadable(folder.table("requests"), error) from error
    pa.default_memory_pool().release_unused()  # of ten million rows it keeps 150 MiB


def request_count(folder: RunFolder) -> int:
    """Return the number of requests, without reading them."""
    with _opened(folder) as file:
        return int(file.metadata.num_rows)


def request_stamps(folder: RunFolder) -> Ints:
    """Return the lowest and highest of starts and ends, from the table's own statistics; empty without a row."""
    with _opened(folder) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    known = [column.statistics for column in columns if column.path_in_schema in ("t_start_ns", "t_end_ns")]
    ends = [end for one in known if one is not None and one.has_min_max for end in (one.min, one.max)]
    return np.array([min(ends), max(ends)] if ends else [], dtype=np.int64)


def sealed_table(folder: RunFolder, table: str) -> Path:
    """Return the path of a table; UsageError if the run has none."""
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
    """Return the error about a table that exists and can't be read."""
    return UsageError(f"{path.name} can't be read", where=str(path), seen=str(error))


def _columns(folder: RunFolder, table: str, names: Sequence[str]) -> dict[str, Any]:
    path = sealed_table(folder, table)
    try:
        file = pq.ParquetFile(path)  # not `read_table`: pyarrow.dataset imports pandas, which takes 0.3 s
        lacking = set(LATER.get(table, ())).difference(file.schema_arrow.names).intersection(names)
        columns = file.read(columns=[name for name in names if name not in lacking])
        for name in lacking:
            columns = columns.append_column(name, pa.nulls(columns.num_rows, SCHEMAS[table].field(name).type))
        return {name: _array(columns[name]) for name in names}
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error


def _array(column: Arrow) -> Any:  # noqa: ANN401  (an array, or a LabelColumn)
    if pa.types.is_dictionary(column.type):
        whole = _whole((column if column.type == CODED else column.cast(CODED)).unify_dictionaries())
        return LabelColumn(filled(whole.indices, -1), tuple(whole.dictionary.to_pylist()))
    if pa.types.is_floating(column.type):
        return filled(_whole(column), np.nan)
    return filled(_whole(column), NULL).astype(np.int64, copy=False)


def _whole(column: Arrow) -> Arrow:
    """Return a column as one array."""
    whole = column.combine_chunks()
    if not isinstance(whole, pa.ChunkedArray):
        return whole
    return whole.chunk(0) if whole.num_chunks else pa.array([], whole.type)


def filled(array: Arrow, null: float) -> NDArray[Any]:
    """Return an array of numbers, nulls replaced by `null`.

    It is made from the buffers: each of pyarrow's own conversions imports pandas, which takes 0.3 s.
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


def _opened(folder: RunFolder) -> Any:  # noqa: ANN401  (pyarrow has no types)
    path = sealed_table(folder, "requests")
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error


def _labels(column: Arrow, codes: dict[str, int]) -> LabelColumn:
    """Return a column of labels with the codes of all batches so far, to which it adds its new labels."""
    # a dictionary that is not one in the file (an empty table, or another writer's) becomes one here
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    own = [codes.setdefault(label, len(codes)) for label in column.dictionary.to_pylist()]
    table = np.array([*own, -1], dtype=np.int32)  # a null's code, -1, is the index of the last one
    return LabelColumn(table[filled(column.indices, -1)], tuple(codes))

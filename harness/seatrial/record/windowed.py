"""The tables of a run's window, as metrics are measured from them; requests are read in pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seatrial.errors import UsageError
from seatrial.judge.columns import Floats, Flows, Samples, rows
from seatrial.judge.measured import Tables
from seatrial.judge.turns import Seen
from seatrial.judge.window import Window
from seatrial.model import Span
from seatrial.record import pieces
from seatrial.record.folder import RunFolder


def tables(
    folder: RunFolder,
    window: Window,
    *,
    flows: Flows,
    samples: Samples,
    spans: Sequence[Span] = (),
    keys: Sequence[str] = (),
) -> Tables:
    """Return what lies in the window; `flows` and `samples` are the whole tables, `keys` details of the flows.

    UsageError if the requests can't be read.
    """
    inside = window.rows(flows.phase)
    told = _details(folder, keys, len(inside)) if keys else {}
    seen = Seen(spans)
    asked = pieces.joined(rows(piece, window.rows(piece.phase)) for piece in seen.passing(pieces.requests(folder)))
    return Tables(
        requests=asked,
        flows=rows(flows, inside),
        samples=rows(samples, window.rows(samples.phase)),
        window_ns=window.length_ns,
        details={key: numbers[inside] for key, numbers in told.items()},
        turns=seen.turns,
        around=None if seen.turns is None else samples,
    )


def _details(folder: RunFolder, keys: Sequence[str], count: int) -> dict[str, Floats]:
    """Read numbers out of the flows' own details, NaN where there is none."""
    path = folder.table("flows")
    try:
        texts = pq.read_table(path, columns=["detail"])["detail"].to_pylist()
    except KeyError:
        texts = [None] * count
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{path.name} can't be read", where=str(path), seen=str(error)) from error
    read = [_detail(text) for text in texts]
    return {key: np.array([_number(one.get(key)) for one in read], dtype=np.float64) for key in keys}


def _detail(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")

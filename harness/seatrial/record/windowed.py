"""Numbers out of the flows' own details."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seatrial.judge.columns import Floats
from seatrial.record.folder import RunFolder
from seatrial.record.read import unreadable


def details(folder: RunFolder, keys: Sequence[str], count: int) -> dict[str, Floats]:
    """Return the numbers of each key, one for each row of `count` flows, NaN where there is none."""
    if not keys:
        return {}
    path = folder.table("flows")
    try:
        texts = pq.ParquetFile(path).read(columns=["detail"])["detail"].to_pylist()
    except KeyError:
        texts = [None] * count
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error
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

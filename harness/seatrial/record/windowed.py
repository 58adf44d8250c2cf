"""The tables of a run's window, as metrics are measured from them; requests are read in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from seatrial.judge.columns import Coded, Floats, Flows, Requests, Samples, rows
from seatrial.judge.measured import Tables
from seatrial.judge.turns import Seen
from seatrial.judge.window import Window
from seatrial.model import Span
from seatrial.record import pieces
from seatrial.record.folder import RunFolder

_NUMBERS = ("t_intended_ns", "t_start_ns", "t_first_byte_ns", "t_end_ns", "bytes_received")
_LABELS = ("endpoint", "outcome", "phase")


def tables(
    folder: RunFolder,
    window: Window,
    *,
    flows: Flows,
    samples: Samples,
    details: Mapping[str, Floats],
    spans: Sequence[Span] = (),
) -> Tables:
    """Return what lies in the window; `flows`, their `details` and `samples` are the whole tables.

    UsageError if the requests can't be read.
    """
    inside = window.rows(flows.phase)
    seen = Seen(spans)
    asked = _requests(rows(piece, window.rows(piece.phase)) for piece in seen.passing(pieces.requests(folder)))
    seen.take_flows(flows)
    return Tables(
        requests=asked,
        flows=rows(flows, inside),
        samples=rows(samples, window.rows(samples.phase)),
        window_ns=window.length_ns,
        details={key: numbers[inside] for key, numbers in details.items()},
        turns=seen.turns,
        around=None if seen.turns is None else samples,
        by_flows=not len(asked.t_start_ns) and bool(inside.any()),
    )


def _requests(found: Iterable[Requests]) -> Requests:
    all_of = list(found)
    labels: dict[str, tuple[str, ...]] = {
        name: getattr(all_of[-1], name).labels if all_of else () for name in _LABELS
    }
    columns: dict[str, Any] = {name: _joined(all_of, name) for name in _NUMBERS}
    for name in _LABELS:
        codes = [getattr(one, name).codes for one in all_of] or [np.empty(0, np.int32)]
        columns[name] = Coded(np.concatenate(codes), labels[name])
    return Requests(**columns)


def _joined(found: Sequence[Requests], name: str) -> Any:  # noqa: ANN401  (an array)
    return np.concatenate([getattr(one, name) for one in found] or [np.empty(0, np.int64)])

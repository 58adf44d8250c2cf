"""The requests of a run as two tables, filled from the batches of its file, and their points for charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seatrial.measure.grid import Grid
from seatrial.measure.latency import took_ns
from seatrial.measure.series import Pace, Rise, rise
from seatrial.measure.tables import Coded, Flows, Ints, Mask, Requests, by_label
from seatrial.measure.window import Window
from seatrial.wire.streams import NULL
from seatrial.wire.tables import NOT_FAILURES

_NUMBERS = ("t_start_ns", "t_first_byte_ns", "t_end_ns", "bytes_received")
_CODES: Mapping[str, type[np.signedinteger[Any]]] = {"endpoint": np.int16, "outcome": np.int8, "phase": np.int8}


class _Rows:
    """A table that is filled batch by batch, in arrays made once: growing ones would be held twice.

    An array takes memory only as far as it is written to, and the one of intended starts is made with the first of
    them: a request takes 36 bytes in the closed model, 44 in the open one.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._used = 0
        self._numbers: dict[str, Ints] = {name: np.empty(room, dtype=np.int64) for name in _NUMBERS}
        self._intended_ns: Ints | None = None
        self._codes: dict[str, NDArray[Any]] = {name: np.empty(room, dtype=kind) for name, kind in _CODES.items()}
        self._labels: dict[str, tuple[str, ...]] = dict.fromkeys(_CODES, ())

    def add(self, batch: Requests, mask: Mask) -> None:
        """Append the rows of a batch where `mask` holds."""
        at = slice(self._used, self._used + int(mask.sum()))
        picked = slice(None) if mask.all() else np.flatnonzero(mask)
        for name, column in self._numbers.items():
            column[at] = getattr(batch, name)[picked]
        for name, codes in self._codes.items():
            codes[at] = getattr(batch, name).codes[picked]
            self._labels[name] = getattr(batch, name).labels
        self._add_intended(batch.t_intended_ns[picked], at)
        self._used = at.stop

    def _add_intended(self, intended_ns: Ints, at: slice) -> None:
        if self._intended_ns is None:
            if np.all(intended_ns == NULL):
                return
            self._intended_ns = np.empty(self._room, dtype=np.int64)
            self._intended_ns[: at.start] = NULL
        self._intended_ns[at] = intended_ns

    def table(self) -> Requests:
        """Return what was added so far."""
        used = slice(self._used)
        never = np.broadcast_to(np.int64(NULL), (self._used,))  # one value, however many rows
        columns: dict[str, Any] = {name: column[used] for name, column in self._numbers.items()}
        columns |= {name: Coded(codes[used], self._labels[name]) for name, codes in self._codes.items()}
        return Requests(t_intended_ns=never if self._intended_ns is None else self._intended_ns[used], **columns)


def gathered(batches: Iterable[Requests], window: Window, room: int) -> tuple[Requests, Requests]:
    """Return the requests of the window, and the others; there is `room` for so many in all."""
    inside, outside = _Rows(room), _Rows(room)
    for batch in batches:
        mask = window.rows(batch.phase)
        inside.add(batch, mask)
        outside.add(batch, ~mask)
    return inside.table(), outside.table()


def load_series(tables: Sequence[Requests | Flows], grid: Grid) -> Pace:
    """Return latency, rate and failures over time."""
    began = [grid.of(table.t_start_ns).astype(np.uint16) for table in tables]
    failed = [stretch[_failed(table.outcome)] for table, stretch in zip(tables, began, strict=True)]
    took = [took_ns(table) for table in tables]
    ended_well = [stretch[good] for stretch, (good, _) in zip(began, took, strict=True)]
    return Pace.of(
        grid,
        np.concatenate([latency_ns for _, latency_ns in took]),
        np.concatenate(ended_well),
        np.bincount(np.concatenate(began), minlength=grid.count),
        np.bincount(np.concatenate(failed), minlength=grid.count),
    )


def distributions(table: Requests | Flows) -> tuple[Rise, ...]:
    """Return how the latency of each endpoint, or kind of flow, is distributed, in the order of the labels."""
    named = by_label(table, table.flow) if isinstance(table, Flows) else by_label(table, table.endpoint)
    found = (rise(name, took_ns(some)[1]) for name, some in named)
    return tuple(one for one in found if len(one.value_ns))


def _failed(outcome: Coded) -> Mask:
    fails = np.array([label not in NOT_FAILURES for label in outcome.labels] + [False], dtype=np.bool_)
    found: Mask = fails[outcome.codes]  # a code of -1, no outcome, finds the last
    return found

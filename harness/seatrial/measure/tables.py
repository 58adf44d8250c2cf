"""The tables as arrays: what the judging functions take. Integers that did not happen are `wire.streams.NULL`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seatrial.wire.streams import NULL

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of labels: codes into `labels`, -1 where there is none."""

    codes: NDArray[np.signedinteger[Any]]
    labels: tuple[str, ...]

    def is_(self, label: str) -> Mask:
        """Return where the column has this label."""
        if label not in self.labels:
            return np.zeros(len(self.codes), dtype=np.bool_)
        return np.asarray(self.codes == self.labels.index(label))

    def counts(self) -> dict[str, int]:
        """Return how often each label occurs, without those that don't."""
        found = np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels))
        return {label: int(count) for label, count in zip(self.labels, found, strict=True) if count}


def began_ns(t_intended_ns: Ints, t_start_ns: Ints) -> Ints:
    """Return when latency begins: at the moment that a schedule intended, else, without one, at the start."""
    unplanned = t_intended_ns == NULL
    return t_start_ns if unplanned.all() else np.where(unplanned, t_start_ns, t_intended_ns)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """One HTTP request a row."""

    t_intended_ns: Ints
    t_start_ns: Ints
    t_first_byte_ns: Ints
    t_end_ns: Ints
    bytes_received: Ints
    endpoint: Coded
    outcome: Coded
    phase: Coded

    @cached_property
    def began_ns(self) -> Ints:
        """When the latency of each begins."""
        return began_ns(self.t_intended_ns, self.t_start_ns)


@dataclass(frozen=True, kw_only=True)
class Flows:
    """One task of a user a row."""

    t_intended_ns: Ints
    t_start_ns: Ints
    t_end_ns: Ints
    requests: Ints
    bytes_received: Ints
    flow: Coded
    outcome: Coded
    phase: Coded

    @cached_property
    def began_ns(self) -> Ints:
        """When the latency of each begins."""
        return began_ns(self.t_intended_ns, self.t_start_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """One reading of one container a row; `numbers` maps the other columns to their values."""

    service: Coded
    container: Coded
    phase: Coded
    numbers: Mapping[str, Ints]

    @property
    def count(self) -> int:
        """The number of readings."""
        return len(self.service.codes)

    @property
    def lives(self) -> Ints:
        """One number for each reading, the same for all of one container of one service."""
        return self.service.codes.astype(np.int64) * (len(self.container.labels) + 1) + self.container.codes + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """One second of one worker process a row, or the rest of one at its end, whose CPU fraction is NaN.

    The four columns of arrivals are NULL in the closed model.
    """

    t_ns: Ints
    worker: Ints
    users: Ints
    in_flight: Ints
    loop_lag_p50_ns: Ints
    loop_lag_p99_ns: Ints
    slip_p99_ns: Ints
    arrivals: Ints
    arrivals_completed: Ints
    arrivals_late: Ints
    arrivals_dropped: Ints
    cpu_fraction: Floats
    phase: Coded

    @property
    def seconds(self) -> Mask:
        """Which rows are a second, and so tell how well the process did; a rest tells counts only."""
        return ~np.isnan(self.cpu_fraction)


_Table = TypeVar("_Table", Requests, Flows, Samples, Generator)


def rows(table: _Table, mask: Mask) -> _Table:
    """Return the rows of `table` where `mask` holds."""
    return _numbered(table, np.flatnonzero(mask))  # a mask would be searched again for each column


def by_label(table: _Table, column: Coded) -> Iterator[tuple[str, _Table]]:
    """Yield each label of a column of `table`, in the order of the labels, with its rows."""
    order = np.argsort(column.codes, kind="stable")
    edges = np.searchsorted(column.codes[order], np.arange(len(column.labels) + 1))
    for label, (begin, end) in zip(column.labels, pairwise(edges), strict=True):
        if begin < end:
            yield label, _numbered(table, order[begin:end])


def _numbered(table: _Table, numbers: NDArray[np.intp]) -> _Table:
    picked = {column.name: _picked(getattr(table, column.name), numbers) for column in fields(table)}
    return replace(table, **picked)


def _picked(column: Any, numbers: NDArray[np.intp]) -> Any:  # noqa: ANN401  (an array, a coded column, or a mapping of arrays)
    if isinstance(column, Coded):
        return Coded(column.codes[numbers], column.labels)
    if isinstance(column, Mapping):
        return {name: values[numbers] for name, values in column.items()}
    return column[numbers]

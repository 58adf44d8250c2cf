"""A run's tables as numpy columns, row masks, the measured window, and sums over a service's containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seatrial.model import Phase, Span
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def known(values: Ints) -> Ints:
    """Return the values that are not NULL."""
    not_null: Ints = values[values != NULL]
    return not_null


def total(values: Ints) -> int:
    """Return the sum of the values that are not NULL."""
    return int(values.sum(where=values != NULL))


@dataclass(frozen=True, slots=True)
class LabelColumn:
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
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels))
        return {label: int(count) for label, count in zip(self.labels, counts, strict=True) if count}


def began_ns(t_intended_ns: Ints, t_start_ns: Ints) -> Ints:
    """Return when latency begins: at the moment that a schedule intended, or at the start without a schedule."""
    unplanned = t_intended_ns == NULL
    return t_start_ns if unplanned.all() else np.where(unplanned, t_start_ns, t_intended_ns)


@dataclass(frozen=True, kw_only=True)
class TimedRows:
    """What tables of requests and of flows have in common."""

    t_intended_ns: Ints
    t_start_ns: Ints
    t_end_ns: Ints
    bytes_received: Ints
    outcome: LabelColumn
    phase: LabelColumn

    @cached_property
    def began_ns(self) -> Ints:
        """When the latency of each begins."""
        return began_ns(self.t_intended_ns, self.t_start_ns)


@dataclass(frozen=True, kw_only=True)
class RequestColumns(TimedRows):
    """One HTTP request a row."""

    t_first_byte_ns: Ints
    endpoint: LabelColumn


@dataclass(frozen=True, kw_only=True)
class FlowColumns(TimedRows):
    """One task of a user a row."""

    requests: Ints
    flow: LabelColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleColumns:
    """One reading of one container a row; `numbers` maps the other columns to their values."""

    service: LabelColumn
    container: LabelColumn
    phase: LabelColumn
    numbers: Mapping[str, Ints]

    @property
    def count(self) -> int:
        """The number of readings."""
        return len(self.service.codes)

    @property
    def lives(self) -> Ints:
        """A number for each reading, the same for all readings of one container of one service."""
        return self.service.codes.astype(np.int64) * (len(self.container.labels) + 1) + self.container.codes + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorColumns:
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
    phase: LabelColumn

    @property
    def seconds(self) -> Mask:
        """Which rows are a whole second, with CPU and lag; the rest of one has counts only."""
        return ~np.isnan(self.cpu_fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierColumns:
    """What a service's own log tells, one counter of one second and phase a row."""

    t_ns: Ints
    service: LabelColumn
    counter: LabelColumn
    value: Floats
    phase: LabelColumn

    @classmethod
    def empty(cls) -> TierColumns:
        """Return a table without a row."""
        labels = LabelColumn(np.empty(0, dtype=np.int32), ())
        return cls(
            t_ns=np.empty(0, dtype=np.int64), service=labels, counter=labels, value=np.empty(0), phase=labels
        )


_Table = TypeVar("_Table", RequestColumns, FlowColumns, SampleColumns, GeneratorColumns, TierColumns)


def where(table: _Table, mask: Mask) -> _Table:
    """Return the rows of `table` where `mask` holds."""
    return _rows(table, np.flatnonzero(mask))  # a mask would be searched again for each column


def by_label(table: _Table, column: LabelColumn) -> Iterator[tuple[str, _Table]]:
    """Yield each label of a column of `table`, in the order of the labels, with its rows."""
    order = np.argsort(column.codes, kind="stable")
    edges = np.searchsorted(column.codes[order], np.arange(len(column.labels) + 1))
    for label, (begin, end) in zip(column.labels, pairwise(edges), strict=True):
        if begin < end:
            yield label, _rows(table, order[begin:end])


def _rows(table: _Table, numbers: NDArray[np.intp]) -> _Table:
    return replace(
        table, **{column.name: _cells(getattr(table, column.name), numbers) for column in fields(table)}
    )


def _cells(column: Any, numbers: NDArray[np.intp]) -> Any:  # noqa: ANN401  (an array, a coded column, or a mapping of arrays)
    if isinstance(column, LabelColumn):
        return LabelColumn(column.codes[numbers], column.labels)
    if isinstance(column, Mapping):
        return {name: values[numbers] for name, values in column.items()}
    return column[numbers]


_SAME_TICK = 0.25
"""The containers of one tick are read within a few milliseconds; a quarter of the period is far from that."""
_STAYS = 2.5
"""For how many periods a container that misses ticks counts with its last reading; after that it is down."""


def each_container(container: Ints) -> list[Mask]:
    """Return, for each container, which rows are its own."""
    return [container == code for code in np.unique(container)]


def counter_readings(samples: SampleColumns, column: str) -> list[tuple[Ints, Ints]]:
    """Return, for each container of each service, the stamps and values of a column's readings, without NULL."""
    stamps, values = samples.numbers["t_ns"], samples.numbers[column]
    known_rows = [rows & (values != NULL) for rows in each_container(samples.lives)]
    return [(stamps[rows], values[rows]) for rows in known_rows]


def reading_periods_ns(stamps: Ints, container: Ints) -> Ints:
    """Return the times from each reading of a container to its next one."""
    return np.concatenate([np.diff(stamps[rows]) for rows in each_container(container)])


def slowest_period_ns(stamps: Ints, container: Ints) -> int:
    """Return the longest of the containers' median periods: some may be read ten times a second, others once.

    It bounds for how long a reading is good. 0 where none was read twice.
    """
    each = [stamps[rows] for rows in each_container(container) if rows.sum() > 1]
    return int(max((np.median(np.diff(own)) for own in each), default=0))


def most_at_once(stamps: Ints, container: Ints) -> int:
    """Return the most containers that lived at the same time, each from its first to its last reading."""
    lives = [(int(stamps[rows].min()), int(stamps[rows].max())) for rows in each_container(container)]
    return max(sum(begin <= moment <= end for begin, end in lives) for moment, _ in lives)


def ticks(stamps: Ints, container: Ints, period_ns: int) -> Ints:
    """Return the number of the sampler's tick for each row; rows stand in the order of time.

    A tick ends where a container comes again, or after a quarter of the period without a reading.
    """
    tick, numbers = -1, np.empty(len(stamps), dtype=np.int64)
    in_tick: set[int] = set()
    before_ns = 0
    for row, (stamp_ns, code) in enumerate(zip(stamps.tolist(), container.tolist(), strict=True)):
        if not in_tick or code in in_tick or stamp_ns - before_ns > period_ns * _SAME_TICK:
            tick += 1
            in_tick.clear()
        in_tick.add(code)
        before_ns = stamp_ns
        numbers[row] = tick
    return numbers


def summed_over_containers(numbers: Mapping[str, Ints], container: Ints, period_ns: int) -> dict[str, Ints]:
    """Return each column as one value for each tick: the sum over the containers that live at that tick.

    `t_ns` becomes the stamp of the tick's last row. NULL where a container has no value; in place of a missing
    reading stands the container's own last one, never another's.
    """
    stamps = numbers["t_ns"]
    number = ticks(stamps, container, period_ns)
    last_row = np.searchsorted(number, np.arange(number[-1] + 1), side="right") - 1
    totals = {name: np.zeros(len(last_row), dtype=np.int64) for name in numbers if name != "t_ns"}
    for rows in each_container(container):
        own, when = number[rows], stamps[rows]
        life = _life(own, len(last_row))
        at = np.maximum(np.searchsorted(own, life, side="right") - 1, 0)
        up = stamps[last_row[life]] - when[at] <= period_ns * _STAYS
        for name, sums in totals.items():
            value = carried_forward(numbers[name][rows])[at[up]]
            so_far = sums[life[up]]
            sums[life[up]] = np.where((value == NULL) | (so_far == NULL), NULL, so_far + value)
    return {"t_ns": stamps[last_row], **totals}


def _life(own: Ints, count: int) -> Ints:
    """Return the ticks from a container's first to its last.

    The window can begin or end in the midst of a tick: a container that is there one tick later, or was one tick
    before, was there then, too.
    """
    first, last = int(own[0]), int(own[-1])
    return np.arange(0 if first == 1 else first, count if last == count - 2 else last + 1)


def carried_forward(values: Ints) -> Ints:
    """Put the last known value in place of NULL, and the first known one before it; all NULL if there is none."""
    rows = np.flatnonzero(values != NULL)
    if len(rows) == 0:
        return values
    at = np.searchsorted(rows, np.arange(len(values)), side="right") - 1
    filled: Ints = values[rows[np.maximum(at, 0)]]
    return filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when until when; `length_ns` is shorter where the run has several windows with other phases between.

    `opened` is false if the run never came to its window: then this is all that was recorded. `windows` is how
    many there are.
    """

    opened: bool
    from_ns: int
    until_ns: int
    length_ns: int
    windows: int = 1

    def rows(self, phase: LabelColumn) -> Mask:
        """Return which rows of a table count, by their phase."""
        return phase.is_(Phase.WINDOW) if self.opened else np.ones(len(phase.codes), dtype=np.bool_)

    def seconds(self, phase: LabelColumn, t_ns: Ints) -> Mask:
        """Return which seconds, each stamped at its end, lie in the window from their beginning.

        Of several windows a second holds parts, and parts of what lies between: all from the first to the last
        count.
        """
        whole = np.asarray(t_ns - NS_PER_S >= self.from_ns)
        if self.windows > 1:
            return whole & np.asarray(t_ns <= self.until_ns)
        return self.rows(phase) & (whole | (not self.opened))

    def holds(self, stamp_ns: int) -> bool:
        """Return whether a moment lies between the first begin and the last end."""
        return self.from_ns <= stamp_ns < self.until_ns


def measured_window(spans: Sequence[Span], *recorded: Ints) -> Window:
    """Return the window of the spans, or from the first to the last of the stamps if there is none."""
    windows = [span for span in spans if span.phase is Phase.WINDOW]
    if windows:
        return Window(
            opened=True,
            from_ns=min(span.from_ns for span in windows),
            until_ns=max(span.until_ns for span in windows),
            length_ns=sum(span.until_ns - span.from_ns for span in windows),
            windows=len(windows),
        )
    stamps = known(np.concatenate(recorded))
    begin, end = (int(stamps.min()), int(stamps.max())) if len(stamps) else (0, 0)
    return Window(opened=False, from_ns=begin, until_ns=end + 1, length_ns=end - begin)

"""Makers of a run's tables as columns, for tests that measure without a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seatrial.measure.tables import (
    FlowColumns,
    GeneratorColumns,
    Ints,
    LabelColumn,
    RequestColumns,
    SampleColumns,
    TierColumns,
)
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL, OUTCOMES, SAMPLES, row_columns


def ints(*values: int | None) -> Ints:
    """Return a column of numbers; None is NULL."""
    return np.array([NULL if value is None else value for value in values], dtype=np.int64)


def coded(codes: Sequence[int], labels: tuple[str, ...]) -> LabelColumn:
    """Return a column of labels."""
    return LabelColumn(np.array(codes, dtype=np.int32), labels)


def label(count: int, name: str = "window") -> LabelColumn:
    """Return a column that has the same label in each row."""
    return coded([0] * count, (name,))


def requests(
    start_ns: Ints, took_ns: ArrayLike, *, endpoint: str = "token", outcomes: Sequence[str] = ()
) -> RequestColumns:
    """Return requests of one endpoint, whose first byte came halfway."""
    count, took = len(start_ns), np.broadcast_to(np.asarray(took_ns, dtype=np.int64), len(start_ns))
    return RequestColumns(
        t_intended_ns=np.full(count, NULL),
        t_start_ns=start_ns,
        t_first_byte_ns=start_ns + took // 2,
        t_end_ns=start_ns + took,
        bytes_received=np.full(count, 100),
        endpoint=coded([1] * count, ("never asked", endpoint)),
        outcome=coded([OUTCOMES.index(one) for one in outcomes] or [0] * count, tuple(OUTCOMES)),
        phase=label(count),
    )


def flows(
    start_ns: Ints,
    took_ns: ArrayLike,
    *,
    flow: str = "pull",
    outcomes: Sequence[str] = (),
    intended_ns: Ints | None = None,
) -> FlowColumns:
    """Return flows of one name, of four requests each."""
    count = len(start_ns)
    return FlowColumns(
        t_intended_ns=np.full(count, NULL) if intended_ns is None else intended_ns,
        t_start_ns=start_ns,
        t_end_ns=start_ns + np.asarray(took_ns, dtype=np.int64),
        requests=np.full(count, 4),
        bytes_received=np.full(count, 400),
        flow=label(count, flow),
        outcome=coded([OUTCOMES.index(one) for one in outcomes] or [0] * count, tuple(OUTCOMES)),
        phase=label(count),
    )


def samples(
    container: Sequence[str], *, service: str | Sequence[str] = "app", **numbers: ArrayLike
) -> SampleColumns:
    """Return readings of containers, of one service or of one each; columns that are left out are NULL."""
    count = len(container)
    columns = {name: np.full(count, NULL) for name in row_columns(SAMPLES)}
    columns |= {name: np.asarray(values, dtype=np.int64) for name, values in numbers.items()}
    services = [service] * count if isinstance(service, str) else service
    return SampleColumns(
        service=_labels(services), container=_labels(container), phase=label(count), numbers=columns
    )


def _labels(names: Sequence[str]) -> LabelColumn:
    labels = tuple(dict.fromkeys(names))
    return coded([labels.index(name) for name in names], labels)


def sampled(rows: Mapping[str, Sequence[Mapping[str, int]]]) -> SampleColumns:
    """Return the readings of each container of one service, in the order of time as in a sealed table."""
    ordered = sorted(((row, name) for name, own in rows.items() for row in own), key=lambda pair: pair[0]["t_ns"])
    numbers: dict[str, Any] = {name: ints(*(row.get(name) for row, _ in ordered)) for name in row_columns(SAMPLES)}
    return samples([name for _, name in ordered], **numbers)


def generator(count: int, **columns: Any) -> GeneratorColumns:  # noqa: ANN401  (a value, or one for each second)
    """Return seconds of one load process; columns that are left out are NULL, its CPU fraction 0.3."""
    names = ("users", "in_flight", "loop_lag_p50_ns", "loop_lag_p99_ns", "slip_p99_ns", "arrivals")
    usual = dict.fromkeys((*names, "arrivals_completed", "arrivals_late", "arrivals_dropped"), NULL)
    whole = {"worker": 0, "t_ns": (np.arange(count) + 1) * NS_PER_S, **usual, **columns}
    cpu = whole.pop("cpu_fraction", 0.3)
    return GeneratorColumns(
        **{name: np.array(np.broadcast_to(value, count), dtype=np.int64) for name, value in whole.items()},
        cpu_fraction=np.array(np.broadcast_to(cpu, count), dtype=np.float64),
        phase=label(count),
    )


def tiers(values: Sequence[float], *, service: str = "nginx", counter: str = "origin_bytes") -> TierColumns:
    """Return what one service's log tells, second by second."""
    count = len(values)
    return TierColumns(
        t_ns=np.arange(count, dtype=np.int64) * NS_PER_S,
        service=label(count, service),
        counter=label(count, counter),
        value=np.array(values, dtype=np.float64),
        phase=label(count),
    )

"""CPU per request of a stack that is loaded in slices, and the CPU of load processes while their gate is open.

CPU per request is what the stack used from each opening of its gate until all requests begun then had ended, over
all that were begun: also while the stack settles, because requests of that time end in the window. Both ends
reach out to the next reading of a counter, so nothing is guessed between two readings; an idle stack uses next to
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from seatrial.measure import tables as measure_tables
from seatrial.measure.services import ServiceUse
from seatrial.measure.tables import (
    Floats,
    FlowColumns,
    GeneratorColumns,
    Ints,
    Mask,
    RequestColumns,
    SampleColumns,
    where,
)
from seatrial.model import Phase, Span
from seatrial.units import NS_PER_S
from seatrial.wire.streams import Outcome

LEAST_SHARE = 0.25
"""Of a second: with the gate open for less, the CPU of the load is lost in what the process always uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceTimes:
    """The slices of one run: the gate opened at `from_ns` and shut at `until_ns`.

    `begun` counts the requests that were begun in each, `flows` the flows; all had ended at `ended_ns`.
    """

    from_ns: Ints
    until_ns: Ints
    ended_ns: Ints
    begun: Ints
    flows: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def count(self) -> int:
        """The number of requests begun."""
        return int(self.begun.sum())

    @property
    def flow_count(self) -> int:
        """The number of flows begun."""
        return int(self.flows.sum())

    @property
    def length_ns(self) -> int:
        """How long the gate was open in all."""
        return int((self.until_ns - self.from_ns).sum())

    def part(self, from_ns: float, until_ns: float) -> SliceTimes:
        """Return the slices that began in a stretch of time."""
        inside = (self.from_ns >= from_ns) & (self.from_ns < until_ns)
        return SliceTimes(
            from_ns=self.from_ns[inside],
            until_ns=self.until_ns[inside],
            ended_ns=self.ended_ns[inside],
            begun=self.begun[inside],
            flows=self.flows[inside] if len(self.flows) else self.flows,
        )


def slice_times(spans: Sequence[Span], tables: Iterable[RequestColumns], flows: FlowColumns) -> SliceTimes | None:
    """Return the slices of a run with the requests and flows of all its phases; None if it has none.

    Where no request was made, a slice has ended once the flows have that were begun in it.
    """
    opened = open_spans(spans)
    if not opened:
        return None
    from_ns, until_ns = np.array(opened, dtype=np.int64).T
    ended_ns, begun = until_ns.copy(), np.zeros(len(opened), dtype=np.int64)
    for table in tables:
        at, inside = _slice_of(table.t_start_ns, from_ns, until_ns)
        begun += np.bincount(at[inside], minlength=len(begun))
        np.maximum.at(ended_ns, at[inside], table.t_end_ns[inside])
    at, inside = _slice_of(flows.t_start_ns, from_ns, until_ns)
    if not begun.any():
        np.maximum.at(ended_ns, at[inside], flows.t_end_ns[inside])
    served = inside & ~flows.outcome.is_(Outcome.DROPPED)
    flows_begun = np.bincount(at[served], minlength=len(begun))
    return SliceTimes(from_ns=from_ns, until_ns=until_ns, ended_ns=ended_ns, begun=begun, flows=flows_begun)


def _slice_of(start_ns: Ints, from_ns: Ints, until_ns: Ints) -> tuple[Ints, Mask]:
    """Return which slice each start would lie in, and whether it does."""
    at = np.searchsorted(from_ns, start_ns, side="right") - 1
    inside: Mask = (at >= 0) & (start_ns < until_ns[np.maximum(at, 0)])
    return at, inside


def open_spans(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return when the gate was open in the judged part, settling included; nothing without several windows."""
    if sum(span.phase is Phase.WINDOW for span in spans) <= 1:
        return []
    opened: list[tuple[int, int]] = []
    for span in sorted(spans, key=lambda one: one.from_ns):
        if span.phase is Phase.WINDOW and opened and opened[-1][1] == span.from_ns:
            opened[-1] = (opened[-1][0], span.until_ns)
        elif span.phase in (Phase.SETTLE, Phase.WINDOW):
            opened.append((span.from_ns, span.until_ns))
    return opened


def cpu_ns(samples: SampleColumns, slices: SliceTimes) -> float | None:
    """Return the processor time that the containers of `samples`, a whole run's, used for the slices.

    None if no counter was read twice.
    """
    readings = measure_tables.counter_readings(samples, "cpu_ns")
    used = [_used(stamps, values, slices) for stamps, values in readings if len(stamps) > 1]
    return float(sum(used)) if used else None


def _used(stamps: Ints, values: Ints, slices: SliceTimes) -> int:
    """Add up the rises of a counter between the readings around a slice, each rise once."""
    first = np.maximum(np.searchsorted(stamps, slices.from_ns, side="right") - 1, 0)
    last = np.minimum(np.searchsorted(stamps, slices.ended_ns, side="left"), len(stamps) - 1)
    rises = np.maximum(np.diff(values), 0)
    inside = np.zeros(len(rises), dtype=np.bool_)
    for begin, end in zip(first.tolist(), last.tolist(), strict=True):
        inside[begin:end] = True
    return int(rises[inside].sum())


def services_in_slices(
    used: Sequence[ServiceUse], samples: SampleColumns, slices: SliceTimes
) -> tuple[ServiceUse, ...]:
    """Return the services with the CPU of their slices, in cores while the gate was open; `samples` as above."""
    return tuple(_in_slices(use, where(samples, samples.service.is_(use.service)), slices) for use in used)


def _in_slices(use: ServiceUse, samples: SampleColumns, slices: SliceTimes) -> ServiceUse:
    used_ns = cpu_ns(samples, slices)
    if used_ns is None:
        return use
    return replace(
        use,
        cpu_cores=used_ns / slices.length_ns,
        cpu_per_request_ns=round(used_ns / slices.count) if slices.count else None,
        cpu_per_flow_ns=round(used_ns / slices.flow_count) if slices.flow_count and not slices.count else None,
    )


def cpu_while_open(table: GeneratorColumns, spans: Sequence[Span]) -> GeneratorColumns:
    """Return the seconds of load processes with the CPU that each used as a share of the time its gate was open.

    NaN where that was less than LEAST_SHARE of the second. Unchanged for a run that was not loaded in slices.
    """
    opened = open_spans(spans)
    if not opened:
        return table
    shares: Floats = np.zeros(len(table.t_ns))
    for begin, until in opened:
        open_ns = np.minimum(table.t_ns, until) - np.maximum(table.t_ns - NS_PER_S, begin)
        shares += np.maximum(open_ns, 0) / NS_PER_S
    enough = shares >= LEAST_SHARE
    cpu = np.where(enough, table.cpu_fraction / np.where(enough, shares, 1.0), np.nan)
    return replace(table, cpu_fraction=np.minimum(cpu, 1.0))

"""CPU per request of a stack that is loaded in turns.

CPU per request is what the stack used from each opening of its gate until what was begun then had ended, over all
that was begun: also while things settle, because a request does not end where judging begins. Both ends reach out
to the next reading of a counter, so nothing is guessed between two readings; an idle stack uses next to nothing.
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
"""Of a second: with the gate open for less, what a load process used can't be told from what it always does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceTimes:
    """The turns of one run: gates opened `from_ns`, shut `until_ns`; what was begun then had ended `ended_ns`.

    `begun` counts the requests that were begun in each, `flows` the flows.
    """

    from_ns: Ints
    until_ns: Ints
    ended_ns: Ints
    begun: Ints
    flows: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def count(self) -> int:
        """How many requests were begun in all."""
        return int(self.begun.sum())

    @property
    def flow_count(self) -> int:
        """How many flows were begun in all."""
        return int(self.flows.sum())

    @property
    def length_ns(self) -> int:
        """How long the gate was open in all."""
        return int((self.until_ns - self.from_ns).sum())

    def part(self, from_ns: float, until_ns: float) -> SliceTimes:
        """Return the turns that began in a stretch of time."""
        mine = (self.from_ns >= from_ns) & (self.from_ns < until_ns)
        return SliceTimes(
            from_ns=self.from_ns[mine],
            until_ns=self.until_ns[mine],
            ended_ns=self.ended_ns[mine],
            begun=self.begun[mine],
            flows=self.flows[mine] if len(self.flows) else self.flows,
        )


def slice_times(spans: Sequence[Span], tables: Iterable[RequestColumns], flows: FlowColumns) -> SliceTimes | None:
    """Return the turns of a run with the requests and flows of all its phases; None if its load has no turns.

    Where no request was made, a turn has ended once the flows have that were begun in it.
    """
    own = open_spans(spans)
    if not own:
        return None
    from_ns, until_ns = np.array(own, dtype=np.int64).T
    ended_ns, begun = until_ns.copy(), np.zeros(len(own), dtype=np.int64)
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
    """Return which turn each start would lie in, and whether it does."""
    at = np.searchsorted(from_ns, start_ns, side="right") - 1
    inside: Mask = (at >= 0) & (start_ns < until_ns[np.maximum(at, 0)])
    return at, inside


def open_spans(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return when the gate was open in the judged part, settling included; nothing without several windows."""
    found: list[tuple[int, int]] = []
    for span in sorted(spans, key=lambda one: one.from_ns):
        if span.phase is Phase.SETTLE:
            found.append((span.from_ns, span.until_ns))
        elif span.phase is Phase.WINDOW and found and found[-1][1] == span.from_ns:
            found[-1] = (found[-1][0], span.until_ns)
        elif span.phase is Phase.WINDOW:
            found.append((span.from_ns, span.until_ns))
    windows = sum(span.phase is Phase.WINDOW for span in spans)
    return found if windows > 1 else []


def cpu_ns(samples: SampleColumns, turns: SliceTimes) -> float | None:
    """Return what all containers given used for their turns; None if no counter was read twice.

    `samples` are those of the whole run.
    """
    readings = measure_tables.counter_readings(samples, "cpu_ns")
    used = [_used(stamps, counted, turns) for stamps, counted in readings if len(stamps) > 1]
    return float(sum(used)) if used else None


def services_in_slices(
    used: Sequence[ServiceUse], samples: SampleColumns, turns: SliceTimes
) -> tuple[ServiceUse, ...]:
    """Return the services with the CPU of their turns, in cores while the gate was open; `samples` as above."""
    return tuple(_by_turns(one, where(samples, samples.service.is_(one.service)), turns) for one in used)


def _by_turns(use: ServiceUse, samples: SampleColumns, turns: SliceTimes) -> ServiceUse:
    used_ns = cpu_ns(samples, turns)
    if used_ns is None:
        return use
    return replace(
        use,
        cpu_cores=used_ns / turns.length_ns,
        cpu_per_request_ns=round(used_ns / turns.count) if turns.count else None,
        cpu_per_flow_ns=round(used_ns / turns.flow_count) if turns.flow_count and not turns.count else None,
    )


def _used(stamps: Ints, counted: Ints, turns: SliceTimes) -> int:
    """Add up the rises of a counter between readings that lie around a turn, each rise once."""
    first = np.maximum(np.searchsorted(stamps, turns.from_ns, side="right") - 1, 0)
    last = np.minimum(np.searchsorted(stamps, turns.ended_ns, side="left"), len(stamps) - 1)
    rises = np.maximum(np.diff(counted), 0)
    mine = np.zeros(len(rises), dtype=np.bool_)
    for begin, end in zip(first.tolist(), last.tolist(), strict=True):
        mine[begin:end] = True
    return int(rises[mine].sum())


def cpu_while_open(table: GeneratorColumns, spans: Sequence[Span]) -> GeneratorColumns:
    """Return the seconds of load processes with the CPU that each used as a share of the time its gate was open.

    NaN where that was less than LEAST_SHARE of the second. Unchanged for a run whose load did not come by turns.
    """
    own = open_spans(spans)
    if not own:
        return table
    shares: Floats = np.zeros(len(table.t_ns))
    for begin, until in own:
        open_ns = np.minimum(table.t_ns, until) - np.maximum(table.t_ns - NS_PER_S, begin)
        shares += np.maximum(open_ns, 0) / NS_PER_S
    enough = shares >= LEAST_SHARE
    cpu = np.where(enough, table.cpu_fraction / np.where(enough, shares, 1.0), np.nan)
    return replace(table, cpu_fraction=np.minimum(cpu, 1.0))

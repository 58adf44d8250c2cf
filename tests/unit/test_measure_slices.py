"""A run in slices: what each request cost, and how busy its load process was, against a known truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import columns
import factories
import numpy as np
import pytest

from seatrial.analysis.run import analyse_run
from seatrial.load.slices import Slicing, with_drain
from seatrial.measure import metric, slices, values
from seatrial.measure.requests import Traffic, flow_traffic
from seatrial.measure.tables import FlowColumns, GeneratorColumns, Ints, SampleColumns, measured_window, where
from seatrial.measure.validity import slice_notes
from seatrial.measure.values import Tables
from seatrial.model import NoteKind, Phase

S = 1_000_000_000
MS = 1_000_000
COST_NS = 2 * MS
SLICING = Slicing(order=("a", "b") * 20, warm=0, slice_s=1.0, settle_s=0.15)
SPANS = SLICING.turns("a", 0).spans()


def _asked(per_s: int) -> Ints:
    """Return the starts of requests, evenly spread over each of the turns."""
    own = slices.open_spans(SPANS)
    return np.concatenate([np.arange(begin, end, S // per_s, dtype=np.int64) for begin, end in own])


CPU = metric.parse("cpu per request")
NONE = np.empty(0, dtype=np.int64)
NO_FLOWS = columns.flows(NONE, NONE)


def _samples(start_ns: Ints, took_ns: int, idle_cores: float) -> SampleColumns:
    """Return 10 Hz of a stack that spends COST_NS on each request, evenly while it lasts, and idles besides."""
    stamps = np.arange(-63 * MS, 40 * S, S // 10, dtype=np.int64)
    used = [
        round(idle_cores * now + COST_NS * np.clip((now - start_ns) / took_ns, 0, 1).sum())
        for now in stamps.tolist()
    ]
    return columns.samples(["c"] * len(stamps), t_ns=stamps, cpu_ns=used)


def _tables(took_ns: int, idle_cores: float = 0.0, flows: FlowColumns | None = None) -> Tables:
    """Return the tables of a run of requests; or of flows alone, which lasted as long."""
    start_ns, own_ns = _asked(50), NONE
    windows = [span for span in SPANS if span.phase is Phase.WINDOW]
    if flows is None:
        own_ns = start_ns[[any(span.from_ns <= t < span.until_ns for span in windows) for t in start_ns]]
    samples = _samples(start_ns, took_ns, idle_cores)
    asked = [columns.requests(start_ns, took_ns)] if flows is None else []
    return Tables(
        requests=columns.requests(own_ns, took_ns),
        flows=flows or NO_FLOWS,
        samples=samples,
        window_ns=measured_window(SPANS).length_ns,
        slices=slices.slice_times(SPANS, asked, flows or NO_FLOWS),
        run_samples=samples,
        by_flows=flows is not None,
    )


@pytest.mark.parametrize("took_ms", [1, 20, 150, 400])
def test_cpu_per_request_is_what_each_costs_however_long_it_takes(took_ms: int) -> None:
    """Summed inside the windows alone it would be wrong by the share of the turn that a request lasts."""
    assert values.metric_value(CPU, _tables(took_ms * MS)) == pytest.approx(COST_NS, rel=0.002)


@pytest.mark.parametrize("took_ms", [20, 400])
def test_slices_without_requests_are_counted_by_their_flows(took_ms: int) -> None:
    """A slice ends with its last flow; dropped arrivals, and flows of the other variant's slices, don't count."""
    begun_ns, opened = _asked(50), slices.open_spans(SPANS)
    others_ns, dropped_ns = np.array([1_500 * MS]), np.array([2_500 * MS, 4_500 * MS])
    starts = np.concatenate([begun_ns, others_ns, dropped_ns])
    outcomes = ["ok"] * (len(begun_ns) + 1) + ["dropped"] * 2
    flows = columns.flows(starts, took_ms * MS, outcomes=outcomes)
    tables = _tables(took_ms * MS, flows=flows)
    times = tables.slices
    assert times is not None
    assert (times.count, times.flow_count) == (0, len(begun_ns))
    assert times.flows.tolist() == [len(begun_ns) // len(opened)] * len(opened)
    assert times.ended_ns.tolist() == [begun_ns[begun_ns < until].max() + took_ms * MS for _, until in opened]
    assert values.metric_value(CPU, tables) == pytest.approx(COST_NS, rel=0.002)


def test_what_a_stack_uses_while_others_have_their_turns_is_not_the_requests_cost() -> None:
    """At 2 % of a core idle, and 10 % loaded, over the whole time a request would seem to cost 40 % more."""
    loaded_only = COST_NS + 0.02 * S / 50
    assert values.metric_value(CPU, _tables(10 * MS, idle_cores=0.02)) == pytest.approx(loaded_only, rel=0.04)


def test_parts_of_the_window_cost_the_same_and_one_reading_is_not_enough() -> None:
    """An interval within a run is made of them; a run may be too short, or a source lack the counter."""
    whole = _tables(10 * MS)
    costs = [values.metric_value(CPU, part) for part in values.window_parts(whole, 5)]
    assert costs == pytest.approx([COST_NS] * 5, rel=0.002)
    once = where(whole.samples, np.arange(whole.samples.count) == 3)
    assert values.metric_value(CPU, replace(whole, samples=once, run_samples=once)) is None


def test_settling_belongs_to_the_turn_and_one_window_alone_is_none() -> None:
    """A plain run, and one whose trials settle before a single window, are judged as ever."""
    assert slices.open_spans(SPANS)[:2] == [(0, S - 10 * MS), (2 * S, 3 * S - 10 * MS)]
    assert slices.open_spans(factories.SPANS) == []
    assert slices.slice_times(factories.SPANS, [], NO_FLOWS) is None


def _generator(cpu_fraction: float) -> GeneratorColumns:
    """Return seconds that straddle the slices, of a process that works only while its gate is open."""
    stamps = np.arange(S + S // 3, 40 * S, S, dtype=np.int64)
    opened = slices.open_spans(SPANS)
    open_ns = [sum(max(min(t, e) - max(t - S, b), 0) for b, e in opened) for t in stamps.tolist()]
    return columns.generator(len(stamps), t_ns=stamps, cpu_fraction=np.array(open_ns) / S * cpu_fraction)


def test_a_load_process_is_as_busy_as_while_its_gate_was_open() -> None:
    """A third or two of a second in its turn would look like 30 or 60 %; seconds between turns count, too."""
    table = slices.cpu_while_open(_generator(0.9), SPANS)

    told = table.cpu_fraction[~np.isnan(table.cpu_fraction)]

    assert told == pytest.approx(np.full(len(told), 0.9))
    assert len(told) > 20
    assert slices.cpu_while_open(table, factories.SPANS) is table

    stamps = table.t_ns[measured_window(SPANS).seconds(table.phase, table.t_ns)].tolist()
    assert stamps == [t for t in table.t_ns.tolist() if t - S >= 150 * MS and t <= 39 * S - 10 * MS]


def test_work_that_outlasts_settling_is_told() -> None:
    """It ends in the judged time of the next variant."""

    def work(took_ms: int, count: int = 100) -> Traffic:
        (traffic,) = flow_traffic(columns.flows(np.arange(count), took_ms * MS), S)
        return traffic

    (note,) = slice_notes([work(200), work(200, count=1)], SPANS)

    assert note.kind is NoteKind.LONG_FLOWS
    assert not note.invalidates
    assert "'pull' takes longer than 200.0 ms" in note.text
    assert slice_notes([work(100)], SPANS) == ()


def test_a_run_in_slices_is_valid(tmp_path: Path) -> None:
    """Rows that straddle slices make neither samples nor seconds missing; idle time is no fault."""
    spans = with_drain(SLICING.turns("a", factories.at(2)).spans(), factories.at(42), factories.at(43))
    folder = factories.sealed_run(tmp_path, spans=spans)

    result = analyse_run(folder)

    assert result.valid, result.notes
    assert result.window.length_ns == 20 * (S - 160 * MS)
    assert result.generator.seconds == 18  # the first and the last lie in part outside
    registry = next(one.use for one in result.services if one.use.service == "registry")
    assert registry.cpu_cores == pytest.approx(0.4, rel=0.15)

"""A run of many short windows: what it cost, and how fast its load process was, against a known truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import factories
import numpy as np
import pytest

from seatrial.analysis.run import analyse_run
from seatrial.load.slices import Slicing, with_drain
from seatrial.measure import metric, slices, values
from seatrial.measure.requests import Traffic
from seatrial.measure.statistics import Quantiles
from seatrial.measure.tables import (
    FlowColumns,
    GeneratorColumns,
    Ints,
    LabelColumn,
    RequestColumns,
    SampleColumns,
    measured_window,
    where,
)
from seatrial.measure.validity import slice_notes
from seatrial.measure.values import Tables
from seatrial.model import NoteKind, Phase
from seatrial.wire.streams import NULL

S = 1_000_000_000
MS = 1_000_000
COST_NS = 2 * MS
SLICING = Slicing(order=("a", "b") * 20, warm=0, slice_s=1.0, settle_s=0.15)
SPANS = SLICING.turns("a", 0).spans()


def _coded(count: int, label: str) -> LabelColumn:
    return LabelColumn(np.zeros(count, dtype=np.int32), (label,))


def _requests(start_ns: Ints, took_ns: int) -> RequestColumns:
    count = len(start_ns)
    return RequestColumns(
        t_intended_ns=np.full(count, NULL),
        t_start_ns=start_ns,
        t_first_byte_ns=start_ns,
        t_end_ns=start_ns + took_ns,
        bytes_received=np.zeros(count, dtype=np.int64),
        endpoint=_coded(count, "work"),
        outcome=_coded(count, "ok"),
        phase=_coded(count, Phase.WINDOW),
    )


def _asked(per_s: int) -> Ints:
    """Return the starts of requests, evenly spread over each of the turns."""
    own = slices.open_spans(SPANS)
    return np.concatenate([np.arange(begin, end, S // per_s, dtype=np.int64) for begin, end in own])


def _samples(start_ns: Ints, took_ns: int, idle_cores: float, hz: float = 10.0) -> SampleColumns:
    """Return readings of a stack that spends COST_NS on each request, evenly while it lasts, and idles besides."""
    stamps = np.arange(-63 * MS, 40 * S, round(S / hz), dtype=np.int64)
    used = [
        round(idle_cores * now + COST_NS * np.clip((now - start_ns) / took_ns, 0, 1).sum())
        for now in stamps.tolist()
    ]
    return SampleColumns(
        service=_coded(len(stamps), "app"),
        container=_coded(len(stamps), "c"),
        phase=_coded(len(stamps), Phase.WINDOW),
        numbers={"t_ns": stamps, "cpu_ns": np.array(used, dtype=np.int64)},
    )


def _tables(took_ns: int, idle_cores: float = 0.0, per_s: int = 50) -> Tables:
    start_ns = _asked(per_s)
    requests = _requests(start_ns, took_ns)
    inside = measured_window(SPANS)
    judged = np.array(
        [any(s.from_ns <= t < s.until_ns for s in SPANS if s.phase is Phase.WINDOW) for t in start_ns]
    )
    samples = _samples(start_ns, took_ns, idle_cores)
    return Tables(
        requests=_requests(requests.t_start_ns[judged], took_ns),
        flows=_no_flows(),
        samples=samples,
        window_ns=inside.length_ns,
        slices=slices.slice_times(SPANS, [requests], _no_flows()),
        run_samples=samples,
    )


def _no_flows() -> FlowColumns:
    none = np.empty(0, dtype=np.int64)
    no = LabelColumn(np.empty(0, dtype=np.int32), ())
    return FlowColumns(
        t_intended_ns=none,
        t_start_ns=none,
        t_end_ns=none,
        requests=none,
        bytes_received=none,
        flow=no,
        outcome=no,
        phase=no,
    )


CPU = metric.parse("cpu per request")


@pytest.mark.parametrize("took_ms", [1, 20, 150, 400])
def test_cpu_per_request_is_what_each_costs_however_long_it_takes(took_ms: int) -> None:
    """Summed inside the windows alone it would be wrong by the share of the turn that a request lasts."""
    assert values.metric_value(CPU, _tables(took_ms * MS)) == pytest.approx(COST_NS, rel=0.002)


def _flows(start_ns: Ints, took_ns: int, dropped: Ints) -> FlowColumns:
    """Return flows without requests, and arrivals that were dropped."""
    starts = np.concatenate([start_ns, dropped])
    outcome = LabelColumn(
        np.repeat(np.array([0, 1], dtype=np.int32), (len(start_ns), len(dropped))), ("ok", "dropped")
    )
    return FlowColumns(
        t_intended_ns=np.full(len(starts), NULL),
        t_start_ns=starts,
        t_end_ns=starts + took_ns,
        requests=np.zeros(len(starts), dtype=np.int64),
        bytes_received=np.zeros(len(starts), dtype=np.int64),
        flow=_coded(len(starts), "work"),
        outcome=outcome,
        phase=_coded(len(starts), Phase.WINDOW),
    )


@pytest.mark.parametrize("took_ms", [20, 400])
def test_slices_without_requests_are_counted_by_their_flows(took_ms: int) -> None:
    """A slice ends with its last flow; dropped arrivals, and flows of the other variant's slices, don't count."""
    begun_ns, opened = _asked(50), slices.open_spans(SPANS)
    others_ns, dropped_ns = np.array([1_500 * MS]), np.array([2_500 * MS, 4_500 * MS])
    flows = _flows(np.concatenate([begun_ns, others_ns]), took_ms * MS, dropped_ns)
    times = slices.slice_times(SPANS, [], flows)
    assert times is not None
    samples = _samples(begun_ns, took_ms * MS, 0.0)
    tables = Tables(
        requests=_requests(np.empty(0, dtype=np.int64), 0),
        flows=flows,
        samples=samples,
        window_ns=measured_window(SPANS).length_ns,
        slices=times,
        run_samples=samples,
        by_flows=True,
    )

    assert (times.count, times.flow_count) == (0, len(begun_ns))
    assert times.flows.tolist() == [len(begun_ns) // len(opened)] * len(opened)
    assert times.ended_ns.tolist() == [begun_ns[begun_ns < until].max() + took_ms * MS for _, until in opened]
    assert values.metric_value(CPU, tables) == pytest.approx(COST_NS, rel=0.002)


def test_what_a_stack_uses_while_others_have_their_turns_is_not_the_requests_cost() -> None:
    """At 2 % of a core idle, and 10 % loaded, over the whole time a request would seem to cost 40 % more."""
    told = values.metric_value(CPU, _tables(10 * MS, idle_cores=0.02))
    loaded_only = COST_NS + 0.02 * S / 50

    assert told == pytest.approx(loaded_only, rel=0.04)


def test_parts_of_the_window_cost_the_same() -> None:
    """An interval within a run is made of them."""
    parts = values.window_parts(_tables(10 * MS), 5)

    told = [values.metric_value(CPU, part) for part in parts]

    assert told == pytest.approx([COST_NS] * 5, rel=0.002)


def test_without_two_readings_nothing_is_told() -> None:
    """A run that was too short, or a source without the counter."""
    whole = _tables(10 * MS)
    once = where(whole.samples, np.arange(whole.samples.count) == 3)

    assert values.metric_value(CPU, replace(whole, samples=once, run_samples=once)) is None


def test_settling_belongs_to_the_turn_and_one_window_alone_is_none() -> None:
    """A plain run, and one whose trials settle before a single window, are judged as ever."""
    assert slices.open_spans(SPANS)[:2] == [(0, S - 10 * MS), (2 * S, 3 * S - 10 * MS)]
    assert slices.open_spans(factories.SPANS) == []
    assert slices.slice_times(factories.SPANS, [], _no_flows()) is None


def _generator(cpu_fraction: float) -> GeneratorColumns:
    """Return seconds that straddle the turns, of a process that works only while its gate is open."""
    stamps = np.arange(S + S // 3, 40 * S, S, dtype=np.int64)
    count = len(stamps)
    own = slices.open_spans(SPANS)
    open_ns = [sum(max(min(t, e) - max(t - S, b), 0) for b, e in own) for t in stamps.tolist()]
    none = np.full(count, NULL)
    return GeneratorColumns(
        t_ns=stamps,
        worker=np.zeros(count, dtype=np.int64),
        users=none,
        in_flight=none,
        loop_lag_p50_ns=none,
        loop_lag_p99_ns=none,
        slip_p99_ns=none,
        arrivals=none,
        arrivals_completed=none,
        arrivals_late=none,
        arrivals_dropped=none,
        cpu_fraction=np.array(open_ns) / S * cpu_fraction,
        phase=_coded(count, Phase.IDLE),
    )


def test_a_load_process_is_as_busy_as_while_its_gate_was_open() -> None:
    """A second holds a third of a turn, or two: 90 % busy in it looks like 30 or 60 %."""
    table = slices.cpu_while_open(_generator(0.9), SPANS)

    told = table.cpu_fraction[~np.isnan(table.cpu_fraction)]

    assert told == pytest.approx(np.full(len(told), 0.9))
    assert len(told) > 20
    assert slices.cpu_while_open(table, factories.SPANS) is table


def test_seconds_between_turns_count_with_those_in_them() -> None:
    """From the first window to the last, whatever phase a second's end falls into."""
    table = _generator(0.5)
    mask = measured_window(SPANS).seconds(table.phase, table.t_ns)

    assert table.t_ns[mask].tolist() == [
        t for t in table.t_ns.tolist() if t - S >= 150 * MS and t <= 39 * S - 10 * MS
    ]


def _work(p95_ns: int | None) -> Traffic:
    told = Quantiles(count=100, p50=None, p95=p95_ns, p99=None, max=None)
    return Traffic(
        name="pull",
        count=100,
        outcomes={},
        latency_ns=told,
        service_ns=told,
        first_byte_ns=told,
        requests=0,
        bytes_received=0,
        per_s=0.0,
        bytes_per_s=0.0,
    )


def test_work_that_outlasts_settling_is_told() -> None:
    """It ends in the judged time of the next variant."""
    (note,) = slice_notes([_work(200 * MS), _work(None)], SPANS)

    assert note.kind is NoteKind.LONG_FLOWS
    assert not note.invalidates
    assert "'pull' takes longer than 200.0 ms" in note.text
    assert slice_notes([_work(100 * MS)], SPANS) == ()


def test_a_run_by_turns_is_reviewed_as_valid(tmp_path: Path) -> None:
    """Rows that straddle turns make neither samples nor seconds missing; idle time is no fault."""
    spans = with_drain(SLICING.turns("a", factories.at(2)).spans(), factories.at(42), factories.at(43))
    folder = factories.sealed_run(tmp_path, spans=spans)

    found = analyse_run(folder)

    assert found.valid, found.notes
    assert found.window.length_ns == 20 * (S - 160 * MS)
    assert found.generator.seconds == 18  # the first and the last lie in part outside
    registry = next(one.use for one in found.services if one.use.service == "registry")
    assert registry.cpu_cores == pytest.approx(0.4, rel=0.15)

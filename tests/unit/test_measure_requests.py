"""Latency, outcomes and rates of requests and flows; percentiles are measured values, and need enough of them."""

from __future__ import annotations

from pathlib import Path

import columns
import factories
import numpy as np
import pytest
from factories import Asked
from hypothesis import given
from hypothesis import strategies as st

from seatrial.measure import requests
from seatrial.measure.requests import all_requests, endpoints, flow_traffic
from seatrial.measure.statistics import nearest_rank, quantiles
from seatrial.measure.tables import RequestColumns, measured_window, where
from seatrial.measure.timeseries import time_grid
from seatrial.record import documents, read
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

MS = 1_000_000
A_WINDOW_NS = 10 * NS_PER_S


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.integers(1, 100))
def test_nearest_rank_is_the_inverse_of_the_distribution(values: list[int], percent: int) -> None:
    """NumPy's `inverted_cdf` is the same definition, computed by others."""
    ordered = np.sort(np.array(values))
    expected = np.percentile(ordered, percent, method="inverted_cdf")
    assert nearest_rank(ordered, percent) == expected
    with pytest.raises(ValueError, match="no value"):
        nearest_rank(ordered[:0], percent)


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, (None, None, None, None)),
        (1, (None, None, None, 1)),
        (2, (1, None, None, 2)),
        (19, (10, None, None, 19)),
        (20, (10, 19, None, 20)),
        (99, (50, 95, None, 99)),
        (100, (50, 95, 99, 100)),
    ],
)
def test_a_percentile_needs_an_observation_above_it(count: int, told: tuple[int | None, ...]) -> None:
    """p50 from 2, p95 from 20, p99 from 100 on."""
    found = quantiles(np.arange(1, count + 1))
    assert (found.p50, found.p95, found.p99, found.max) == told


def _table(results: Path, *asked: Asked) -> RequestColumns:
    return factories.requests_of(factories.sealed_run(results, asked))


def test_failures_stay_out_of_the_latency_and_in_the_count(tmp_path: Path) -> None:
    """A fast refusal does not make an endpoint fast; a cut request is neither success nor failure."""
    told = ((10, "ok"), (30, "ok"), (1, "refused"), (900, "cut"))
    table = _table(tmp_path, *(Asked(start_s=11, took_ms=took_ms, outcome=outcome) for took_ms, outcome in told))
    total = all_requests(table, A_WINDOW_NS)
    assert (total.count, total.failures, total.latency_ns.count) == (4, 1, 2)
    assert (total.latency_ns.p50, total.latency_ns.max) == (10 * MS, 30 * MS)
    assert total.outcomes == {"ok": 2, "refused": 1, "cut": 1}


def test_latency_counts_from_the_intended_and_service_time_from_the_real_start(tmp_path: Path) -> None:
    """A request that was sent late has waited: coordinated omission is not hidden."""
    table = _table(tmp_path, Asked(start_s=12, intended_s=11, took_ms=10), Asked(start_s=13, took_ms=20))
    total = all_requests(table, A_WINDOW_NS)
    assert (total.latency_ns.max, total.first_byte_ns.max) == (1010 * MS, 1005 * MS)
    assert (total.service_ns.count, total.service_ns.p50, total.service_ns.max) == (2, 10 * MS, 20 * MS)


def test_a_first_byte_counts_of_what_was_left_before_its_end() -> None:
    """A range that a player aborted began as soon as any; one that failed did not, and has no latency either."""
    outcomes = ("ok", "aborted", "aborted", "truncated", "cut")
    table = columns.requests(columns.ints(0, 0, 0, 0, 0), np.array([10, 30, 50, 2, 4]) * MS, outcomes=outcomes)
    table.t_first_byte_ns[2] = NULL
    total = all_requests(table, A_WINDOW_NS)
    assert (total.first_byte_ns.count, total.first_byte_ns.p50, total.first_byte_ns.max) == (2, 5 * MS, 15 * MS)
    assert (total.latency_ns.count, total.latency_ns.max) == (1, 10 * MS)


def test_a_dropped_arrival_is_a_failure_without_a_latency(tmp_path: Path) -> None:
    """However short its record is; the latency of a flow that was served is the whole task's."""
    folder = factories.run(tmp_path, [])
    dropped = factories.flow(1, 12, flow="arrival", outcome="dropped", t_intended_ns=factories.at(12), took_ms=0)
    factories.write_lines(folder.streams, "flows", [dropped], table="flows")
    seal(folder, documents.load_document(folder))
    (row,) = flow_traffic(read.flows(folder), A_WINDOW_NS)
    assert (row.count, row.failures, row.outcomes) == (1, 1, {"dropped": 1})
    assert (row.latency_ns.count, row.service_ns.count) == (0, 0)
    (row,) = flow_traffic(read.flows(factories.sealed_run(tmp_path / "whole")), A_WINDOW_NS)
    assert (row.name, row.count, row.requests, row.latency_ns.p99) == ("pull", 200, 800, 100 * MS)


def test_endpoints_are_judged_apart(tmp_path: Path) -> None:
    """Each label has its own count, rate and bytes, in the locustfile's order."""
    blob = Asked(start_s=11, endpoint="blob", bytes_received=5_000_000)
    found = endpoints(_table(tmp_path, blob, Asked(start_s=12, endpoint="token")), A_WINDOW_NS)
    assert [(row.name, row.count, row.per_s, row.bytes_per_s) for row in found] == [
        ("token", 1, 0.1, 100.0),
        ("blob", 1, 0.1, 500_000.0),
    ]


WINDOW = measured_window(factories.SPANS)


def gathered(folder: RunFolder) -> tuple[RequestColumns, RequestColumns]:
    """Return the requests of the window, and the others, of a sealed run."""
    return requests.request_stats(read.request_batches(folder), WINDOW, read.request_count(folder))


def same(first: RequestColumns, second: RequestColumns) -> bool:
    """Return whether two tables have the same rows."""
    names = [[table.endpoint.labels[code] for code in table.endpoint.codes] for table in (first, second)]
    numbers = ("t_intended_ns", "t_start_ns", "t_first_byte_ns", "t_end_ns", "bytes_received")
    return names[0] == names[1] and all(np.array_equal(getattr(first, x), getattr(second, x)) for x in numbers)


def test_every_request_is_in_one_of_the_two_tables(tmp_path: Path) -> None:
    """Warm-up and drain lie beside the window, in the file's order, also if rows are added a hundred at a time."""
    folder = factories.sealed_run(tmp_path)
    table = factories.requests_of(folder)
    inside, outside = gathered(folder)

    mask = WINDOW.rows(table.phase)
    assert (len(inside.t_start_ns), len(outside.t_start_ns)) == (int(mask.sum()), int((~mask).sum()))
    assert same(inside, where(table, mask))
    assert same(outside, where(table, ~mask))
    number = np.arange(len(mask))
    cut = [where(table, number // 100 == part) for part in range(10)]
    assert same(requests.request_stats(cut, WINDOW, len(mask))[0], inside)


def test_failures_are_counted_where_they_began(tmp_path: Path) -> None:
    """A tenth of the made-up requests fails; each second holds those that began in it; of none nothing."""
    grid = time_grid(factories.at(0), factories.at(42), WINDOW.from_ns)
    pace = requests.load_series(gathered(factories.sealed_run(tmp_path / "some")), grid)
    assert (pace.asked.sum(), pace.failed.sum()) == (1000, 100)
    assert pace.step_ns == NS_PER_S
    assert (pace.t_ns[0], pace.asked[0]) == (factories.at(0), 24)

    inside, outside = gathered(factories.sealed_run(tmp_path / "none", []))
    assert (len(inside.t_start_ns), len(outside.t_start_ns)) == (0, 0)
    assert (requests.endpoints(inside, 1), requests.distributions(inside)) == ((), ())
    assert requests.load_series((inside, outside), grid).asked.sum() == 0


def test_arrivals_that_come_late_in_the_table_keep_their_schedule(tmp_path: Path) -> None:
    """Of the requests before them there is none: their latency is their service time."""
    closed = [factories.Asked(start_s=12 + n, took_ms=5) for n in range(3)]
    late = [factories.Asked(start_s=20 + n, intended_s=19.5 + n, took_ms=10) for n in range(3)]
    table = _table(tmp_path, *closed, *late)
    inside, _ = requests.request_stats([where(table, np.arange(6) == part) for part in range(6)], WINDOW, 6)

    assert inside.t_intended_ns.tolist() == [NULL] * 3 + [factories.at(19.5 + n) for n in range(3)]
    total = requests.all_requests(inside, WINDOW.length_ns)
    assert (total.latency_ns.p50, total.latency_ns.max) == (5_000_000, 510_000_000)
    assert (total.service_ns.p50, total.service_ns.max) == (5_000_000, 10_000_000)

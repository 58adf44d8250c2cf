"""Percentiles are observed values, told only where the observations suffice; failures stay out of them."""

from __future__ import annotations

from pathlib import Path

import factories
import numpy as np
import pytest
from factories import Asked
from hypothesis import given
from hypothesis import strategies as st

from seatrial.measure.requests import all_requests, endpoints, flow_traffic
from seatrial.measure.statistics import nearest_rank, quantiles
from seatrial.record import documents, read
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S

MS = 1_000_000
A_WINDOW_NS = 10 * NS_PER_S


@pytest.mark.parametrize(("percent", "value"), [(1, 15), (30, 20), (40, 20), (50, 35), (100, 50)])
def test_nearest_rank_agrees_with_the_textbook(percent: int, value: int) -> None:
    """The usual worked example of five values."""
    assert nearest_rank(np.array([15, 20, 35, 40, 50]), percent) == value


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.integers(1, 100))
def test_nearest_rank_is_the_inverse_of_the_distribution(values: list[int], percent: int) -> None:
    """NumPy's `inverted_cdf` is the same definition, computed by others."""
    ordered = np.sort(np.array(values))
    expected = np.percentile(ordered, percent, method="inverted_cdf")
    assert nearest_rank(ordered, percent) == expected


def test_a_percentile_of_nothing_is_an_error() -> None:
    """No value is no percentile, not zero."""
    with pytest.raises(ValueError, match="no value"):
        nearest_rank(np.array([], dtype=np.int64), 50)


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


def test_failures_stay_out_of_the_latency_and_in_the_count(tmp_path: Path) -> None:
    """A fast refusal does not make an endpoint fast; a cut request is neither success nor failure."""
    asked = [
        Asked(start_s=11, took_ms=10),
        Asked(start_s=12, took_ms=30),
        Asked(start_s=13, took_ms=1, outcome="refused"),
        Asked(start_s=14, took_ms=900, outcome="cut"),
    ]
    total = all_requests(factories.requests_of(factories.sealed_run(tmp_path, asked)), A_WINDOW_NS)
    assert (total.count, total.failures, total.latency_ns.count) == (4, 1, 2)
    assert (total.latency_ns.p50, total.latency_ns.max) == (10 * MS, 30 * MS)
    assert total.outcomes == {"ok": 2, "refused": 1, "cut": 1}


def test_latency_counts_from_the_intended_start(tmp_path: Path) -> None:
    """A request that was sent late has waited: coordinated omission is not hidden."""
    asked = [Asked(start_s=12, intended_s=11, took_ms=10)]
    total = all_requests(factories.requests_of(factories.sealed_run(tmp_path, asked)), A_WINDOW_NS)
    assert (total.latency_ns.max, total.first_byte_ns.max) == (1010 * MS, 1005 * MS)


def test_service_time_counts_from_the_real_start(tmp_path: Path) -> None:
    """Beside the latency of an open load; of the closed model it is the same."""
    asked = [Asked(start_s=12, intended_s=11, took_ms=10), Asked(start_s=13, took_ms=20)]
    total = all_requests(factories.requests_of(factories.sealed_run(tmp_path, asked)), A_WINDOW_NS)
    assert (total.service_ns.count, total.service_ns.p50, total.service_ns.max) == (2, 10 * MS, 20 * MS)


@given(st.lists(st.integers(0, 10**12), min_size=100, max_size=300), st.integers(1, 1000))
def test_percentiles_are_ordered_and_scale_with_their_unit(values: list[int], factor: int) -> None:
    """Milliseconds or nanoseconds: the same observation is the percentile."""
    small, large = quantiles(np.array(values)), quantiles(np.array(values) * factor)
    found = [small.p50, small.p95, small.p99, small.max]
    assert found == sorted(value for value in found if value is not None)
    assert [large.p50, large.p95, large.p99, large.max] == [(value or 0) * factor for value in found]


@given(st.lists(st.integers(0, 10**9), min_size=100, max_size=200), st.integers(0, 10**9))
def test_waiting_for_the_start_never_makes_a_latency_shorter(services: list[int], wait: int) -> None:
    """Each percentile grows by what every request waited."""
    served, seen = quantiles(np.array(services)), quantiles(np.array(services) + wait)
    assert (seen.p50, seen.p95) == ((served.p50 or 0) + wait, (served.p95 or 0) + wait)


def test_a_dropped_arrival_is_a_failure_without_a_latency(tmp_path: Path) -> None:
    """Nobody served it, however short its record; what was served is judged as before."""
    folder = factories.run(tmp_path, [])
    dropped = factories.flow(1, 12, flow="arrival", outcome="dropped", t_intended_ns=factories.at(12), took_ms=0)
    factories.write_lines(folder.streams, "flows", [dropped], table="flows")
    seal(folder, documents.load_document(folder))
    (row,) = flow_traffic(read.flows(folder), A_WINDOW_NS)
    assert (row.count, row.failures, row.outcomes) == (1, 1, {"dropped": 1})
    assert (row.latency_ns.count, row.service_ns.count) == (0, 0)


def test_endpoints_are_judged_apart(tmp_path: Path) -> None:
    """Each label has its own count, rate and bytes, in the locustfile's order."""
    asked = [Asked(start_s=11, endpoint="blob", bytes_received=5_000_000), Asked(start_s=12, endpoint="token")]
    found = endpoints(factories.requests_of(factories.sealed_run(tmp_path, asked)), A_WINDOW_NS)
    assert [(row.name, row.count, row.per_s, row.bytes_per_s) for row in found] == [
        ("token", 1, 0.1, 100.0),
        ("blob", 1, 0.1, 500_000.0),
    ]


def test_flows_count_their_requests(tmp_path: Path) -> None:
    """A flow's latency is the whole task's."""
    (row,) = flow_traffic(read.flows(factories.sealed_run(tmp_path)), A_WINDOW_NS)
    assert (row.name, row.count, row.requests, row.latency_ns.p99) == ("pull", 200, 800, 100 * MS)

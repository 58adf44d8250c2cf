"""Requests are gathered from batches into the table of the window and that of the others."""

from __future__ import annotations

from pathlib import Path

import factories
import numpy as np
import pytest

from seatrial.errors import UsageError
from seatrial.measure import requests
from seatrial.measure.tables import RequestColumns, measured_window, where
from seatrial.measure.timeseries import LoadSeries, TimeGrid, time_grid
from seatrial.record import read
from seatrial.record.folder import RunFolder
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

WINDOW = measured_window(factories.SPANS)


def gathered(folder: RunFolder) -> tuple[RequestColumns, RequestColumns]:
    """Return the requests of the window, and the others, of a sealed run."""
    return requests.request_stats(read.request_batches(folder), WINDOW, read.request_count(folder))


def whole_grid() -> TimeGrid:
    """Return a grid over the made-up run."""
    return time_grid(factories.at(0), factories.at(42), WINDOW.from_ns)


def pace_of(folder: RunFolder) -> LoadSeries:
    """Return the requests of a sealed run over time."""
    return requests.load_series(gathered(folder), whole_grid())


def same(one: RequestColumns, other: RequestColumns) -> bool:
    """Tell whether two tables have the same rows."""
    numbers = ("t_intended_ns", "t_start_ns", "t_first_byte_ns", "t_end_ns", "bytes_received")
    labels = [
        [table.endpoint.labels[code] for table, code in zip((one, other), codes, strict=True)]
        for codes in zip(one.endpoint.codes, other.endpoint.codes, strict=True)
    ]
    alike = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in numbers)
    return alike and all(first == second for first, second in labels)


def test_every_request_is_in_one_of_the_two_tables(tmp_path: Path) -> None:
    """Warm-up and drain lie beside the window, each in the order of the file."""
    folder = factories.sealed_run(tmp_path)
    table = factories.requests_of(folder)
    inside, outside = gathered(folder)

    mask = WINDOW.rows(table.phase)
    assert (len(inside.t_start_ns), len(outside.t_start_ns)) == (int(mask.sum()), int((~mask).sum()))
    assert same(inside, where(table, mask))
    assert same(outside, where(table, ~mask))


def test_batches_of_any_size_give_the_same(tmp_path: Path) -> None:
    """Rows that are added one hundred at a time, labels that come late among them."""
    folder = factories.sealed_run(tmp_path)
    table = factories.requests_of(folder)
    number = np.arange(len(table.t_start_ns))
    cut = [where(table, number // 100 == part) for part in range(10)]

    assert same(requests.request_stats(cut, WINDOW, len(number))[0], gathered(folder)[0])


def test_failures_are_counted_where_they_began(tmp_path: Path) -> None:
    """A tenth of the made-up requests fails; each second holds those that began in it."""
    pace = pace_of(factories.sealed_run(tmp_path))

    assert (pace.asked.sum(), pace.failed.sum()) == (1000, 100)
    assert pace.step_ns == NS_PER_S
    assert (pace.t_ns[0], pace.asked[0]) == (factories.at(0), 24)


def test_latency_of_an_arrival_counts_from_its_schedule(tmp_path: Path) -> None:
    """A request that had to wait for its turn was slow for the one who asked."""
    late = [factories.Asked(start_s=20 + n, intended_s=19.5 + n, took_ms=10) for n in range(3)]
    inside, _ = gathered(factories.sealed_run(tmp_path, late))

    assert requests.distributions(inside)[0].value_ns.tolist() == [510_000_000] * 3


def test_arrivals_that_come_late_in_the_table_keep_their_schedule(tmp_path: Path) -> None:
    """Of the requests before them there is none: their latency is their service time."""
    closed = [factories.Asked(start_s=12 + n, took_ms=5) for n in range(3)]
    late = [factories.Asked(start_s=20 + n, intended_s=19.5 + n, took_ms=10) for n in range(3)]
    table = factories.requests_of(factories.sealed_run(tmp_path, [*closed, *late]))
    inside, _ = requests.request_stats([where(table, np.arange(6) == part) for part in range(6)], WINDOW, 6)

    assert inside.t_intended_ns.tolist() == [NULL] * 3 + [factories.at(19.5 + n) for n in range(3)]
    total = requests.all_requests(inside, WINDOW.length_ns)
    assert (total.latency_ns.p50, total.latency_ns.max) == (5_000_000, 510_000_000)
    assert (total.service_ns.p50, total.service_ns.max) == (5_000_000, 10_000_000)


def test_a_run_without_requests_has_its_tables(tmp_path: Path) -> None:
    """Nothing was asked: no endpoint, no point, no error."""
    folder = factories.sealed_run(tmp_path, [])
    inside, outside = gathered(folder)

    assert (len(inside.t_start_ns), len(outside.t_start_ns)) == (0, 0)
    assert (requests.endpoints(inside, 1), requests.distributions(inside)) == ((), ())
    assert pace_of(folder).asked.sum() == 0


def test_requests_that_are_not_there_are_told(tmp_path: Path) -> None:
    """An unsealed run has no table yet; a broken one names its file."""
    folder = factories.run(tmp_path)
    with pytest.raises(UsageError, match="no requests"):
        read.request_count(folder)
    folder.table("requests").write_bytes(b"PAR1 cut off")
    with pytest.raises(UsageError, match="can't be read"):
        read.request_stamps(folder)

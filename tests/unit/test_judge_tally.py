"""Requests that are added piece by piece give the numbers that all of them give at once."""

from __future__ import annotations

from pathlib import Path

import factories
import numpy as np
import pytest
from factories import read_requests

from seatrial.errors import UsageError
from seatrial.judge import latency
from seatrial.judge.columns import rows
from seatrial.judge.grid import grid
from seatrial.judge.tally import Tally, gathered
from seatrial.judge.window import Window, window
from seatrial.record import pieces
from seatrial.record.folder import RunFolder
from seatrial.units import NS_PER_S

WINDOW = window(factories.SPANS)


def tally_of(folder: RunFolder, whole: Window = WINDOW) -> Tally:
    """Return the tally of a sealed run."""
    return gathered(pieces.requests(folder), whole, [pieces.stamps(folder)], pieces.count(folder))


def test_a_tally_judges_as_the_whole_table_is_judged(tmp_path: Path) -> None:
    """Percentiles, outcomes, bytes and rates, of each endpoint and of all."""
    folder = factories.sealed_run(tmp_path)
    table = read_requests(folder)
    inside = rows(table, WINDOW.rows(table.phase))
    found = tally_of(folder)

    assert found.total() == latency.all_requests(inside, WINDOW.length_ns)
    assert found.endpoints() == latency.endpoints(inside, WINDOW.length_ns)
    assert (found.first_start_ns, found.last_end_ns) == (int(table.t_start_ns.min()), int(table.t_end_ns.max()))


def test_pieces_of_any_size_give_the_same(tmp_path: Path) -> None:
    """Rows that are added one hundred at a time, labels that come late among them."""
    folder = factories.sealed_run(tmp_path)
    table = read_requests(folder)
    begin, end = factories.at(0), factories.at(42)
    number = np.arange(len(table.t_start_ns))
    cut = [rows(table, number // 100 == part) for part in range(10)]
    small = Tally(WINDOW, grid(begin, end, WINDOW.from_ns), len(number))
    for piece in cut:
        small.add(piece)

    assert small.endpoints() == tally_of(folder).endpoints()
    assert small.pace().asked.sum() == 1000


def test_failures_are_counted_where_they_began(tmp_path: Path) -> None:
    """A tenth of the made-up requests fails; each second holds those that began in it."""
    pace = tally_of(factories.sealed_run(tmp_path)).pace()

    assert (pace.asked.sum(), pace.failed.sum()) == (1000, 100)
    assert pace.step_ns == NS_PER_S
    assert (pace.t_ns[0], pace.asked[0]) == (factories.at(0), 24)


def test_latency_of_an_arrival_counts_from_its_schedule(tmp_path: Path) -> None:
    """A request that had to wait for its turn was slow for the one who asked."""
    late = [factories.Asked(start_s=20 + n, intended_s=19.5 + n, took_ms=10) for n in range(3)]
    found = tally_of(factories.sealed_run(tmp_path, late))

    assert found.total().latency_ns.max == 510_000_000
    assert found.rises()[0].value_ns.tolist() == [510_000_000] * 3


def test_the_service_time_counts_from_the_start(tmp_path: Path) -> None:
    """Arrivals that come late in the table make the earlier ones' latency their service time."""
    closed = [factories.Asked(start_s=12 + n, took_ms=5) for n in range(3)]
    late = [factories.Asked(start_s=20 + n, intended_s=19.5 + n, took_ms=10) for n in range(3)]
    folder = factories.sealed_run(tmp_path, [*closed, *late])
    table = read_requests(folder)
    number = np.arange(6)
    small = Tally(WINDOW, grid(factories.at(0), factories.at(42), WINDOW.from_ns), 6)
    for part in range(6):
        small.add(rows(table, number == part))

    assert small.total().service_ns == latency.all_requests(table, WINDOW.length_ns).service_ns
    assert small.total().service_ns.max == 10_000_000


def test_a_run_without_requests_has_a_tally(tmp_path: Path) -> None:
    """Nothing was asked: no endpoint, no point, no error."""
    found = tally_of(factories.sealed_run(tmp_path, []))

    assert (found.total().count, found.endpoints(), found.rises()) == (0, (), ())
    assert (found.first_start_ns, found.last_end_ns) == (None, None)


def test_requests_that_are_not_there_are_told(tmp_path: Path) -> None:
    """An unsealed run has no table yet; a broken one names its file."""
    folder = factories.run(tmp_path)
    with pytest.raises(UsageError, match="no requests"):
        pieces.count(folder)
    folder.table("requests").write_bytes(b"PAR1 cut off")
    with pytest.raises(UsageError, match="can't be read"):
        pieces.stamps(folder)

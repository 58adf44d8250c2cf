"""Bytes from the origin, as metrics and for each byte that was received and played."""

from __future__ import annotations

from dataclasses import replace

import columns
import numpy as np
import pytest

from seatrial.measure import metric, origin, values
from seatrial.measure.tables import TierColumns
from seatrial.measure.values import Tables
from seatrial.units import NS_PER_S

DETAILS = {"received_bytes": np.array([90.0, 60.0, np.nan]), "played_bytes": np.array([60.0, 40.0, np.nan])}


def _tables(tiers: TierColumns) -> Tables:
    """Return a window of ten requests that received 100 bytes each, and three sessions."""
    stamps = np.arange(10, dtype=np.int64) * NS_PER_S
    return Tables(
        requests=columns.requests(stamps, 1),
        flows=columns.flows(stamps[:3], 1),
        samples=columns.samples([]),
        window_ns=10 * NS_PER_S,
        details=DETAILS,
        tiers=tiers,
    )


def _value(text: str, tables: Tables) -> float | None:
    return values.metric_value(metric.parse(text), tables)


def test_bytes_of_the_window_and_for_each_played_byte() -> None:
    """500 for the 1000 that were received, of which 1.5 were received for each that was played."""
    tables = _tables(columns.tiers([100, 0, 400]))
    assert _value("origin bytes", tables) == 500
    assert _value("origin bytes of nginx", tables) == 500
    assert _value("origin bytes per played byte", tables) == pytest.approx(0.75)
    assert _value("origin bytes per played byte of nginx", tables) == pytest.approx(0.75)


def test_a_cache_that_fetched_nothing_is_measured() -> None:
    """Zero is a value, no row is none."""
    assert _value("origin bytes", _tables(columns.tiers([0, 0]))) == 0
    assert _value("origin bytes per played byte", _tables(columns.tiers([0]))) == 0
    for nothing in (TierColumns.empty(), columns.tiers([5], counter="other")):
        assert _value("origin bytes", _tables(nothing)) is None
        assert _value("origin bytes per played byte", _tables(nothing)) is None
    assert _value("origin bytes of redis", _tables(columns.tiers([5]))) is None


def test_without_players_there_is_no_played_byte() -> None:
    """Nor where no request was made."""
    told = _tables(columns.tiers([5]))
    for tables in (replace(told, details={}), replace(told, requests=columns.requests(np.empty(0, np.int64), 1))):
        assert _value("origin bytes", tables) == 5
        assert _value("origin bytes per played byte", tables) is None


def test_what_was_counted_is_exact() -> None:
    """A budget is decided by one run; a comparison shows both without being asked."""
    tables = _tables(columns.tiers([100, 400]))
    one = values.estimate(metric.parse("origin bytes"), tables)
    assert (one.low, one.value, one.high) == (500, 500, 500)
    shown = {one.text for one in values.metrics_of(tables)}
    assert {"origin bytes", "origin bytes per played byte"} <= shown
    assert "origin bytes" not in {one.text for one in values.metrics_of(_tables(TierColumns.empty()))}


def test_each_service_has_its_own() -> None:
    """In the order of their names."""
    both = columns.tiers([5, 7])
    both = replace(both, service=columns.coded([0, 1], ("shield", "edge")))
    edge, shield = origin.origin_use(both, 10, DETAILS)
    assert (edge.service, edge.bytes, edge.per_received) == ("edge", 7, 0.7)
    assert (shield.service, shield.bytes, shield.per_played) == ("shield", 5, 0.75)
    assert origin.origin_use(TierColumns.empty(), 10, DETAILS) == ()

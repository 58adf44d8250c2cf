"""What viewers saw is measured of the flows that report it, whatever their names."""

from __future__ import annotations

from dataclasses import replace

import columns
import numpy as np
import pytest
from numpy.typing import ArrayLike

from seatrial.measure.experience import session_points, viewers
from seatrial.measure.tables import Floats, FlowColumns, LabelColumn
from seatrial.units import NS_PER_S

NAN = float("nan")


def flows(names: str, took_s: float = 30.0) -> FlowColumns:
    """Return one flow for each letter, a second after each other: `p` is play, `d` is download."""
    labels = ("play", "download")
    start_ns = np.arange(len(names), dtype=np.int64) * NS_PER_S
    made = columns.flows(start_ns, np.full(len(names), took_s * NS_PER_S))
    return replace(made, flow=LabelColumn(np.array(["pd".index(one) for one in names], dtype=np.int32), labels))


def details(**numbers: ArrayLike) -> dict[str, Floats]:
    """Return the details of flows."""
    return {key: np.array(values, dtype=np.float64) for key, values in numbers.items()}


def test_sessions_are_the_flows_that_report_a_beginning_and_stalls() -> None:
    """A download reports bytes alone; a flow of a session's kind without any number is none."""
    told = details(
        startup_s=[0.5, NAN, NAN, NAN],
        abandoned_ratio=[0, 1, NAN, NAN],
        stalls_count=[2, 0, NAN, NAN],
        stall_ratio=[0.1, 0.0, NAN, NAN],
        received_bytes=[300, 100, 5000, NAN],
        played_bytes=[200, 0, 5000, NAN],
        distinct_bytes=[250, 100, 5000, NAN],
        waste_ratio=[1 / 3, 1.0, 0, NAN],
    )
    (one,) = viewers(flows("ppdp"), told)
    assert (one.flow, one.sessions, one.stalls, one.stall_ratio, one.abandoned) == ("play", 2, 1, 0.05, 0.5)
    assert (one.received_bytes, one.played_bytes, one.received_per_played) == (400, 200, 2)
    assert (one.distinct_bytes, one.repeated) == (350, 1 / 8)
    assert one.waste == pytest.approx(2 / 3)
    assert (one.startup_p50_ns, one.seek_p95_ns) == (None, None)  # one start-up, and no seek, are too few


def test_percentiles_are_measured_values() -> None:
    """In nanoseconds, as everywhere."""
    told = details(startup_s=np.arange(1, 101) / 10, seek_s=np.arange(1, 101) / 100, stalls_count=[0] * 100)
    (one,) = viewers(flows("p" * 100), told)
    assert (one.startup_p50_ns, one.startup_p95_ns) == pytest.approx((5.0e9, 9.5e9))
    assert (one.seek_p50_ns, one.seek_p95_ns) == pytest.approx((0.5e9, 0.95e9))
    assert (one.stall_ratio, one.received_per_played, one.repeated) == (None, None, None)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"startup_s": [1.0, 1.0]},
        {"stall_ratio": [0.0, 0.1]},
        {"startup_s": [1.0, NAN], "stalls_count": [NAN, 1.0]},
    ],
)
def test_other_flows_are_no_viewers(told: dict[str, list[float]]) -> None:
    """A browser's page has a start-up, too; one kind of flow has to report both."""
    assert viewers(flows("pd"), details(**told)) == ()
    assert session_points(flows("pd"), details(**told)) is None


def test_points_tell_who_stalled_and_who_gave_up() -> None:
    """At the moment at which each began; one that gave up waited until it ended."""
    told = details(
        startup_s=[0.5, 1.0, NAN, NAN, NAN],
        abandoned_ratio=[0, 0, 1, 0, NAN],
        stalls_count=[0, 3, 0, 0, NAN],
        stalled_s=[0, 4.5, 0, 0, NAN],
    )
    points = session_points(flows("ppppd"), told)
    assert points is not None
    assert (points.t_ns / NS_PER_S).tolist() == [0, 1, 2]
    assert (points.waited_ns / NS_PER_S).tolist() == [0.5, 1, 30]
    assert points.abandoned.tolist() == [False, False, True]
    assert (points.stalls.tolist(), (points.stalled_ns / NS_PER_S).tolist()) == ([0, 3, 0], [0, 4.5, 0])


def test_many_points_are_thinned_evenly() -> None:
    """So that the share of each kind of point stays as it is."""
    told = details(startup_s=np.arange(1000) + 1.0, stalls_count=[0] * 1000)
    points = session_points(flows("p" * 1000), told, most=300)
    assert points is not None
    assert (points.every, len(points.t_ns)) == (4, 250)
    assert np.diff(points.waited_ns).tolist() == [4 * NS_PER_S] * 249

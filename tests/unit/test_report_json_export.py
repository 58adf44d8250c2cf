"""A run as JSON: keys that programs read, in the closed and the open model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import factories

from seatrial.analysis.run import analyse_run
from seatrial.record.folder import RunFolder
from seatrial.report import json_export


def run_values(folder: RunFolder) -> dict[str, Any]:
    """Return a run's JSON as a program reads it."""
    values: dict[str, Any] = json.loads(json.dumps(json_export.run_json(analyse_run(folder)), allow_nan=False))
    return values


def test_a_closed_run(tmp_path: Path) -> None:
    """Keys name their units; there is no schedule, and service time is latency."""
    values = run_values(factories.sealed_run(tmp_path))

    assert (values["verdict"], values["window_ns"], values["requests"]["count"]) == ("valid", 30_000_000_000, 714)
    assert values["requests"]["failures"] == 72
    assert values["endpoints"][0]["latency_ns"] == {
        "count": 214,
        "p50": 29_000_000,
        "p95": 51_000_000,
        "p99": 53_000_000,
        "max": 53_000_000,
    }
    assert [service["service"] for service in values["services"][:2]] == ["nginx", "registry"]
    assert (values["run"]["rate"], values["generator"]["arrivals"], values["saturated"]) == ("", None, False)
    assert values["requests"]["service_ns"] == values["requests"]["latency_ns"]


def test_an_open_run(tmp_path: Path) -> None:
    """Latency and service time, the schedule, and its arrivals."""
    values = run_values(factories.sealed_open_run(tmp_path, late=2))
    requests = values["requests"]

    assert (values["verdict"], values["saturated"], values["run"]["rate"]) == ("valid", False, "50/s")
    assert (requests["latency_ns"]["p95"], requests["service_ns"]["p95"]) == (30_000_000, 10_000_000)
    assert requests["saturated"] is False
    assert values["generator"]["arrivals"] == {
        "seconds": 29,
        "offered": 1450,
        "completed": 1450,
        "late": 58,
        "dropped": 0,
        "in_flight": 0.0,
        "rise": 0.0,
        "completed_share": 1.0,
        "growth": 0,
    }
    assert values["generator"]["lateness"] == {
        "limit_ns": 10_000_000,
        "late_ticks": 0,
        "ticks": 580,
        "slipped": 0,
        "arrivals": 1450,
    }


def test_a_saturated_run_has_no_percentiles(tmp_path: Path) -> None:
    """They are null; the counts stay."""
    values = run_values(factories.sealed_open_run(tmp_path, completed=40))
    none = {"count": 1500, "p50": None, "p95": None, "p99": None, "max": None}

    assert values["saturated"] is True
    for row in (values["requests"], values["endpoints"][0]):
        assert (row["latency_ns"], row["service_ns"], row["first_byte_ns"]) == (none, none, none)
        assert (row["saturated"], row["count"], row["per_s"]) == (True, 1500, 50.0)
    assert values["flows"][0]["latency_ns"] == {**none, "count": 150}


def test_dropped_arrivals_are_failures_without_a_duration(tmp_path: Path) -> None:
    """They never ran."""
    values = run_values(factories.sealed_open_run(tmp_path, completed=49, dropped=1))
    (arrival,) = (row for row in values["flows"] if row["name"] == "arrival")

    assert (arrival["failures"], arrival["latency_ns"]["count"], arrival["service_ns"]["count"]) == (1, 0, 0)

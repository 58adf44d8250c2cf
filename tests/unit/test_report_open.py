"""What the reports show of an open load: its schedule, what was kept of it, and no latency that is none."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import factories
import pytest
from factories import Asked, at
from rich.console import Console

from seatrial.analysis.run import analyse_run
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.report import json_export, text

RATE = {"text": "50/s", "stretches": [[None, 50.0, 50.0]], "poisson": False}
LOAD = {"users": 20, "rate": RATE}


def _open_run(
    results: Path, *, completed: int = 50, late: int = 0, dropped: int = 0, load: Mapping[str, Any] = LOAD
) -> RunFolder:
    """Seal a run with 50 arrivals a second, each with one request that was sent 20 ms late and took 10 ms."""
    asked = [Asked(start_s=10.02 + n * 0.02, intended_s=10 + n * 0.02) for n in range(1500)]
    folder = factories.run(results, asked, scenario={"tiers": factories.TIERS, "load": load})
    counts = {"arrivals": 50, "arrivals_completed": completed, "arrivals_late": late, "arrivals_dropped": dropped}
    rows = [{**factories.second(n), **counts, "slip_p99_ns": 1_250_000} for n in range(42)]
    factories.write_lines(folder.streams, "generator", rows, table="generator")
    begun = [factories.flow(n, 10.02 + n * 0.2, took_ms=60, t_intended_ns=at(10 + n * 0.2)) for n in range(150)]
    nothing = {"flow": "arrival", "t_intended_ns": at(12), "requests": 0, "bytes_received": 0}
    begun += [factories.flow(1000 + n, 12, took_ms=0, outcome="dropped", **nothing) for n in range(dropped)]
    factories.write_lines(folder.streams, "flows", begun, table="flows")
    seal(folder, documents.load_document(folder))
    return folder


def _lines(folder: RunFolder, width: int = 80) -> list[str]:
    stream = io.StringIO()
    text.show_run(analyse_run(folder), Console(file=stream, width=width))
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def _after(lines: list[str], head: str) -> list[str]:
    return lines[next(index for index, line in enumerate(lines) if line.startswith(head)) :]


def test_the_verdict_names_the_schedule(tmp_path: Path) -> None:
    """At most so many users serve it."""
    assert _lines(_open_run(tmp_path), 100)[0].endswith("compose engine · 50/s, at most 20 users")


@pytest.mark.parametrize(
    ("width", "endpoint_heads", "flow_heads"),
    [
        (
            80,
            "endpoint count p50 p95 p99 max service p95 per s",
            "flow count failed p50 p95 p99 max service p95 per s",
        ),
        (
            100,
            "endpoint count failed p50 p95 p99 max service p95 per s MB/s",
            "flow count failed p50 p95 p99 max service p95 requests per s MB/s",
        ),
    ],
)
def test_service_time_stands_beside_latency(
    tmp_path: Path, width: int, endpoint_heads: str, flow_heads: str
) -> None:
    """30 ms from the intended start, 10 ms from the real one; of flows 80 and 60."""
    lines = _lines(_open_run(tmp_path), width)
    assert "30.0 ms 30.0 ms 30.0 ms 30.0 ms 10.0 ms 50.0" in _after(lines, endpoint_heads)[2]
    assert "80.0 ms 80.0 ms 80.0 ms 80.0 ms 60.0 ms" in _after(lines, flow_heads)[2]
    assert "Requests latency from the scheduled start; service: from the real" in lines


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("completed", [50, 30])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int, completed: int) -> None:
    """Failures and a backlog included."""
    stream = io.StringIO()
    text.show_run(
        analyse_run(_open_run(tmp_path, completed=completed, dropped=1)), Console(file=stream, width=width)
    )
    assert max(len(line) for line in stream.getvalue().splitlines()) <= width


def test_what_was_kept_of_the_schedule_is_told(tmp_path: Path) -> None:
    """29 whole seconds of the window; one late and none dropped in each."""
    lines = _lines(_open_run(tmp_path, late=1), 200)
    told = "1,450 offered (50.0/s), 1,450 completed (50.0/s); 29 found no idle user, 0 dropped in the window"
    assert f"arrivals in 29 whole seconds of 30.0 s: {told}" in lines
    assert any(line.endswith("loop lag p99 at most 900 µs, schedule slip p99 at most 1.25 ms") for line in lines)


def test_a_saturated_run_shows_no_latency(tmp_path: Path) -> None:
    """Its percentiles would be as long as the run; counts and rates stay."""
    lines = _lines(_open_run(tmp_path, completed=40), 120)
    assert lines[0].startswith("INVALID")
    assert lines[2].startswith(
        "not to be trusted: saturated: 1,450 arrivals were offered (50.0/s) and 1,160 completed"
    )
    assert _after(lines, "endpoint count failed latency per s MB/s")[2] == "blob 1,500 0 saturated 50.0 0.05"
    assert _after(lines, "flow count failed latency requests per s MB/s")[2].startswith("pull 150 0 saturated 600")
    assert "Requests no latency: arrivals piled up, and waited as long as the run let them" in lines


def test_a_saturated_run_has_no_percentiles_for_programs(tmp_path: Path) -> None:
    """Null, and a word why; how many there were is still told."""
    values = json.loads(json.dumps(json_export.run_json(analyse_run(_open_run(tmp_path, completed=40)))))
    none = {"count": 1500, "p50": None, "p95": None, "p99": None, "max": None}
    assert values["saturated"] is True
    for row in (values["requests"], values["endpoints"][0]):
        assert (row["latency_ns"], row["service_ns"], row["first_byte_ns"]) == (none, none, none)
        assert (row["saturated"], row["count"], row["per_s"]) == (True, 1500, 50.0)
    assert values["flows"][0]["latency_ns"] == {**none, "count": 150}


def test_an_open_run_for_programs(tmp_path: Path) -> None:
    """Latency and service time, the schedule, and what became of it."""
    values = json.loads(json.dumps(json_export.run_json(analyse_run(_open_run(tmp_path, late=2)))))
    assert (values["verdict"], values["saturated"], values["run"]["rate"]) == ("valid", False, "50/s")
    assert (values["requests"]["latency_ns"]["p95"], values["requests"]["service_ns"]["p95"]) == (
        30_000_000,
        10_000_000,
    )
    assert values["requests"]["saturated"] is False
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


def test_dropped_arrivals_are_failures_and_no_flows(tmp_path: Path) -> None:
    """Nothing was done for them; they stand among the outcomes."""
    folder = _open_run(tmp_path, completed=49, dropped=1)
    lines = _lines(folder, 100)
    assert lines[1].startswith("1,500 requests and 150 flows in a window")
    assert _after(lines, "ended otherwise than ok dropped")[2] == "arrival 1"
    (arrival,) = [row for row in analyse_run(folder).flows if row.name == "arrival"]
    assert (arrival.failures, arrival.latency_ns.count, arrival.service_ns.count) == (1, 0, 0)


def test_the_closed_model_for_programs(tmp_path: Path) -> None:
    """No schedule, and nothing that a schedule would bring."""
    values = json_export.run_json(analyse_run(factories.sealed_run(tmp_path)))
    assert (values["run"]["rate"], values["generator"]["arrivals"], values["saturated"]) == ("", None, False)
    assert values["requests"]["service_ns"] == values["requests"]["latency_ns"]

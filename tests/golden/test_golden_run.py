"""Run folders of earlier versions stay readable, with the same numbers.

`run-v1` was sealed by the first version of schema 1 and is never written again.
"""

from __future__ import annotations

from pathlib import Path

from factories import MIB

from seatrial.analysis.run import analyse_run
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.report import json_export

RUN = RunFolder(Path(__file__).parent / "run-v1")


def test_a_run_of_schema_1_gives_the_numbers_it_gave() -> None:
    """Counts, outcomes, percentiles and memory of a run that was sealed long ago."""
    run = analyse_run(RUN)
    assert (run.valid, run.window.length_ns, run.total.count) == (True, 6_000_000_000, 75)
    assert run.total.outcomes == {"ok": 74, "timeout": 1}
    assert (run.total.latency_ns.p50, run.total.latency_ns.p95) == (8_000_000, 11_000_000)
    assert run.flows[0].count == 20
    assert run.services[0].use.memory["anon_bytes"].start == 10 * MIB


def test_a_document_of_schema_1_reads() -> None:
    """Scenario, status, and the number of rows."""
    read = documents.load_document(RUN)
    assert (read.schema_version, read.scenario_name, read.status) == (1, "registry-pull", "complete")
    assert read.rows == {"requests": 110, "flows": 30, "samples": 270, "generator": 9, "tiers": 0, "errors": 0}


def test_a_run_of_schema_1_makes_a_report() -> None:
    """It has the same keys; flows that reported no number with a unit have no details."""
    report = json_export.run_json(analyse_run(RUN))
    assert report["requests"]["latency_ns"]["count"] == 74
    assert report["flow_details"] == []

"""A server that stops for two seconds: the open model shows it in the latency, the closed one hides it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from process.plain_locust import environment, plain_locust
from process.small_nginx import Stall, nginx
from trials import seconds_recorded, wait_until

pytestmark = [pytest.mark.servers, pytest.mark.alone]

MS, S = 1_000_000, 1_000_000_000
STALL_S = 2.0
SLOW_NS = 100 * MS
GAP_NS = 5 * MS
WITHIN_S = 40.0
TABLES = ("requests", "flows", "generator")
ASKING = """
from locust import constant_throughput, task
from seatrial.user import LeanUser

class Visitor(LeanUser):
    wait_time = constant_throughput(20)
    endpoints = ("small file",)

    @task
    def visit(self) -> None:
        self.client.get("/small", endpoint="small file")
"""


@dataclass(frozen=True)
class Recording:
    """A recording with a stall: its tables and the report."""

    stall: Stall
    requests: pd.DataFrame
    flows: pd.DataFrame
    generator: pd.DataFrame
    report: dict[str, Any]


def _record(folder: Path, *options: str) -> Recording:
    """Record nine seconds; once two of them have been written, the server stops for a time."""
    (folder / "nginx").mkdir()
    words = ("--headless", "--only-summary", "--run-time", "9s", "--record", "rec")
    with (
        nginx(folder / "nginx") as server,
        plain_locust(folder, ASKING, *words, "--host", server.url, *options) as process,
    ):
        wait_until(lambda: seconds_recorded(folder) >= 2, WITHIN_S, every_s=0.02, log=folder / "log")
        stall = server.stall(STALL_S)
        assert process.wait(WITHIN_S) == 0, (folder / "log").read_text()
    show = [sys.executable, "-m", "seatrial", "show", str(folder / "rec"), "--json"]
    shown = subprocess.run(show, env=environment(), capture_output=True, check=False, timeout=WITHIN_S)
    tables = {name: pd.read_parquet(folder / "rec" / f"{name}.parquet") for name in TABLES}
    return Recording(stall, **tables, report=json.loads(shown.stdout))


@pytest.fixture(scope="module")
def open_model(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """200 arrivals a second, and 50 users to serve them."""
    return _record(tmp_path_factory.mktemp("open"), "--users", "50", "--spawn-rate", "50", "--rate", "200/s")


def _in_stall(recording: Recording, until_ns: int) -> pd.Series:
    return recording.requests.t_intended_ns.between(recording.stall.from_ns, until_ns)


def test_no_arrival_of_the_schedule_is_lost(open_model: Recording) -> None:
    """Requests and dropped arrivals together are the schedule: one every 5 ms, not one more, not one less."""
    assert open_model.requests.t_intended_ns.notna().all()
    dropped = open_model.flows[open_model.flows.outcome == "dropped"]
    moments = pd.concat([open_model.requests.t_intended_ns, dropped.t_intended_ns]).astype("int64").sort_values()
    assert set(moments.diff().dropna()) == {GAP_NS}
    assert 0 <= len(moments) - open_model.generator.arrivals.sum() < 100  # the last part of a second has no row


def test_the_late_requests_are_those_that_were_due_in_the_stall(open_model: Recording) -> None:
    """None is answered while the server stands still; afterwards as many are late as were due, by the stamps."""
    stall, latency_ns = open_model.stall, open_model.requests.t_end_ns - open_model.requests.t_intended_ns
    due = open_model.requests[_in_stall(open_model, stall.until_ns)]
    assert abs(len(due) - (stall.until_ns - stall.from_ns) / GAP_NS) <= 1
    assert due.t_end_ns.min() >= stall.until_ns
    surely = _in_stall(open_model, stall.until_ns - SLOW_NS).sum()
    slow = (_in_stall(open_model, stall.until_ns) & (latency_ns > SLOW_NS)).sum()
    caught_up_ns = due.t_end_ns.max() - stall.until_ns
    assert surely <= slow <= surely + caught_up_ns / GAP_NS + 1


def test_the_open_model_shows_the_stall_in_latency(open_model: Recording) -> None:
    """More than a second at p95; the service time is long for those in flight only, at most 50."""
    stall, requests = open_model.stall, open_model.requests
    assert open_model.report["requests"]["latency_ns"]["p95"] > S
    assert open_model.report["requests"]["service_ns"]["p95"] < SLOW_NS
    in_flight = (requests.t_start_ns < stall.until_ns) & (requests.t_end_ns >= stall.until_ns)
    assert 0 < in_flight.sum() <= 50
    assert open_model.generator.arrivals_late.sum() > 250


@pytest.mark.long
def test_the_closed_model_hides_the_stall(tmp_path: Path) -> None:
    """Ten users that ask 20 times a second each: the same nominal rate, and one slow request for each of them."""
    recording = _record(tmp_path, "--users", "10", "--spawn-rate", "10")
    stall, requests = recording.stall, recording.requests
    assert requests.t_intended_ns.isna().all()
    in_flight = requests[(requests.t_start_ns < stall.until_ns) & (requests.t_end_ns >= stall.until_ns)]
    assert len(in_flight) == in_flight.user.nunique() == 10
    assert requests.t_start_ns.between(stall.from_ns, stall.until_ns).sum() <= 10
    assert recording.report["requests"]["latency_ns"]["p95"] < SLOW_NS

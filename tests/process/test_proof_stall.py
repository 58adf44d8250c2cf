"""A server that stands still for two seconds: the open model tells it, the closed one does not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from process.plain_locust import environment, plain_locust
from process.small_nginx import Nginx, Stall, nginx

pytestmark = pytest.mark.servers

MS, S = 1_000_000, 1_000_000_000
STALL_S = 2.0
SLOW_NS = 100 * MS
GAP_NS = 5 * MS
WITHIN_S = 40.0
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
class Seen:
    """A recording of twelve seconds with a stall: its tables, times from the stall's begin, and the report."""

    stall: Stall
    requests: pd.DataFrame
    flows: pd.DataFrame
    generator: pd.DataFrame
    report: dict[str, Any]

    @property
    def latency_ns(self) -> pd.Series:
        """From the intended start where there is one."""
        return self.requests.t_end_ns - self.requests.t_intended_ns.fillna(self.requests.t_start_ns)

    @property
    def service_ns(self) -> pd.Series:
        """From the real start."""
        return self.requests.t_end_ns - self.requests.t_start_ns


def record(folder: Path, server: Nginx, *options: str) -> Seen:
    """Ask for twelve seconds; four seconds after the first answer was written the server stands still."""
    words = ("--headless", "--only-summary", "--host", server.url, "--run-time", "12s", "--record", "rec")
    with plain_locust(folder, ASKING, *words, *options) as process:
        deadline = time.monotonic() + WITHIN_S
        seconds = folder / "rec" / "streams" / "generator-0.jsonl"
        while not seconds.exists() or seconds.read_bytes().count(b"\n") < 5:
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        stall = server.stall(STALL_S)
        assert process.wait(WITHIN_S) == 0, (folder / "log").read_text()
    tables = {name: pd.read_parquet(folder / "rec" / f"{name}.parquet") for name in TABLES}
    shown = subprocess.run(
        [sys.executable, "-m", "seatrial", "show", str(folder / "rec"), "--json"],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=WITHIN_S,
    )
    return Seen(stall, **tables, report=json.loads(shown.stdout))


TABLES = ("requests", "flows", "generator")


@pytest.fixture(scope="module")
def seen_open(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """200 arrivals a second, and 50 users to serve them."""
    folder = tmp_path_factory.mktemp("open")
    (folder / "nginx").mkdir()
    with nginx(folder / "nginx") as server:
        return record(folder, server, "--users", "50", "--spawn-rate", "50", "--rate", "200/s")


@pytest.fixture(scope="module")
def seen_closed(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Ten users that ask twenty times a second each."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "nginx").mkdir()
    with nginx(folder / "nginx") as server:
        return record(folder, server, "--users", "10", "--spawn-rate", "10")


def _in_stall(seen: Seen, until_ns: int) -> pd.Series:
    return seen.requests.t_intended_ns.between(seen.stall.from_ns, until_ns)


def test_no_arrival_of_the_schedule_is_forgotten(seen_open: Seen) -> None:
    """Requests and dropped arrivals together are the schedule: one every 5 ms, not one more, not one less."""
    assert seen_open.requests.t_intended_ns.notna().all()
    dropped = seen_open.flows[seen_open.flows.outcome == "dropped"]
    moments = pd.concat([seen_open.requests.t_intended_ns, dropped.t_intended_ns]).astype("int64").sort_values()
    assert set(moments.diff().dropna()) == {GAP_NS}
    assert 0 <= len(moments) - seen_open.generator.arrivals.sum() < 100  # the last part of a second has no row


def test_the_late_requests_are_those_that_were_due_in_the_stall(seen_open: Seen) -> None:
    """Nobody is answered while the server stands still; afterwards as many are late as were due, by the stamps."""
    stall = seen_open.stall
    due = seen_open.requests[_in_stall(seen_open, stall.until_ns)]
    assert abs(len(due) - (stall.until_ns - stall.from_ns) / GAP_NS) <= 1
    assert due.t_end_ns.min() >= stall.until_ns
    surely = _in_stall(seen_open, stall.until_ns - SLOW_NS).sum()
    slow = (_in_stall(seen_open, stall.until_ns) & (seen_open.latency_ns > SLOW_NS)).sum()
    caught_up_ns = due.t_end_ns.max() - stall.until_ns
    assert surely <= slow <= surely + caught_up_ns / GAP_NS + 1


def test_the_open_model_shows_the_stall_in_latency(seen_open: Seen) -> None:
    """More than a second at p95; the service time, long for those in flight only (at most 50), is silent there."""
    stall = seen_open.stall
    told = seen_open.report["requests"]
    assert told["latency_ns"]["p95"] > S
    assert told["service_ns"]["p95"] < SLOW_NS
    in_flight = (seen_open.requests.t_start_ns < stall.until_ns) & (seen_open.requests.t_end_ns >= stall.until_ns)
    assert 0 < in_flight.sum() <= 50
    assert seen_open.generator.arrivals_late.sum() > 250


def test_the_closed_model_hides_the_stall(seen_closed: Seen) -> None:
    """The same server, the same stall, the same nominal rate: one slow request for each of the ten users."""
    stall, requests = seen_closed.stall, seen_closed.requests
    assert requests.t_intended_ns.isna().all()
    in_flight = requests[(requests.t_start_ns < stall.until_ns) & (requests.t_end_ns >= stall.until_ns)]
    assert len(in_flight) == in_flight.user.nunique() == 10
    assert requests.t_start_ns.between(stall.from_ns, stall.until_ns).sum() <= 10
    assert seen_closed.report["requests"]["latency_ns"]["p95"] < SLOW_NS

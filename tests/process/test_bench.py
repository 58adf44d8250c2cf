"""The benchmark of the client: it measures, and its figures, goals and page are computed as documented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.binaries import BINARIES
from bench.figures import Row, goals, page, rows
from bench.job import BenchFailed, Job, Measured

RUN = Path(__file__).parents[1] / "bench" / "run.py"


def job(client: str, work: str = "small") -> Job:
    """Return a job that is not run."""
    url = "http://127.0.0.1:1"
    return Job(
        client=client, work_name=work, url=url, status_url=url + "/status", ca_file="", sha256="", seconds=3.0
    )


def window(cpu_s: float, requests: int = 1000, body_bytes: int = 0) -> Measured:
    """Return a window's figures."""
    return Measured(requests=requests, body_bytes=body_bytes, cpu_s=cpu_s, peak_rss_mib=50.0, new_connections=0)


ROUNDS = [
    {("small", "bare"): window(bare), ("small", "seatrial"): window(own)}
    for bare, own in ((0.020, 0.030), (0.010, 0.040), (0.030, 0.060))
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Run one short round with two clients, and read its rows."""
    path: Path = tmp_path_factory.mktemp("bench") / "rows.json"
    options = "--rounds 1 --seconds 0.3 --work small --client seatrial --client bare --rows".split()
    command = [sys.executable, str(RUN), *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    written_rows: list[Row] = json.loads(path.read_text())
    return written_rows


@pytest.mark.servers
def test_a_run_writes_a_row_for_each_client(written: list[Row]) -> None:
    """A request costs both of them some microseconds; kept connections are not counted as new."""
    assert {(row["work"], row["client"]) for row in written} == {("small", "bare"), ("small", "seatrial")}
    for row in written:
        assert 1 < row["min"] == row["median"] == row["max"] == row["cpu_us_per_request"] < 5_000
        assert 5 < row["peak_rss_mib"] < 500
    assert {row["client"]: row["ratio_to_bare"] for row in written}["seatrial"] != 1
    assert [row["new_connections"] for row in written] == [0, 0]


def test_ratios_are_of_the_same_round() -> None:
    """1.5, 4 and 2 give 2, where the medians alone, 40 over 20, would give it by chance only."""
    bare, ours = rows(ROUNDS)
    assert (ours["min"], ours["median"], ours["max"]) == pytest.approx((30, 40, 60))
    assert ours["ratio_to_bare"] == pytest.approx(2.0)
    assert bare["ratio_to_bare"] == 1


def test_large_bodies_are_reported_by_the_gib() -> None:
    """A second of CPU for two GiB in 32 requests."""
    (row,) = rows([{("read", "hey"): window(1.0, 32, 2 << 30)}])
    assert (row["cpu_s_per_gib"], row["median"], row["cpu_us_per_request"]) == (0.5, 0.5, 31_250)
    assert row["ratio_to_bare"] is None


def test_goals_say_kept_missed_or_not_measured() -> None:
    """A goal whose peer was not measured is not called kept."""
    words = {goal.text: goal.word for goal in goals(ROUNDS, rows(ROUNDS))}
    assert words["a small request, over a bare gevent socket's"] == "kept"
    assert words["a small request, over hey's"] == "not measured"
    slower = [{**one, ("small", "hey"): window(0.001)} for one in ROUNDS]
    assert {goal.word for goal in goals(slower, rows(slower)) if "hey" in goal.text} == {"missed"}


def test_the_page_has_machine_and_figures() -> None:
    """A figure is of use only with its machine and date."""
    machine = {"Date": "2026-11-21", "Cores": "2"}
    text = page(rows(ROUNDS), goals(ROUNDS, rows(ROUNDS)), machine, rounds=3, seconds=1.0)
    assert "| Date | 2026-11-21 |" in text
    assert "| seatrial | 40.0 | 30.0 | 60.0 | 2.00 | 50 | - | 0 |" in text


@pytest.mark.parametrize(
    ("client", "work", "output", "counts"),
    [
        ("hey", "small", "Status code distribution:\n  [200]\t70000 responses\n", (70_000, 70_000 * 1024)),
        ("wrk", "small", "  248346 requests in 3.01s, 312.5MB read\n", (248_346, 248_346 * 1024)),
        ("wrk", "read", "40 requests in 3.01s, 2.75GB read", (44, 2_952_790_016)),
        ("curl", "small", "", (15_000, 15_000 * 1024)),
        ("k6", "small", "", (9_000, 9_000 * 1024)),
    ],
)
def test_programs_are_read(client: str, work: str, output: str, counts: tuple[int, int], tmp_path: Path) -> None:
    """From their output, or k6's summary; curl does all or fails; bodies that wrk cuts off at its end count."""
    metrics = {"http_reqs": {"count": 9000, "rate": 3000.0}, "http_req_failed": {"value": 0}}
    (tmp_path / "k6.json").write_text(json.dumps({"metrics": metrics}))
    assert BINARIES[client].counts(job(client, work), output, tmp_path) == counts


@pytest.mark.parametrize(
    ("client", "output"),
    [
        ("hey", "[200]\t6 responses\n[502]\t1 responses\n"),
        ("hey", "[200]\t6 responses\nError distribution:\n  [1] EOF"),
        ("wrk", "7 requests in 3.01s, 8KB read\n  Non-2xx or 3xx responses: 7\n"),
        ("wrk", "7 requests in 3.01s, 8KB read\n  Socket errors: connect 0, read 7, write 0, timeout 0\n"),
    ],
)
def test_a_program_that_failed_gives_no_figure(client: str, output: str, tmp_path: Path) -> None:
    """An error page is cheap: it would make the client look cheap."""
    with pytest.raises(BenchFailed):
        BINARIES[client].counts(job(client), output, tmp_path)

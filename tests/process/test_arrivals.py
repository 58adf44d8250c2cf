"""The open model in real Locust children against a real server: rate, stall, processes, shape, gate, refusal."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from factories import read_lines
from process.locust_child import Child, locust_child
from process.plain_locust import plain_locust
from process.scripted_server import HI, Peer, Script, answers_for_ever, scripted
from trials import wait_until

from seatrial.load.child import free_port
from seatrial.wire.control import PLAN_VARIABLE, Plan
from seatrial.wire.histogram import middle_ns
from seatrial.wire.streams import NULL

S = 1_000_000_000
WITHIN_S = 30

VISITOR = """
from locust import LoadTestShape, TaskSet, constant, events, task
from seatrial.user import LeanUser

class Visitor(LeanUser):
    wait_time = constant(30)
    endpoints = ("first", "second")

    @task
    def visit(self) -> None:
        with self.flow("visit") as flow:
            self.client.get("/1", endpoint="first")
            self.client.get("/2", endpoint="second")
            flow.detail["draw"] = self.random.random()
"""

BREATHING = """
class Breathing(LoadTestShape):
    def tick(self):
        for end_s, users in ((2, 2), (4, 6), (6, 3)):
            if self.get_run_time() < end_s:
                return users, 100
        return None
"""

OWN_WAIT = """
class Slow(TaskSet):
    wait_time = constant(1)

    @task
    def visit(self) -> None:
        self.client.get("/", endpoint="first")

Visitor.tasks = [Slow]
"""

PICKY = """
class Picky(Visitor):
    def prepare(self) -> None:
        self.refuse("the moon is full", hint="wait")

del Visitor
"""

OWN_OPTION = """
@events.init_command_line_parser.add_listener
def own(parser, **_):
    parser.add_argument("--rate", type=float, default=1.0)
"""

AGAIN = """
import gevent

@events.init.add_listener
def again(runner, **_):
    def twice():
        gevent.sleep(1.5)
        runner.stop()
        gevent.sleep(0.7)
        runner.start(2, 10)
        gevent.sleep(1.5)
        runner.quit()
    gevent.spawn(twice)
"""

CLOSED = "Visitor.wait_time = constant(0.02)\n"


def _steered(child: Child, rate_per_s: float, shares: Sequence[tuple[float, float]] = ((0.0, 1.0),)) -> int:
    """Send a constant rate and each worker's share, and open the gate; return the origin."""
    child.wait_for("ready", len(shares))
    origin_ns = time.monotonic_ns() + S // 5
    for worker, (low, high) in enumerate(shares):
        child.channel.send_to(worker, "share", low=low, high=high, from_ns=0)
    stretches: Any = [[None, rate_per_s, rate_per_s]]
    child.channel.send("rate", from_ns=origin_ns, origin_ns=origin_ns, stretches=stretches, poisson=False, seed=1)
    child.channel.send("gate", open_ns=origin_ns, until_ns=None)
    return origin_ns


def _locustfile(folder: Path, *pieces: str) -> Path:
    path = folder / "visit.py"
    path.write_text("".join((VISITOR, *pieces)))
    return path


@contextmanager
def _visitors(folder: Path, *pieces: str, users: int, script: Script = answers_for_ever) -> Iterator[Child]:
    """Give a steered child with a locustfile of these pieces, and a server with this script for each user."""
    with (
        scripted(*[script] * users) as server,
        locust_child(server.url, locustfile=_locustfile(folder, *pieces), users=users) as child,
    ):
        yield child


def _counted(child: Child, name: str) -> int:
    return sum(message.get(name) or 0 for message in child.messages if message["kind"] == "second")


@pytest.mark.alone
def test_the_rate_is_kept_and_every_arrival_recorded(tmp_path: Path) -> None:
    """100/s with waits of 30 s that no longer count: a flow for each moment, exact, and no moment twice."""
    with _visitors(tmp_path, users=4) as child:
        origin_ns = _steered(child, 100)
        child.until(lambda: _counted(child, "arrivals") >= 200)
        assert child.stop(1.0) == 0
        flows, requests, seconds = child.lines("flows"), child.requests(), child.lines("generator")
        drained = child.wait_for("drained")
    moments = sorted(flow["t_intended_ns"] for flow in flows)
    assert moments == [origin_ns + number * S // 100 for number in range(len(flows))]
    assert len(flows) >= 0.98 * _counted(child, "arrivals") == 0.98 * len(flows)
    assert drained["errors"] == 0
    firsts = {row["flow_id"]: row["t_intended_ns"] for row in requests if row["endpoint"] == "first"}
    assert firsts == {flow["flow_id"]: flow["t_intended_ns"] for flow in flows}
    assert {row["t_intended_ns"] for row in requests if row["endpoint"] == "second"} == {NULL}
    assert _counted(child, "arrivals_completed") == len(flows)
    assert seconds[1]["slip_p99_ns"] is not None
    buckets = [message["latency"] for message in child.messages if message.get("latency")]
    assert sum(sum(latency["first"].values()) for latency in buckets) == len(flows)


@pytest.mark.alone
def test_a_stall_of_the_server_is_in_the_latency(tmp_path: Path) -> None:
    """While it stalls, arrivals go on: they are late, and their latency counts from when they were due."""
    going = threading.Event()
    going.set()

    def stalls(peer: Peer) -> None:
        while True:
            peer.request()
            going.wait(WITHIN_S)
            peer.send(HI)

    with _visitors(tmp_path, users=2, script=stalls) as child:
        origin_ns = _steered(child, 50)
        child.until(lambda: _counted(child, "arrivals") >= 20)
        going.clear()
        child.until(lambda: _counted(child, "arrivals_late") >= 40)
        going.set()
        late = _counted(child, "arrivals_late")
        child.until(lambda: _counted(child, "arrivals_completed") >= late + 20)
        assert child.stop(5.0) == 0
        requests, flows = child.requests(), child.lines("flows")
    firsts = [row for row in requests if row["endpoint"] == "first"]
    waits_s = [(row["t_start_ns"] - row["t_intended_ns"]) / S for row in firsts]
    assert sum(wait_s > 0.1 for wait_s in waits_s) >= 30
    assert {flow["outcome"] for flow in flows} <= {"ok", "dropped"}
    moments = sorted(flow["t_intended_ns"] for flow in flows)
    assert moments == [origin_ns + number * S // 50 for number in range(len(flows))]
    reported_s = [
        middle_ns(int(number)) / S
        for message in child.messages
        for number in (message.get("latency") or {}).get("first", {})
    ]
    assert max(reported_s) >= 0.98 * max(waits_s)


@pytest.mark.alone
def test_what_waits_at_the_end_is_dropped(tmp_path: Path) -> None:
    """A server that never answers: one arrival is cut, all others are recorded as dropped, none is missing."""

    def never(peer: Peer) -> None:
        peer.request()
        peer.hold()

    with _visitors(tmp_path, users=1, script=never) as child:
        origin_ns = _steered(child, 50)
        child.until(lambda: _counted(child, "arrivals") >= 40)
        assert child.stop(0.0) == 0
        flows = child.lines("flows")
    moments = sorted(flow["t_intended_ns"] for flow in flows)
    assert moments == [origin_ns + number * S // 50 for number in range(len(flows))]
    assert sorted({(flow["flow"], flow["outcome"]) for flow in flows}) == [
        ("arrival", "dropped"),
        ("visit", "cut"),
    ]
    assert _counted(child, "arrivals_dropped") == len(flows) - 1
    assert _counted(child, "arrivals") == len(flows)


@pytest.mark.alone
def test_two_processes_have_the_arrivals_and_users_of_one(tmp_path: Path) -> None:
    """Five users on two processes: numbers and streams as in one process, and each arrival once."""
    with (
        scripted(*[answers_for_ever] * 5) as server,
        locust_child(server.url, "--processes", "2", locustfile=_locustfile(tmp_path), users=5) as child,
    ):
        origin_ns = _steered(child, 100, ((0.0, 0.4), (0.4, 1.0)))
        child.until(lambda: _counted(child, "arrivals") >= 200)
        child.channel.send("stop", drain_s=1.0)
        child.wait_for("drained", 2)
        own = [child.lines("flows", worker) for worker in (0, 1)]
    flows = own[0] + own[1]
    whole = [origin_ns + number * S // 100 for number in range(len(flows))]
    assert sorted(flow["t_intended_ns"] for flow in flows)[:-5] == whole[:-5]  # their last moments differ
    assert 0.35 < min(len(part) for part in own) / len(flows) < 0.45
    draws = {user: [flow["detail"]["draw"] for flow in flows if flow["user"] == user] for user in range(5)}
    assert {flow["user"] for flow in flows} == set(range(5))
    for user, drawn in draws.items():
        stream = random.Random(f"7/{user}")  # noqa: S311
        assert drawn == [stream.random() for _ in drawn]


@pytest.mark.alone
def test_the_gate_opens_again(tmp_path: Path) -> None:
    """Arrivals that would be due while it is shut do not exist; after it they go on at their own moments."""
    with _visitors(tmp_path, users=2) as child:
        origin_ns = _steered(child, 100)
        shut_ns, again_ns = origin_ns + S // 2, origin_ns + S
        child.channel.send("gate", open_ns=origin_ns, until_ns=shut_ns)
        child.channel.send("gate", open_ns=again_ns, until_ns=None)
        child.until(lambda: _counted(child, "arrivals") >= 100)
        assert child.stop(1.0) == 0
        moments = sorted(flow["t_intended_ns"] for flow in child.lines("flows"))
    numbers = [(moment - origin_ns) * 100 // S for moment in moments]
    assert numbers == [*range(50), *range(100, 50 + len(numbers))]


@pytest.mark.alone
def test_closed_users_wait_at_the_gate_too(tmp_path: Path) -> None:
    """No task begins while it is shut, and they go on when it opens again."""
    with _visitors(tmp_path, CLOSED, users=2) as child:
        open_ns = child.open_gate()
        shut_ns, again_ns = open_ns + S // 2, open_ns + S
        child.channel.send("gate", open_ns=open_ns, until_ns=shut_ns)
        child.channel.send("gate", open_ns=again_ns, until_ns=None)
        child.until(lambda: time.monotonic_ns() > again_ns + S // 2)
        assert child.stop(1.0) == 0
        starts = [flow["t_start_ns"] for flow in child.lines("flows")]
        seconds = child.lines("generator")
    assert [start for start in starts if shut_ns <= start < again_ns] == []
    assert min(sum(start < shut_ns for start in starts), sum(start >= again_ns for start in starts)) > 10
    assert {second["arrivals"] for second in seconds} == {None}


def _plain(folder: Path, url: str, options: Sequence[str], *pieces: str, users: int = 4) -> tuple[int, str]:
    """Run plain Locust, with records but no harness, to its end; return exit code and output."""
    plan = {PLAN_VARIABLE: Plan(records=str(folder), control="").encode()}
    words = ["--headless", "--host", url, "--users", str(users), "--spawn-rate", str(users), *options]
    words += ["--exit-code-on-error", "0"]
    with plain_locust(folder, _locustfile(folder, *pieces), *words, variables=plan) as process:
        return process.wait(WITHIN_S), (folder / "log").read_text()


def _moments(folder: Path) -> list[int]:
    """Return the moments of all arrivals of all processes, in order."""
    rows = [row for path in folder.glob("flows-*.jsonl") for row in read_lines(path)[1]]
    return sorted(row["t_intended_ns"] for row in rows)


def _gaps_ns(moments: Sequence[int]) -> set[int]:
    return {after - before for before, after in pairwise(moments)}


@pytest.mark.alone
def test_plain_locust_keeps_a_rate(tmp_path: Path) -> None:
    """50/s for about two seconds (Locust counts its start as run time), from a file: evenly spaced."""
    (tmp_path / "rate.csv").write_text("second,rate\n0,50\n60,1\n")
    with scripted(*[answers_for_ever] * 4) as server:
        options = ("--rate-file", str(tmp_path / "rate.csv"), "--run-time", "3")
        code, output = _plain(tmp_path, server.url, options)
    assert code == 0, output
    moments = _moments(tmp_path)
    assert 75 <= len(moments) <= 155
    assert _gaps_ns(moments) == {S // 50}


@pytest.mark.alone
def test_a_shape_changes_the_pool_not_the_rate(tmp_path: Path) -> None:
    """2, 6, 3 users, and 50 arrivals a second all the time."""
    with scripted(*[answers_for_ever] * 11) as server:
        code, output = _plain(tmp_path, server.url, ("--rate", "50/s"), BREATHING)
    assert code == 0, output
    rows = read_lines(tmp_path / "flows-0.jsonl")[1]
    assert _gaps_ns(_moments(tmp_path)) == {S // 50}
    assert 250 <= len(rows) <= 360
    assert len({row["user"] for row in rows}) >= 6


@pytest.mark.alone
def test_plain_processes_share_the_rate(tmp_path: Path) -> None:
    """Three users on two processes: each arrival is served once, in parts of about one to two."""
    with scripted(*[answers_for_ever] * 3) as server:
        options = ("--rate", "60/s", "--run-time", "4", "--processes", "2")
        code, output = _plain(tmp_path, server.url, options, users=3)
    assert code == 0, output
    parts = [len(read_lines(tmp_path / f"flows-{worker}.jsonl")[1]) for worker in (0, 1)]
    moments = _moments(tmp_path)
    assert len(moments) > 100
    assert max(abs(gap_ns - S // 60) for gap_ns in _gaps_ns(moments[:-6])) < 50_000  # two readings of two clocks
    assert 1.6 < max(parts) / min(parts) < 2.4


@pytest.mark.parametrize(
    ("options", "piece", "message"),
    [
        (("--rate", "5/s"), OWN_WAIT, "Visitor: Slow"),
        (("--rate", "fast"), "", "'fast' is not a rate"),
        (("--processes", "2"), PICKY, "the moon is full"),
    ],
    ids=["a wait of a TaskSet, which arrivals could not replace", "not a rate", "by a worker"],
)
def test_a_refusal_ends_plain_locust(tmp_path: Path, options: Sequence[str], piece: str, message: str) -> None:
    """Exit code 2, in all processes, and what is wrong."""
    code, output = _plain(tmp_path, "http://127.0.0.1:1", options, piece, users=2)
    assert (code, message in output) == (2, True), output


def test_the_locustfiles_own_option_of_that_name_stays_its_own(tmp_path: Path) -> None:
    """Also if its listener is added after ours."""
    with scripted(answers_for_ever) as server:
        code, output = _plain(tmp_path, server.url, ("--rate", "7.5", "--run-time", "1"), OWN_OPTION, users=1)
    assert (code, "Traceback" in output) == (0, False), output


def test_a_refusal_in_a_worker_reaches_the_harness_at_once(tmp_path: Path) -> None:
    """Locust's master would wait for ever: the harness gets `refused`, and all processes end."""
    file = _locustfile(tmp_path, PICKY)
    with locust_child("http://127.0.0.1:1", "--processes", "2", locustfile=file, users=2) as child:
        refused = child.wait_for("refused")
        assert child.ended() == 2
    assert (refused["what"].splitlines()[0], refused["exit_code"]) == ("the moon is full", 2)


@pytest.mark.alone
def test_a_new_start_begins_the_schedule_again(tmp_path: Path) -> None:
    """As in the web UI: stopped and started again, a schedule of half a second runs twice."""
    with scripted(*[answers_for_ever] * 4) as server:
        code, output = _plain(tmp_path, server.url, ("--rate", "40/s for 500ms, 0/s"), AGAIN, users=2)
    assert code == 0, output
    moments = _moments(tmp_path)
    assert len(moments) == 40
    assert {gap_ns for gap_ns in _gaps_ns(moments) if gap_ns < S // 2} == {S // 40}


class WebUi:
    """Locust's web UI, as a browser requests it; its figures are up to 2 s old, the state in its page is not."""

    def __init__(self, port: int, log: Path) -> None:
        self._port = port
        self.log = log

    def get(self, path: str, **form: object) -> str:
        """Return an answer; empty before the server listens."""
        data = urlencode(form).encode() if form else None
        try:
            with urlopen(f"http://127.0.0.1:{self._port}{path}", data, timeout=WITHIN_S) as answer:
                return str(answer.read().decode())
        except HTTPError:
            raise
        except URLError:
            return ""

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        wait_until(condition, WITHIN_S, log=self.log)

    def is_in(self, state: str, workers: int) -> bool:
        """Return whether the runner is in this state, with so many workers that are ready for a test."""
        if not re.search(rf'"state": "{state}"', self.get("/")):
            return False
        states = [worker["state"] for worker in json.loads(self.get("/stats/requests")).get("workers", [])]
        return states == ["ready"] * workers


@pytest.mark.parametrize("workers", [0, 2])
def test_a_rate_typed_wrong_into_the_web_ui_ends_that_test_only(tmp_path: Path, workers: int) -> None:
    """No closed load in its place, though a test went before; the next test keeps its rate, in all processes."""
    port = free_port()
    page = WebUi(port, tmp_path / "log")
    words = ["--web-port", str(port), "--web-host", "127.0.0.1", *(("--processes", "2") if workers else ())]
    with (
        scripted(*[answers_for_ever] * 8) as server,
        plain_locust(tmp_path, _locustfile(tmp_path), *words, "--host", server.url),
    ):
        page.wait_until(lambda: page.is_in("ready", workers))
        for rate in ("20/s", "fast", "20/s"):
            before = len(server.requests)
            page.get("/swarm", user_count=2, spawn_rate=10, host=server.url, arrival_rate=rate)
            if rate == "fast":
                page.wait_until(lambda: "'fast' is not a rate" in page.log.read_text())
            else:
                page.wait_until(lambda: len(server.requests) > before + 40)  # noqa: B023  (called in the loop)
                page.get("/stop", sure="yes")
            page.wait_until(lambda: page.is_in("stopped", workers))
            assert (len(server.requests) > before) is (rate != "fast")

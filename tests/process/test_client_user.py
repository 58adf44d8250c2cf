"""What a stranger's locustfile gets from LeanUser, in a real Locust child."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
from process.locust_child import locust_child, started
from process.plain_locust import plain_locust
from process.scripted_server import answers_for_ever, scripted

SHOPPER = """
from locust import constant, task
from seatrial.user import LeanUser

class Shopper(LeanUser):
    wait_time = constant(0.02)
    endpoints = ("front page", "basket")

    @task
    def browse(self) -> None:
        with self.flow("visit"):
            self.client.get("/", endpoint="front page")
            self.client.post("/basket", endpoint="basket", body=b"{}", expect=(201,))
"""

CLUMSY = """
from locust import constant, task
from seatrial.user import LeanUser

class Clumsy(LeanUser):
    wait_time = constant(0.02)

    @task
    def fall(self) -> None:
        with self.flow("fall"), self.parallel(2) as group:
            group.spawn(int, "not a number")
"""

STRICT = """
from locust import constant, task
from seatrial.user import LeanUser

class Strict(LeanUser):
    wait_time = constant(0.02)
    endpoints = ("page", "part", "broken")

    @task
    def judge(self) -> None:
        with self.flow("own words"):
            self.client.get("/", endpoint="page", keep=True, check=lambda answer: "rejected")
        with self.flow("wrong part"):
            self.client.get("/", endpoint="part", range=(0, 1))
        with self.flow("mistake"):
            self.client.get("/", endpoint="broken", check=lambda answer: answer.nonsense)
"""

WRITER = """
import tempfile

from locust import constant, task
from seatrial.user import LeanUser

class Writer(LeanUser):
    wait_time = constant(0.02)

    @task
    def write(self) -> None:
        with self.flow("write", "small") as flow, tempfile.TemporaryFile() as file:
            flow.detail["written_bytes"] = file.write(b"x" * 4_096)
"""

LOST = """
from locust import constant, task
from seatrial.user import LeanUser

class Lost(LeanUser):
    wait_time = constant(0.02)
    endpoints = ("page",)

    @task
    def ask(self) -> None:
        with self.flow("ask"):
            self.client.get("/", endpoint="page")
"""

FULL_DISK = """
import resource

from locust import constant, task
from seatrial.user import LeanUser

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # write() fails with EFBIG

class Talker(LeanUser):
    wait_time = constant(0.05)

    @task
    def talk(self) -> None:
        with self.flow("talk") as flow:
            flow.detail["words"] = "w" * size
"""


def test_ten_lines_make_a_user(tmp_path: Path) -> None:
    """Labels, flows and expectations are recorded; a flow has the outcome of its first failed request."""
    (tmp_path / "shop.py").write_text(SHOPPER)
    with (
        scripted(answers_for_ever) as server,
        locust_child(server.url, locustfile=tmp_path / "shop.py", users=1) as child,
    ):
        child.open_gate()
        child.until(lambda: len(server.requests) > 10)
        assert child.stop(1.0) == 0
        rows = {(row["method"], row["endpoint"], row["outcome"]) for row in child.requests()}
        assert len(child.requests()) == len(server.requests)
        flow = child.lines("flows")[0]
    assert rows == {("GET", "front page", "ok"), ("POST", "basket", "status")}
    assert (flow["flow"], flow["outcome"], flow["requests"]) == ("visit", "status", 2)


def test_an_exception_in_a_task_is_told_once_and_counted(tmp_path: Path) -> None:
    """Also from a greenlet beside the task: one line with the traceback, all counted, the flow `aborted`."""
    (tmp_path / "clumsy.py").write_text(CLUMSY)
    with locust_child("http://127.0.0.1:1", locustfile=tmp_path / "clumsy.py", users=1) as child:
        child.open_gate()
        child.wait_for("error")
        child.wait_for("second")
        assert child.stop(1.0) == 0
        [error] = child.lines("errors")
        told = [message for message in child.messages if message["kind"] == "error"]
        drained = child.wait_for("drained")
        flows = {flow["outcome"] for flow in child.lines("flows")}
    assert error["what"] == "ValueError: invalid literal for int() with base 10: 'not a number'"
    assert "in fall" in error["traceback"]
    assert [message["what"] for message in told] == [error["what"]]
    assert drained["errors"] > 1
    assert flows == {"aborted"}


def test_what_a_user_model_refuses_fails_its_request_and_flow(tmp_path: Path) -> None:
    """In the row, the flow and Locust's own statistics; a check's exception is one of the task."""
    (tmp_path / "strict.py").write_text(STRICT)
    with (
        scripted(*[answers_for_ever] * 200) as server,
        locust_child(server.url, locustfile=tmp_path / "strict.py", users=1) as child,
    ):
        child.open_gate()
        child.wait_for("error")
        assert child.stop(1.0) == 0
        rows = {(row["endpoint"], row["outcome"]) for row in child.requests()}
        flows = {(row["flow"], row["outcome"]) for row in child.lines("flows")}
        [error] = child.lines("errors")
        log = child.log
    assert rows == {("page", "rejected"), ("part", "range"), ("broken", "aborted")}
    assert flows == {("own words", "rejected"), ("wrong part", "range"), ("mistake", "aborted")}
    assert error["what"] == "AttributeError: 'Response' object has no attribute 'nonsense'"
    assert "rejected: refused by the user model's check" in log
    assert "range: the whole where a range was asked for" in log


def test_without_a_plan_it_is_plain_locust(tmp_path: Path) -> None:
    """Nothing is awaited, nothing is recorded, and Locust's own statistics have the labels."""
    (tmp_path / "shop.py").write_text(SHOPPER)
    with scripted(answers_for_ever) as server:
        options = ("--run-time", "1", "--stop-timeout", "2")
        process = started(server.url, options, tmp_path / "shop.py", 1, {}, subprocess.PIPE)
        output = process.communicate(timeout=20)[0].decode()
        count = len(server.requests)
    assert process.returncode == 0
    assert "status: unexpected status 200" in output
    assert f"Aggregated {count}" in " ".join(output.split())


def test_a_host_that_is_no_url_ends_the_test(tmp_path: Path) -> None:
    """The error says what is expected instead."""
    (tmp_path / "shop.py").write_text(SHOPPER)
    process = started("localhost", (), tmp_path / "shop.py", 1, {}, subprocess.PIPE)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert b"expected: http://HOST[:PORT]" in output


def test_flows_without_a_request_need_no_host(tmp_path: Path) -> None:
    """A load that only writes files is recorded by its flows, in time and without a request."""
    (tmp_path / "write.py").write_text(WRITER)
    with locust_child("", locustfile=tmp_path / "write.py", users=2) as child:
        open_ns = child.open_gate()
        child.wait_for("second")
        assert child.stop(1.0) == 0
        drained = child.wait_for("drained")
        flows, requests = child.lines("flows"), child.requests()
    assert (requests, drained["errors"]) == ([], 0)
    assert {(row["flow"], row["profile"], row["outcome"], row["user"]) for row in flows} == {
        ("write", "small", "ok", 0),
        ("write", "small", "ok", 1),
    }
    assert {(row["requests"], row["bytes_received"], row["detail"]["written_bytes"]) for row in flows} == {
        (0, 0, 4_096)
    }
    assert all(open_ns <= row["t_start_ns"] < row["t_end_ns"] for row in flows)
    assert len({row["flow_id"] for row in flows}) == len(flows)


def test_plain_locust_records_flows_without_a_request(tmp_path: Path) -> None:
    """Without a harness and without `--host`: Locust ends well, and the flows are in their table."""
    options = ("--headless", "--users", "2", "--spawn-rate", "2", "--run-time", "1", "--record", "rec")
    with plain_locust(tmp_path, WRITER, *options) as process:
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
    flows = pd.read_parquet(tmp_path / "rec" / "flows.parquet")
    assert set(flows["outcome"]) == {"ok"}
    assert set(flows["requests"]) == {0}
    assert len(pd.read_parquet(tmp_path / "rec" / "requests.parquet")) == 0


def test_a_request_without_a_host_ends_the_test(tmp_path: Path) -> None:
    """The first use of `client` says what is missing, once for all users; its flow is aborted."""
    options = ("--headless", "--users", "3", "--spawn-rate", "3", "--run-time", "20", "--record", "rec")
    with plain_locust(tmp_path, LOST, *options) as process:
        assert process.wait(15) == 2
    log = (tmp_path / "log").read_text()
    assert log.count("ERROR/seatrial.user: the user makes a request, and there is no host to load") == 1
    assert "give --host, or set `host` on the user class" in log
    assert set(pd.read_parquet(tmp_path / "rec" / "flows.parquet")["outcome"]) == {"aborted"}


def test_the_words_on_a_host_hold_no_password(tmp_path: Path) -> None:
    """A URL with credentials is refused, and they don't reach a log."""
    (tmp_path / "shop.py").write_text(SHOPPER)
    for host in ("http://me:TOPSECRET@localhost:80", "http://me:TOPSECRET/@localhost"):
        process = started(host, (), tmp_path / "shop.py", 1, {}, subprocess.PIPE)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 2
        assert b"localhost" in output
        assert b"TOPSECRET" not in output


def test_the_first_failed_write_is_fatal(tmp_path: Path) -> None:
    """The harness is told at once, and that it is fatal; the child itself goes on until it is stopped."""
    (tmp_path / "talk.py").write_text(FULL_DISK.replace("size", "200_000"))
    with locust_child("http://127.0.0.1:1", locustfile=tmp_path / "talk.py", users=1) as child:
        child.open_gate()
        error = child.wait_for("error")
        assert child.process.poll() is None
        child.stop(1.0)
    assert error["fatal"] is True
    assert error["what"].startswith("records can't be written")


def test_a_full_disk_does_not_fill_the_memory(tmp_path: Path) -> None:
    """With 64 MiB waiting to be written the child ends the test itself, with the exit code of its error."""
    (tmp_path / "talk.py").write_text(FULL_DISK.replace("size", "20_000_000"))
    with locust_child("http://127.0.0.1:1", locustfile=tmp_path / "talk.py", users=1) as child:
        child.open_gate()
        child.wait_for("drained")
        assert child.ended() == 8

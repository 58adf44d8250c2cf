"""LeanUser in a real Locust child: its rows, flows, errors and exit codes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent, indent

import pandas as pd
import pytest
from process.locust_child import Child, locust_child, started
from process.plain_locust import plain_locust
from process.scripted_server import answers_for_ever, scripted


def lean_user(task: str, endpoints: tuple[str, ...] = (), *, before: str = "", wait_s: float = 0.02) -> str:
    """Return a locustfile of one user class with this task."""
    return f"""
{before}
from locust import constant, task
from seatrial.user import LeanUser

class Reader(LeanUser):
    wait_time = constant({wait_s})
    endpoints = {endpoints}

    @task
    def work(self) -> None:
{indent(dedent(task), " " * 8)}
"""


SHOPPER = lean_user(
    """
    with self.flow("visit"):
        self.client.get("/", endpoint="front page")
        self.client.post("/basket", endpoint="basket", body=b"{}", expect=(201,))
    """,
    ("front page", "basket"),
)
CLUMSY = lean_user(
    """
    with self.flow("fall"), self.parallel(2) as group:
        group.spawn(int, "not a number")
    """
)
STRICT = lean_user(
    """
    with self.flow("own check"):
        self.client.get("/", endpoint="page", keep=True, check=lambda answer: "rejected")
    with self.flow("wrong part"):
        self.client.get("/", endpoint="part", range=(0, 1))
    with self.flow("mistake"):
        self.client.get("/", endpoint="broken", check=lambda answer: answer.nonsense)
    """,
    ("page", "part", "broken"),
)
WRITER = lean_user(
    """
    with self.flow("write", "small") as flow, tempfile.TemporaryFile() as file:
        flow.detail["written_bytes"] = file.write(b"x" * 4_096)
    """,
    before="import tempfile",
)
LOST = lean_user(
    """
    with self.flow("ask"):
        self.client.get("/", endpoint="page")
    """,
    ("page",),
)
# write() fails with EFBIG
FULL_DISK = lean_user(
    """
    with self.flow("talk") as flow:
        flow.detail["words"] = "w" * size
    """,
    before="import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))",
    wait_s=0.05,
)


@contextmanager
def running(folder: Path, source: str, url: str, users: int = 1) -> Iterator[Child]:
    """Run a locustfile under a harness, its gate open."""
    (folder / "user.py").write_text(source)
    with locust_child(url, locustfile=folder / "user.py", users=users) as child:
        child.open_gate()
        yield child


def _plain(folder: Path, host: str, *options: str) -> tuple[int, str]:
    """Run the shopper in plain Locust; return the exit code and the output."""
    (folder / "shop.py").write_text(SHOPPER)
    process = started(host, options, folder / "shop.py", 1, {}, subprocess.PIPE)
    output = process.communicate(timeout=20)[0].decode()
    return process.returncode, output


def test_ten_lines_make_a_user(tmp_path: Path) -> None:
    """Labels, flows and expectations are recorded; a flow has the outcome of its first failed request."""
    with scripted(answers_for_ever) as server, running(tmp_path, SHOPPER, server.url) as child:
        child.until(lambda: len(server.requests) > 10)
        assert child.stop(1.0) == 0
        rows = {(row["method"], row["endpoint"], row["outcome"]) for row in child.requests()}
        assert len(child.requests()) == len(server.requests)
        flow = child.lines("flows")[0]
    assert rows == {("GET", "front page", "ok"), ("POST", "basket", "status")}
    assert (flow["flow"], flow["outcome"], flow["requests"]) == ("visit", "status", 2)


def test_an_exception_in_a_task_is_reported_once_and_counted(tmp_path: Path) -> None:
    """Also from a greenlet beside the task: one line with the traceback, all counted, the flow `aborted`."""
    with running(tmp_path, CLUMSY, "http://127.0.0.1:1") as child:
        child.wait_for("error")
        child.wait_for("second")
        assert child.stop(1.0) == 0
        [error] = child.lines("errors")
        messages = [message for message in child.messages if message["kind"] == "error"]
        drained = child.wait_for("drained")
        flows = {flow["outcome"] for flow in child.lines("flows")}
    assert error["what"] == "ValueError: invalid literal for int() with base 10: 'not a number'"
    assert "in work" in error["traceback"]
    assert [message["what"] for message in messages] == [error["what"]]
    assert drained["errors"] > 1
    assert flows == {"aborted"}


def test_an_answer_that_a_user_model_refuses_fails_its_request_and_flow(tmp_path: Path) -> None:
    """In the row, the flow and Locust's own statistics; a check's exception is one of the task."""
    with scripted(*[answers_for_ever] * 200) as server, running(tmp_path, STRICT, server.url) as child:
        child.wait_for("error")
        assert child.stop(1.0) == 0
        rows = {(row["endpoint"], row["outcome"]) for row in child.requests()}
        flows = {(row["flow"], row["outcome"]) for row in child.lines("flows")}
        [error] = child.lines("errors")
        log = child.log
    assert rows == {("page", "rejected"), ("part", "whole"), ("broken", "aborted")}
    assert flows == {("own check", "rejected"), ("wrong part", "whole"), ("mistake", "aborted")}
    assert error["what"] == "AttributeError: 'Response' object has no attribute 'nonsense'"
    assert "rejected: refused by the user model's check" in log
    assert "whole: the whole where a range was asked for" in log


def test_without_a_plan_it_is_plain_locust(tmp_path: Path) -> None:
    """It starts at once, nothing is recorded, and Locust's own statistics have the labels."""
    with scripted(answers_for_ever) as server:
        code, output = _plain(tmp_path, server.url, "--run-time", "1", "--stop-timeout", "2")
        count = len(server.requests)
    assert code == 0
    assert "status: unexpected status 200" in output
    assert f"Aggregated {count}" in " ".join(output.split())


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("localhost", "expected: http://HOST[:PORT]"),
        ("http://me:TOPSECRET@localhost:80", "localhost"),
        ("http://me:TOPSECRET/@localhost", "localhost"),
    ],
)
def test_a_host_that_is_no_url_ends_the_test(tmp_path: Path, host: str, words: str) -> None:
    """The error says what is expected instead; a password in the host does not reach a log."""
    code, output = _plain(tmp_path, host)
    assert (code, words in output, "TOPSECRET" in output) == (2, True, False)


def test_flows_without_a_request_need_no_host(tmp_path: Path) -> None:
    """A load that only writes files is recorded by its flows, in time and without a request."""
    with running(tmp_path, WRITER, "", users=2) as child:
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
    assert all(child.open_ns <= row["t_start_ns"] < row["t_end_ns"] for row in flows)
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
    """The first use of `client` is one error for all users; its flow is aborted."""
    options = ("--headless", "--users", "3", "--spawn-rate", "3", "--run-time", "20", "--record", "rec")
    with plain_locust(tmp_path, LOST, *options) as process:
        assert process.wait(15) == 2
    log = (tmp_path / "log").read_text()
    assert log.count("ERROR/seatrial.user: the user makes a request, and there is no host to load") == 1
    assert "give --host, or set `host` on the user class" in log
    assert set(pd.read_parquet(tmp_path / "rec" / "flows.parquet")["outcome"]) == {"aborted"}


def test_the_first_failed_write_is_fatal(tmp_path: Path) -> None:
    """The harness gets a fatal error at once; the child itself goes on until it is stopped."""
    with running(tmp_path, FULL_DISK.replace("size", "200_000"), "http://127.0.0.1:1") as child:
        error = child.wait_for("error")
        assert child.process.poll() is None
        child.stop(1.0)
    assert error["fatal"] is True
    assert error["what"].startswith("records can't be written")


def test_a_full_disk_does_not_fill_the_memory(tmp_path: Path) -> None:
    """With 64 MiB waiting to be written the child ends the test itself, with the exit code of its error."""
    with running(tmp_path, FULL_DISK.replace("size", "20_000_000"), "http://127.0.0.1:1") as child:
        child.wait_for("drained")
        assert child.ended() == 8

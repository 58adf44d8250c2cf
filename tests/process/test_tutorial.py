"""The tutorial's examples, run as they stand there."""

from __future__ import annotations

import re
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from process.locust_child import ROOT, Child, locust_child

TUTORIAL = ROOT / "docs" / "tutorial" / "first-locustfile.md"
FRAME = """
from locust import constant, task

from seatrial.user import LeanUser


class Reader(LeanUser):
    wait_time = constant(0.2)
    endpoints = ("asset",)

    @task
    def read(self) -> None:
"""


class _Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def _two_seconds_of(locustfile: str, folder: Path) -> Iterator[Child]:
    (folder / "tutorial.py").write_text(locustfile)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with locust_child(url, locustfile=folder / "tutorial.py", users=1) as child:
            child.open_gate()
            child.wait_for("second", 2)
            assert child.stop(1.0) == 0, child.log
            yield child
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def examples() -> list[str]:
    """Read the tutorial's blocks of Python."""
    return re.findall(r"^```python\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_ten_lines_do_what_the_tutorial_says(examples: list[str], tmp_path: Path) -> None:
    """Two labels, each request as it should be, each visit one flow of two requests."""
    with _two_seconds_of(examples[0], tmp_path) as child:
        rows = Counter((row["endpoint"], row["status"], row["outcome"]) for row in child.requests())
        flows = {(flow["flow"], flow["outcome"], flow["requests"]) for flow in child.lines("flows")}
        assert child.lines("errors") == []
    assert set(rows) == {("front page", 200, "ok"), ("basket", 201, "ok")}
    assert flows == {("visit", "ok", 2)}


def test_requests_side_by_side(examples: list[str], tmp_path: Path) -> None:
    """The block within a task: three requests over at most three connections make one flow."""
    with _two_seconds_of(FRAME + textwrap.indent(examples[1], " " * 8), tmp_path) as child:
        rows = Counter((row["endpoint"], row["outcome"]) for row in child.requests())
        connections = Counter(row["connection"] for row in child.requests())
        flows = {(flow["flow"], flow["outcome"], flow["requests"]) for flow in child.lines("flows")}
        assert child.lines("errors") == []
    assert set(rows) == {("asset", "ok")}
    assert flows == {("page", "ok", 3)}
    assert connections["new"] <= 3 < connections["reused"]


def test_the_attributes_that_the_tutorial_names(examples: list[str], tmp_path: Path) -> None:
    """What it says about a response and about random choices holds in a task."""
    named = set(re.findall(r"`response\.(\w+)", TUTORIAL.read_text(encoding="utf-8")))
    look = """
        response = self.client.get("/", endpoint="front page", expect=(204,))
        assert (response.ok, response.outcome, response.status) == (False, "status", 200)
        assert (response.header("Content-LENGTH"), response.header("location")) == ("2", "")
        assert self.random.random() < 1
    """
    with _two_seconds_of(examples[0] + look.rstrip() + "\n", tmp_path) as child:
        assert child.lines("errors") == []
        assert Counter(row["outcome"] for row in child.requests())["status"] > 0
    assert named == {"ok", "outcome", "status", "header"}

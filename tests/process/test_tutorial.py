"""The tutorial's examples do in a real Locust child what the tutorial states."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from process.locust_child import Child, locust_child
from process.plain_locust import ROOT
from process.served import Handler, served

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


class _Shop(Handler):
    def do_GET(self) -> None:
        self.answer(200, b"hi")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, b"hi")


@contextmanager
def _two_seconds_of(locustfile: str, folder: Path) -> Iterator[Child]:
    (folder / "tutorial.py").write_text(locustfile)
    with served(_Shop) as url, locust_child(url, locustfile=folder / "tutorial.py", users=1) as child:
        child.open_gate()
        child.wait_for("second", 2)
        assert child.stop(1.0) == 0, child.log
        assert child.lines("errors") == []
        yield child


def _flows(child: Child) -> set[tuple[Any, ...]]:
    return {(flow["flow"], flow["outcome"], flow["requests"]) for flow in child.lines("flows")}


@pytest.fixture(scope="module")
def examples() -> list[str]:
    """Read the tutorial's blocks of Python."""
    return re.findall(r"^```python\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_ten_lines_do_what_the_tutorial_states(examples: list[str], tmp_path: Path) -> None:
    """Two labels, each request as it should be, each visit one flow of two requests."""
    with _two_seconds_of(examples[0], tmp_path) as child:
        rows = Counter((row["endpoint"], row["status"], row["outcome"]) for row in child.requests())
        assert set(rows) == {("front page", 200, "ok"), ("basket", 201, "ok")}
        assert _flows(child) == {("visit", "ok", 2)}


def test_requests_side_by_side(examples: list[str], tmp_path: Path) -> None:
    """The block within a task: three requests over at most three connections make one flow."""
    with _two_seconds_of(FRAME + textwrap.indent(examples[1], " " * 8), tmp_path) as child:
        rows = Counter((row["endpoint"], row["outcome"]) for row in child.requests())
        connections = Counter(row["connection"] for row in child.requests())
        assert set(rows) == {("asset", "ok")}
        assert _flows(child) == {("page", "ok", 3)}
        assert connections["new"] <= 3 < connections["reused"]


def test_the_attributes_that_the_tutorial_names(examples: list[str], tmp_path: Path) -> None:
    """Its statements about a response and about random choices hold in a task."""
    named = set(re.findall(r"`response\.(\w+)", TUTORIAL.read_text(encoding="utf-8")))
    checks = """
        response = self.client.get("/", endpoint="front page", expect=(204,))
        assert (response.ok, response.outcome, response.status) == (False, "status", 200)
        assert (response.header("Content-LENGTH"), response.header("location")) == ("2", "")
        assert self.random.random() < 1
    """
    with _two_seconds_of(examples[0] + checks.rstrip() + "\n", tmp_path) as child:
        assert Counter(row["outcome"] for row in child.requests())["status"] > 0
    assert named == {"ok", "outcome", "status", "header"}

"""Locustfiles without Seatrial's users, run by the harness's command: every request is recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from process.counting_server import Counting, counting_server
from process.locust_child import locust_child

from seatrial.load.child import free_port, plugin
from seatrial.wire.streams import UNKNOWN_USER

HEAD = """
from locust import FastHttpUser, HttpUser, constant, task
import gevent
"""
EACH = """
self.client.get("/ok")
self.client.get("/missing")
self.client.get("/broken", name="broken")
with self.client.get("/ok", name="checked", catch_response=True) as response:
    response.failure("not as expected")
self.client.get("http://127.0.0.1:CLOSED/", name="not listening")
self.client.get("/short")
"""
OUTSIDE = """
gevent.spawn(self.client.get, "/ok", name="spawned").join()
outside = gevent.get_hub().loop.timer(0)
fire = self.environment.events.request.fire
event = {"request_type": "WSR", "name": "outside", "response_time": 1, "response_length": 0}
outside.start(lambda: gevent.Greenlet.spawn(fire, **event))
gevent.sleep(0.05)
"""


@pytest.fixture
def server() -> Iterator[Counting]:
    """Serve on port 0."""
    with counting_server() as started:
        yield started


def _user(work: str, kind: str = "HttpUser", **attributes: object) -> str:
    """Return a user class of this kind whose task does this work."""
    lines = [f"class Of{kind}({kind}):", *(f"    {name} = {value}" for name, value in attributes.items())]
    return "\n".join([*lines, "    @task", "    def work(self):", indent(work, " " * 8)]) + "\n\n"


def _beside(folder: Path, text: str, name: str = "theirs.py") -> Path:
    """Write a locustfile; return it with our plugin, as Locust's -f takes them."""
    file = folder / name
    file.write_text(HEAD + text)
    return Path(f"{file},{plugin()}")


def _rows(server: Counting, locustfile: Path, enough: Callable[[], bool]) -> list[dict[str, Any]]:
    """Run a locustfile until it has done enough; return the rows of its requests."""
    with locust_child(server.url, locustfile=locustfile) as child:
        child.open_gate()
        child.until(enough)
        assert child.stop(drain_s=2) == 0
        return child.requests()


@pytest.mark.parametrize("kind", ["HttpUser", "FastHttpUser"])
def test_every_request_of_a_foreign_user_is_recorded(kind: str, server: Counting, tmp_path: Path) -> None:
    """As many as the server has counted, each with its status and outcome."""
    pause, limits = {"wait_time": "constant(0.02)"}, dict.fromkeys(("connection_timeout", "network_timeout"), 0.5)
    text = _user(EACH.replace("CLOSED", str(free_port())), kind, **pause, **limits)
    with locust_child(server.url, locustfile=_beside(tmp_path, text)) as child:
        child.wait_for("ready")
        assert not server.asked
        child.open_gate()
        child.until(lambda: server.asked["/short"] > 6)
        assert child.stop(drain_s=5) == 0
        rows = child.requests()
        seconds = [message for message in child.messages if message["kind"] == "second"]
        generator = child.lines("generator")
    outcomes = Counter((row["endpoint"], row["outcome"]) for row in rows)
    assert set(outcomes) == {
        ("/ok", "ok"),
        ("/missing", "status"),
        ("broken", "status"),
        ("checked", "rejected"),
        ("not listening", "refused"),
        ("/short", "truncated"),
    }
    assert outcomes["/missing", "status"] == server.asked["/missing"]
    assert outcomes["broken", "status"] == server.asked["/broken"]
    assert outcomes["/ok", "ok"] + outcomes["checked", "rejected"] == server.asked["/ok"]
    assert outcomes["/short", "truncated"] >= server.asked["/short"] / 12  # FastHttpUser asks again by itself
    assert {row["user"] for row in rows} == {0, 1}
    assert {row["status"] for row in rows if row["endpoint"] == "/missing"} == {404}
    assert child.wait_for("ready")["source"] == "locust events"
    assert sum(message["completed"] for message in seconds) == len(rows)
    assert {row["in_flight"] for row in generator} <= {None}


def test_a_late_answer_is_a_timeout(server: Counting, tmp_path: Path) -> None:
    """Of both clients, by their own limits."""
    slow = _user('self.client.get("/slow", timeout=0.2)', fixed_count=1)
    limits = dict.fromkeys(("connection_timeout", "network_timeout"), 0.2)
    fast = _user('self.client.get("/slow", name="fast")', "FastHttpUser", fixed_count=1, **limits)
    rows = _rows(server, _beside(tmp_path, slow + fast), lambda: server.asked["/slow"] > 4)
    assert {(row["endpoint"], row["outcome"], row["status"]) for row in rows} == {
        ("/slow", "timeout", 0),
        ("fast", "timeout", 0),
    }


def test_both_kinds_of_users_in_one_file_are_recorded_once(server: Counting, tmp_path: Path) -> None:
    """A LeanUser's failures are events, too: they are in the tables already."""
    common: dict[str, Any] = {"fixed_count": 1, "wait_time": "constant(0.02)"}
    ours = "from seatrial.user import LeanUser\n\n" + _user(
        'self.client.get("/missing", endpoint="ours")', "LeanUser", endpoints=("ours",), **common
    )
    text = ours + _user('self.client.get("/ok")', **common)
    rows = _rows(server, _beside(tmp_path, text), lambda: min(server.asked["/missing"], server.asked["/ok"]) > 5)
    counted = Counter(row["endpoint"] for row in rows)
    assert counted == {"ours": server.asked["/missing"], "/ok": server.asked["/ok"]}


def test_work_that_a_user_spawns_has_its_number_and_other_work_none(server: Counting, tmp_path: Path) -> None:
    """A greenlet of a user has the user's number; one of the locustfile itself has none."""
    text = _user(OUTSIDE, fixed_count=1)
    rows = _rows(server, _beside(tmp_path, text), lambda: server.asked["/ok"] > 3)
    users = {(row["endpoint"], row["method"], row["user"]) for row in rows}
    assert users == {("spawned", "GET", 0), ("outside", "OTHER", UNKNOWN_USER)}


def test_an_exception_in_a_foreign_task_is_told(server: Counting, tmp_path: Path) -> None:
    """It is a mistake of the locustfile, as with our own users."""
    text = """
class Theirs(HttpUser):
    wait_time = constant(0.05)

    @task
    def ask(self):
        self.client.get("/ok")
        raise KeyError("basket")
"""
    with locust_child(server.url, locustfile=_beside(tmp_path, text)) as child:
        child.open_gate()
        assert "basket" in child.wait_for("error")["what"]
        child.stop(drain_s=2)


def test_too_many_names_are_refused_with_a_hint(server: Counting, tmp_path: Path) -> None:
    """The 201st name ends the run: exit code 2, the last names, and what to write instead."""
    text = _user('type(self).number += 1\nself.client.get(f"/item/{self.number}")', number=0)
    with locust_child(server.url, locustfile=_beside(tmp_path, text), users=1) as child:
        child.open_gate()
        refused = child.wait_for("refused")
        child.stop(drain_s=1)
        rows = child.requests()
    assert refused["exit_code"] == 2
    assert "'/item/201'" in refused["what"]
    assert 'name="/item/[id]"' in refused["what"]
    assert [row["endpoint"] for row in rows] == [f"/item/{number}" for number in range(1, 201)]


@pytest.mark.parametrize("name", [".hidden.py", "with a blank.py", "plugin.py", "statistics.py"])
def test_the_name_of_the_locustfile_does_not_matter(name: str, server: Counting, tmp_path: Path) -> None:
    """Also one with the name of ours, or with a neighbour of our file's name."""
    (tmp_path / "recording.py").write_text("WORD = 'theirs'\n")
    work = 'import recording\nself.client.get("/ok", name=recording.WORD)'
    text = "import recording\n" + _user(work, wait_time="constant(0.05)")
    rows = _rows(server, _beside(tmp_path, text, name), lambda: server.asked["/ok"] > 2)
    assert {row["endpoint"] for row in rows} == {"theirs"}


def test_the_log_has_each_traceback_once_and_no_secret(server: Counting, tmp_path: Path) -> None:
    """Locust writes URLs into its summary, and a traceback with the whole URL for every exception of a task."""
    work = """
self.client.get("/ok?page=2&token=TOPSECRET")
answer = self.client.get("/missing?Signature=TOPSECRET")
answer.raise_for_status()
"""
    text = _user(work, wait_time="constant(0.02)")
    with locust_child(server.url, locustfile=_beside(tmp_path, text)) as child:
        child.open_gate()
        child.until(lambda: server.asked["/missing?Signature=TOPSECRET"] > 20)
        assert child.stop(1.0) == 0
        errors, drained, log = child.lines("errors"), child.wait_for("drained"), child.log
    assert drained["errors"] > 10
    assert log.count("raise_for_status()") == len(errors) == 1
    assert "/ok?page=2&token=..." in log
    assert "TOPSECRET" not in log + str(errors)

"""Locustfiles that know nothing of Seatrial, run by the harness's command: every request is recorded."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from process.counting_server import Counting, counting_server
from process.locust_child import Child, locust_child

from seatrial.load.child import plugin
from seatrial.record.tables import open_part
from seatrial.wire.streams import UNKNOWN_USER

HEAD = """
from locust import FastHttpUser, HttpUser, User, constant, events, task
import gevent
"""

EACH = """
class {name}({kind}):
    wait_time = constant(0.02)
    connection_timeout = network_timeout = 0.5

    @task
    def all_of_them(self):
        self.client.get("/ok")
        self.client.get("/missing")
        self.client.get("/broken", name="broken")
        with self.client.get("/ok", name="checked", catch_response=True) as response:
            response.failure("not what was wanted")
        self.client.get("http://127.0.0.1:{closed}/", name="nobody there")
        self.client.get("/short"{options})
"""


@pytest.fixture
def server() -> Iterator[Counting]:
    """Serve on port 0."""
    with counting_server() as started:
        yield started


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _beside(folder: Path, text: str, name: str = "theirs.py") -> Path:
    """Write a locustfile; return it with our plugin, as Locust's -f takes them."""
    file = folder / name
    file.write_text(HEAD + text)
    return Path(f"{file},{plugin()}")


def _rows(child: Child, worker: int = 0) -> list[dict[str, Any]]:
    """Return the requests of all files of one worker, codes turned into labels."""
    found: list[dict[str, Any]] = []
    for path in sorted(child.records.glob(f"requests-{worker}*.bin")):
        part = open_part(path)
        for row in part.rows:
            whole = {name: row[name].item() for name in part.layout.columns}
            for name, labels in part.layout.labels.items():
                whole[name] = labels[whole[name]] if whole[name] < len(labels) else None
            found.append(whole)
    return sorted(found, key=lambda row: row["t_start_ns"])


@pytest.mark.parametrize("kind", ["HttpUser", "FastHttpUser"])
def test_every_request_of_a_foreign_user_is_recorded(kind: str, server: Counting, tmp_path: Path) -> None:
    """As many as the server was asked, each with its status and outcome."""
    text = EACH.format(name="Theirs", kind=kind, closed=_closed_port(), options="")
    with locust_child(server.url, locustfile=_beside(tmp_path, text)) as child:
        child.wait_for("ready")
        assert not server.asked
        child.open_gate()
        child.until(lambda: server.asked["/short"] > 6)
        assert child.stop(drain_s=5) == 0
        rows = _rows(child)
        seconds = [message for message in child.messages if message["kind"] == "second"]
        told = child.lines("generator")
    outcomes = Counter((row["endpoint"], row["outcome"]) for row in rows)
    assert set(outcomes) == {
        ("/ok", "ok"),
        ("/missing", "status"),
        ("broken", "status"),
        ("checked", "rejected"),
        ("nobody there", "refused"),
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
    assert {row["in_flight"] for row in told} <= {None}


def test_a_late_answer_is_a_timeout(server: Counting, tmp_path: Path) -> None:
    """Of both clients, by their own limits."""
    text = """
class Slow(HttpUser):
    fixed_count = 1

    @task
    def wait_for_it(self):
        self.client.get("/slow", timeout=0.2)

class Fast(FastHttpUser):
    fixed_count = 1
    network_timeout = connection_timeout = 0.2

    @task
    def wait_for_it(self):
        self.client.get("/slow", name="fast")
"""
    with locust_child(server.url, locustfile=_beside(tmp_path, text)) as child:
        child.open_gate()
        child.until(lambda: server.asked["/slow"] > 4)
        child.stop(drain_s=2)
        rows = _rows(child)
    assert {(row["endpoint"], row["outcome"], row["status"]) for row in rows} == {
        ("/slow", "timeout", 0),
        ("fast", "timeout", 0),
    }


def test_both_kinds_of_users_in_one_file_are_recorded_once(server: Counting, tmp_path: Path) -> None:
    """A LeanUser's failures are told as events, too: they are in the tables already."""
    text = """
from seatrial.user import LeanUser

class Ours(LeanUser):
    endpoints = ("ours",)
    fixed_count = 1
    wait_time = constant(0.02)

    @task
    def ask(self):
        self.client.get("/missing", endpoint="ours")

class Theirs(HttpUser):
    fixed_count = 1
    wait_time = constant(0.02)

    @task
    def ask(self):
        self.client.get("/ok")
"""
    with locust_child(server.url, locustfile=_beside(tmp_path, text)) as child:
        child.open_gate()
        child.until(lambda: server.asked["/missing"] > 5 and server.asked["/ok"] > 5)
        assert child.stop(drain_s=2) == 0
        counted = Counter(row["endpoint"] for row in _rows(child))
    assert counted == {"ours": server.asked["/missing"], "/ok": server.asked["/ok"]}


def test_work_that_a_user_spawns_has_its_number_and_other_work_none(server: Counting, tmp_path: Path) -> None:
    """A greenlet of a user is that user; one of the locustfile itself is nobody."""
    text = """
class Theirs(HttpUser):
    fixed_count = 1

    @task
    def ask(self):
        gevent.spawn(self.client.get, "/ok", name="spawned").join()
        outside = gevent.get_hub().loop.timer(0)
        fire = self.environment.events.request.fire
        outside.start(lambda: gevent.Greenlet.spawn(fire, request_type="WSR", name="nobody",
                      response_time=1, response_length=0))
        gevent.sleep(0.05)
"""
    with locust_child(server.url, locustfile=_beside(tmp_path, text)) as child:
        child.open_gate()
        child.until(lambda: server.asked["/ok"] > 3)
        child.stop(drain_s=2)
        users = {(row["endpoint"], row["method"], row["user"]) for row in _rows(child)}
    assert users == {("spawned", "GET", 0), ("nobody", "OTHER", UNKNOWN_USER)}


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
    text = """
class Theirs(HttpUser):
    number = 0

    @task
    def ask(self):
        Theirs.number += 1
        self.client.get(f"/item/{Theirs.number}")
"""
    with locust_child(server.url, locustfile=_beside(tmp_path, text), users=1) as child:
        child.open_gate()
        refused = child.wait_for("refused")
        child.stop(drain_s=1)
        rows = _rows(child)
    assert refused["exit_code"] == 2
    assert "'/item/201'" in refused["what"]
    assert 'name="/item/[id]"' in refused["what"]
    assert [row["endpoint"] for row in rows] == [f"/item/{number}" for number in range(1, 201)]


@pytest.mark.parametrize("name", [".hidden.py", "with a blank.py", "plugin.py", "statistics.py"])
def test_the_name_of_the_locustfile_does_not_matter(name: str, server: Counting, tmp_path: Path) -> None:
    """Also one that is called as ours is, or that has a neighbour with our file's name."""
    (tmp_path / "recording.py").write_text("WORD = 'theirs'\n")
    text = """
import recording

class Theirs(HttpUser):
    wait_time = constant(0.05)

    @task
    def ask(self):
        import recording
        self.client.get("/ok", name=recording.WORD)
"""
    with locust_child(server.url, locustfile=_beside(tmp_path, text, name), users=1) as child:
        child.open_gate()
        child.until(lambda: server.asked["/ok"] > 2)
        assert child.stop(drain_s=2) == 0
        assert {row["endpoint"] for row in _rows(child)} == {"theirs"}


SPEAKING = """
class Speaking(HttpUser):
    wait_time = constant(0.02)

    @task
    def ask(self):
        self.client.get("/ok?page=2&token=TOPSECRET")
        answer = self.client.get("/missing?Signature=TOPSECRET")
        answer.raise_for_status()
"""


def test_the_log_has_each_traceback_once_and_no_secret(server: Counting, tmp_path: Path) -> None:
    """Locust writes URLs into its summary, and a traceback with the whole URL for every exception of a task."""
    with locust_child(server.url, locustfile=_beside(tmp_path, SPEAKING)) as child:
        child.open_gate()
        child.until(lambda: server.asked["/missing?Signature=TOPSECRET"] > 20)
        assert child.stop(1.0) == 0
        errors, drained, log = child.lines("errors"), child.wait_for("drained"), child.log
    assert drained["errors"] > 10
    assert log.count("raise_for_status()") == len(errors) == 1
    assert "/ok?page=2&token=..." in log
    assert "TOPSECRET" not in log + str(errors)

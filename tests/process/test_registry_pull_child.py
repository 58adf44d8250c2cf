"""The registry locustfile in a real Locust child: against a registry in threads, steered and recorded."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from process.fake_registry import PASSWORD, USER, Registry, serving
from process.locust_child import LOCUSTFILE, Child, locust_child, started

from seatrial.wire.streams import FLOWS, GENERATOR, NULL, row_columns

SECRET = {"REGISTRY_PASSWORD": PASSWORD}
WHO = ("--registry-user", USER, "--registry-repository", "app", "--registry-wait", "0.05")
LAYERS = [b"a" * 300_000, b"b" * 1_000, b"c" * 70_000, b"d" * 10]


def _registry() -> Registry:
    registry = Registry()
    registry.add_image("latest", LAYERS)
    return registry


@contextmanager
def _pulling(registry: Registry, *options: str, users: int = 2) -> Iterator[Child]:
    with serving(registry), locust_child(registry.url, *WHO, *options, users=users, environment=SECRET) as child:
        yield child


@pytest.fixture(scope="module")
def run() -> Iterator[tuple[Child, Registry, int]]:
    """One run of two seconds that ended well: the child, the registry, the moment the gate opened, in ns."""
    registry = _registry()
    with _pulling(registry) as child:
        open_ns = child.open_gate()
        child.wait_for("second", 3)
        assert child.stop(5.0) == 0, child.log
        yield child, registry, open_ns


def test_every_request_is_one_row(run: tuple[Child, Registry, int]) -> None:
    """The records and the server's log agree, request by request."""
    child, registry, _ = run
    rows = Counter((row["method"], row["status"]) for row in child.requests())
    assert rows == Counter((entry.method, entry.status) for entry in registry.log)
    assert {row["outcome"] for row in child.requests()} == {"ok"}


def test_the_sequence_is_containerds(run: tuple[Child, Registry, int]) -> None:
    """Two challenges and two tokens in each pull: one to resolve, one to fetch."""
    child, _, _ = run
    rows = child.requests()
    pull = next(flow for flow in child.lines("flows") if flow["flow"] == "pull")
    mine = [
        row["endpoint"]
        for row in sorted(rows, key=lambda row: row["t_start_ns"])
        if row["user"] == pull["user"] and pull["t_start_ns"] <= row["t_start_ns"] < pull["t_end_ns"]
    ]
    assert mine[:7] == [
        "challenge",
        "token",
        "manifest by tag",
        "challenge",
        "token",
        "index",
        "manifest by digest",
    ]
    assert Counter(mine[7:]) == Counter({"config": 1, "layer": 4})


def test_three_downloads_at_a_time_over_kept_connections(run: tuple[Child, Registry, int]) -> None:
    """Each user opens at most three connections, whatever it pulls."""
    child, _, _ = run
    assert Counter(row["connection"] for row in child.requests())["new"] <= 6


def test_every_flow_counts_its_own_rows(run: tuple[Child, Registry, int]) -> None:
    """A flow's `requests` and bytes are those of the rows that carry its id; a pull has two logins."""
    child, _, _ = run
    rows, flows = child.requests(), child.lines("flows")
    assert Counter(row["flow_id"] for row in rows) == {flow["flow_id"]: flow["requests"] for flow in flows}
    assert sum(flow["bytes_received"] for flow in flows) == sum(row["bytes_received"] for row in rows)
    assert set(flows[0]) == set(row_columns(FLOWS))
    names = Counter(flow["flow"] for flow in flows)
    assert names["login"] == 2 * names["pull"] > 0


def test_a_login_begins_with_its_challenge(run: tuple[Child, Registry, int]) -> None:
    """The time of a login is from the challenged request to the token."""
    child, _, _ = run
    challenges = {row["t_start_ns"] for row in child.requests() if row["endpoint"] == "challenge"}
    assert {flow["t_start_ns"] for flow in child.lines("flows") if flow["flow"] == "login"} == challenges


def test_nobody_starts_before_the_gate_opens(run: tuple[Child, Registry, int]) -> None:
    """All stamps lie after the gate's moment, and in order; the closed model has no intended start."""
    child, _, open_ns = run
    for row in child.requests():
        assert open_ns <= row["t_start_ns"] <= row["t_first_byte_ns"] <= row["t_end_ns"]
        assert row["t_intended_ns"] == NULL


def test_the_child_tells_of_itself(run: tuple[Child, Registry, int]) -> None:
    """`ready` names worker, process and labels; each second has its counts; `drained` comes last."""
    child, registry, _ = run
    ready, *_, drained = child.messages
    assert (ready["kind"], ready["worker"], ready["pid"]) == ("ready", 0, child.process.pid)
    assert {"challenge", "token", "layer"} <= set(ready["endpoints"])
    seconds = [message for message in child.messages if message["kind"] == "second"]
    assert sum(second["completed"] for second in seconds) == len(registry.log)
    assert (seconds[1]["users"], seconds[-1]["users"], drained["kind"]) == (2, 0, "drained")


def test_the_generator_is_recorded_each_second(run: tuple[Child, Registry, int]) -> None:
    """Each has its CPU share and loop lag, and no schedule to slip from; the rest at the end has its counts."""
    child, registry, _ = run
    lines = child.lines("generator")
    assert sum(line["completed"] for line in lines) == len(registry.log)
    if lines[-1]["cpu_fraction"] is None:
        lines.pop()
    lasted_ns = [later["t_ns"] - line["t_ns"] for line, later in pairwise(lines)]
    line = lines[1]
    assert all(each >= 500_000_000 for each in lasted_ns)
    assert set(line) == set(row_columns(GENERATOR))
    assert 0 < line["cpu_fraction"] < 1.5
    assert 0 <= line["loop_lag_p50_ns"] <= line["loop_lag_p99_ns"]
    assert line["slip_p99_ns"] is None


def test_no_secret_is_left_in_the_records(run: tuple[Child, Registry, int]) -> None:
    """Neither password nor token reaches a file."""
    child, _, _ = run
    written = b"".join(path.read_bytes() for path in child.records.iterdir())
    assert PASSWORD.encode() not in written
    assert b"tok-1" not in written


def test_what_runs_at_the_stop_may_end() -> None:
    """Within the drain time a running pull is finished, and no new one begins."""
    registry = _registry()
    registry.delay_s = {"/blobs/": 0.4}
    with _pulling(registry) as child:
        child.open_gate()
        child.until(lambda: len(registry.log) > 20)
        assert child.stop(10.0) == 0
        assert {row["outcome"] for row in child.requests()} == {"ok"}
        assert all(flow["outcome"] == "ok" for flow in child.lines("flows"))


def test_what_does_not_end_in_time_is_cut() -> None:
    """After the drain time each request in flight is a row `cut`, and so is its flow."""
    registry = _registry()
    registry.delay_s = {"/blobs/": 30.0}
    with _pulling(registry) as child:
        child.open_gate()
        child.until(lambda: len(registry.log) == 20)
        child.until(lambda: registry.halves == 6)
        assert child.stop(0.2) == 0
        assert len(child.requests()) == len(registry.log)
        cut = [row for row in child.requests() if row["outcome"] == "cut"]
        assert len(cut) == 6  # two users, three downloads each
        assert all(row["t_end_ns"] > row["t_start_ns"] and row["bytes_received"] > 0 for row in cut)
        assert [flow["outcome"] for flow in child.lines("flows") if flow["flow"] == "pull"] == ["cut", "cut"]


@pytest.mark.parametrize("way", ["harness gone", "SIGTERM", "SIGINT"])
def test_no_row_is_lost_however_the_child_ends(way: str) -> None:
    """When the harness goes away, or a signal comes, what was in flight is cut and everything is written."""
    registry = _registry()
    registry.delay_s = {"/blobs/": 30.0}
    with _pulling(registry) as child:
        child.open_gate()
        child.until(lambda: len(registry.log) == 20)
        child.until(lambda: registry.halves == 6)
        if way == "harness gone":
            child.channel._forget(next(iter(child.channel._partial)))
        else:
            os.kill(child.process.pid, getattr(signal, way))
        child.ended()
        assert len(child.requests()) == len(registry.log)
        assert Counter(row["outcome"] for row in child.requests())["cut"] == 6


def test_a_wrong_body_fails_the_pull() -> None:
    """A layer that is not what its digest says is the outcome `digest`, of its row and of its pull."""
    registry = _registry()
    registry.corrupt = {next(digest for digest, blob in registry.blobs.items() if blob == LAYERS[0])}
    with _pulling(registry) as child:
        child.open_gate()
        child.until(lambda: len(registry.log) > 20)
        child.stop(5.0)
        wrong = {row["endpoint"] for row in child.requests() if row["outcome"] == "digest"}
        assert wrong == {"layer"}
        assert {flow["outcome"] for flow in child.lines("flows") if flow["flow"] == "pull"} == {"digest"}


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_realm_without_post_is_asked_by_get(status: int) -> None:
    """The fallback of containerd is GET with Basic credentials; both requests belong to the login."""
    registry = _registry()
    registry.post_status = status
    with _pulling(registry) as child:
        child.open_gate()
        child.until(lambda: len(registry.log) > 20)
        child.stop(5.0)
        logins = [flow for flow in child.lines("flows") if flow["flow"] == "login"]
        assert {(flow["requests"], flow["outcome"]) for flow in logins} == {(2, "ok")}
        asked = {(row["method"], row["endpoint"], row["status"]) for row in child.requests()}
    assert {each for each in asked if "token" in each[1]} == {
        ("POST", "token refused", status),
        ("GET", "token", 200),
    }


def test_a_wrong_password_fails_the_login_and_the_pull() -> None:
    """The realm's refusal is the outcome of both flows; nothing is fetched."""
    registry = _registry()
    with _pulling(registry, "--registry-user", "stranger") as child:
        child.open_gate()
        child.until(lambda: len(registry.log) > 10)
        child.stop(5.0)
        assert {(flow["flow"], flow["outcome"]) for flow in child.lines("flows")} == {
            ("login", "status"),
            ("pull", "status"),
        }
        assert {(row["endpoint"], row["outcome"]) for row in child.requests()} == {
            ("challenge", "ok"),
            ("token refused", "ok"),
            ("token", "status"),
        }


def test_credentials_stay_with_the_registry() -> None:
    """A blob that is stored elsewhere is fetched from there, without Authorization."""
    registry, storage = _registry(), _registry()
    storage.authenticated = False
    with serving(storage):
        registry.elsewhere = storage.url
        with _pulling(registry) as child:
            child.open_gate()
            child.until(lambda: len(storage.log) > 5)
            child.stop(5.0)
            outcomes = Counter((row["endpoint"], row["outcome"]) for row in child.requests())
    assert outcomes[("redirect", "ok")] == len(storage.log) > 0
    assert all("Authorization" not in entry.headers for entry in storage.log)


def test_two_processes_write_two_files() -> None:
    """Each worker has its own files and its own flow ids; together they are the server's log."""
    registry = _registry()
    with _pulling(registry, "--processes", "2") as child:
        child.wait_for("ready", 2)
        child.open_gate()
        child.until(lambda: len(registry.log) > 50)
        child.channel.send("stop", drain_s=5.0)
        child.wait_for("drained", 2)
        child.ended()
        assert len(child.requests(0)) + len(child.requests(1)) == len(registry.log)
        ids = [flow["flow_id"] for worker in (0, 1) for flow in child.lines("flows", worker)]
        assert len(set(ids)) == len(ids) > 0
        users = [{row["user"] for row in child.requests(worker)} for worker in (0, 1)]
        assert sorted(users, key=sorted) == [{0}, {1}]  # which process has which is up to Locust's dispatcher


def test_without_an_image_the_test_does_not_start() -> None:
    """The error says what is missing and how to give it, and the exit code is that of a usage error."""
    process = started("http://127.0.0.1:1", (), LOCUSTFILE, 1, {}, subprocess.PIPE)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert b"nothing to pull was named" in output
    assert b"--registry-repository NAME" in output


def test_a_catalogue_that_can_not_be_read_does_not_start_either(tmp_path: Path) -> None:
    """The error names the file and what is wrong with it."""
    (tmp_path / "catalogue.json").write_text('{"repositories": []}')
    options = ("--registry-catalogue", str(tmp_path / "catalogue.json"))
    process = started("http://127.0.0.1:1", options, LOCUSTFILE, 1, {}, subprocess.PIPE)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert b"the catalogue lists no image" in output


def test_a_refused_start_ends_a_steered_child_too() -> None:
    """Under the harness, where users wait behind the gate, the exit code is the same."""
    with locust_child("http://127.0.0.1:1", users=3) as child:
        assert child.ended() == 2
        assert "nothing to pull was named" in child.log

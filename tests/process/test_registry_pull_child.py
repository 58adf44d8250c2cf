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


@contextmanager
def _pulled(registry: Registry, *options: str, requests: int = 20, drain_s: float = 5.0) -> Iterator[Child]:
    """Give a child that has ended after so many requests, and its records."""
    with _pulling(registry, *options) as child:
        child.open_gate()
        child.until(lambda: len(registry.log) > requests)
        assert child.stop(drain_s) == 0, child.log
        yield child


@contextmanager
def _downloading() -> Iterator[tuple[Child, Registry]]:
    """Give a child with six downloads that do not end: two users, three each."""
    registry = _registry()
    registry.delay_s = {"/blobs/": 30.0}
    with _pulling(registry) as child:
        child.open_gate()
        child.until(lambda: len(registry.log) == 20)
        child.until(lambda: registry.halves == 6)
        yield child, registry


class Run:
    """One run of two seconds that ended well: the child, the registry, and the rows of both."""

    def __init__(self, child: Child, registry: Registry, open_ns: int) -> None:
        self.child = child
        self.log = registry.log
        self.open_ns = open_ns
        self.rows = child.requests()
        self.flows = child.lines("flows")


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Pull for two seconds."""
    registry = _registry()
    with _pulling(registry) as child:
        open_ns = child.open_gate()
        child.wait_for("second", 3)
        assert child.stop(5.0) == 0, child.log
        yield Run(child, registry, open_ns)


def test_every_request_is_one_row(run: Run) -> None:
    """The records and the server's log agree, and each user opens at most three connections, whatever it pulls."""
    rows = Counter((row["method"], row["status"]) for row in run.rows)
    assert rows == Counter((entry.method, entry.status) for entry in run.log)
    assert {row["outcome"] for row in run.rows} == {"ok"}
    assert Counter(row["connection"] for row in run.rows)["new"] <= 6


def test_no_request_starts_before_the_gate_opens(run: Run) -> None:
    """All stamps lie after the gate's moment, and in order; the closed model has no intended start."""
    for row in run.rows:
        assert run.open_ns <= row["t_start_ns"] <= row["t_first_byte_ns"] <= row["t_end_ns"]
        assert row["t_intended_ns"] == NULL


def test_the_sequence_is_containerds(run: Run) -> None:
    """Two challenges and two tokens in each pull: one to resolve, one to fetch."""
    pull = next(flow for flow in run.flows if flow["flow"] == "pull")
    endpoints = [
        row["endpoint"]
        for row in run.rows
        if row["user"] == pull["user"] and pull["t_start_ns"] <= row["t_start_ns"] < pull["t_end_ns"]
    ]
    resolve, fetch = ["challenge", "token", "manifest by tag"], ["challenge", "token", "index"]
    assert endpoints[:7] == [*resolve, *fetch, "manifest by digest"]
    assert Counter(endpoints[7:]) == Counter({"config": 1, "layer": 4})


def test_every_flow_counts_its_own_rows(run: Run) -> None:
    """Its requests and bytes are those of the rows with its id; a pull has two logins, begun by challenges."""
    assert Counter(row["flow_id"] for row in run.rows) == {flow["flow_id"]: flow["requests"] for flow in run.flows}
    assert sum(flow["bytes_received"] for flow in run.flows) == sum(row["bytes_received"] for row in run.rows)
    assert set(run.flows[0]) == set(row_columns(FLOWS))
    names = Counter(flow["flow"] for flow in run.flows)
    assert names["login"] == 2 * names["pull"] > 0
    challenges = {row["t_start_ns"] for row in run.rows if row["endpoint"] == "challenge"}
    assert {flow["t_start_ns"] for flow in run.flows if flow["flow"] == "login"} == challenges


def test_the_child_reports_its_state(run: Run) -> None:
    """`ready` names worker, process and labels; each second has its counts; `drained` comes last."""
    ready, *_, drained = run.child.messages
    assert (ready["kind"], ready["worker"], ready["pid"]) == ("ready", 0, run.child.process.pid)
    assert {"challenge", "token", "layer"} <= set(ready["endpoints"])
    seconds = [message for message in run.child.messages if message["kind"] == "second"]
    assert sum(second["completed"] for second in seconds) == len(run.log)
    assert (seconds[1]["users"], seconds[-1]["users"], drained["kind"]) == (2, 0, "drained")


def test_the_generator_is_recorded_each_second(run: Run) -> None:
    """Each has its CPU share and loop lag, and no schedule to slip from; the rest at the end has its counts."""
    lines = run.child.lines("generator")
    assert sum(line["completed"] for line in lines) == len(run.log)
    if lines[-1]["cpu_fraction"] is None:
        lines.pop()
    line = lines[1]
    assert all(later["t_ns"] - earlier["t_ns"] >= 500_000_000 for earlier, later in pairwise(lines))
    assert set(line) == set(row_columns(GENERATOR))
    assert 0 < line["cpu_fraction"] < 1.5
    assert 0 <= line["loop_lag_p50_ns"] <= line["loop_lag_p99_ns"]
    assert line["slip_p99_ns"] is None


def test_no_secret_is_left_in_the_records(run: Run) -> None:
    """Neither password nor token reaches a file."""
    written = b"".join(path.read_bytes() for path in run.child.records.iterdir())
    assert PASSWORD.encode() not in written
    assert b"tok-1" not in written


def test_what_runs_at_the_stop_may_end() -> None:
    """Within the drain time a running pull is finished, and no new one begins."""
    registry = _registry()
    registry.delay_s = {"/blobs/": 0.4}
    with _pulled(registry, drain_s=10.0) as child:
        assert {row["outcome"] for row in child.requests()} == {"ok"}
        assert all(flow["outcome"] == "ok" for flow in child.lines("flows"))


def test_what_does_not_end_in_time_is_cut() -> None:
    """After the drain time each request in flight is a row `cut`, and so is its flow."""
    with _downloading() as (child, registry):
        assert child.stop(0.2) == 0
        assert len(child.requests()) == len(registry.log)
        cut = [row for row in child.requests() if row["outcome"] == "cut"]
        assert len(cut) == 6
        assert all(row["t_end_ns"] > row["t_start_ns"] and row["bytes_received"] > 0 for row in cut)
        assert [flow["outcome"] for flow in child.lines("flows") if flow["flow"] == "pull"] == ["cut", "cut"]


@pytest.mark.parametrize("way", ["harness gone", "SIGTERM", "SIGINT"])
def test_no_row_is_lost_however_the_child_ends(way: str) -> None:
    """When the harness goes away, or a signal comes, what was in flight is cut and everything is written."""
    with _downloading() as (child, registry):
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
    with _pulled(registry) as child:
        wrong = {row["endpoint"] for row in child.requests() if row["outcome"] == "digest"}
        assert wrong == {"layer"}
        assert {flow["outcome"] for flow in child.lines("flows") if flow["flow"] == "pull"} == {"digest"}


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_realm_without_post_gets_a_get(status: int) -> None:
    """The fallback of containerd is GET with Basic credentials; both requests belong to the login."""
    registry = _registry()
    registry.post_status = status
    with _pulled(registry) as child:
        logins = [flow for flow in child.lines("flows") if flow["flow"] == "login"]
        assert {(flow["requests"], flow["outcome"]) for flow in logins} == {(2, "ok")}
        requests = {(row["method"], row["endpoint"], row["status"]) for row in child.requests()}
    assert {request for request in requests if "token" in request[1]} == {
        ("POST", "token refused", status),
        ("GET", "token", 200),
    }


def test_a_wrong_password_fails_the_login_and_the_pull() -> None:
    """The realm's refusal is the outcome of both flows; nothing is fetched."""
    registry = _registry()
    with _pulled(registry, "--registry-user", "stranger", requests=10) as child:
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


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        ((), (b"nothing to pull was named", b"--registry-repository NAME")),
        (("--registry-catalogue", "catalogue.json"), (b"the catalogue lists no image",)),
    ],
)
def test_without_an_image_the_test_does_not_start(
    tmp_path: Path, options: tuple[str, ...], messages: tuple[bytes, ...]
) -> None:
    """The error has what is missing and how to give it, and the exit code is that of a usage error."""
    catalogue = tmp_path / "catalogue.json"
    catalogue.write_text('{"repositories": []}')
    words = [word.replace(catalogue.name, str(catalogue)) for word in options]
    process = started("http://127.0.0.1:1", words, LOCUSTFILE, 1, {}, subprocess.PIPE)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert all(message in output for message in messages)


def test_a_refused_start_ends_a_steered_child_too() -> None:
    """Under the harness, where users wait behind the gate, the exit code is the same."""
    with locust_child("http://127.0.0.1:1", users=3) as child:
        assert child.ended() == 2
        assert "nothing to pull was named" in child.log

"""`--record DIR` in plain Locust: the tables of a run, sealed at the end or after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from process.counting_server import Counting, counting_server
from process.plain_locust import environment, plain_locust
from trials import seconds_recorded, wait_until

from seatrial.load.child import plugin
from seatrial.record import documents
from seatrial.record.folder import RunFolder

GIVE_UP_S = 30.0
SECRET = "sesame-open"
THEIRS = """
from locust import FastHttpUser, constant, task

class Theirs(FastHttpUser):
    wait_time = constant(0.02)

    @task
    def ask(self):
        self.client.get("/ok")
        self.client.get("/missing?token=sesame-open")
"""
OURS = """
from locust import constant, task
from seatrial.user import LeanUser

class Ours(LeanUser):
    endpoints = ("page",)
    wait_time = constant(0.02)

    @task
    def ask(self):
        with self.flow("visit"):
            self.client.get("/ok", endpoint="page")
"""


@pytest.fixture
def server() -> Iterator[Counting]:
    """Serve on port 0."""
    with counting_server() as started:
        yield started


@contextmanager
def _locust(
    folder: Path, text: str, server: Counting, *options: str, host: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """Start plain Locust in `folder`, with the plugin beside a foreign locustfile, and secrets in its host."""
    file = folder / "theirs.py"
    file.write_text(text)
    if text is not OURS:
        file = Path(f"{file},{plugin()}")
        host = host or server.url.replace("//", f"//me:{SECRET}@")
    words = ["--headless", "--only-summary", "--users", "4", "--spawn-rate", "4", "--host", host or server.url]
    with plain_locust(folder, file, *words, *options) as process:
        yield process


def _until(condition: Callable[[], bool], folder: Path) -> None:
    wait_until(condition, GIVE_UP_S, every_s=0.02, log=folder / "log")


def _stopped(process: subprocess.Popen[bytes], folder: Path) -> int:
    """End it by Ctrl-C; return its exit code."""
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(GIVE_UP_S)
    except subprocess.TimeoutExpired:
        raise AssertionError((folder / "log").read_text()) from None


def _seatrial(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv: Sequence[str] = [sys.executable, "-m", "seatrial", *words]
    return subprocess.run(
        argv, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=GIVE_UP_S
    )


def _requests(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "rec" / "requests.parquet")


def test_a_foreign_locustfile_is_recorded_and_sealed(server: Counting, tmp_path: Path) -> None:
    """Its end is clean: the same tables, a window, and no secret of the host."""
    with _locust(tmp_path, THEIRS, server, "--record", "rec") as process:
        _until(lambda: server.asked["/ok"] > 60, tmp_path)
        _stopped(process, tmp_path)
    document = documents.load_document(RunFolder(tmp_path / "rec"))
    assert (document.status, document.sealed, document.engine) == ("complete", True, "none")
    assert [note.kind for note in document.notes] == ["locust events"]
    rows = _requests(tmp_path)
    assert document.rows["requests"] == len(rows)
    assert 0 <= server.asked["/ok"] - (rows["endpoint"] == "/ok").sum() <= 4  # in flight at the end: no event
    assert set(rows["endpoint"]) == {"/ok", "/missing?token=..."}
    drained = rows[rows["phase"] != "window"]  # begun in the moment between the order to stop and its execution
    assert set(drained["phase"]) <= {"drain"}
    assert len(drained) <= 4
    tables = {f"{name}.parquet" for name in ("flows", "generator", "requests", "samples", "tiers")}
    assert {path.name for path in (tmp_path / "rec").iterdir()} == {"run.json", *tables}
    assert SECRET not in (tmp_path / "rec" / "run.json").read_text()


def test_what_plain_locust_recorded_is_shown(server: Counting, tmp_path: Path) -> None:
    """No stack was watched, and nothing is missing because of that."""
    with _locust(tmp_path, OURS, server, "--record", "rec") as process:
        _until(lambda: server.asked["/ok"] > 100, tmp_path)
        assert _stopped(process, tmp_path) == 0
    shown = _seatrial(tmp_path, "show", "rec")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "VALID" in shown.stdout
    assert "INVALID" not in shown.stdout
    assert "visit" in shown.stdout
    assert len(_requests(tmp_path)) == server.asked["/ok"]


def test_several_processes_are_sealed_together(server: Counting, tmp_path: Path) -> None:
    """Also one that is killed in the middle: what it had recorded until its last second is there."""
    with _locust(tmp_path, OURS, server, "--record", "rec", "--processes", "2") as process:
        _until(lambda: server.asked["/ok"] > 100, tmp_path)
        _until(lambda: min(seconds_recorded(tmp_path, worker) for worker in (0, 1)) > 1, tmp_path)
        victim = _children(process.pid)[0]
        killed_ns = time.monotonic_ns()
        os.kill(victim, signal.SIGKILL)
        asked = server.asked["/ok"]
        _until(lambda: server.asked["/ok"] > asked + 100, tmp_path)
        _stopped(process, tmp_path)
    rows = _requests(tmp_path)
    last_ns = rows.groupby("worker")["t_end_ns"].max()
    assert list(last_ns.index) == [0, 1]
    assert killed_ns - last_ns.min() < 2_000_000_000
    assert last_ns.max() > killed_ns
    flows = pd.read_parquet(tmp_path / "rec" / "flows.parquet")
    assert flows["flow_id"].is_unique
    assert rows.groupby("user")["worker"].nunique().max() == 1
    document = documents.load_document(RunFolder(tmp_path / "rec"))
    assert (document.status, "load process lost" in {note.kind for note in document.notes}) == ("complete", True)


def test_a_killed_recording_is_recovered(server: Counting, tmp_path: Path) -> None:
    """`show` gives the command, `recover` does it, once no process writes any more."""
    with _locust(tmp_path, THEIRS, server, "--record", "rec") as process:
        _until(lambda: seconds_recorded(tmp_path) > 1, tmp_path)
        refused = _seatrial(tmp_path, "recover", "rec")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(GIVE_UP_S)
    assert (refused.returncode, "still going on" in refused.stderr) == (2, True)
    shown = _seatrial(tmp_path, "show", "rec")
    assert (shown.returncode, "seatrial recover rec" in shown.stderr) == (2, True)
    recovered = _seatrial(tmp_path, "recover", "rec")
    assert (recovered.returncode, "recovered" in recovered.stdout) == (5, True)
    assert len(_requests(tmp_path)) > 50
    document = documents.load_document(RunFolder(tmp_path / "rec"))
    assert (document.status, [span.phase for span in document.spans]) == ("recovered", ["window"])


def test_a_folder_that_is_not_empty_is_refused(server: Counting, tmp_path: Path) -> None:
    """Exit code 2 before any request, and nothing in the folder is touched."""
    (tmp_path / "rec").mkdir()
    (tmp_path / "rec" / "thesis.txt").write_text("the only copy")
    for text in (THEIRS, OURS):
        with _locust(tmp_path, text, server, "--record", "rec") as process:
            assert process.wait(GIVE_UP_S) == 2
        assert "is not empty" in (tmp_path / "log").read_text()
        assert "Traceback" not in (tmp_path / "log").read_text()
    assert not server.asked
    assert [path.name for path in (tmp_path / "rec").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("more", [(), ("--processes", "2")])
def test_too_many_names_end_plain_locust(server: Counting, tmp_path: Path, more: tuple[str, ...]) -> None:
    """Exit code 2, a log line with the hint, and the records until then."""
    text = THEIRS.replace('"/ok"', 'f"/item/{id(self)}/{self.environment.stats.total.num_requests}"')
    with _locust(tmp_path, text, server, "--record", "rec", *more) as process:
        assert process.wait(GIVE_UP_S) == 2
    assert 'name="/item/[id]"' in (tmp_path / "log").read_text()
    assert _requests(tmp_path)["endpoint"].nunique() >= 200


@pytest.mark.parametrize("text", [OURS, THEIRS], ids=["ours", "theirs"])
def test_a_host_that_is_no_url_leaves_no_streams(server: Counting, tmp_path: Path, text: str) -> None:
    """It is written down before the first request: no traceback, and a folder that can be shown."""
    with _locust(tmp_path, text, server, "--record", "rec", "--run-time", "2", host="http://[bad") as process:
        assert process.wait(GIVE_UP_S) == 2
    assert "seatrial/user/standalone.py" not in (tmp_path / "log").read_text()
    assert not (tmp_path / "rec" / "streams").exists()
    assert "http://[bad" in (tmp_path / "rec" / "run.json").read_text()


def test_without_the_option_the_plugin_does_nothing(server: Counting, tmp_path: Path) -> None:
    """It may be in every command line."""
    with _locust(tmp_path, THEIRS, server, "--run-time", "1") as process:
        process.wait(GIVE_UP_S)
    assert server.asked["/ok"] > 10
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["log", "theirs.py"]


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

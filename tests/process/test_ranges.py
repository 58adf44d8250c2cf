"""Range cases asked of real servers, alone and as the preflight of a run and of a comparison."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import range_server
import trials
from click.testing import CliRunner, Result
from process.served import Handler, served
from process.small_nginx import nginx

from seatrial import cli
from seatrial.analysis.run import analyse_run
from seatrial.errors import PreflightFailed, UsageError
from seatrial.experiment.preflight import check_ranges
from seatrial.experiment.run_record import RunRecord
from seatrial.load.child import free_port
from seatrial.measure.ranges import RangeReport, RangeWord
from seatrial.model import NoteKind, Preflight
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record.documents import RunDocument
from seatrial.record.folder import RunFolder, create_experiment, create_run
from seatrial.stack.ranges import ask_ranges

SIZE = 3_000_000
GUNICORN = "/usr/bin/gunicorn"
APP = Path(__file__).parent / "range_app.py"
OK, BROKEN, DEVIATES, NOT_ASKED = RangeWord.OK, RangeWord.BROKEN, RangeWord.DEVIATES, RangeWord.NOT_ASKED
WERKZEUG = ["-0", "items=0-1", "two ranges", "If-None-Match", "If-Match other ETag", "HEAD"]


def media(path: Path) -> Path:
    """Write a file of random bytes."""
    path.write_bytes(random.Random(1).randbytes(SIZE))  # noqa: S311  (made-up media)
    return path


def called(*words: str) -> Result:
    """Call a command in this process: to start one takes a second."""
    return CliRunner().invoke(cli.load(words[0]), words[1:], standalone_mode=False)


def names(report: RangeReport, word: RangeWord) -> list[str]:
    """Return the names of the cases with this word."""
    return [result.name for result in report.of(word)]


@pytest.mark.servers
def test_nginx_deviates_only_in_head(tmp_path: Path) -> None:
    """It answers a HEAD with a range by 206; the RFC has it ignore the range."""
    with nginx(tmp_path) as server:
        media(tmp_path / "files" / "clip.mp4")
        report = ask_ranges(f"{server.url}/clip.mp4")

    assert (names(report, BROKEN), names(report, DEVIATES)) == ([], ["HEAD"])
    assert (report.plays, report.size, len(report.results), len(report.of(OK))) == (True, SIZE, 24, 23)


@contextmanager
def gunicorn(file: Path, mode: str) -> Iterator[str]:
    """Serve a file by Flask on gunicorn, and yield its URL."""
    port, settings = free_port(), {"RANGE_FILE": str(file), "RANGE_MODE": mode, "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [GUNICORN, "-b", f"127.0.0.1:{port}", "--chdir", str(APP.parent), "range_app:app"]
    process = subprocess.Popen(argv, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)
    try:
        trials.wait_until(lambda: trials.is_listening(port) or process.poll() is not None, 20)
        yield f"http://127.0.0.1:{port}/media/clip.mp4"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.mark.servers
def test_flask_plays_and_deviates_from_the_rfc(tmp_path: Path) -> None:
    """Werkzeug evaluates ranges before conditions, refuses other units, and answers `-0` with the whole file."""
    with gunicorn(media(tmp_path / "clip.mp4"), "send_file") as url:
        report = ask_ranges(url)
        shown = trials.seatrial("ranges", url)
        values = json.loads(called("ranges", "--json", url).stdout)

    assert (names(report, BROKEN), names(report, DEVIATES)) == ([], WERKZEUG)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0] == f" PLAYS  {url} · 3,000,000 bytes"
    assert (values["plays"], values["size"], len(values["results"])) == (True, SIZE, 24)
    assert [result["name"] for result in values["results"] if result["word"] == "deviates"] == WERKZEUG


@pytest.mark.servers
def test_a_generator_is_broken_for_players(tmp_path: Path) -> None:
    """It answers everything with the whole file, and says neither its length nor a validator."""
    with gunicorn(media(tmp_path / "clip.mp4"), "generator") as url:
        report = ask_ranges(url)
        shown = called("ranges", url)

    assert (report.plays, report.size) == (False, None)
    assert names(report, BROKEN) == ["0-", "0-1", "middle", "repeated"]
    assert set(names(report, NOT_ASKED)) >= {"-500", "last byte", "past the end", "start = size", "If-None-Match"}
    assert shown.return_value == 1
    assert "14.2 SHOULD    the range is ignored" in shown.stdout


def test_what_can_not_be_asked_is_told() -> None:
    """Exit code 2, and nothing is sent to another host."""
    with served(_Short) as url:
        places: tuple[str, ...] = (f"{url}/short", f"{url}/missing?token=hush")
        errors = [called("ranges", place).exception for place in places]
    places = (f"{url}/short", "http://media.example/clip.mp4", "clip.mp4", "http://127.0.0.1:99999/clip.mp4")
    errors += [called("ranges", place).exception for place in places]
    texts = [str(error) for error in errors]

    assert {type(error) for error in errors} == {UsageError}
    assert "at least 2048" in texts[0]
    assert "status 404" in texts[1]
    assert "hush" not in texts[1]
    assert "Connection refused" in texts[2]
    assert "--yes-load media.example" in texts[3]
    assert "http://HOST:PORT/FILE" in texts[4]
    assert "http://HOST:PORT/FILE" in texts[5]


class _Short(Handler):
    def do_GET(self) -> None:
        self.answer(404 if "missing" in self.path else 200, b"ten bytes.")


class _Hostile(Handler):
    """Answers a plain GET, then hangs, breaks off, talks nonsense, or sends an endless head, range by range."""

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        if asked is None:
            self.answer(200, bytes(5000))
        elif asked == "bytes=0-":
            self.connection.settimeout(5)
            self.connection.recv(1)  # until the client gives up
        elif asked == "bytes=0-1":
            self.send_response(206)
            self.send_header("Content-Range", "bytes 0-1/5000")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"\0")
        elif asked == "bytes=-500":
            self.wfile.write(b"HTTP/1.1 two hundred\r\n\r\n")
        self.close_connection = True


def test_a_hostile_server_is_asked_to_the_end() -> None:
    """A hung, a broken off and a nonsensical answer each fail their case, in bounded time."""
    began_s = time.monotonic()
    with served(_Hostile) as url:
        report = ask_ranges(f"{url}/clip", answer_s=0.5)
    seen = {result.name: (result.word, result.reason) for result in report.results}

    assert seen["0-"] == (BROKEN, "no answer: none within 0.5 s")
    assert seen["0-1"] == (BROKEN, "the body ends 1 bytes early")
    assert seen["-500"] == (BROKEN, "no answer: BadStatusLine: HTTP/1.1 two hundred\r\n")
    assert seen["middle"][1].startswith("no answer: RemoteDisconnected")
    assert time.monotonic() - began_s < 20


def test_a_slow_answer_is_judged_by_what_came() -> None:
    """A throttled file is no deviation; a short range of which nothing comes is one."""
    with served(_Slow) as url:
        report = ask_ranges(f"{url}/clip", answer_s=0.5)
    seen = {result.name: (result.word, result.reason) for result in report.results}

    assert seen["items=0-1"] == (OK, "")
    assert seen["0-1"] == (BROKEN, "0 bytes of the body within the time")


class _Slow(Handler):
    def do_GET(self) -> None:
        """Send 100 kB of a megabyte, or no byte of a range, and then nothing until the client has gone."""
        asked = self.headers.get("Range", "items=0-1")
        if asked not in ("items=0-1", "bytes=0-1") or "If-Range" in self.headers:
            self.answer(500)
            return
        ranged = asked == "bytes=0-1"
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", "bytes 0-1/1000000")
        self.send_header("Content-Length", "2" if ranged else "1000000")
        self.end_headers()
        self.wfile.write(b"" if ranged else bytes(100_000))
        self.connection.settimeout(5)
        self.connection.recv(1)
        self.close_connection = True


def test_a_file_that_is_not_there_is_a_failed_stack() -> None:
    """In a run it is the stack's fault; alone it is the URL's."""
    with served(_Short) as url, pytest.raises(PreflightFailed, match="no file to ask ranges of"):
        ask_ranges(f"{url}/missing")


class _Deviating(Handler):
    def do_GET(self) -> None:
        """Answer like the model, but for another unit."""
        assert self.path == "/a%20clip%20%C3%A9.mp4?a=%20b"
        answered = range_server.refused()
        if not self.headers.get("Range", "").startswith("items"):
            answered = range_server.answer_to("GET", dict(self.headers))
        self.send_response(answered.status)
        for name, value in {"content-length": str(len(answered.body)), **answered.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answered.body)

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.send_response(200)
        self.send_header("Content-Length", str(range_server.SIZE))
        self.end_headers()


def test_a_deviation_is_noted_and_kept(tmp_path: Path) -> None:
    """The run goes on; its folder has the results of all cases, its report those that are not ok."""
    folder = create_run(create_experiment(tmp_path, "made-up", 1), "base", 1, 1)
    record = RunRecord(folder, RunDocument(status="running", scenario_name="made-up"))
    with served(_Deviating) as url:
        check_ranges(Preflight(ranges="/a clip \u00e9.mp4?a=%20b"), url, None, record, Progress(quiet=True))
    record.seal("complete")
    (note,) = record.document.notes
    stored = documents.load_ranges(folder)

    assert (note.kind, note.text) == (
        NoteKind.RANGE_DEVIATIONS,
        "items=0-1 (RFC 9110, 14.2, MUST): status 416 is not permitted",
    )
    assert stored is not None
    assert (stored.plays, len(stored.of(OK)), names(stored, DEVIATES)) == (True, 23, ["items=0-1"])
    assert analyse_run(folder).ranges == stored
    (folder.root / documents.RANGES_FILE).write_text('{"schema_version": 99}')
    with pytest.raises(UsageError, match="newer Seatrial"):
        analyse_run(folder)


LOCAL = {
    "command": [GUNICORN, "-b", "127.0.0.1:$${port}", "--chdir", "$${stack}", "range_app:app"],
    "port": 80,
    "package": "gunicorn python3-flask",
}
SEED = """
import json, os
clips = [{"path": "/media/clip.mp4"}]
open(os.environ["SEATRIAL_CATALOGUE"], "w").write(json.dumps({"clips": clips}))
"""
ASKING = """
from locust import constant, task
from seatrial.user import LeanUser


class Asking(LeanUser):
    endpoints = ("range",)
    wait_time = constant(0.1)

    @task
    def ask(self):
        with self.flow("ask"):
            self.client.get("/media/clip.mp4", range=(0, 99), expect=(206,), endpoint="range")
"""
LOAD = {"users": 1, "warmup": "1s", "duration": "2s", "drain": "1s"}


def write(folder: Path, preflight: Any = "ranges") -> Path:  # noqa: ANN401  (any YAML)
    """Write a scenario whose base serves ranges, and whose variant `generator` does not."""
    service = {"image": "none", "environment": {"RANGE_FILE": str(media(folder / "clip.mp4"))}}
    (folder / "seed.py").write_text(SEED)
    shutil.copy(APP, folder)
    return trials.write_scenario(
        folder,
        {"web": {**service, "x-seatrial": {"local": LOCAL}}},
        ASKING,
        LOAD,
        front_door={"service": "web", "port": 80},
        ready=[{"get": "/nothing", "expect": 404, "within": "20s"}],
        seed=["python", "seed.py"],
        preflight=preflight,
        variants={"generator": {"compose": {"services": {"web": {"environment": {"RANGE_MODE": "generator"}}}}}},
    )


@pytest.mark.servers
def test_a_run_of_a_broken_stack_ends_before_its_load(tmp_path: Path) -> None:
    """Exit code 3; the cases are in the error, in the run's folder, and in every report of it."""
    trial = trials.run_scenario(write(tmp_path), "local", "--variant", "generator")
    stored = documents.load_ranges(RunFolder(trial.folder))
    show = partial(called, "show", "latest", "--results", str(trial.results))
    shown, markdown, values = show(), show("--format", "markdown"), json.loads(show("--json").stdout)

    assert trial.done.returncode == 3, trial.done.stderr
    assert "players can't use this stack: range cases fail: 0-, 0-1, middle, repeated" in trial.done.stderr
    assert "0-1 (bytes=0-1): 200: the range is ignored (RFC 9110, 14.2, SHOULD)" in trial.done.stderr
    assert (trial.document["status"], trial.document["failure"]["type"]) == ("failed", "PreflightFailed")
    assert not (trial.folder / "logs" / "locust.log").exists()
    assert stored is not None
    assert names(stored, BROKEN) == ["0-", "0-1", "middle", "repeated"]
    assert "Ranges" in shown.stdout
    assert "<summary>Ranges" in markdown.stdout
    assert (values["ranges"]["plays"], values["run"]["status"]) == (False, "failed")
    page = called("report", "latest", "--results", str(trial.results)).stdout.strip()
    assert '<h2 id="ranges">Ranges</h2>' in Path(page).read_text()


@pytest.mark.servers
@pytest.mark.alone
@pytest.mark.long
def test_a_comparison_goes_on_without_the_broken_variant(tmp_path: Path) -> None:
    """Its run ends so, in words; the base, which only deviates, is loaded and carries a note."""
    scenario = write(tmp_path, {"ranges": "/media/clip.mp4"})
    trial = trials.run_scenario(scenario, "local", "--blocks", "1", "--design", "runs", verb="compare")
    documents_of = {document["variant"]: document for _, document in trials.runs(trial.results)}
    notes = {note["kind"]: note["text"] for note in documents_of["base"]["notes"]}

    assert "generator · block 1 of 1" not in trial.done.stderr
    assert re.search(r"base +OK +18 cases", trial.done.stdout)
    assert re.search(r"generator +BROKEN +0-1 +200", trial.done.stdout)
    assert documents_of["base"]["status"] == "complete", trial.done.stderr
    assert notes["range deviations"].startswith(
        "-0 (RFC 9110, 14.2, SHOULD): status 206 is not permitted; items=0-1"
    )
    assert documents_of["generator"]["failure"]["type"] == "PreflightFailed"

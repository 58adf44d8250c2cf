"""Trials of a real load on a real server: each arrival belongs to one trial, and each trial begins at rest."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from process.scripted_child import RecordingObserver
from spawning import spawn

from seatrial.compare.capacity_trial import TrialCounts
from seatrial.errors import UsageError
from seatrial.load.child import LoadSettings
from seatrial.load.driver import LoadResult
from seatrial.load.trials import TrialSequence, run_trials
from seatrial.model import Load, Phase
from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate

pytestmark = pytest.mark.alone

LEAN = """
from locust import constant, task
from seatrial.user import LeanUser

class Asking(LeanUser):
    endpoints = ("page",)

    @task
    def ask(self):
        self.client.request("GET", "/", endpoint="page")
"""
PLAIN = """
from locust import HttpUser, constant, task

class Asking(HttpUser):
    @task
    def ask(self):
        self.client.get("/", name="page")
"""


@contextmanager
def _serving(takes_s: float) -> Iterator[str]:
    class _Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(takes_s)  # the service time of this server, not a wait for something
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _perform(
    folder: Path,
    url: str,
    play: Callable[[TrialSequence], None],
    observer: RecordingObserver,
    *,
    locustfile: str = LEAN,
    users: int = 20,
) -> LoadResult:
    path = folder / "asking.py"
    path.write_text(locustfile)
    rate = Rate.steady(4.0)
    load = Load(locustfile=path, users=users, rate=rate, warmup_s=1.0, duration_s=1.0, drain_s=1.0)
    settings = LoadSettings(
        load=load,
        target=url,
        folder=folder,
        streams=folder,
        log=folder / "locust.log",
        secrets={"PYTHONPATH": str(Path(__file__).parents[2] / "harness")},
        seed=5,
    )
    ended: list[Any] = []

    def watched(*words: Any, **named: Any) -> Any:  # noqa: ANN401  (as spawn takes them)
        ended.append(spawn(*words, **named))
        return ended[-1]

    try:
        return run_trials(settings, observer, spawn=watched, play=play)
    finally:
        for child in ended:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def test_every_arrival_belongs_to_its_trial(tmp_path: Path) -> None:
    """As many as rate and time make, none lost, all seen in the latency; the window comes after a settling."""
    observer, trials = RecordingObserver(), []

    def play(sequence: TrialSequence) -> None:
        trials.extend(
            [sequence.trial(20.0, 1.0, Phase.WARMUP), sequence.trial(50.0, 1.0), sequence.trial(10.0, 2.0)]
        )
        sequence.window(20.0, 1.0)

    with _serving(0.002) as url:
        result = _perform(tmp_path, url, play, observer)

    assert [trial.arrivals for trial in trials] == [20, 50, 20]
    assert [sum(trial.latency["page"].values()) for trial in trials] == [20, 50, 20]
    assert [(trial.lost, trial.at_rest, dict(trial.failures)) for trial in trials] == [(0, True, {})] * 3
    assert [trial.completed for trial in trials] == [20, 50, 20]
    assert all(trial.took_ns >= 0.002 * NS_PER_S * trial.completed for trial in trials)
    assert [span.phase for span in result.spans] == ["warmup", "settle", "settle", "settle", "window", "drain"]
    assert all(one.until_ns <= two.from_ns for one, two in zip(result.spans, result.spans[1:], strict=False))
    seconds = [second for _, second in observer.seconds]
    assert any(second.cpu_fraction is not None and second.loop_lag_p99_ns is not None for second in seconds)


def test_a_trial_after_a_flood_begins_with_nothing_that_waits(tmp_path: Path) -> None:
    """Two users on a server of 100 ms serve 20 of 200 arrivals; those of the next trial are served all."""
    trials: list[TrialCounts] = []

    def play(sequence: TrialSequence) -> None:
        trials.extend([sequence.trial(200.0, 1.0), sequence.trial(10.0, 1.0)])

    with _serving(0.1) as url:
        _perform(tmp_path, url, play, RecordingObserver(), users=2)

    flooded, calm = trials
    assert (flooded.arrivals, flooded.at_rest) == (200, True)
    assert flooded.lost == pytest.approx(180, abs=8)
    assert flooded.completed_per_s < 30
    assert (calm.arrivals, calm.lost, calm.late, calm.carried) == (10, 0, 0, 0)


def test_what_outlasts_the_rest_that_it_is_granted_is_lost(tmp_path: Path) -> None:
    """A server of 3 s: long flows are granted more than short ones, and the next trial waits for both."""
    trials: list[TrialCounts] = []

    def play(sequence: TrialSequence) -> None:
        trials.extend([sequence.trial(2.0, 1.0, rest_s=0.1), sequence.trial(2.0, 1.0, rest_s=8.0)])

    with _serving(3.0) as url:
        _perform(tmp_path, url, play, RecordingObserver())

    assert [(trial.arrivals, trial.lost, trial.carried) for trial in trials] == [(2, 2, 0), (2, 0, 0)]
    assert trials[1].took_ns >= 2 * 3 * NS_PER_S


def test_a_play_ends_where_the_observer_has_seen_enough(tmp_path: Path) -> None:
    """The load drains, and what was recorded is whole; no trial after that is begun."""
    books: list[TrialCounts] = []

    class Stopping(RecordingObserver):
        def enough(self) -> bool:
            return bool(books)

    def play(sequence: TrialSequence) -> None:
        while len(books) < 20:
            books.append(sequence.trial(20.0, 1.0))

    with _serving(0.002) as url:
        result = _perform(tmp_path, url, play, Stopping())

    assert len(books) == 1
    assert [span.phase for span in result.spans] == ["settle", "settle", "drain"]


def test_users_that_can_not_follow_a_rate_are_refused(tmp_path: Path) -> None:
    """Before any trial: their own waits would be taken for the stack's limit."""
    with _serving(0.0) as url, pytest.raises(UsageError, match="can't follow a rate"):
        _perform(tmp_path, url, lambda _sequence: None, RecordingObserver(), locustfile=PLAIN)

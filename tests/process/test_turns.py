"""Two real load processes by turns, each on a server of its own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from factories import read_lines
from process.scripted_child import OBEDIENT, RecordingObserver, Scripted, settings
from spawning import spawn

from seatrial.errors import LoadFailed
from seatrial.load.child import LoadSettings
from seatrial.load.driver import LoadObserver, LoadResult
from seatrial.load.slices import Barrier, CalledOff, Slicing, drive_in_turns
from seatrial.model import Load, LoadSecond, Phase, Span
from seatrial.wire.rates import Rate, Stretch
from seatrial.wire.streams import read_layout

pytestmark = pytest.mark.alone

S = 1_000_000_000
SLICING = Slicing(order=("a", "b", "b", "a", "a", "b", "b", "a"), warm=2, slice_s=0.5, settle_s=0.1)
ASKING = """
from locust import constant, task
from seatrial.user import LeanUser

class Asking(LeanUser):
    endpoints = ("page",)
    wait_time = constant(0.005)

    @task
    def ask(self):
        with self.flow("ask"):
            self.client.request("GET", "/", endpoint="page")
"""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.held.wait(5)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.held = threading.Event()
        self.held.set()


@pytest.fixture
def servers() -> Iterator[tuple[_Server, _Server]]:
    """Serve two bytes on each of two free ports."""
    with _Server() as one, _Server() as other:
        threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            for server in (one, other)
        ]
        for thread in threads:
            thread.start()
        yield one, other
        for server, thread in zip((one, other), threads, strict=True):
            server.held.set()
            server.shutdown()
            thread.join()


def _settings(
    folder: Path, server: _Server, script: str = ASKING, rate: Rate | None = None, users: int = 2
) -> LoadSettings:
    folder.mkdir()
    path = folder / "asking.py"
    path.write_text(script)
    return LoadSettings(
        load=Load(locustfile=path, users=users, warmup_s=0.5, duration_s=9, drain_s=1.0, rate=rate),
        target=f"http://127.0.0.1:{server.server_address[1]}",
        folder=folder,
        streams=folder,
        log=folder / "locust.log",
        secrets={"PYTHONPATH": str(Path(__file__).parents[2] / "harness")},
        seed=5,
    )


def _both(
    wanted: dict[str, LoadSettings], observer: dict[str, RecordingObserver], slicing: Slicing = SLICING
) -> dict[str, LoadResult | BaseException]:
    """Drive both at once, and return how it went, or what was raised."""
    barrier = Barrier(slicing, wanted)

    def one(name: str) -> LoadResult | BaseException:
        try:
            return drive_in_turns(wanted[name], observer[name], spawn=spawn, name=name, barrier=barrier)
        except LoadFailed as error:
            return error
        finally:
            barrier.leave(name)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(wanted, pool.map(one, wanted), strict=True))


def _begun(folder: Path) -> list[int]:
    (part,) = folder.glob("requests-0*.bin")
    with part.open("rb") as stream:
        layout = read_layout(stream)
        column = list(layout.columns).index("t_start_ns")
        return sorted(row[column] for row in layout.record.iter_unpack(stream.read()))


def _in(phase: Phase, spans: tuple[Span, ...], moments: list[int]) -> int:
    held = [one for one in spans if one.phase is phase]
    return sum(any(span.from_ns <= moment < span.until_ns for span in held) for moment in moments)


def test_nothing_of_one_variant_begins_in_the_turn_of_the_other(
    tmp_path: Path, servers: tuple[_Server, _Server]
) -> None:
    """Both share one start; what is idle for one is settling or judged for the other."""
    observer = {"a": RecordingObserver(), "b": RecordingObserver()}
    wanted = {name: _settings(tmp_path / name, server) for name, server in zip("ab", servers, strict=True)}

    result = _both(wanted, observer)

    spans, begun = {}, {}
    for name, one in result.items():
        assert isinstance(one, LoadResult), one
        spans[name], begun[name] = one.spans, _begun(tmp_path / name)
    assert spans["a"][0].from_ns == spans["b"][0].from_ns
    for name, other in ("ab", "ba"):
        start_ns = spans[name][0].from_ns
        slices = [round((moment - start_ns) // (S // 2)) for moment in begun[name]]
        assert {SLICING.order[number] for number in slices} == {name}
        assert _in(Phase.IDLE, spans[name], begun[name]) == 0
        assert _in(Phase.WINDOW, spans[name], begun[other]) == 0
        assert _in(Phase.WINDOW, spans[name], begun[name]) > 20
        assert _in(Phase.SETTLE, spans[name], begun[name]) > 5
        assert observer[name].phases[0] == spans[name][:-1]


def test_arrivals_that_wait_when_a_turn_ends_are_given_up_then(
    tmp_path: Path, servers: tuple[_Server, _Server]
) -> None:
    """They would be answered seconds later, in the next turn, as latency of the other's time."""
    slow = ASKING.replace(
        '"GET", "/", endpoint="page")', '"GET", "/", endpoint="page")\n            gevent.sleep(0.2)'
    )
    rate = Rate((Stretch(float("inf"), 40.0, 40.0),))
    wanted = {
        name: _settings(tmp_path / name, server, "import gevent\n" + slow, rate=rate, users=1)
        for name, server in zip("ab", servers, strict=True)
    }

    result = _both(wanted, {"a": RecordingObserver(), "b": RecordingObserver()})

    for name, one in result.items():
        assert isinstance(one, LoadResult), one
        turns = SLICING.turns(name, one.spans[0].from_ns)
        _, flows = read_lines(tmp_path / name / "flows-0.jsonl")
        dropped = [row for row in flows if row["outcome"] == "dropped"]
        assert len(dropped) > 20
        for row in flows:
            begin, end = next(w for w in turns.windows if w[0] <= row["t_intended_ns"] < w[1])
            assert row["t_start_ns"] < end + 10_000_000 <= begin + S // 2 + 10_000_000


def test_the_other_goes_on_without_a_load_that_fails(tmp_path: Path, servers: tuple[_Server, _Server]) -> None:
    """One run is lost, and not the block."""
    wanted = {
        "a": _settings(tmp_path / "a", servers[0], "raise SystemExit('broken')"),
        "b": _settings(tmp_path / "b", servers[1]),
    }

    result = _both(wanted, {"a": RecordingObserver(), "b": RecordingObserver()})

    assert isinstance(result["a"], LoadFailed)
    assert isinstance(result["b"], LoadResult)
    assert len(_begun(tmp_path / "b")) > 20


def test_the_turns_of_a_load_that_dies_are_left_out(tmp_path: Path, servers: tuple[_Server, _Server]) -> None:
    """The other has all of its own, one after the other, and the block ends sooner."""
    slicing = replace(SLICING, order=("a", "b") * 10)
    dying = "import os\n" + ASKING.replace("with self.flow", "os._exit(3)\n        with self.flow")
    wanted = {
        "a": _settings(tmp_path / "a", servers[0], dying),
        "b": _settings(tmp_path / "b", servers[1]),
    }

    result = _both(wanted, {"a": RecordingObserver(), "b": RecordingObserver()}, slicing)

    assert isinstance(result["a"], LoadFailed)
    assert "exit code 3" in result["a"].what
    other = result["b"]
    assert isinstance(other, LoadResult)
    windows = [one for one in other.spans if one.phase is Phase.WINDOW]
    assert len(windows) == 9
    assert other.spans[-1].from_ns - other.spans[0].from_ns <= 8 * S < len(slicing.order) * S // 2
    begun = _begun(tmp_path / "b")
    assert all(any(one.from_ns <= moment < one.until_ns for moment in begun) for one in windows)


def test_turns_end_where_it_is_enough(tmp_path: Path) -> None:
    """A rule that stops a run early stops it within a turn; what was to come does not exist."""

    class Stopping(RecordingObserver):
        def enough(self) -> bool:
            return bool(self.seconds)

    spawned, barrier = Scripted(OBEDIENT), Barrier(SLICING, "a")

    result = drive_in_turns(settings(tmp_path), Stopping(), spawn=spawned, name="a", barrier=barrier)

    assert result.spans[-1].phase is Phase.DRAIN
    assert result.spans[-1].from_ns - result.spans[0].from_ns < 2 * S
    assert all(one.until_ns == next_.from_ns for one, next_ in itertools.pairwise(result.spans))
    assert (tmp_path / "locust.log").read_text() == "drain 0.1\n"


@pytest.mark.parametrize("script", ["send(kind='ready'); await_('stop')", OBEDIENT], ids=["waiting", "loading"])
def test_a_load_that_is_called_off_ends_at_once(tmp_path: Path, script: str) -> None:
    """While it waits for the others, and in the midst of its turns: the child is asked to end, and does."""
    spawned, barrier = Scripted(script), Barrier(SLICING, "ab" if script is not OBEDIENT else "a")
    started = threading.Event()

    class CallingOff(LoadObserver):
        def child_started(self, _pid: int) -> None:
            started.set()

        def second(self, _phase: Phase, _second: LoadSecond) -> None:
            barrier.call_off()

    def call_off() -> None:
        started.wait(10)
        if script is not OBEDIENT:
            barrier.call_off()

    caller = threading.Thread(target=call_off)
    caller.start()
    with pytest.raises(CalledOff):
        drive_in_turns(settings(tmp_path), CallingOff(), spawn=spawned, name="a", barrier=barrier)
    caller.join()

    assert spawned.children[0].poll() is not None

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
from process.scripted_child import OBEDIENT, Scripted, Told, orders
from spawning import spawn

from seatrial.errors import LoadFailed
from seatrial.load import turning
from seatrial.load.meeting import Meeting
from seatrial.load.orders import Driven, Orders
from seatrial.load.turns import Slicing
from seatrial.model import Load, Phase, Span
from seatrial.wire.rates import Rate, Stretch
from seatrial.wire.streams import read_layout

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


def _orders(
    folder: Path, server: _Server, script: str = ASKING, rate: Rate | None = None, users: int = 2
) -> Orders:
    folder.mkdir()
    path = folder / "asking.py"
    path.write_text(script)
    return Orders(
        load=Load(locustfile=path, users=users, warmup_s=0.5, duration_s=9, drain_s=1.0, rate=rate),
        target=f"http://127.0.0.1:{server.server_address[1]}",
        folder=folder,
        streams=folder,
        log=folder / "locust.log",
        secrets={"PYTHONPATH": str(Path(__file__).parents[2] / "harness")},
        seed=5,
    )


def _both(
    wanted: dict[str, Orders], told: dict[str, Told], slicing: Slicing = SLICING
) -> dict[str, Driven | BaseException]:
    """Drive both at once, and return how it went, or what was raised."""
    meeting = Meeting(slicing, wanted)

    def one(name: str) -> Driven | BaseException:
        try:
            return turning.perform(wanted[name], told[name].hooks, spawn=spawn, name=name, meeting=meeting)
        except LoadFailed as error:
            return error
        finally:
            meeting.leave(name)

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
    told = {"a": Told(), "b": Told()}
    wanted = {name: _orders(tmp_path / name, server) for name, server in zip("ab", servers, strict=True)}

    driven = _both(wanted, told)

    spans, begun = {}, {}
    for name, one in driven.items():
        assert isinstance(one, Driven), one
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
        assert told[name].phases[0] == spans[name][:-1]


def test_arrivals_that_wait_when_a_turn_ends_are_given_up_then(
    tmp_path: Path, servers: tuple[_Server, _Server]
) -> None:
    """They would be answered seconds later, in the next turn, as latency of the other's time."""
    slow = ASKING.replace(
        '"GET", "/", endpoint="page")', '"GET", "/", endpoint="page")\n            gevent.sleep(0.2)'
    )
    rate = Rate((Stretch(float("inf"), 40.0, 40.0),))
    wanted = {
        name: _orders(tmp_path / name, server, "import gevent\n" + slow, rate=rate, users=1)
        for name, server in zip("ab", servers, strict=True)
    }

    driven = _both(wanted, {"a": Told(), "b": Told()})

    for name, one in driven.items():
        assert isinstance(one, Driven), one
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
        "a": _orders(tmp_path / "a", servers[0], "raise SystemExit('broken')"),
        "b": _orders(tmp_path / "b", servers[1]),
    }

    driven = _both(wanted, {"a": Told(), "b": Told()})

    assert isinstance(driven["a"], LoadFailed)
    assert isinstance(driven["b"], Driven)
    assert len(_begun(tmp_path / "b")) > 20


def test_the_turns_of_a_load_that_dies_are_left_out(tmp_path: Path, servers: tuple[_Server, _Server]) -> None:
    """The other has all of its own, one after the other, and the block ends sooner."""
    slicing = replace(SLICING, order=("a", "b") * 10)
    dying = "import os\n" + ASKING.replace("with self.flow", "os._exit(3)\n        with self.flow")
    wanted = {
        "a": _orders(tmp_path / "a", servers[0], dying),
        "b": _orders(tmp_path / "b", servers[1]),
    }

    driven = _both(wanted, {"a": Told(), "b": Told()}, slicing)

    assert isinstance(driven["a"], LoadFailed)
    assert "exit code 3" in driven["a"].what
    other = driven["b"]
    assert isinstance(other, Driven)
    windows = [one for one in other.spans if one.phase is Phase.WINDOW]
    assert len(windows) == 9
    assert other.spans[-1].from_ns - other.spans[0].from_ns <= 8 * S < len(slicing.order) * S // 2
    begun = _begun(tmp_path / "b")
    assert all(any(one.from_ns <= moment < one.until_ns for moment in begun) for one in windows)


def test_turns_end_where_it_is_enough(tmp_path: Path) -> None:
    """A rule that stops a run early stops it within a turn; what was to come does not exist."""
    spawned, told = Scripted(OBEDIENT), Told()
    meeting = Meeting(SLICING, "a")
    hooks = replace(told.hooks, enough=lambda: bool(told.seconds))

    driven = turning.perform(orders(tmp_path), hooks, spawn=spawned, name="a", meeting=meeting)

    assert driven.spans[-1].phase is Phase.DRAIN
    assert driven.spans[-1].from_ns - driven.spans[0].from_ns < 2 * S
    assert all(one.until_ns == next_.from_ns for one, next_ in itertools.pairwise(driven.spans))
    assert (tmp_path / "locust.log").read_text() == "drain 0.1\n"


@pytest.mark.parametrize("script", ["send(kind='ready'); await_('stop')", OBEDIENT], ids=["waiting", "loading"])
def test_a_load_that_is_called_off_ends_at_once(tmp_path: Path, script: str) -> None:
    """While it waits for the others, and in the midst of its turns: the child is asked to end, and does."""
    spawned, told = Scripted(script), Told()
    meeting = Meeting(SLICING, "ab" if script is not OBEDIENT else "a")
    started = threading.Event()
    hooks = replace(told.hooks, started=lambda _pid: started.set(), second=lambda *_: meeting.call_off())

    def call_off() -> None:
        started.wait(10)
        if script is not OBEDIENT:
            meeting.call_off()

    caller = threading.Thread(target=call_off)
    caller.start()
    with pytest.raises(turning.CalledOff):
        turning.perform(orders(tmp_path), hooks, spawn=spawned, name="a", meeting=meeting)
    caller.join()

    assert spawned.children[0].poll() is not None
